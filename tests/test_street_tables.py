"""Tables over trainings on the street: their numbers, what is trained for them, and what is not trained again."""

from __future__ import annotations

import pytest

from benchmarks import street
from benchmarks.street import TABLES, markdown, schedule
from tests.tables import Commands, option


def test_the_table_has_mean_spread_and_the_differences_of_the_same_seed():
    found = {
        1: {"teacher": {"abs_rel": 0.1}, "alone": {"abs_rel": 0.30}, "distilled": {"abs_rel": 0.27}},
        2: {"teacher": {"abs_rel": 0.2}, "alone": {"abs_rel": 0.40}, "distilled": {"abs_rel": 0.39}},
    }
    found = {seed: {name: row | {"rmse": 5.0, "a1": 0.5} for name, row in rows.items()} for seed, rows in found.items()}
    header, _, *rows = markdown(TABLES["spatial_kd"], found).splitlines()[:5]
    assert header.split(" | ")[1:5] == ["Abs Rel", "RMSE", "a1", "Abs Rel - that of student alone"]
    assert rows == [
        "| teacher | 0.150 ± 0.071 | 5.00 ± 0.00 | 0.500 ± 0.000 | -0.200 ± 0.000 | +0.00 ± 0.00 | +0.000 ± 0.000 |",
        "| student alone | 0.350 ± 0.071 | 5.00 ± 0.00 | 0.500 ± 0.000 |  |  |  |",
        "| student distilled | 0.330 ± 0.085 | 5.00 ± 0.00 | 0.500 ± 0.000 | -0.020 ± 0.014 | +0.00 ± 0.00 | "
        "+0.000 ± 0.000 |",
    ]
    by_seed = markdown(TABLES["spatial_kd"], found).splitlines()[-5:]
    assert by_seed[0] == "| Abs Rel by seed | 1 | 2 |" and by_seed[-1] == "| student distilled | 0.270 | 0.390 |"
    assert "by seed |" not in markdown(TABLES["spatial_kd"], {1: found[1]})
    (first, *_) = markdown(TABLES["spatial_kd"], {1: found[1]}).splitlines()[2:]
    assert first.startswith("| teacher | 0.100 | 5.00 | 0.500 | -0.200 | ")


@pytest.mark.parametrize("name", TABLES)
def test_every_row_is_trained_once_with_every_seed_in_as_many_steps(name, tmp_path, capsys):
    run = Commands(lambda seed, row: seed / 10)
    street.main(
        [name, "--seeds", "1", "2", "--steps", "220" if name == "bdedepth" else "80", "--out", str(tmp_path)], run
    )
    assert run.trained == [(seed, row) for seed in "12" for row in TABLES[name].rows]
    steps = {
        int(option(line, "--train-num-epochs")) * int(option(line, "--train-batches-per-epoch"))
        for line in run.lines
        if line[0] == "train.py"
    }
    assert steps == {220 if name == "bdedepth" else 80}
    prepared = [line[2] for line in run.lines if line[:2] == ["-m", "dataloader.prepare"]]
    assert prepared == ["synthetic", *["fill"] * (name == "sd_convtrans")] * 2
    text = (tmp_path / name / "table.md").read_text()
    assert text in capsys.readouterr().out and "0.150 ± 0.071" in text
    before = len(run.lines)
    street.main(
        [name, "--seeds", "1", "2", "--steps", "220" if name == "bdedepth" else "80", "--out", str(tmp_path)], run
    )
    assert len(run.lines) == before and (tmp_path / name / "table.md").read_text() == text


def test_a_student_learns_from_the_teacher_of_its_seed(tmp_path):
    run = Commands(lambda seed, row: 0.1)
    street.main(["spatial_kd", "--seeds", "3", "--steps", "16", "--out", str(tmp_path)], run)
    (taught,) = [line for line in run.lines if "--kd-teacher" in line]
    assert option(taught, "--model-name") == "distilled"
    assert option(taught, "--kd-teacher") == "street/teacher/checkpoints/epoch_8"
    runs = {option(line, "--checkpoint-dir") for line in run.lines if line[0] == "train.py"}
    assert runs == {str(tmp_path / "spatial_kd/seed_3/checkpoints")}


def test_an_interrupted_table_goes_on_with_the_row_it_was_at(tmp_path):
    words = ["bdedepth", "--seeds", "1", "2", "--steps", "11", "--out", str(tmp_path), "--data", str(tmp_path)]
    first = Commands(lambda seed, row: 0.1, stop_at="reshuffle")
    with pytest.raises(SystemExit):
        street.main(words, first)
    assert first.trained == [("1", "base"), ("1", "crop")]
    second = Commands(lambda seed, row: 0.2)
    street.main(words, second)
    assert second.trained[:3] == [("1", "reshuffle"), ("1", "both"), ("1", "monodepth2")]
    assert len(second.trained) == 3 + 5 and all("--resume" in line for line in second.lines if line[0] == "train.py")
    assert "| base | 0.150 ± 0.071 |" in (tmp_path / "bdedepth/table.md").read_text()
    assert not [line for line in second.lines if "synthetic" in line]  # the street was given


def test_results_of_other_steps_are_not_taken(tmp_path, capsys):
    words = ["bdedepth", "--seeds", "1", "--out", str(tmp_path)]
    street.main([*words, "--steps", "11"], Commands(lambda seed, row: 0.1))
    with pytest.raises(SystemExit) as ended:
        street.main([*words, "--steps", "22"], Commands(lambda seed, row: 0.1))
    assert ended.value.code == 2 and "was made with steps 11, not 22; give another --out" in capsys.readouterr().err


def test_steps_become_epochs_with_warm_up_and_decay_in_proportion(capsys):
    assert schedule("monodepth2_street", 0) == (11, [])
    epochs, words = schedule("monodepth2_street", 550)
    assert epochs == 11 and (option(words, "--train-batches-per-epoch"), option(words, "--train-warmup-steps")) == (
        "50",
        "75",
    )
    assert option(words, "--train-scheduler-step-size") == "9"
    epochs, words = schedule("spatial_kd_street", 2)
    assert epochs == 2 and option(words, "--train-final-epochs") == "1"
    with pytest.raises(SystemExit) as ended:
        street.main(["bdedepth", "--steps", "100"])
    assert ended.value.code == 2 and "take 99 or 110" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--steps", "-11"], ["--size", "60", "128"]])
def test_what_no_training_takes_is_refused_before_a_street_is_drawn(words, tmp_path):
    run = Commands(lambda seed, row: 0.1)
    with pytest.raises(SystemExit) as ended:
        street.main(["bdedepth", *words, "--out", str(tmp_path)], run)
    assert ended.value.code == 2 and not run.lines
