"""Options become the losses they name."""

from __future__ import annotations

import contextlib
from argparse import Namespace

import pytest
import torch

import arguments
import methods
from methods.refinement import build_refiner
from methods.video.schedule import Phase
from methods.video.training import VideoTraining, moving_objects
from models.sgdepth import SGDepth
from tests.batches import street_batch

pytestmark = pytest.mark.usefixtures("thin")


def parse(*words: str, method: str = "sgdepth") -> Namespace:
    return arguments.parse("train", ["--method", method, *words])


def built(args: Namespace, teacher: object = None) -> VideoTraining:
    network = SGDepth(depth_range=(args.model_depth_min, args.model_depth_max))
    return methods.training(args.method).training(args, network, lambda name, **_: teacher, contextlib.nullcontext)


def test_the_published_defaults_reach_the_losses():
    training = built(parse())
    objective, schedule = training.objective, training.schedule
    assert (objective.depth.smoothness, objective.depth.automasking, objective.depth.average) == (1e-3, True, False)
    assert len(objective.segmentation.weights) == 20 and moving_objects(parse()) is None
    assert (objective.reprojection, objective.consistency, objective.patches) == (1.0, None, None)
    assert not schedule.parts and schedule.phase(19, 0) == Phase()


def test_the_recipe_of_sgdem_reaches_the_losses():
    args = parse(method="sgdem")
    training = built(args, object())
    objective, schedule = training.objective, training.schedule
    weights = objective.reprojection, objective.consistency_weight, objective.patches.weight
    assert weights == (2.0, 10.0, 16.0) and objective.consistency.variant == "decided"
    assert [schedule.phase(epoch, 7).consistency for epoch in (0, 1, 19)] == [False, True, True]
    assert [schedule.phase(epoch, 7).patches is not None for epoch in (4, 5, 14, 15)] == [False, True, True, False]
    assert [schedule.phase(epoch, 7).masking is not None for epoch in (14, 15)] == [False, True]
    assert schedule.masking.linear_increase and schedule.masking.fraction == 0.15
    assert schedule.patches.gate and schedule.patches.depth_range == (0.1, 100.0)


def test_every_option_of_the_patches_reaches_them():
    args = parse(
        "--patch-distill",
        "--patch-from-epoch",
        "2",
        "--patch-until-epoch",
        "4",
        "--patch-interval",
        "3",
        "--patch-loss-weight",
        "7",
        "--patch-gate",
        "none",
        "--patch-size",
        "128",
        "--patch-max",
        "5",
        "--patch-enlarge",
        "--patch-blend",
        "released",
        "--patch-fusion-weight",
        "0.25",
        "--patch-chunk",
        "9",
        "--sd-consistency-weight",
        "3",
        "--sd-consistency-variant",
        "paper",
        "--sd-consistency-from-epoch",
        "6",
        "--model-depth-min",
        "0.5",
        "--model-depth-max",
        "50",
        "--depth-reprojection-weight",
        "4",
        method="sgdem",
    )
    training = built(args, len)
    objective, schedule = training.objective, training.schedule
    assert (objective.reprojection, objective.consistency_weight, objective.patches.weight) == (4, 3, 7)
    assert objective.consistency.variant == "paper" and schedule.consistency_from == 6
    patches = schedule.patches
    assert (patches.epochs, patches.interval, patches.gate, patches.teacher) == ((2, 4), 3, False, len)
    assert patches.depth_range == (0.5, 50.0)
    assert [patches.active(2, batch) for batch in range(4)] == [True, False, False, True]
    assert (
        vars(patches.refiner)
        == vars(build_refiner(args))
        == {"size": 128, "maximum": 5, "enlarge": True, "blend": "released", "share": 0.25, "chunk": 9}
    )


@pytest.mark.parametrize(
    ("variant", "seen"), [("boundary", [0, 2, 13]), ("triplet", [0, 2, 13]), ("plane", [0])], ids=lambda word: str(word)
)
def test_every_consistency_is_a_loss_of_a_step(variant, seen):
    words = ["--model-num-layers", "18", "--sd-consistency-variant", variant, "--sd-consistency-weight", "0.5"]
    words += ["--sd-consistency-margin", "0.3", "--sd-consistency-from-epoch", "0", "--no-patch-distill"]
    args = parse(*words, "--no-masking-enable", "--model-depth-min", "0.5", method="sgdem")
    training = built(args)
    consistency = training.objective.consistency
    assert (consistency.depth_range, consistency.margin) == ((0.5, 100.0), 0.3)
    network = SGDepth().train()
    with torch.no_grad():
        network.seg.multires.convs[0].bias[seen] = 5.0
    training.begin_epoch(0, 0)
    (outcome,) = training.step(network, [street_batch("depth")], 0, 0)
    assert (outcome.look.prediction.sure is not None) == (variant == "boundary")
    grad = torch.autograd.grad(outcome.terms["loss_sd"], outcome.look.prediction.disp[0])[0]
    assert outcome.terms["loss_sd"] > 0 and bool(grad.any()) and bool(grad.isfinite().all())
    assert torch.equal(outcome.look.classes, consistency.constrained(outcome.look.prediction.ids))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--sd-consistency-variant", "boundary"], "the weight of 10 is meant for decided"),
        (["--sd-consistency-variant", "boundary", "--sd-consistency-weight", "0.01"], ""),
        (["--sd-consistency-variant", "plane", "--sd-consistency-weight", "0"], "variant: without effect"),
        (["--sd-consistency-margin", "0.2"], "without effect unless --sd-consistency-variant is triplet"),
        (["--sd-consistency-margin", "0.2", "--sd-consistency-weight", "0"], "margin: without effect with"),
        (["--sd-consistency-margin", "0.2", "--sd-consistency-variant", "triplet"], "give --sd-consistency-weight"),
    ],
)
def test_a_consistency_without_effect_or_of_another_weight_is_told(words, told, caplog):
    methods.building("sgdem").check(parse(*words, method="sgdem"))
    said = [message for message in caplog.messages if "sd-consistency" in message]
    assert len(said) == bool(told) and told in "".join(said)


def test_every_option_of_the_losses_reaches_them():
    objective = built(
        parse(
            "--depth-disparity-smoothness",
            "0.5",
            "--depth-disable-automasking",
            "--depth-avg-reprojection",
            "--model-num-classes",
            "7",
        )
    ).objective
    assert (objective.depth.smoothness, objective.depth.automasking, objective.depth.average) == (0.5, False, True)
    assert objective.segmentation.weights.tolist() == [1.0] * 7


def test_every_option_of_the_mask_reaches_it():
    mask = moving_objects(parse("--masking-enable"))
    assert (mask.from_epoch, mask.epochs, mask.linear_increase, mask.fraction) == (15, 20, False, 0.1)
    assert mask._moving.nonzero()[:, 0].tolist() == list(range(11, 20))
    mask = moving_objects(
        parse(
            "--masking-enable",
            "--masking-from-epoch",
            "3",
            "--train-num-epochs",
            "9",
            "--masking-linear-increase",
            "--moving-mask-percent",
            "0.4",
            "--masking-classes",
            "1,2",
        )
    )
    assert (mask.from_epoch, mask.epochs, mask.linear_increase, mask.fraction) == (3, 9, True, 0.4)
    assert mask._moving.nonzero()[:, 0].tolist() == [1, 2]
    assert [mask.active(epoch) for epoch in (2, 3, 4)] == [False, True, True]
