"""Depth boundary errors of Koch et al. (IBims-1): how far predicted edges of depth lie from true ones, and back."""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage

BOUNDARIES = ("edge_acc", "edge_comp")
SIGMA = math.sqrt(2)  # pixels
LOW, HIGH = 0.15, 0.3  # of Canny, for depth in [0, 1] and kernels of Sobel that are not divided by 8
REACH = 10.0  # pixels; farther away from a true edge predicted ones do not count, and a true one is missed altogether
CONNECTED = np.zeros((3, 3, 3), bool)
CONNECTED[1] = True  # what lies around a pixel, in its own map


def boundary_errors(truth: np.ndarray, found: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Accuracy and completeness of the edges of depth maps, each in pixels of the truth; 0 is perfect.

        T, P = true and predicted edges, `depth_edges`; d_X(p) = distance from p to the nearest edge of X
        edge_acc  = mean of d_T over those edges of P for which d_T < 10
        edge_comp = mean of min(d_P, 10) over the edges of T

    Both are 10 where no edge of P is that near, and NaN where the truth has no edge, as in the released code. A network
    that draws few edges, all of them right, has a good accuracy and a bad completeness.

    What the truth does not know has no edges, in neither map: a hole is none, nor is its border or the end of what
    counts, and the two maps are smoothed and normalised over the same pixels.

    Source: Koch, Liebel, Fraundorfer, Koerner: Evaluation of CNN-based Single-Image Depth Estimation Methods (arXiv
    1805.01328), section 3.2 "depth boundary errors", and its released evaluate_ibims_error_metrics.py.

    Shapes:  truth, found (B, H, W) metres where known; known (B, H, W) bool, what counts
    Returns: (B, 2) float64, in the order of BOUNDARIES.
    """
    edges, predicted = np.split(depth_edges(np.concatenate([truth, found]), np.concatenate([known, known])), 2)
    to_truth, to_prediction = _distances(edges), _distances(predicted)
    near = predicted & (to_truth < REACH)
    errors = np.stack([_mean(to_truth, near), _mean(np.minimum(to_prediction, REACH), edges)], axis=1)
    errors[~near.any((1, 2))] = REACH
    errors[~edges.any((1, 2))] = math.nan
    return errors


def depth_edges(depth: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Edges by Canny (sigma sqrt 2, thresholds 0.15 and 0.3) of depth whose known pixels are stretched over [0, 1].

    As scikit-image's ``canny`` with a mask: the Gaussian is normalised over known pixels, Sobel over all, of maxima
    across the edge those stay that are connected with one above the higher threshold. A pixel with an unknown neighbour
    is no edge, nor is one at the border of the map.

    Shapes: depth (B, H, W); known (B, H, W) bool -> (B, H, W) bool
    """
    depth = _stretched(depth.astype(np.float64), known)
    smooth = _smoothed(depth) / (_smoothed(known.astype(np.float64)) + np.finfo(np.float64).eps)
    down, right = _derivative(smooth, 1), _derivative(smooth, 2)
    strength = np.hypot(down, right)
    inside = ndimage.binary_erosion(known, CONNECTED)
    places = np.nonzero(inside & (strength >= LOW))
    largest = _largest_across(strength, down[places], right[places], places)
    ridges = np.zeros(depth.shape, bool)
    ridges[tuple(axis[largest] for axis in places)] = True
    parts, count = ndimage.label(ridges, CONNECTED)
    strong = np.zeros(count + 1, bool)
    strong[parts[ridges & (strength >= HIGH)]] = True
    return strong[parts]


def _stretched(depth: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Known depth from 0 (the nearest of a map) to 1 (the farthest), 0 where it is unknown or the same everywhere."""
    axes = {"axis": (1, 2), "keepdims": True}
    nearest = depth.min(where=known, initial=np.inf, **axes)
    width = depth.max(where=known, initial=-np.inf, **axes) - nearest
    return np.where(known & (width > 0), depth - nearest, 0) / np.where(width > 0, width, 1)


def _smoothed(maps: np.ndarray) -> np.ndarray:
    return ndimage.gaussian_filter(maps, (0, SIGMA, SIGMA), mode="constant")


def _derivative(maps: np.ndarray, axis: int) -> np.ndarray:
    """Sobel's, along one axis of every map."""
    return ndimage.correlate1d(ndimage.correlate1d(maps, [-1, 0, 1], axis), [1, 2, 1], 3 - axis)


def _largest_across(
    strength: np.ndarray, down: np.ndarray, right: np.ndarray, places: tuple[np.ndarray, ...]
) -> np.ndarray:
    """Whether edges are not weaker than what lies one pixel before and behind, along the gradient; (N,) bool.

    There the strength is interpolated between the neighbour beside or below and the one at the corner.

    Shapes: strength (B, H, W); down, right (N,), the gradient at `places`, which are not at the border
    """
    one, row, column = places
    steep = np.abs(down) > np.abs(right)
    share = np.minimum(np.abs(down), np.abs(right)) / np.maximum(np.abs(down), np.abs(right))
    turn = np.where(down * right >= 0, 1, -1)
    there = strength[places]
    largest = np.ones(len(there), bool)
    for way in (1, -1):
        straight = strength[one, row + way * steep, column + way * ~steep]
        corner = strength[one, row + way * np.where(steep, 1, turn), column + way * np.where(steep, turn, 1)]
        largest &= corner * share + straight * (1 - share) <= there
    return largest


def _distances(edges: np.ndarray) -> np.ndarray:
    """Pixels from every pixel of maps (B, H, W) to the nearest edge of its map; any number where that has none."""
    return np.stack([ndimage.distance_transform_edt(~each) for each in edges])


def _mean(values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Mean of the chosen values of every map (B, H, W), 0 where there are none."""
    return values.sum((1, 2), where=chosen) / np.maximum(chosen.sum((1, 2)), 1)
