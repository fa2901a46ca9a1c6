"""What evaluation prints and keeps: the published console lines, metrics.json and a CSV table per loader."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from errors import UserError
from storage.text import read_text

METRICS_FILE = "metrics.json"
SEGMENTATION_HEADER = f"{'eval_name':12} | {'domain':20} | {'miou':>8} | {'accuracy':>8}"


def scaling_line(median: float, std: float) -> str:
    """Median of the scaling ratios and their standard deviation."""
    return f" Scaling ratios | med: {median:.3f} | std: {std:.3f}"


def judged_line(loader: str, entry: Mapping[str, Any]) -> str:
    """What the numbers of a set are of, in one line, from its entry in metrics.json: they compare with no others."""
    protocol, images, skipped = entry["protocol"], entry["images"], entry["skipped"]
    by = f" by {protocol['name']}" if "name" in protocol else ""
    parts = (
        f"truth {protocol['ground_truth']}",
        f"crop {protocol['crop']}",
        *_reach(protocol),
        f"scaling {protocol['scaling']}",
        f"{images} images{f' and {skipped} left out' if skipped else ''}",
        f"network input {_size(protocol['size'])}",
        *(("refined patch by patch",) if protocol.get("refinement", "none") != "none" else ()),
        "averaged with the mirror image" if protocol["flip"] else "no post-processing",
    )
    return f" Judged | {loader}{by}: {', '.join(parts)}"


def _reach(protocol: Mapping[str, Any]) -> list[str]:
    """Which truth counts, and how far predictions may reach where that is something else."""
    if isinstance(protocol["range"], str):
        return [protocol["range"]]
    (low, high), (_, farthest) = protocol["range"], protocol["clamp"]
    cap = "no cap" if high is None else f"cap {high:g} m"
    return [f"from {low:g} m, {cap}", *([f"predictions up to {farthest:g} m"] if farthest != high else [])]


def _size(size: Sequence[int] | str) -> str:
    """Height and width in words."""
    return size if isinstance(size, str) else "x".join(map(str, size))


def depth_table(metrics: Mapping[str, float]) -> str:
    """A header with the names and a row for LaTeX, 3 decimals."""
    header = "  " + "".join(f"{name:>8} | " for name in metrics)
    return f"{header}\n" + "".join(f"&{value: 8.3f}  " for value in metrics.values()) + "\\\\"


def changes_table(reference: Mapping[str, float], name: str, metrics: Mapping[str, float]) -> str:
    """What another way to compute, called `name`, changes in every metric."""
    lines = [f" {'metric':>12} | {'fp32':>9} | {name:>13} | {'change':>10} | relative"]
    for metric, before in reference.items():
        change = metrics[metric] - before
        share = f"{change / before:+.2e}" if before else "-"
        lines.append(f" {metric:>12} | {before:9.5f} | {metrics[metric]:13.5f} | {change:+10.2e} | {share}")
    return "\n".join(lines)


def segmentation_row(name: str, domain: str, metrics: Mapping[str, float]) -> str:
    """One row below SEGMENTATION_HEADER."""
    return f"{name:12} | {domain:20} | {metrics['miou']:8.3f} | {metrics['accuracy']:8.3f}"


def pose_line(metrics: Mapping[str, float]) -> str:
    """Mean and std of the trajectory error."""
    return f"Trajectory error: {metrics['ate_mean']:.3f}, std: {metrics['ate_std']:.3f}"


def csv_table(rows: Sequence[Mapping[str, object]]) -> str:
    """Rows with equal keys -> CSV text with a header; numbers keep all their digits."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def read_metrics(folder: Path) -> dict[str, object]:
    """Content of metrics.json in a run folder; empty where there is none.

    Raises: UserError when the file is damaged, so that nothing in it is lost by writing over it.
    """
    path = folder / METRICS_FILE
    try:
        table = json.loads(read_text(path))
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not valid JSON ({error}); move it away") from None
    if not isinstance(table, dict):
        raise UserError(f"{path}: holds no table of data sets; move it away")
    return table


def report_files(
    folder: Path, domain: str, entry: Mapping[str, object], rows: Sequence[Mapping[str, object]]
) -> dict[Path, bytes]:
    """What to write for one evaluated data set.

    Returns: contents by path: metrics.json with the entry of this domain put in or replaced, others kept, and
    metrics_<domain>.csv with one row per image.  Undefined numbers are null in JSON.   Raises: as `read_metrics`.
    """
    table = read_metrics(folder) | {domain: plain(entry)}
    text = json.dumps(table, indent=2, allow_nan=False) + "\n"
    rows_as_stored = csv_table(rows).encode(errors="surrogateescape")  # images may have names that are no UTF-8
    return {folder / METRICS_FILE: text.encode(), folder / f"metrics_{domain}.csv": rows_as_stored}


def plain(value: object) -> object:
    """Nested values as JSON knows them: NaN and infinity become None."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
