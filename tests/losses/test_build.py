"""Options become the losses they name."""

from __future__ import annotations

import arguments
from losses import build_mask, build_objective


def parse(*words: str) -> object:
    return arguments.parse("train", list(words))


def test_the_published_defaults_reach_the_losses():
    objective = build_objective(parse())
    assert (objective.depth.smoothness, objective.depth.automasking, objective.depth.average) == (1e-3, True, False)
    assert len(objective.segmentation.weights) == 20 and build_mask(parse()) is None


def test_every_option_of_the_losses_reaches_them():
    objective = build_objective(parse("--depth-disparity-smoothness", "0.5", "--depth-disable-automasking",
                                      "--depth-avg-reprojection", "--model-num-classes", "7"))  # fmt: skip
    assert (objective.depth.smoothness, objective.depth.automasking, objective.depth.average) == (0.5, False, True)
    assert objective.segmentation.weights.tolist() == [1.0] * 7


def test_every_option_of_the_mask_reaches_it():
    mask = build_mask(parse("--masking-enable"))
    assert (mask.from_epoch, mask.epochs, mask.linear_increase, mask.fraction) == (15, 20, False, 0.1)
    assert mask._moving.nonzero()[:, 0].tolist() == list(range(11, 20))
    mask = build_mask(parse("--masking-enable", "--masking-from-epoch", "3", "--train-num-epochs", "9",
                            "--masking-linear-increase", "--moving-mask-percent", "0.4", "--masking-classes", "1,2"))
    assert (mask.from_epoch, mask.epochs, mask.linear_increase, mask.fraction) == (3, 9, True, 0.4)
    assert mask._moving.nonzero()[:, 0].tolist() == [1, 2]
    assert [mask.active(epoch) for epoch in (2, 3, 4)] == [False, True, True]
