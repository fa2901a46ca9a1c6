"""Console lines as published scripts print them, and the files beside them."""

import csv
import io

import pytest

from errors import UserError
from evaluation import tables
from evaluation.depth import METRICS


def test_depth_lines_are_the_published_ones():
    metrics = dict(zip(METRICS, (0.1131, 0.835, 4.693, 0.191, 0.879, 0.961, 0.981), strict=True))
    header, row = tables.depth_table(metrics).split("\n")
    assert header == "   abs_rel |   sq_rel |     rmse | rmse_log |       a1 |       a2 |       a3 | "
    assert row == ("&   0.113  &   0.835  &   4.693  &   0.191  &   0.879  &   0.961  &   0.981  \\\\")
    assert tables.scaling_line(31.2468, 0.0789) == " Scaling ratios | med: 31.247 | std: 0.079"


def test_segmentation_and_pose_lines_are_the_published_ones():
    assert tables.SEGMENTATION_HEADER == "eval_name    | domain               |     miou | accuracy"
    row = tables.segmentation_row("zhou_full", "cityscapes_val_seg", {"miou": 0.5126, "accuracy": 0.6})
    assert row == "zhou_full    | cityscapes_val_seg   |    0.513 |    0.600"
    assert tables.pose_line({"ate_mean": 0.0213, "ate_std": 0.01}) == "Trajectory error: 0.021, std: 0.010"


def test_csv_keeps_every_digit():
    rows = [{"name": "a, b", "abs_rel": 1 / 3}, {"name": "c", "abs_rel": 1e-17}]
    read = list(csv.DictReader(io.StringIO(tables.csv_table(rows))))
    assert [float(row["abs_rel"]) for row in read] == [1 / 3, 1e-17] and read[0]["name"] == "a, b"


def test_metrics_file_keeps_other_domains_and_replaces_its_own(tmp_path):
    rows = [{"name": "x", "a": 1.0}]
    entries = {"one": {"images": 2}, "two": {"metrics": {"a": float("nan"), "b": (1, float("inf"))}}}
    for domain, entry in [*entries.items(), ("one", {"images": 3})]:
        for path, content in tables.report_files(tmp_path, domain, entry, rows).items():
            path.write_bytes(content)
    assert tables.read_metrics(tmp_path) == {"one": {"images": 3}, "two": {"metrics": {"a": None, "b": [1, None]}}}
    assert {path.name for path in tmp_path.iterdir()} == {"metrics.json", "metrics_one.csv", "metrics_two.csv"}
    assert (tmp_path / "metrics_one.csv").read_text() == "name,a\nx,1.0\n"


def test_a_folder_without_metrics_has_none(tmp_path):
    assert tables.read_metrics(tmp_path) == {}


@pytest.mark.parametrize("damaged", ["[1, 2]", "{"])
def test_a_damaged_metrics_file_is_refused_by_name(tmp_path, damaged):
    (tmp_path / "metrics.json").write_text(damaged)
    with pytest.raises(UserError, match="metrics.json: .*; move it away"):
        tables.report_files(tmp_path, "one", {}, [{"name": "x"}])


def test_numbers_in_metres_say_what_they_are_of():
    protocol = {"ground_truth": "improved", "crop": "garg", "range": [1e-3, 80.0], "scaling": "none", "flip": False}
    said = tables.judged_line(protocol, 652)
    assert said == " Judged | truth improved, 652 images, crop garg, 0.001 m to 80 m, scaling none, no flip"
    said = tables.judged_line(protocol | {"range": [0.0, None], "flip": True}, 1)
    assert said.endswith("0 m to the end, scaling none, averaged with the mirror image")
