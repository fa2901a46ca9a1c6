"""A run that goes on with other options: each has a rule, and the user is told by name what has changed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from arguments import methods_of, network_options, options_of
from dataloader.cache.teacher.recipe import META, Recipe
from engine.optimizer import Rule, Settings
from errors import UserError
from methods import METHODS
from presets.option import BETWEEN, FREE, NOTED, REFUSED, START
from presets.resume import FACTS, MEANING, changes, rules
from state_manager import compared_options, settle_network, start
from tests.conftest import tiny_options

from .saving import options, small_state

pytestmark = pytest.mark.usefixtures("thin")

TRAINING = {option.name: option for option in options_of("train", "sgdem")}


@pytest.mark.parametrize("method", methods_of("train"))
def test_every_option_of_training_has_one_rule(method):
    options = options_of("train", method)
    assert [option.flag for option in options if option.resume not in MEANING] == []
    decided = [name for names in rules(options).values() for name in names]
    assert sorted(decided) == sorted([*(option.name for option in options), *FACTS])


@pytest.mark.parametrize("method", METHODS)
def test_another_network_is_refused_and_its_options_are_the_same_in_every_command(method):
    network = network_options(method)
    assert all(option.resume == REFUSED for option in network.values())
    for command in METHODS[method].options:
        of_command = {option.name: option for option in options_of(command, method) if option.network}
        assert of_command.pop("method") and of_command == network


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


@pytest.mark.parametrize(("was", "now", "rule"), [("", "a", REFUSED), ("a", "", REFUSED), ("a", "b", NOTED)])
def test_a_student_does_not_become_a_network_that_learns_alone(was, now, rule):
    found = changes(options_of("train", "spatial_kd"), {"kd_teacher": was}, {"kd_teacher": now})
    assert [*found] == [rule] and "--kd-teacher" in found[rule]["kd_teacher"]


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("name", TRAINING)
def test_each_option_is_taken_warned_of_or_refused_by_its_name(tmp_path, name, inside, caplog):
    caplog.set_level("INFO")
    before = {key: option.default for key, option in TRAINING.items()} | {"resume": "auto", "train_num_epochs": 99}
    small_state(1, 1, 2 if inside else 0, **before).save(tmp_path)
    values = before | {name: changed(before[name])}
    state, now = small_state(**values), options(tmp_path, **values)
    now.method, now.resume, now.overwrite = "sgdem", "auto", False
    rule = TRAINING[name].resume
    flag = f"--{name.replace('_', '-')} "
    if rule == REFUSED or (rule == BETWEEN and inside):
        with pytest.raises(UserError, match=rf"{flag}.* \(was .*\).*; give the old value"):
            start(state, tmp_path, now)
        return
    caplog.clear()
    start(state, tmp_path, now)
    said = [record.levelname for record in caplog.records if flag in record.message and " (was " in record.message]
    assert said == {BETWEEN: ["WARNING"], NOTED: ["WARNING"], FREE: ["INFO"], START: []}[rule]


@pytest.mark.parametrize("inside", [False, True])
def test_data_sets_that_have_grown_are_told_and_do_not_change_inside_an_epoch(tmp_path, inside, caplog):
    small_state(1, 1, 2 if inside else 0, samples=(8, 4)).save(tmp_path)
    grown = small_state(samples=(9, 4))
    if inside:
        with pytest.raises(UserError, match=r"numbers of samples 9,4 \(was 8,4\); give the old value"):
            start(grown, tmp_path, options(tmp_path, resume="auto"))
        return
    start(grown, tmp_path, options(tmp_path, resume="auto"))
    assert "numbers of samples 9,4 (was 8,4)" in caplog.text


PATCHES = {"patch_distill": True, "patch_teacher": "dpt-hybrid", "patch_teacher_cache": "maps"}
OWN = {"patch_distill": True, "patch_self_teacher": "eccv/base/checkpoints/epoch_20"}


@pytest.mark.parametrize(
    ("name", "others", "leaning"),
    [
        ("train_num_epochs", {"masking_enable": True, "masking_linear_increase": True}, "--masking-linear-increase"),
        ("train_num_epochs", {"train_scheduler": "cosine"}, "--train-scheduler"),
        ("train_num_epochs", {"train_scheduler": "sqrt"}, "--train-scheduler"),
        ("train_num_epochs", {"masking_linear_increase": True}, ""),
        ("checkpoint_dir", OWN, "--patch-self-teacher"),
        ("checkpoint_dir", OWN | {"patch_self_teacher": "ema"}, ""),
        ("checkpoint_dir", PATCHES | {"patch_teacher": "mine.pt"}, "--patch-teacher"),
        ("checkpoint_dir", PATCHES | {"patch_teacher": "hf:some/model"}, ""),
    ],
)
def test_what_another_option_depends_on_is_warned_of(tmp_path, name, others, leaning, caplog):
    caplog.set_level("INFO")
    before = {key: option.default for key, option in TRAINING.items()} | others | {"train_num_epochs": 99}
    small_state(1, 1, **before).save(tmp_path)
    values = before | {"resume": "auto", name: changed(before[name])}
    start(small_state(**values), tmp_path, options(tmp_path, **values | {"method": "sgdem"}))
    (said,) = [record for record in caplog.records if f"--{name.replace('_', '-')} " in record.message]
    assert said.levelname == ("WARNING" if leaning else "INFO")
    assert said.message.endswith(f", on which {leaning} depends" if leaning else ")")


@pytest.mark.parametrize(("was", "now"), [("image", "grid"), ("image", "image"), ("", "grid")])
def test_maps_of_another_layout_are_warned_of(tmp_path, was, now, caplog):
    folders, told = {}, was != now
    for role, layout in (("old", was), ("new", now)):
        folders[role] = str(tmp_path / role) if layout else ""
        if layout:
            (tmp_path / role).mkdir()
            made = Recipe(layout=layout, height=64, width=64, teacher="mine", patch_size=32, patches=4)
            (tmp_path / role / META).write_bytes(made.encode())
    before = {key: option.default for key, option in TRAINING.items()} | PATCHES | {"train_num_epochs": 99}
    small_state(1, 1, **before | {"patch_teacher_cache": folders["old"]}).save(tmp_path)
    args = options(tmp_path, **before | {"method": "sgdem", "resume": "auto", "patch_teacher_cache": folders["new"]})
    start(small_state(**compared_options(args, ())), tmp_path, args)
    warned = [record.message for record in caplog.records if record.levelname == "WARNING"]
    text = f"something else from here on with maps of --patch-teacher-cache {now} (was {was or 'none'})"
    assert any(text in message for message in warned) == told == bool(warned)


def test_the_same_options_are_no_change(tmp_path, caplog):
    before = {key: option.default for key, option in TRAINING.items()} | {"train_num_epochs": 99}
    small_state(1, 1, 2, **before).save(tmp_path)
    start(small_state(**before), tmp_path, options(tmp_path, **before | {"resume": "auto", "method": "sgdem"}))
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
    state = small_state(1, 4, **made)
    state.optimizer.step()
    state.schedule.set(4, 0)
    state.save(tmp_path)
    now = made | {name: value}
    other = small_state(**now)
    step_size, gamma = now["train_scheduler_step_size"], now["train_scheduler_gamma"]
    wanted = Settings((now["train_learning_rate"],), (now["train_weight_decay"],), Rule("step", step_size, gamma))
    other.schedule.settings = wanted
    start(other, tmp_path, options(tmp_path, **now))
    group = other.optimizer.param_groups[0]
    assert group["lr"] == pytest.approx(rate, rel=1e-9)
    assert other.schedule.state_dict()["_last_lr"] == [group["lr"]]
    assert group["weight_decay"] == now["train_weight_decay"]
    other.schedule.set(5, 0)
    assert group["lr"] == pytest.approx(now["train_learning_rate"] * gamma ** (5 // step_size), rel=1e-9)


@pytest.mark.parametrize(("rate", "told"), [(1e-3, False), (2e-3, True)])
def test_rates_of_a_loaded_checkpoint_that_count_are_told(tmp_path, rate, told, caplog):
    folder = small_state(1, 1).save(tmp_path / "old")
    other = small_state()
    other.schedule.settings = replace(other.schedule.settings, starts=(rate,))
    args = options(tmp_path, model_load=str(folder))
    start(other, tmp_path / "new", args, settle_network(tmp_path / "new", args))
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
