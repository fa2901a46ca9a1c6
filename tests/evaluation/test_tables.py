"""Console lines as published scripts print them, and the files beside them."""

import csv
import io

import pytest

from errors import UserError
from evaluation import protocols, tables
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


def entry(images: int = 697, skipped: int = 0, **protocol: object) -> dict[str, object]:
    usual = {"name": "kitti_zhou", "ground_truth": "raw", "crop": "garg", "range": [1e-3, 80.0], "clamp": [1e-3, 80.0]}
    usual |= {"scaling": "median per image", "size": [192, 640], "flip": False, "refinement": "none"}
    return {"images": images, "skipped": skipped, "protocol": usual | protocol}


def test_one_line_says_what_numbers_are_of():
    assert tables.judged_line("kitti_zhou_test", entry()) == (
        " Judged | kitti_zhou_test by kitti_zhou: truth raw, crop garg, from 0.001 m, cap 80 m, scaling median per "
        "image, 697 images, network input 192x640, no post-processing"
    )
    other = {"range": [0.0, None], "clamp": [0.0, 80.0], "flip": True, "refinement": {"teacher": "none"}}
    assert tables.judged_line("one", entry(2, 1, **other, size="that of the image")) == (
        " Judged | one by kitti_zhou: truth raw, crop garg, from 0 m, no cap, predictions up to 80 m, scaling median "
        "per image, 2 images and 1 left out, network input that of the image, refined patch by patch, averaged with "
        "the mirror image"
    )


def test_the_line_serves_what_is_no_depth():
    for protocol in (
        protocols.segmentation_protocol(ground_truth="cityscapes labels", size=(512, 1024)),
        protocols.pose_protocol(ground_truth="camera poses", size=(192, 640)),
    ):
        said = tables.judged_line("one", {"images": 3, "skipped": 0, "protocol": protocol})
        assert said.startswith(f" Judged | one: truth {protocol['ground_truth']}, crop none, {protocol['range']}, ")
        assert "\n" not in said
