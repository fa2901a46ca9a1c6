"""Optimisers and learning rates: what torch's own schedules and the published sheets say."""

from __future__ import annotations

import copy
import math
from argparse import Namespace

import numpy as np
import pytest
import torch
from torch import nn

from engine.optimizer import Rule, Schedule, build_optimizer, build_rule, load_optimizer
from engine.updates import Updates
from tests import golden


def weight() -> list[dict]:
    return [{"params": [torch.nn.Parameter(torch.ones(1))]}]


def options(**changes: object) -> Namespace:
    values = {
        "train_optimizer": "adam",
        "train_learning_rate": 1e-4,
        "train_weight_decay": 0.0,
        "train_scheduler": "step",
        "train_scheduler_step_size": 15,
        "train_scheduler_gamma": 0.1,
        "train_scheduler_milestones": (),
        "train_scheduler_eta_min": 5e-6,
        "train_warmup_steps": 0,
        "train_batches_per_epoch": 7,
        "train_accumulate": 1,
        "train_num_epochs": 20,
        "train_final_epochs": 0,
        "train_adam_eps": 1e-8,
    }
    return Namespace(**{**values, **changes})


@pytest.mark.parametrize(("name", "kind"), [("adam", "Adam"), ("adamw", "AdamW"), ("sgd", "SGD")])
def test_optimisers_are_torchs_with_the_values_of_the_options(name, kind):
    groups = [*weight(), {**weight()[0], "lr": 3e-4, "weight_decay": 0.0}]
    optimizer = build_optimizer(options(train_optimizer=name, train_weight_decay=0.01), groups)
    assert type(optimizer).__name__ == kind and optimizer.defaults["fused"]
    assert [(group["lr"], group["weight_decay"]) for group in optimizer.param_groups] == [(1e-4, 0.01), (3e-4, 0.0)]


@pytest.mark.parametrize(
    ("rule", "theirs"),
    [
        (Rule("step", step_size=3), lambda o: torch.optim.lr_scheduler.StepLR(o, 3, 0.1)),
        (Rule("multistep", milestones=(2, 5)), lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [2, 5], 0.1)),
        (Rule("exponential", gamma=0.9), lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.9)),
    ],
)
def test_rates_by_epoch_are_those_of_torch(rule, theirs):
    optimizer = torch.optim.SGD(weight(), 0.5)
    scheduler = theirs(optimizer)
    for epoch in range(8):
        assert 0.5 * rule.rate(epoch, 0) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)
        optimizer.step()
        scheduler.step()


def test_the_cosine_is_that_of_torch_over_all_steps():
    optimizer = torch.optim.SGD(weight(), 1e-4)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 12, 5e-6)
    rule = build_rule(options(train_scheduler="cosine", train_batches_per_epoch=4, train_num_epochs=3))
    for number in range(12):
        assert 1e-4 * rule.rate(*divmod(number, 4)) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
        optimizer.step()
        scheduler.step()


def test_the_square_root_matches_the_published_schedule():
    meta, want = golden.load("spatialkd_schedules")
    given = meta["inputs"]
    rule = build_rule(
        options(
            train_scheduler="sqrt",
            train_learning_rate=given["lr"],
            train_scheduler_eta_min=given["end_lr"],
            train_num_epochs=given["epochs"],
            train_batches_per_epoch=given["iters_per_epoch"],
        )
    )
    steps = given["iters_per_epoch"]
    found = [1e4 * given["lr"] * rule.rate(*divmod(number, steps)) for number in range(len(want["lr_x1e4"]))]
    np.testing.assert_allclose(found, want["lr_x1e4"], rtol=1e-5)


def trained(epochs: int, batches: int, accumulate: int, warmup: int, begin: int = 0) -> list[float]:
    """Learning rates of all optimiser steps of a run."""
    optimizer = torch.optim.SGD(weight(), 1.0, fused=True)
    args = options(
        train_learning_rate=1.0,
        train_warmup_steps=warmup,
        train_accumulate=accumulate,
        train_batches_per_epoch=batches,
        train_num_epochs=epochs,
    )
    schedule = Schedule(optimizer, build_rule(args))
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    updates, seen = Updates(optimizer, schedule, scaler, accumulate=accumulate, batches=batches), []
    for epoch in range(epochs):
        updates.begin_epoch(0)
        for batch in range(batches):
            if updates(optimizer.param_groups[0]["params"][0].sum(), epoch, batch):
                seen.append(optimizer.param_groups[0]["lr"])
    return seen


def test_warm_up_rises_to_the_rate_of_the_schedule_and_counts_optimiser_steps():
    assert trained(1, 6, 1, 4) == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    assert trained(4, 3, 8, 4) == [0.25, 0.5, 0.75, 1.0]  # a group ends with its epoch
    assert trained(2, 4, 2, 0) == [1.0, 1.0, 1.0, 1.0]


def test_rates_in_use_are_told_by_name():
    groups = [*weight(), {**weight()[0], "lr": 3e-4}, *weight()]
    schedule = Schedule(build_optimizer(options(), groups), Rule(step_size=2))
    assert schedule.rates() == {"learning_rate": 1e-4, "learning_rate/1": 3e-4}
    schedule.set(2, 0)
    assert schedule.rates() == pytest.approx({"learning_rate": 1e-5, "learning_rate/1": 3e-5})


def test_a_schedule_goes_on_from_published_and_own_files():
    optimizer = torch.optim.SGD(weight(), 1e-3)
    theirs = torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.5)
    for _ in range(3):
        optimizer.step()
        theirs.step()
    mine = Schedule(torch.optim.SGD(weight(), 1e-4), Rule())
    mine.load_state_dict(theirs.state_dict())
    assert (mine.rule.step_size, mine.rule.gamma, mine.epoch) == (2, 0.5, 3)
    assert mine.optimizer.param_groups[0]["lr"] == pytest.approx(optimizer.param_groups[0]["lr"])
    again = torch.optim.lr_scheduler.StepLR(torch.optim.SGD(weight(), 1.0), 9)
    again.load_state_dict(mine.state_dict())
    assert (again.step_size, again.gamma, again.last_epoch, again.get_last_lr()) == (2, 0.5, 3, [5e-4])
    other = Schedule(torch.optim.SGD(weight(), 1e-4), Rule())
    other.load_state_dict(Schedule(optimizer, Rule("multistep", milestones=(1, 4))).state_dict())
    assert (other.rule.kind, other.rule.milestones) == ("multistep", (1, 4))
    for damaged in ({}, {**mine.state_dict(), "base_lrs": [1, 2]}, {**mine.state_dict(), "kind": "magic"}):
        with pytest.raises((KeyError, ValueError)):
            mine.load_state_dict(damaged)


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("other", ["adam", "adamw", "sgd"])
def test_a_state_of_another_optimiser_does_not_fit(name, other):
    mine, theirs = (build_optimizer(options(train_optimizer=kind), weight()) for kind in (name, other))
    if name == other:
        load_optimizer(mine, theirs.state_dict())
        return
    with pytest.raises(ValueError, match=f"a state of {other} for {name}"):
        load_optimizer(mine, theirs.state_dict())


def test_the_published_gamma_is_the_rate_itself():
    rule = build_rule(options(train_scheduler_gamma="released"))
    assert math.isclose(rule.rate(15, 0), 1e-4)


def test_epochs_after_the_end_of_a_curve_keep_its_last_rate_as_spatial_kd_has_it():
    meta, want = golden.load("spatialkd_schedules")
    about, whole = meta["inputs"], meta["inputs"]["epochs"] + 5
    rule = build_rule(
        options(
            train_scheduler="sqrt",
            train_learning_rate=about["lr"],
            train_scheduler_eta_min=about["end_lr"],
            train_num_epochs=whole,
            train_final_epochs=5,
            train_batches_per_epoch=about["iters_per_epoch"],
        )
    )
    rates = [rule.rate(epoch, step) for epoch in range(whole) for step in range(about["iters_per_epoch"])]
    np.testing.assert_allclose(rates, want["lr_x1e4"], rtol=1e-6)


@pytest.mark.parametrize("kind", ["sqrt", "cosine"])
def test_a_run_of_no_more_epochs_than_follow_after_the_curve_has_the_curve_alone(kind):
    short = {"train_scheduler": kind, "train_num_epochs": 3, "train_scheduler_eta_min": 1e-5}
    rules = [build_rule(options(train_final_epochs=final, **short)) for final in (0, 3, 5)]
    assert rules[0] == rules[1] == rules[2] != build_rule(options(train_final_epochs=2, **short))


def test_a_state_of_other_parameters_is_told_in_words():
    more = build_optimizer(options(), [{"params": [nn.Parameter(torch.ones(1)) for _ in range(2)]}])
    with pytest.raises(ValueError, match=r"^a state of 2 tensors for 1$"):
        load_optimizer(build_optimizer(options(), weight()), more.state_dict())


@pytest.mark.parametrize("kind", ["adam", "adamw"])
def test_epsilon_is_that_of_the_options(kind):
    optimizer = build_optimizer(options(train_optimizer=kind, train_adam_eps=1e-3), weight())
    assert [group["eps"] for group in optimizer.param_groups] == [1e-3]


def test_moments_of_contiguous_networks_move_the_weights_they_belong_to():
    torch.manual_seed(0)
    moments = {"step": torch.tensor(3.0), "exp_avg": torch.randn(8, 4, 3, 3), "exp_avg_sq": torch.rand(8, 4, 3, 3)}
    weights = []
    for layout in (torch.contiguous_format, torch.channels_last):
        network = nn.Conv2d(4, 8, 3, bias=False).to(memory_format=layout)
        nn.init.constant_(network.weight, 0.5)
        optimizer = torch.optim.Adam(network.parameters(), lr=0.1, fused=True)
        groups = optimizer.state_dict()["param_groups"]
        load_optimizer(optimizer, {"state": {0: copy.deepcopy(moments)}, "param_groups": groups})
        network.weight.grad = torch.ones_like(network.weight)
        optimizer.step()
        weights.append(network.weight.detach().clone())
    assert torch.equal(*weights)
