"""One table over several sets, in all its forms."""

import csv
import io
import json
import math
import re

from evaluation.overview import markdown, overview, overview_files, table
from evaluation.protocols import segmentation_protocol

PROTOCOL = {
    "name": "kitti_zhou",
    "ground_truth": "raw",
    "crop": "garg",
    "range": [1e-3, 80.0],
    "clamp": [1e-3, 80.0],
    "camera": "as listed",
    "scaling": "median per image",
    "size": [192, 640],
    "flip": False,
    "refinement": "none",
}
ENTRIES = {
    "kitti_zhou_test_depth": {
        "metrics": {"abs_rel": 0.12345678901234567, "a1": 0.9, "ratio_median": 31.0},
        "images": 697,
        "skipped": 0,
        "protocol": PROTOCOL,
    },
    "nyu_v2_test_depth": {
        "metrics": {"abs_rel": 0.25, "log10": math.nan, "a1": 0.5},
        "images": 654,
        "skipped": 2,
        "protocol": PROTOCOL | {"name": "nyu & co", "range": [0.0, None], "flip": True, "scaling": "none"},
    },
}


def test_the_console_table_has_a_row_per_set_with_its_protocol():
    header, first, second = overview(ENTRIES).split("\n")
    cells = [[cell.strip() for cell in line.split("|")] for line in (header, first, second)]
    assert cells[0] == [
        *("set", "protocol", "ground_truth", "scaling", "images", "skipped"),
        *("abs_rel", "a1", "ratio_median", "log10"),
    ]
    assert cells[1] == [
        *("kitti_zhou_test_depth", "kitti_zhou", "raw", "median per image", "697", "0"),
        *("0.123", "0.900", "31.000", "-"),
    ]
    assert cells[2][-4:] == ["0.250", "0.500", "-", "-"] and cells[2][1] == "nyu & co"
    assert len({len(line) for line in (header, first, second)}) == 1


def test_the_files_say_the_whole_protocol(tmp_path):
    files = {path.name: content.decode() for path, content in overview_files(tmp_path, ENTRIES).items()}
    assert set(files) == {"metrics_table.csv", "metrics_table.md", "metrics_table.tex"}
    first, second = csv.DictReader(io.StringIO(files["metrics_table.csv"]))
    assert float(first["abs_rel"]) == 0.12345678901234567 and (first["log10"], second["ratio_median"]) == ("", "")
    assert (first["range"], first["clamp"], first["size"]) == ("0.001 to 80 m", "0.001 to 80 m", "192x640")
    assert (second["range"], second["flip"], second["protocol"]) == ("0 to - m", "yes", "nyu & co")
    for form, ending in (("csv", "csv"), ("markdown", "md"), ("latex", "tex")):
        assert table(ENTRIES, form) == files[f"metrics_table.{ending}"]
    assert {path.name for path in overview_files(tmp_path, ENTRIES, "pose")} == {
        f"metrics_table_pose.{ending}" for ending in ("csv", "md", "tex")
    }


def test_markdown_has_numbers_to_the_right_and_columns_of_one_width():
    lines = markdown(ENTRIES).splitlines()
    assert len(lines) == 4 and len({len(line) for line in lines}) == 1
    rule = [cell.strip() for cell in lines[1].strip("|").split("|")]
    assert [cell.endswith(":") for cell in rule] == [False] * 9 + [True] * 6 and not any("*" in line for line in lines)
    assert "|   0.123 | 0.900 |" in lines[2] and "|   0.250 | 0.500 |" in lines[3]
    assert r"nyu \| co" in markdown(
        {"one": ENTRIES["nyu_v2_test_depth"] | {"protocol": PROTOCOL | {"name": "nyu | co"}}}
    )


def test_latex_needs_no_package_and_escapes_what_it_must():
    latex = table(ENTRIES, "latex")
    assert latex.startswith("\\begin{tabular}{lllllllllrrrrrr}") and latex.endswith("\\end{tabular}\n")
    assert "kitti\\_zhou\\_test\\_depth & kitti\\_zhou & " in latex and "nyu \\& co" in latex
    assert "abs\\_rel" in latex and not re.search(r"(?<!\\)_", latex) and "textbf" not in latex
    rows = [line for line in latex.splitlines() if line.endswith("\\\\")]
    assert len(rows) == 3 and {line.count("&") - line.count("\\&") for line in rows} == {14}


def test_json_is_what_metrics_json_holds():
    found = json.loads(table(ENTRIES, "json"))
    assert found["kitti_zhou_test_depth"] == ENTRIES["kitti_zhou_test_depth"]
    assert found["nyu_v2_test_depth"]["metrics"]["log10"] is None


def test_text_is_what_the_console_shows():
    assert table(ENTRIES, "text") == f"{overview(ENTRIES)}\n"


def test_sets_of_labels_and_poses_have_the_columns_they_know():
    protocol = segmentation_protocol(ground_truth="cityscapes labels", size=(512, 1024))
    entry = {"metrics": {"miou": 0.5}, "images": 500, "skipped": 0, "protocol": protocol}
    header, row = overview({"cityscapes_val_seg": entry}).split("\n")
    assert [cell.strip() for cell in header.split("|")] == [
        "set",
        "ground_truth",
        "scaling",
        "images",
        "skipped",
        "miou",
    ]
    assert len(row) == len(header) and "cityscapes labels" in row
    assert "range" in table({"one": entry}, "csv") and "clamp" not in table({"one": entry}, "csv")
