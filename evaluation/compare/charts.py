"""Charts as SVG, to stand in a page."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000", "#999999")
"""Okabe and Ito's, which colour-blind readers tell apart."""


def scatter(first: np.ndarray, second: np.ndarray, names: tuple[str, str], metric: str, more_is_better: bool) -> str:
    """One dot per image: a metric of two networks; beside the diagonal one of them is better."""
    figure = Figure((4.6, 4.3), layout="constrained")
    axes = figure.add_subplot()
    known = ~np.isnan(first + second)
    low, high = (each(each(first[known]), each(second[known])) if known.any() else 0 for each in (min, max))
    room = 0.04 * (high - low) or 1.0
    better = (second > first) if more_is_better else (second < first)
    for wins, colour, name in ((~better, COLOURS[0], names[0]), (better, COLOURS[1], names[1])):
        chosen = wins & known & (first != second)
        axes.scatter(
            first[chosen],
            second[chosen],
            s=9,
            color=colour,
            alpha=0.6,
            linewidths=0,
            label=f"{_plain(name)} is better: {chosen.sum()}",
        )
    axes.plot((low - room, high + room), (low - room, high + room), color="#888", linewidth=0.8)
    axes.set(
        xlabel=f"{metric}, {_plain(names[0])}",
        ylabel=f"{metric}, {_plain(names[1])}",
        xlim=(low - room, high + room),
        ylim=(low - room, high + room),
    )
    axes.legend(fontsize=7)
    return _svg(figure)


def bars(groups: Sequence[str], means: Mapping[str, np.ndarray], title: str) -> str:
    """Mean relative error of groups of pixels, a bar for each run."""
    figure = Figure((max(5.0, 0.75 * len(groups) + 1.5), 3.2), layout="constrained")
    axes = figure.add_subplot()
    width = 0.8 / len(means)
    for number, (name, values) in enumerate(means.items()):
        places = np.arange(len(groups)) + (number - (len(means) - 1) / 2) * width
        axes.bar(places, np.nan_to_num(values), width, color=COLOURS[number % len(COLOURS)], label=_plain(name))
    axes.set_xticks(np.arange(len(groups)), groups, rotation=30, ha="right", fontsize=8)
    axes.set(title=title, ylabel="mean |g - p| / g")
    axes.legend(fontsize=7)
    return _svg(figure)


def lines(curves: Mapping[str, np.ndarray], title: str) -> str:
    """Curves of several runs, (N, 2): step and value."""
    figure = Figure((4.6, 2.9), layout="constrained")
    axes = figure.add_subplot()
    for number, (name, points) in enumerate(curves.items()):
        mark = "o" if len(points) < 40 else None
        axes.plot(
            points[:, 0],
            points[:, 1],
            color=COLOURS[number % len(COLOURS)],
            label=_plain(name),
            marker=mark,
            markersize=3,
            linewidth=1,
        )
    axes.set_title(title, fontsize=9)
    axes.set_xlabel("step of the optimiser", fontsize=8)
    axes.legend(fontsize=7)
    return _svg(figure)


def _plain(name: str) -> str:
    """A name without what Matplotlib takes for a formula, or for no label."""
    return name.replace("$", r"\$").lstrip("_") or "-"


def _svg(figure: Figure) -> str:
    """The figure without the head of a file, so that it can stand in HTML; the same whenever it is drawn."""
    text = io.StringIO()
    with rc_context({"svg.hashsalt": "compare", "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    svg = text.getvalue()
    return svg[svg.index("<svg") :]
