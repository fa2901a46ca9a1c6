"""One table over several sets, in all its forms."""

import csv
import io
import math

from evaluation.overview import overview, overview_files

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
    lines = files["metrics_table.md"].splitlines()
    assert len(lines) == 4 and len({line.count("|") for line in lines}) == 1 and "| 0.123 |" in lines[2]
    latex = files["metrics_table.tex"]
    assert latex.startswith("\\begin{tabular}{lllllllll") and latex.endswith("\\end{tabular}\n")
    assert "kitti\\_zhou\\_test\\_depth & kitti\\_zhou & " in latex and "nyu \\& co" in latex
    assert latex.count("\\\\\n") == 3
