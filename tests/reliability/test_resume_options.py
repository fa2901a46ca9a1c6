"""A run that goes on with other options: each has a rule, and the user is told by name what has changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from errors import UserError
from presets.options import options_of
from presets.resume import BETWEEN, FACTS, FREE, NETWORK, NOTED, RULES, START
from state_manager import start
from tests.conftest import tiny_options

from .saving import options, small_state

TRAINING = {option.name: option for option in options_of("train")}


def test_every_option_of_training_has_one_rule():
    decided = [name for names in RULES.values() for name in names]
    assert sorted(decided) == sorted([*TRAINING, *FACTS])


def changed(value: object) -> object:
    """Another value of the same kind, as JSON gives it back."""
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str():
            return f"{value}x"
    return [*value, 1]


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("name", TRAINING)
def test_each_option_is_taken_warned_of_or_refused_by_its_name(tmp_path, name, inside, caplog):
    caplog.set_level("INFO")
    before = {key: option.default for key, option in TRAINING.items()} | {"resume": "auto", "train_num_epochs": 99}
    small_state(1, 1, 2 if inside else 0).save(tmp_path, options(tmp_path, **before))
    now = options(tmp_path, **before | {name: changed(before[name])})
    now.resume, now.overwrite = "auto", False
    (rule,) = (rule for rule, names in RULES.items() if name in names)
    flag = f"--{name.replace('_', '-')} "
    if rule == NETWORK or (rule == BETWEEN and inside):
        with pytest.raises(UserError, match=rf"{flag}.* \(was .*\).*; give the old value"):
            start(small_state(), tmp_path, now)
        return
    caplog.clear()
    start(small_state(), tmp_path, now)
    said = [record.levelname for record in caplog.records if flag in record.message and " (was " in record.message]
    assert said == {BETWEEN: ["WARNING"], NOTED: ["WARNING"], FREE: ["INFO"], START: []}[rule]


@pytest.mark.parametrize("inside", [False, True])
def test_data_sets_that_have_grown_are_told_and_do_not_change_inside_an_epoch(tmp_path, inside, caplog):
    before = small_state(1, 1, 2 if inside else 0)
    before.samples = (8, 4)
    before.save(tmp_path, options(tmp_path))
    grown = small_state()
    grown.samples = (9, 4)
    if inside:
        with pytest.raises(UserError, match=r"numbers of samples 9,4 \(was 8,4\); give the old value"):
            start(grown, tmp_path, options(tmp_path, resume="auto"))
        return
    start(grown, tmp_path, options(tmp_path, resume="auto"))
    assert "numbers of samples 9,4 (was 8,4)" in caplog.text


def test_the_same_options_are_no_change(tmp_path, caplog):
    before = {key: option.default for key, option in TRAINING.items()} | {"train_num_epochs": 99}
    small_state(1, 1, 2).save(tmp_path, options(tmp_path, **before))
    start(small_state(), tmp_path, options(tmp_path, **before | {"resume": "auto"}))
    assert "(was" not in caplog.text


@pytest.mark.parametrize(
    ("name", "value", "rate"),
    [
        ("train_learning_rate", 3e-3, 3e-5),
        ("train_scheduler_gamma", 0.5, 25e-5),
        ("train_scheduler_step_size", 3, 1e-4),
        ("train_weight_decay", 0.25, 1e-5),
        ("train_num_epochs", 7, 1e-5),
    ],
)
def test_another_rate_or_decay_takes_effect_as_if_it_had_always_been(tmp_path, name, value, rate):
    made = {
        "train_learning_rate": 1e-3,
        "train_scheduler_gamma": 0.1,
        "train_scheduler_step_size": 2,
        "train_weight_decay": 0.0,
        "train_num_epochs": 9,
    }
    state = small_state(1, 4)
    state.optimizer.step()
    for _ in range(4):
        state.scheduler.step()
    state.save(tmp_path, options(tmp_path, **made))
    now = made | {name: value}
    other = small_state()
    for group in other.optimizer.param_groups:
        group |= {
            "lr": now["train_learning_rate"],
            "initial_lr": now["train_learning_rate"],
            "weight_decay": now["train_weight_decay"],
        }
    other.scheduler.base_lrs = [now["train_learning_rate"]]
    other.scheduler.gamma, other.scheduler.step_size = now["train_scheduler_gamma"], now["train_scheduler_step_size"]
    start(other, tmp_path, options(tmp_path, **now))
    group = other.optimizer.param_groups[0]
    assert group["lr"] == pytest.approx(rate, rel=1e-9)
    assert other.scheduler.get_last_lr() == [group["lr"]] and group["weight_decay"] == now["train_weight_decay"]
    other.scheduler.step()
    assert other.scheduler.last_epoch == 5 and group["lr"] == pytest.approx(
        now["train_learning_rate"] * now["train_scheduler_gamma"] ** (5 // now["train_scheduler_step_size"]), rel=1e-9
    )


@pytest.mark.parametrize(("rate", "told"), [(1e-3, False), (2e-3, True)])
def test_rates_of_a_loaded_checkpoint_that_count_are_told(tmp_path, rate, told, caplog):
    folder = small_state(1, 1).save(tmp_path / "old", options(tmp_path))
    other = small_state()
    other.scheduler.base_lrs = [rate]
    start(other, tmp_path / "new", options(tmp_path, model_load=str(folder)))
    assert ("brings its own learning rate" in caplog.text) == told


def test_a_training_says_what_has_changed(street: Path, tmp_path: Path, warm):
    words = (*tiny_options(street, tmp_path), "--train-batches-per-epoch", 1)
    first = warm.run("train.py", *words, "--train-num-epochs", 1)
    assert first.wait() == 0, first.stderr
    network = warm.run("train.py", *words, "--resume", "auto", "--model-split-pos", 2)
    other = warm.run(
        "train.py",
        *words,
        "--resume",
        "auto",
        "--train-learning-rate",
        "0.0003",
        "--train-num-epochs",
        1,
        "--train-print-frequency",
        2,
    )
    assert other.wait() == 0, other.stderr
    assert "learns something else from here on with --train-learning-rate 0.0003 (was 0.0001)" in other.stderr
    assert "with --train-print-frequency 2 (was 1)" in other.stdout
    assert network.wait() == 2 and "--model-split-pos 2 (was 1); give the old value" in network.stderr
