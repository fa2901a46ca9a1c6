"""Evaluations side by side: statistics, run folders, the report, and the command from the shell."""

from __future__ import annotations

import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from torch.utils.tensorboard import SummaryWriter

import eval_depth
from evaluation.compare import __main__ as command
from evaluation.compare.report import Set
from evaluation.compare.rerun import Again, Tally
from evaluation.compare.runs import read_curves
from evaluation.compare.statistics import AT_ONCE, extremes, paired_bootstrap
from evaluation.pose import PoseResult
from evaluation.protocols import pose_protocol
from evaluation.tables import report_files
from tests import commands
from tests.test_eval_commands import flags

PROTOCOL = {
    "name": "kitti_eigen", "ground_truth": "raw", "crop": "garg", "range": [0.001, 80.0], "clamp": [0.001, 80.0],
    "camera": "as listed", "scaling": "median per image", "size": [64, 128], "flip": False, "refinement": "none",
}  # fmt: skip
DOMAIN = "kitti_eigen_test_depth"


def write_run(
    folder: Path, abs_rel: list[float], a1: list[float] | None = None, names: str = "frame", **protocol: object
):
    """A run folder as evaluation leaves it."""
    folder.mkdir(parents=True)
    a1 = [1 - value for value in abs_rel] if a1 is None else a1
    rows = [
        {"name": f"{names} <{i}>", "abs_rel": x, "a1": y, "ratio": 1.0}
        for i, (x, y) in enumerate(zip(abs_rel, a1, strict=True))
    ]
    with (folder / f"metrics_{DOMAIN}.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0]])
        writer.writeheader()
        writer.writerows(rows)
    metrics = {"abs_rel": float(np.mean(abs_rel)), "a1": float(np.mean(a1)), "ratio_median": 1.0}
    entry = {"metrics": metrics, "images": len(rows), "skipped": 0, "protocol": PROTOCOL | protocol}
    (folder / "metrics.json").write_text(json.dumps({DOMAIN: entry}))
    return folder


class Reader(HTMLParser):
    """Tags that are open, and what the page needs from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.needs: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        named = dict(attributes)
        self.needs += [named[key] for key in ("src", "href") if named.get(key)]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def read_page(path: Path) -> str:
    """The text of a report that is whole and needs no other file."""
    text = path.read_text(encoding="utf-8")
    reader = Reader()
    reader.feed(text)
    assert not reader.open and not [need for need in reader.needs if not need.startswith(("data:", "#"))]
    return text


def compare(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = command.main([*map(str, words)])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_the_bootstrap_is_that_of_the_mean_and_repeats():
    random = np.random.default_rng(1)
    first = random.normal(size=(400, 2))
    second = first + random.normal([0.3, 0.0], 1.0, (400, 2))
    better, same = paired_bootstrap(first, second, 4000, seed=7)
    change = second - first
    assert better.mean == pytest.approx(change[:, 0].mean()) and better.certain and not same.certain
    half = 1.96 * change[:, 0].std() / 20  # by the normal distribution
    assert (better.low, better.high) == pytest.approx((better.mean - half, better.mean + half), abs=0.02)
    assert paired_bootstrap(first, second, 4000, seed=7) == [better, same]
    assert paired_bootstrap(first, second, 4000, seed=8) != [better, same]
    # Pairs, not two samples: what both have in common cancels out.
    (shifted,) = paired_bootstrap(first[:, :1] * 100, first[:, :1] * 100 + 0.1, 500, seed=0)
    assert (shifted.low, shifted.high) == pytest.approx((0.1, 0.1))


def test_images_without_a_number_count_in_no_draw_and_many_images_come_in_portions(monkeypatch):
    first, second = np.array([[1.0], [np.nan], [3.0]]), np.array([[2.0], [9.0], [4.0]])
    (found,) = paired_bootstrap(first, second, 200, seed=0)
    assert (found.mean, found.low, found.high) == (1, 1, 1)
    (nothing,) = paired_bootstrap(np.full((2, 1), np.nan), np.ones((2, 1)), 200, seed=0)
    assert np.isnan(nothing.mean) and not nothing.certain
    whole = paired_bootstrap(first, second * 2, 300, seed=3)
    monkeypatch.setattr("evaluation.compare.statistics.AT_ONCE", 7)
    assert AT_ONCE > 7 and paired_bootstrap(first, second * 2, 300, seed=3) == whole


def test_the_frames_that_differ_most_come_first_and_equals_in_neither():
    first, second = np.array([0.1, 0.5, 0.3, 0.2, np.nan]), np.array([0.2, 0.1, 0.3, 0.5, 0.1])
    assert extremes(first, second, 10, more_is_better=False) == ([3, 0], [1])
    assert extremes(first, second, 1, more_is_better=True) == ([1], [3])


def test_a_report_tells_who_is_better_where_and_needs_nothing_else(tmp_path, capsys):
    values = np.random.default_rng(0).uniform(0.1, 0.3, 40).tolist()
    write_run(tmp_path / "runs/sgdem/a$b", values)
    write_run(tmp_path / "runs/sgdem/_new", [value * 0.8 for value in values])
    out = tmp_path / "report.html"
    words = ("sgdem/a$b", "sgdem/_new", "--out", out, "--checkpoint-dir", tmp_path / "runs", "--frames", 3, "--seed", 5)
    code, said, told = compare(capsys, *words)
    assert code == 0, told
    text = read_page(out)
    assert text.count("_new is better") >= 2 and "10000 resamples, seed 5" in text and "kitti_eigen" in text
    assert (
        text.count("class='frame'") == 3 and "On no image." in text and "frame &lt;" in text and "frame <" not in text
    )
    assert "no error maps" in told and "its options are gone" in text  # there is no network to run again
    assert "_new - a$b" in said and "garg" in said
    again = out.read_bytes()
    compare(capsys, *words)
    assert out.read_bytes() == again


def test_tables_come_in_other_forms(tmp_path, capsys):
    folders = [write_run(tmp_path / name, [0.1 * place, 0.2]) for place, name in enumerate(("a_1", "b", "c"), 1)]
    out = tmp_path / "r.html"
    for form, signs in {"markdown": "| --: |", "latex": r"\begin{tabular}", "csv": "network,protocol"}.items():
        code, said, _ = compare(capsys, *folders, "--out", out, "--rerun", 0, "--table-format", form)
        assert code == 0 and said.replace("-", "").count(signs.replace("-", "")) >= 1
        assert len(re.findall("(?:b|c) - (?:a|b)", said)) == 9  # all pairs, with two ends each
    _, said, _ = compare(capsys, *folders, "--out", out, "--rerun", 0, "--table-format", "latex")
    assert r"a\_1" in said


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"crop": "none"}, "crop garg (a) and none (b)"),
        ({"clamp": [0.001, 50.0]}, "clamp"),
        ({"ground_truth": "improved"}, "ground truth raw (a) and improved (b)"),
        ({"scaling": "none"}, "scaling median per image (a) and none (b)"),
        ({"flip": True}, "flip False (a) and True (b)"),
        ({"names": "other"}, "images: 0 in common (a 2, b 2)"),
    ],
)
def test_different_protocols_are_refused_or_named_in_red(tmp_path, capsys, changed, told):
    a, b = write_run(tmp_path / "a", [0.1, 0.2]), write_run(tmp_path / "b", [0.3, 0.2], **changed)
    words = (a, b, "--out", tmp_path / "r.html", "--rerun", 0)
    code, _, error = compare(capsys, *words)
    assert code == 2 and told in error and "--anyway" in error and not (tmp_path / "r.html").exists()
    code, said, error = compare(capsys, *words, "--anyway")
    if "names" in changed:
        assert code == 2 and "no image that all runs were judged on" in error
        return
    assert code == 0 and told in error and f"NOT COMPARABLE, {DOMAIN}: " in said
    text = read_page(tmp_path / "r.html")
    assert "<div class='red'>" in text and "word red'" in text


def test_another_size_of_the_network_is_no_other_protocol(tmp_path, capsys):
    a, b = write_run(tmp_path / "a", [0.1, 0.2]), write_run(tmp_path / "b", [0.3, 0.2], size=[192, 640])
    code, _, _ = compare(capsys, a, b, "--out", tmp_path / "r.html", "--rerun", 0)
    assert code == 0 and "class='red'" not in (tmp_path / "r.html").read_text()


def test_runs_of_motion_are_compared_though_windows_are_fewer_than_frames(tmp_path, capsys):
    domain, frames = "kitti_odom09_val_pose", tuple(f"frame {number}" for number in range(9))
    for name, size in (("a", 0.1), ("b", 0.2)):
        result = PoseResult(domain, frames[:5], size * np.arange(1, 6), len(frames))
        protocol = pose_protocol(ground_truth="camera poses", size=(64, 128))
        entry = {"metrics": result.metrics, "images": result.frames, "skipped": 0, "protocol": protocol}
        (tmp_path / name).mkdir()
        for path, content in report_files(tmp_path / name, domain, entry, result.rows).items():
            path.write_bytes(content)
    code, said, error = compare(capsys, tmp_path / "a", tmp_path / "b", "--out", tmp_path / "r.html")
    assert code == 0 and "0.300" in said and "0.600" in said and "no means over images" in error
    assert "ate_mean" in read_page(tmp_path / "r.html")


def test_common_images_are_compared_where_one_run_has_more(tmp_path, capsys):
    a, b = write_run(tmp_path / "a", [0.1, 0.2, 0.9]), write_run(tmp_path / "b", [0.3, 0.2])
    code, _, error = compare(capsys, a, b, "--out", tmp_path / "r.html", "--rerun", 0, "--anyway")
    assert code == 0 and "images: 2 in common (a 3, b 2)" in error
    assert "b against a, 2 images" in (tmp_path / "r.html").read_text()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["a"], "one run; name two"),
        (["a", "nowhere"], "nowhere: no such run folder"),
        (["a", "a"], "named twice"),
        (["a", "empty"], "no metrics.json there"),
        (["a", "b", "--set", "nyu"], "--set nyu: no run has it"),
        (["a", "b", "--metric", "absrel"], r"--metric absrel: .*closest: abs_rel"),
        (["a", "b", "--resamples", "5"], "--resamples 5: must be at least 100"),
        (["a", "b", "--frames", "-1"], "--frames -1: must be at least 0"),
        (["a", "b", "--out", "x.pdf"], "the report is HTML"),
        (["a", "b", "--out", "a/opt.json/x.html"], "cannot be written"),
        (["a", "damaged"], "not valid JSON"),
        (["a", "half"], "metrics_kitti_eigen_test_depth.csv: 1 images where metrics.json says 2"),
        (["a", "stale"], "the mean of abs_rel is not that of metrics.json"),
        (["a", "bare"], "no numbers of single images; evaluate the run again"),
    ],
)
def test_mistakes_get_a_sentence(tmp_path, capsys, monkeypatch, words, told):
    for name in ("a", "b", "half", "stale", "bare"):
        write_run(tmp_path / name, [0.1, 0.2])
    (tmp_path / "a/opt.json").write_text("{}")
    for name in ("empty", "damaged"):
        (tmp_path / name).mkdir()
    (tmp_path / "damaged/metrics.json").write_text("{")
    table = tmp_path / f"half/metrics_{DOMAIN}.csv"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:2]))
    table = tmp_path / f"stale/metrics_{DOMAIN}.csv"
    table.write_text(table.read_text().replace(",0.1,", ",0.15,"))
    (tmp_path / f"bare/metrics_{DOMAIN}.csv").unlink()
    monkeypatch.chdir(tmp_path)
    code, said, error = compare(capsys, "--out", "r.html", "--rerun", 0, "--checkpoint-dir", "", *words)
    assert code == 2 and not said and re.search(f"^error: .*{told}", error) and error.count("\n") == 1


def test_curves_of_a_training_keep_the_last_value_of_a_step(tmp_path):
    for value in (3.0, 2.0):
        with SummaryWriter(str(tmp_path / "train")) as board:
            board.add_scalar("street_loss", value, 10)
            board.add_scalar("street_loss", value - 1, 20)
    curves = read_curves(tmp_path)
    assert list(curves) == ["train: street_loss"] and curves["train: street_loss"].tolist() == [[10, 2], [20, 1]]


def test_errors_by_distance_are_left_out_where_runs_count_different_ones():
    def looked(distances: tuple[str, ...]) -> Again:
        tallies = {"distance": Tally(distances), "region": Tally(("left", "right"))}
        for tally in tallies.values():
            tally.add(np.array([0, 1]), np.array([0.1, 0.3]))
        return Again(tallies)

    indoors, outdoors = ("0 to 1 m", "beyond 1 m"), ("0 to 5 m", "beyond 5 m")
    found = Set(DOMAIN, {})
    command._gather(found, {"a": looked(outdoors), "b": looked(indoors)}, ["a", "b"], count=2, seen=False)
    assert [*found.errors] == ["region"] and "no errors by distance" in found.notes[0]
    found = Set(DOMAIN, {})
    command._gather(found, {"a": looked(indoors), "b": looked(indoors)}, ["a", "b"], count=2, seen=False)
    assert found.errors["distance"][0] == ["0 to 1 m", "beyond 1 m"]


@pytest.fixture(scope="module")
def judged(street: Path, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Two evaluations of an untrained network that sees classes, one of them of a training run with curves."""
    import harness  # noqa: F401
    from tests.thin import thin_networks

    runs = tmp_path_factory.mktemp("compared") / "runs"
    place = SimpleNamespace(data=street, runs=runs)
    with thin_networks():
        commands.write_checkpoint(runs / "start")
        for name, more in (("one", ()), ("two", ("--depth-validation-resize-width", 64))):
            words = [
                *flags(place, "depth"),
                "--model-name",
                name,
                "--depth-validation-loaders",
                "kitti_zhou_test",
                *map(str, more),
            ]
            import arguments

            eval_depth.evaluate(arguments.parse("eval_depth", words))
    with SummaryWriter(str(runs / "sgdepth_eccv_test/one/train")) as board:
        board.add_scalar("street_loss", 0.5, 1)
    return place


@pytest.mark.usefixtures("thin_here")
def test_networks_are_run_again_for_maps_and_groups(judged, tmp_path, capsys):
    out, runs = tmp_path / "r.html", judged.runs
    names = [f"sgdepth_eccv_test/{name}" for name in ("one", "two")]
    code, said, told = compare(capsys, *names, "--out", out, "--checkpoint-dir", runs, "--frames", 1, "--rerun", 2)
    assert code == 0, told
    text = read_page(out)
    assert "no error maps" not in told and "gives another abs_rel" not in told
    assert text.count("data:image/jpeg") == 4 or "On no image." in text
    for about in ("distance", "class", "region"):
        assert f"Error by {about}" in text
    assert "top left" in text or "middle left" in text
    assert "classes as a network sees them" in text and "<h2>Training</h2>" in text and "street_loss" in text
