"""Differences between two evaluations of the same images, and how sure they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95
AT_ONCE = 4_000_000  # numbers of draws and images in memory


@dataclass(frozen=True)
class Difference:
    """Mean over images of B - A, and the interval of a paired bootstrap; NaN where no image has both."""

    mean: float
    low: float
    high: float

    @property
    def certain(self) -> bool:
        """Whether the interval has no 0 in it."""
        return self.low > 0 or self.high < 0


def paired_bootstrap(first: np.ndarray, second: np.ndarray, resamples: int, seed: int) -> list[Difference]:
    """Differences of the means of every metric, with percentile intervals of 95 %.

    Images are drawn with replacement, `resamples` times, the same ones for both and for all metrics; an image without a
    number of a metric counts for none of its draws. Source: Efron, Tibshirani: An Introduction to the Bootstrap,
    chapter 13.

    Shapes: first, second (N, M), rows of the same images
    """
    change = second - first
    known = ~np.isnan(change)
    filled = np.where(known, change, 0.0)
    means = _means_of_draws(filled, known, resamples, np.random.default_rng(seed))
    with np.errstate(invalid="ignore"):
        mean = filled.sum(0) / known.sum(0)
    found = []
    for place in range(change.shape[1]):
        usable = means[~np.isnan(means[:, place]), place]
        tails = (1 - CONFIDENCE) / 2
        ends = np.quantile(usable, (tails, 1 - tails)) if len(usable) else (np.nan, np.nan)
        found.append(Difference(float(mean[place]), float(ends[0]), float(ends[1])))
    return found


def _means_of_draws(filled: np.ndarray, known: np.ndarray, resamples: int, random: np.random.Generator) -> np.ndarray:
    """Means (R, M) of known values (N, M), each over N images that were drawn with replacement."""
    count = len(filled)
    portion = max(1, AT_ONCE // count)
    means = []
    for start in range(0, resamples, portion):
        size = min(portion, resamples - start)
        times = random.multinomial(count, np.full(count, 1 / count), size=size)  # how often each image is drawn
        draws = times.astype(float)
        with np.errstate(invalid="ignore"):
            means.append((draws @ filled) / (draws @ known.astype(float)))
    return np.concatenate(means)


def extremes(first: np.ndarray, second: np.ndarray, count: int, more_is_better: bool) -> tuple[list[int], list[int]]:
    """Images (N,) for which the first is better by most, and those for which the second is; `count` of each at most.

    Those that are equally good, or have no number, are in neither.
    """
    gain = (first - second) * (1 if more_is_better else -1)  # how much better the first is
    order = [int(place) for place in np.argsort(-np.nan_to_num(gain), kind="stable")]
    ours = [place for place in order if gain[place] > 0][:count]
    theirs = [place for place in order[::-1] if gain[place] < 0][:count]
    return ours, theirs
