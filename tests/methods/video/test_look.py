"""What is asked about a batch on logging steps, and which terms a step has."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
import torch

import arguments
import methods
from losses.depth import DepthLoss
from methods.video.look import Seen
from models.prediction import Outputs
from models.sgdepth import SGDepth
from perspective_resample.views import Views
from tests.batches import street_batch


@pytest.mark.parametrize(
    ("disp", "doubted"),
    [
        (torch.full((2, 1, 4, 4), 0.99), True),
        (torch.full((2, 1, 4, 4), 0.001), True),
        (torch.full((2, 1, 4, 4), 0.3), True),
        (torch.linspace(0.1, 0.6, 32).view(2, 1, 4, 4), False),
    ],
)
def test_a_collapsed_disparity_is_doubted_with_what_helps(disp, doubted):
    seen = Seen(street_batch("depth"), Outputs(disp={0: disp}), None, None, None)
    assert ("--model-disparity-bias -2" in seen.doubt()) == doubted == bool(seen.doubt())


@pytest.mark.parametrize(("metres", "doubted"), [(0.0, True), (1e-6, True), (1e-3, False)])
def test_a_camera_that_stands_still_is_doubted_and_told(metres, doubted):
    motion = {frame: torch.eye(4).repeat(2, 1, 1) for frame in (-1, 1)}
    for matrix in motion.values():
        matrix[:, 0, 3] = metres
    disp = torch.linspace(0.1, 0.6, 32).view(2, 1, 4, 4)
    views = Views(disp, {}, {})
    seen = Seen(street_batch("depth"), Outputs(disp={0: disp}, motion=motion), views)
    assert seen.measures()["translation"].item() == pytest.approx(metres)
    assert ("the camera hardly moves" in seen.doubt()) == doubted == bool(seen.doubt())


@pytest.mark.parametrize(("moves", "share"), [(False, 0.0), (True, 1.0)])
def test_it_is_told_when_automasking_leaves_nothing_to_learn_from(moves, share):
    batch = street_batch("depth")
    still = {frame: batch.images[0] for frame in (-1, 1)}
    other = {frame: image.flip(-1) for frame, image in still.items()}  # warped, or as they are
    batch.images.update(other if moves else still)
    disp = torch.linspace(0.1, 0.6, 32).view(2, 1, 4, 4)
    motion = {frame: torch.ones(2, 4, 4) for frame in still}
    views = Views(disp, {}, still if moves else other)
    seen = Seen(batch, Outputs(disp={0: disp}, motion=motion), views, loss=DepthLoss())
    assert seen.measures()["automask_counted"].item() == pytest.approx(share, abs=0.01)
    assert ("automasking leaves 0.0 % of the pixels" in seen.doubt()) != moves == (not seen.doubt())
    unmasked = replace(seen, loss=DepthLoss(automasking=False))
    assert not unmasked.doubt() and "automask_counted" not in unmasked.measures()


@pytest.mark.usefixtures("thin_here")
def test_a_step_between_two_with_patches_has_no_patch_loss():
    words = ["--patch-from-epoch", "1", "--patch-until-epoch", "2", "--patch-interval", "2", "--patch-teacher", "none"]
    args = arguments.parse("train", ["--model-num-layers", "18", "--sd-consistency-weight", "0", *words])
    torch.manual_seed(0)
    network = SGDepth().train()
    training = methods.training("sgdem").training(args, network, lambda name, **_: None, contextlib.nullcontext)
    batches = [street_batch("depth", height=96, width=128)]
    training.schedule.masking = None
    found = []
    for epoch, batch in ((0, 1), (1, 0), (1, 1)):
        training.begin_epoch(epoch, 0)
        (outcome,) = training.step(network, batches, epoch, batch)
        found.append(("loss_patch" in outcome.terms, "patch_count" in outcome.look.measures()))
    assert found == [(True, False), (True, True), (False, False)]
