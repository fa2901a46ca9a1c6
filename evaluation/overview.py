"""One table over several evaluated sets, each row with its protocol: console, CSV, Markdown, LaTeX."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .tables import csv_table

TABLE = "metrics_table"  # its files, by their endings
WIDE = ("set", "protocol", "ground_truth", "crop", "range", "clamp", "scaling", "size", "flip")
NARROW = ("set", "protocol", "ground_truth", "scaling")
"""What is said of a row before its numbers, in files and where space is short."""
LATEX = {
    "\\": r"\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}

Entries = Mapping[str, Mapping[str, Any]]
"""What metrics.json holds, by set: ``metrics``, ``images``, ``skipped``, ``protocol``."""


def overview_files(folder: Path, entries: Entries) -> dict[Path, bytes]:
    """Contents of metrics_table.csv, .md and .tex by path; numbers of the CSV keep all their digits."""
    exact = csv_table(_rows(entries, WIDE))
    texts = ((".csv", exact), (".md", markdown(entries)), (".tex", latex(entries)))
    return {folder / f"{TABLE}{ending}": text.encode() for ending, text in texts}


def overview(entries: Entries, about: Sequence[str] = NARROW) -> str:
    """The table for the console, 3 decimals; `about` says what is told of a row, the name of its entry first."""
    header, rows = _shown(entries, about)
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    said = len(about)

    def line(cells: Sequence[str]) -> str:
        aligned = [cell.ljust(width) for cell, width in zip(cells[:said], widths[:said], strict=True)]
        return " | ".join([*aligned, *map(str.rjust, cells[said:], widths[said:])])

    return "\n".join(map(line, (header, *rows)))


def _rows(entries: Entries, about: Sequence[str]) -> list[dict[str, object]]:
    """One row per set with equal keys; a metric that a set does not have is empty."""
    metrics = dict.fromkeys(name for entry in entries.values() for name in entry["metrics"])
    rows = []
    for domain, entry in entries.items():
        protocol = entry["protocol"]
        told = {about[0]: domain, "protocol": protocol["name"]} | {key: _words(protocol[key]) for key in about[2:]}
        counts = {"images": entry["images"], "skipped": entry["skipped"]}
        rows.append(told | counts | {name: entry["metrics"].get(name, "") for name in metrics})
    return rows


def _words(value: object) -> str:
    """An entry of a protocol: sizes as 192x640, ranges as 0.001 to 80 m, of which either end may be missing."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, list | tuple):
        return str(value)
    if all(isinstance(each, int) for each in value):
        return "x".join(map(str, value))
    return " to ".join("-" if each is None else f"{each:g}" for each in value) + " m"


def _shown(entries: Entries, about: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Header and cells as they are read: numbers with 3 decimals, - for what is not defined."""
    rows = _rows(entries, about)
    return [*rows[0]], [[_cell(value) for value in row.values()] for row in rows]


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}" if math.isfinite(value) else "-"
    return str(value) if value != "" else "-"


def markdown(entries: Entries, about: Sequence[str] = WIDE) -> str:
    """The table in Markdown; `about` as of `overview`."""
    header, rows = _shown(entries, about)
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def latex(entries: Entries, about: Sequence[str] = WIDE) -> str:
    """A tabular environment with the rules of LaTeX itself, so that no package is needed; `about` as of `overview`."""
    header, rows = _shown(entries, about)
    said = len(about)
    columns = "l" * said + "r" * (len(header) - said)
    lines = [" & ".join("".join(LATEX.get(sign, sign) for sign in cell) for cell in line) for line in (header, *rows)]
    body = "".join(f"{line} \\\\\n" for line in lines[1:])
    return f"\\begin{{tabular}}{{{columns}}}\n\\hline\n{lines[0]} \\\\\n\\hline\n{body}\\hline\n\\end{{tabular}}\n"
