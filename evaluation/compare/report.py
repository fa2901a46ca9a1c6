"""Everything that is compared, as one HTML file without a server, and as tables."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np

from engine.keeping import BETTER
from evaluation.comparison import SHOWN
from evaluation.overview import exact, latex, markdown, overview, words

from .charts import bars, lines, scatter
from .runs import SAME
from .statistics import Difference

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 1180px; margin: 2em auto; padding: 0 1em; color: #1a1a1a }
table { border-collapse: collapse; margin: 1em 0; font-variant-numeric: tabular-nums; display: block; overflow-x: auto }
th, td { border-bottom: 1px solid #ddd; padding: .25em .7em; text-align: right; white-space: nowrap }
th:first-child, td:first-child, td.word, th.word { text-align: left }
.red { color: #c00000; font-weight: 600 } div.red { border: 2px solid #c00000; padding: .5em 1em; font-weight: 400 }
.certain { font-weight: 600 } .note { color: #555 } figure { display: inline-block; margin: .5em; vertical-align: top }
figcaption { font-size: 13px; overflow-wrap: anywhere; max-width: 480px }
img { width: 480px } svg { max-width: 100% }
pre { background: #f5f5f5; padding: .7em; overflow-x: auto } .frame { border-top: 1px solid #ddd; margin-top: 1em }
"""


@dataclass(frozen=True)
class Pair:
    """Two runs on the images that both were judged on; `first` and `second` (N, M)."""

    names: tuple[str, str]
    first: np.ndarray
    second: np.ndarray
    differences: list[Difference]
    ours: list[str]
    theirs: list[str]


@dataclass
class Set:
    """What is told of one set.

    entries:  of metrics.json, by run
    faults:   how the protocols or images differ
    images:   that all runs were judged on; `metrics` are those of single images
    errors:   mean relative errors by what their groups are: names of the groups, and the means of each run
    pictures: JPEG files by image and run
    notes:    what could not be shown, and why
    """

    domain: str
    entries: Mapping[str, Mapping[str, Any]]
    faults: list[str] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    metrics: tuple[str, ...] = ()
    metric: str = ""
    pairs: list[Pair] = field(default_factory=list)
    errors: dict[str, tuple[list[str], dict[str, np.ndarray]]] = field(default_factory=dict)
    pictures: dict[str, dict[str, bytes]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def is_more_better(metric: str) -> bool:
    """Whether a larger number of a metric is the better one."""
    return any(metrics.get(metric) is max for metrics in BETTER.values())


def tables(sets: Sequence[Set], form: str, method: str) -> str:
    """Metrics and differences in a form of ``--table-format``; `method` says how intervals were made."""
    write = {"text": overview, "csv": exact, "markdown": markdown, "latex": latex}[form]
    parts = []
    for each in sets:
        parts.append(write(each.entries, SHOWN).rstrip("\n"))
        if each.pairs:
            parts.append(write(_as_entries(each), ("difference", "metric", "interval")).rstrip("\n"))
    mark = {"text": "", "csv": "", "markdown": "", "latex": "% "}[form]
    said = [
        f"{mark}{sentence}" for each in sets for sentence in (*_warnings(each), *(() if form == "csv" else (method,)))
    ]
    return "\n\n".join([*dict.fromkeys(said if form != "csv" else ()), *parts]) + "\n"


def _warnings(each: Set) -> list[str]:
    return [f"NOT COMPARABLE, {each.domain}: {fault}" for fault in each.faults]


def _as_entries(each: Set) -> dict[str, dict[str, Any]]:
    """Differences in the shape of metrics.json: a row per pair and bound of the interval."""
    found = {}
    for pair in each.pairs:
        title = f"{pair.names[1]} - {pair.names[0]}"
        for part in ("mean", "low", "high"):
            values = {name: getattr(one, part) for name, one in zip(each.metrics, pair.differences, strict=True)}
            label = {"mean": title, "low": f"{title}, 2.5 %", "high": f"{title}, 97.5 %"}[part]
            found[label] = {"metrics": values, "images": len(each.images), "skipped": 0, "protocol": {}}
    return found


def page(sets: Sequence[Set], curves: Mapping[str, Mapping[str, np.ndarray]], method: str, command: str) -> str:
    """The report.  curves: of trainings, by tag and run, (N, 2): step and value."""
    runs = list(sets[0].entries)
    title = escape(" and ".join(runs))
    body = [f"<h1>{title}</h1>", f"<p class='note'>{escape(method)}</p>"]
    for each in sets:
        body += _set(each)
    if curves:
        body.append("<h2>Training</h2>")
        body += [_figure(lines(each, tag), "") for tag, each in curves.items()]
    body += _sources(sets, method, command)
    head = f"<meta charset='utf-8'><title>{title}</title><style>{STYLE}</style>"
    return f"<!DOCTYPE html>\n<html lang='en'><head>{head}</head><body>\n" + "\n".join(body) + "\n</body></html>\n"


def _set(each: Set) -> list[str]:
    parts = [f"<h2>{escape(each.domain)}</h2>"]
    if each.faults:
        faults = "".join(f"<li>{escape(fault)}</li>" for fault in each.faults)
        parts.append(f"<div class='red'><b>Not comparable</b>, these were judged differently:<ul>{faults}</ul></div>")
    parts += [f"<p class='note'>{escape(note)}</p>" for note in each.notes]
    parts.append(_metrics(each))
    for pair in each.pairs:
        parts += _pair(each, pair)
    for about, (groups, means) in each.errors.items():
        parts += [f"<h3>Error by {about}</h3>", _figure(bars(groups, means, f"Relative error by {about}"), "")]
        rows = [[name, *(_number(value) for value in values)] for name, values in means.items()]
        parts.append(_table(["", *groups], rows))
    return parts


def _metrics(each: Set) -> str:
    """Metrics of every run, and below them its protocol; what differs from that of the first run is red."""
    entries = each.entries
    first = next(iter(entries.values()))["protocol"]
    said = list(dict.fromkeys(key for entry in entries.values() for key in entry["protocol"]))
    names = list(dict.fromkeys(name for entry in entries.values() for name in entry["metrics"]))
    numbers = [
        [run, str(entry["images"]), *(_number(entry["metrics"].get(name)) for name in names)]
        for run, entry in entries.items()
    ]
    rows = []
    for run, entry in entries.items():
        values = [(key, entry["protocol"].get(key, "-")) for key in said]
        red = [" red" * (key in SAME and value != first.get(key, "-")) for key, value in values]
        cells = [
            f"<td class='word{mark}'>{escape(words(value))}</td>" for mark, (_, value) in zip(red, values, strict=True)
        ]
        rows.append(f"<tr><td>{escape(run)}</td>{''.join(cells)}</tr>")
    header = "".join(f"<th class='word'>{escape(key.replace('_', ' '))}</th>" for key in ("judged by", *said))
    return f"{_table(['', 'images', *names], numbers)}<table><tr>{header}</tr>{''.join(rows)}</table>"


def _pair(each: Set, pair: Pair) -> list[str]:
    a, b = pair.names
    rows = []
    for name, found in zip(each.metrics, pair.differences, strict=True):
        better = b if (found.mean > 0) == is_more_better(name) else a
        verdict = f"<span class='certain'>{escape(better)} is better</span>" if found.certain else "open"
        interval = f"{_number(found.low, sign=True)} to {_number(found.high, sign=True)}"
        rows.append([escape(name), _number(found.mean, sign=True), interval, verdict])
    place = each.metrics.index(each.metric)
    parts = [
        f"<h3>{escape(b)} against {escape(a)}, {len(pair.first)} images</h3>",
        _table(["", "difference", "95 % interval", ""], rows, safe=True),
        _figure(
            scatter(pair.first[:, place], pair.second[:, place], (a, b), each.metric, is_more_better(each.metric)), ""
        ),
    ]
    for winner, names, loser in ((a, pair.ours, b), (b, pair.theirs, a)):
        parts.append(f"<h3>Where {escape(winner)} beats {escape(loser)} most, by {escape(each.metric)}</h3>")
        parts += [_frame(each, pair, name, place) for name in names] or ["<p>On no image.</p>"]
    return parts


def _frame(each: Set, pair: Pair, name: str, place: int) -> str:
    row = each.images.index(name)
    values = (pair.first[row, place], pair.second[row, place])
    figures = [
        _figure(_image(each.pictures[name][run]), f"{run}: {each.metric} {_number(value)}")
        for run, value in zip(pair.names, values, strict=True)
        if run in each.pictures.get(name, {})
    ]
    told = "" if figures else f": {_number(values[0])} and {_number(values[1])}"
    return f"<div class='frame'><b>{escape(name)}</b>{told}<br>{''.join(figures)}</div>"


def _image(jpeg: bytes) -> str:
    data = base64.b64encode(jpeg).decode()
    return f"<img alt='image, prediction, truth, relative errors' src='data:image/jpeg;base64,{data}'>"


def _sources(sets: Sequence[Set], method: str, command: str) -> list[str]:
    parts = ["<h2>Tables</h2>"]
    for form, title in (("markdown", "Markdown"), ("latex", "LaTeX")):
        parts.append(f"<details><summary>{title}</summary><pre>{escape(tables(sets, form, method))}</pre></details>")
    parts.append(f"<h2>Where the numbers come from</h2><p>Made by <code>{escape(command)}</code></p>")
    for each in sets:
        rows = []
        for run, entry in each.entries.items():
            origin = entry.get("origin", {})
            rows.append(
                [run, *(str(origin.get(key, "not said")) for key in ("checkpoint", "sha256", "revision", "command"))]
            )
        parts.append(_table([each.domain, "checkpoint", "SHA-256", "revision", "command"], rows))
    return parts


def _number(value: Any, sign: bool = False) -> str:
    if not isinstance(value, float | int) or not np.isfinite(value):
        return "-"
    return f"{value:+.4f}" if sign else f"{value:.4f}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], safe: bool = False) -> str:
    """Cells as they are where `safe`, else as plain text."""
    shown = [[cell if safe else escape(cell) for cell in row] for row in rows]
    lines_ = ["".join(f"<td>{cell}</td>" for cell in row) for row in shown]
    top = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    return f"<table><tr>{top}</tr>{''.join(f'<tr>{line}</tr>' for line in lines_)}</table>"


def _figure(content: str, caption: str) -> str:
    return f"<figure>{content}{f'<figcaption>{escape(caption)}</figcaption>' if caption else ''}</figure>"
