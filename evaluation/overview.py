"""One table over several evaluated sets, each row with its protocol: console, CSV, JSON, Markdown, LaTeX."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .tables import csv_table, plain

TABLE = "metrics_table"  # its files, by their endings
WIDE = ("set", "protocol", "ground_truth", "crop", "range", "clamp", "scaling", "size", "flip")
NARROW = ("set", "protocol", "ground_truth", "scaling")
"""What is said of a row before its numbers, as far as its protocol has it, in files and where space is short."""
LATEX = {
    "\\": r"\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
}

Entries = Mapping[str, Mapping[str, Any]]
"""What metrics.json holds, by set: ``metrics``, ``images``, ``skipped``, ``protocol``."""


def overview_files(folder: Path, entries: Entries, purpose: str = "depth") -> dict[Path, bytes]:
    """Contents of metrics_table.csv, .md and .tex by path; numbers of the CSV keep all their digits.

    purpose: of the numbers; tables of others than depth have it in their names, for one folder may hold all
    """
    name = TABLE if purpose == "depth" else f"{TABLE}_{purpose}"
    texts = ((".csv", exact(entries)), (".md", markdown(entries)), (".tex", latex(entries)))
    return {folder / f"{name}{ending}": text.encode() for ending, text in texts}


def table(entries: Entries, form: str) -> str:
    """The table in a form of ``--table-format``."""
    match form:
        case "text":
            return f"{overview(entries)}\n"
        case "csv":
            return exact(entries)
        case "json":
            return json.dumps(plain(entries), indent=2, allow_nan=False) + "\n"
        case "markdown":
            return markdown(entries)
        case "latex":
            return latex(entries)
    raise ValueError(f"table: {form!r} is unknown")


def overview(entries: Entries, about: Sequence[str] = NARROW) -> str:
    """The table for the console, 3 decimals; `about` says what is told of a row, the name of its entry first."""
    return "\n".join(" | ".join(line) for line in _aligned(*_shown(entries, about)))


def exact(entries: Entries, about: Sequence[str] = WIDE) -> str:
    """The table as CSV, whose numbers keep all their digits; `about` as of `overview`."""
    return csv_table(_rows(entries, about))


def markdown(entries: Entries, about: Sequence[str] = WIDE) -> str:
    """The table in Markdown, numbers to the right; `about` as of `overview`."""
    header, rows, said = _shown(entries, about)
    marked = [[cell.replace("|", r"\|") for cell in line] for line in (header, *rows)]
    first, *others = _aligned(marked[0], marked[1:], said)
    rule = ["-" * len(cell) if place < said else f"{'-' * (len(cell) - 1)}:" for place, cell in enumerate(first)]
    return "".join(f"| {' | '.join(line)} |\n" for line in (first, rule, *others))


def latex(entries: Entries, about: Sequence[str] = WIDE) -> str:
    """A tabular environment with the rules of LaTeX itself, so that no package is needed; `about` as of `overview`."""
    header, rows, said = _shown(entries, about)
    columns = "l" * said + "r" * (len(header) - said)
    escaped = [["".join(LATEX.get(sign, sign) for sign in cell) for cell in line] for line in (header, *rows)]
    first, *others = (f"{' & '.join(line)} \\\\\n" for line in _aligned(escaped[0], escaped[1:], said))
    return f"\\begin{{tabular}}{{{columns}}}\n\\hline\n{first}\\hline\n{''.join(others)}\\hline\n\\end{{tabular}}\n"


def _rows(entries: Entries, about: Sequence[str]) -> list[dict[str, object]]:
    """One row per set with equal keys; a metric that a set does not have is empty."""
    metrics = dict.fromkeys(name for entry in entries.values() for name in entry["metrics"])
    told = _told(entries, about)
    rows = []
    for domain, entry in entries.items():
        protocol = entry["protocol"] | {"protocol": entry["protocol"].get("name", "")}
        said = {about[0]: domain} | {key: words(protocol.get(key, "")) for key in told[1:]}
        counts = {"images": entry["images"], "skipped": entry["skipped"]}
        rows.append(said | counts | {name: entry["metrics"].get(name, "") for name in metrics})
    return rows


def _told(entries: Entries, about: Sequence[str]) -> list[str]:
    """Of what is to be said of a row that which some protocol says."""
    known = {key for entry in entries.values() for key in entry["protocol"]}
    return [about[0], *(key for key in about[1:] if {"protocol": "name"}.get(key, key) in known)]


def words(value: object) -> str:
    """An entry of a protocol: sizes as 192x640, ranges as 0.001 to 80 m, of which either end may be missing."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, list | tuple):
        return str(value)
    if all(isinstance(each, int) for each in value):
        return "x".join(map(str, value))
    return " to ".join("-" if each is None else f"{each:g}" for each in value) + " m"


def _shown(entries: Entries, about: Sequence[str]) -> tuple[list[str], list[list[str]], int]:
    """Header and cells as they are read: numbers with 3 decimals, - for what is not defined; how many are words."""
    rows = _rows(entries, about)
    return [*rows[0]], [[_cell(value) for value in row.values()] for row in rows], len(_told(entries, about))


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}" if math.isfinite(value) else "-"
    return str(value) if value != "" else "-"


def _aligned(header: Sequence[str], rows: Sequence[Sequence[str]], said: int) -> list[list[str]]:
    """Header and rows with columns of one width each: the first `said` to the left, numbers to the right."""
    lines = (header, *rows)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        [cell.ljust(width) if place < said else cell.rjust(width) for place, (cell, width) in enumerate(pairs)]
        for pairs in (zip(line, widths, strict=True) for line in lines)
    ]
