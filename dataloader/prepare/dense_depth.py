"""Depth without gaps, and a smooth version of it that keeps its edges; float64 throughout."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .grids import balanced, solve

Array = np.ndarray
Solver = Callable[..., Array]
"""As `grids.solve`."""
GREY = (0.2989, 0.5870, 0.1140)
VARIANCE_SHARE = 0.6
LEAST_WEIGHT = 0.01  # that the most similar neighbour has before weights are made to sum to 1
LEAST_SPREAD = 2e-6
EXPONENT, OFFSET, LEAST_DEPTH = 1.2, 1e-4, 2.2e-16
ACCURACY = 1e-5  # metres, of a pixel


def filled(image: Array, depth: Array, alpha: float, solver: Solver = solve) -> Array:
    """Depth for all pixels: what was measured stays, the rest follows neighbours of similar grey.

    Solves (A + alpha K) x = alpha K y, with K 1 where depth y was measured; a row of A says that a pixel is the mean of
    the eight around it, weighted by exp(-(difference of grey)^2 / s). s is the larger of 0.6 times the variance of grey
    among these nine and of what gives the most similar neighbour the weight 0.01.
    Source: Levin et al., Colorization using Optimization, SIGGRAPH 2004, as in the toolbox of NYU Depth v2.

    Shapes:  image (H, W, 3) RGB in [0, 1]; depth (H, W) metres, 0 = none, with at least one measurement.
    Returns: (H, W) float64.
    """
    depth = depth.astype(np.float64)
    known, farthest = depth > 0, float(depth.max())
    grey = sum(share * image[..., channel] for channel, share in enumerate(GREY))
    weights = balanced(_similarity(grey))
    total = weights.sum((0, 1))  # by which every row was multiplied
    stencil = -weights
    stencil[1, 1] = total * (1 + alpha * known)
    start = np.where(known, depth, depth[known].mean()) / farthest
    found = solver(stencil, total * alpha * known * depth / farthest, start, ACCURACY / farthest, cycles=2)
    return np.where(known, depth, found * farthest)


def _similarity(grey: Array) -> Array:
    """Weights (3, 3, H, W) of the neighbours of every pixel of (H, W), 0 for itself and outside; not normalised."""
    height, width = grey.shape
    around = np.lib.stride_tricks.sliding_window_view(np.pad(grey, 1, constant_values=np.nan), (height, width))
    difference = around - grey
    inside = ~np.isnan(difference)
    difference[~inside] = 0
    count = inside.sum((0, 1))
    square = difference**2
    variance = np.maximum(square.sum((0, 1)) / count - (difference.sum((0, 1)) / count) ** 2, 0)
    inside[1, 1] = False
    nearest = np.where(inside, square, np.inf).min((0, 1))
    spread = np.maximum(np.maximum(VARIANCE_SHARE * variance, -nearest / np.log(LEAST_WEIGHT)), LEAST_SPREAD)
    return np.exp(-square / spread) * inside


def smoothed(depth: Array, strength: float, solver: Solver = solve) -> Array:
    """Base u of dense depth D: smooth but for its edges.

    Minimises sum (u - D)^2 + strength (a_x (du/dx)^2 + a_y (du/dy)^2), a = 1 / (|difference of ln D|^1.2 + 1e-4).
    Pixels without depth take part in nothing and have none in the base either.
    Source: Farbman et al., Edge-Preserving Decompositions, SIGGRAPH 2008.

    Shapes:  depth (H, W) metres, 0 = none.    Returns: (H, W) float64.
    """
    logarithm, known = np.log(depth + LEAST_DEPTH), depth > 0
    stencil = np.zeros((3, 3, *depth.shape))
    for before, after, low, high in (
        (np.s_[:, :-1], np.s_[:, 1:], (1, 0), (1, 2)),
        (np.s_[:-1], np.s_[1:], (0, 1), (2, 1)),
    ):
        pull = strength / (np.abs(logarithm[after] - logarithm[before]) ** EXPONENT + OFFSET)
        stencil[high][before] = stencil[low][after] = -pull * (known[before] & known[after])
    stencil[1, 1] = 1 - stencil.sum((0, 1))
    return solver(stencil, depth, depth, ACCURACY)
