"""Inputs at the edge of what there is: losses and gradients stay finite, with all losses, in every precision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn

from dataloader.batch import Batch
from engine.finite import are_finite, quantities
from losses.consistency import SemanticDepthConsistency
from losses.depth import DepthLoss
from losses.masking import DynamicClassMask
from losses.objective import Objective
from losses.patches.distillation import PatchDistillation
from losses.patches.loss import PatchLoss
from losses.patches.refine import PatchRefiner
from losses.semantic import SegmentationLoss
from methods.video.schedule import Phase
from methods.video.step import compare
from models.self_teacher import SelfTeacher
from models.sgdepth import SGDepth
from perspective_resample.warp import sampling_grid
from tests.reliability.network import Network
from tests.test_train_step import RESAMPLE, street_like

pytestmark = pytest.mark.usefixtures("thin")

SIZE = 96  # patches of 64 fit in
HALVES = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def zero(*layers: nn.Module, bias: float = 0.0) -> None:
    with torch.no_grad():
        for layer in layers:
            layer.weight.zero_()
            layer.bias.fill_(bias)


def depth_outputs(model: nn.Module) -> list[nn.Module]:
    return [model.depth] if isinstance(model, Network) else list(model.depth.multires.convs)


def motion_outputs(model: nn.Module) -> nn.Module:
    return model.motion if isinstance(model, Network) else list(model.pose.modules())[-1]


def show(batches: list[Batch], place: int, images: dict[int, torch.Tensor]) -> None:
    batches[place] = replace(batches[place], images=images, inputs=images)


def usual(model: nn.Module, batches: list[Batch]) -> None:
    pass


def disparity_zero(model: nn.Module, batches: list[Batch]) -> None:
    zero(*depth_outputs(model), bias=-200)


def disparity_one(model: nn.Module, batches: list[Batch]) -> None:
    zero(*depth_outputs(model), bias=200)


def no_motion(model: nn.Module, batches: list[Batch]) -> None:
    zero(motion_outputs(model))


def identical_frames(model: nn.Module, batches: list[Batch]) -> None:
    show(batches, 0, dict.fromkeys(batches[0].images, batches[0].images[0]))


def no_texture(model: nn.Module, batches: list[Batch]) -> None:
    grey = {frame: torch.full_like(image, 0.5) for frame, image in batches[0].images.items()}
    show(batches, 0, grey)
    show(batches, 1, {0: grey[0]})


def black(model: nn.Module, batches: list[Batch]) -> None:
    show(batches, 0, {frame: torch.zeros_like(image) for frame, image in batches[0].images.items()})


def nothing_labelled(model: nn.Module, batches: list[Batch]) -> None:
    batches[1] = replace(batches[1], labels=torch.full_like(batches[1].labels, 255))


def focal_length(pixels: float) -> Callable[..., None]:
    def spoil(model: nn.Module, batches: list[Batch]) -> None:
        K, inv_K = batches[0].K.clone(), batches[0].inv_K.clone()
        for axis in (0, 1):
            K[:, axis, axis] = pixels
            inv_K[:, axis, axis] = 1 / pixels
            inv_K[:, axis, 2] = -K[:, axis, 2] / pixels
        batches[0] = replace(batches[0], K=K, inv_K=inv_K)

    spoil.__name__ = f"focal_length_{pixels:g}"
    return spoil


def everything(model: nn.Module, batches: list[Batch]) -> None:
    for extreme in (disparity_zero, no_motion, identical_frames, no_texture, nothing_labelled, focal_length(1e-3)):
        extreme(model, batches)


EXTREMES = (
    usual,
    disparity_zero,
    disparity_one,
    no_motion,
    identical_frames,
    no_texture,
    black,
    nothing_labelled,
    focal_length(1e-3),
    focal_length(1e-6),
    focal_length(1e6),
    everything,
)


def phases(model: nn.Module) -> dict[str, Phase]:
    """SGDepth; SGDepth that masks everything; SGDEM with and without that."""
    masking = DynamicClassMask(0, 20, False, 0.1, classes=range(20))
    masking.threshold = 2.0
    patches = PatchDistillation(PatchRefiner(), SelfTeacher(model, "student"), epochs=(0, 1))
    return {
        "plain": Phase(),
        "masked": Phase(masking),
        "sgdem": Phase(masking, consistency=True, patches=patches),
        "patches": Phase(consistency=True, patches=patches),
    }


def lost(model: nn.Module, extreme: Callable[..., None], precision: str, phase: str, scale: float = 1.0) -> list[str]:
    """Names of the numbers of a step that are not finite."""
    half = HALVES[precision]
    batches = street_like(SIZE, 1)
    extreme(model, batches)
    objective = Objective(
        DepthLoss(),
        SegmentationLoss(),
        consistency=SemanticDepthConsistency(),
        consistency_weight=10.0,
        patches=PatchLoss(),
    )
    outcomes = compare(
        model,
        objective,
        batches,
        RESAMPLE,
        lambda: torch.autocast("cpu", half, enabled=half is not None),
        phases(model)[phase],
    )
    (scale * sum(outcome.total for outcome in outcomes)).backward()
    if phase in ("masked", "sgdem"):
        assert not outcomes[0].look.keep.any()
    gradients = {f"gradient of {name}": p.grad for name, p in model.named_parameters() if p.grad is not None}
    named = quantities(outcomes) | gradients
    return [name for name, fine in zip(named, are_finite(named.values()), strict=True) if not fine]


@pytest.mark.parametrize("precision", HALVES)
@pytest.mark.parametrize("extreme", EXTREMES, ids=lambda extreme: extreme.__name__)
def test_every_number_stays_finite(extreme, precision, rounds):
    torch.manual_seed(0)
    phases = ("sgdem", "patches") if precision != "bf16" else ("patches",)  # whose range is that of fp32
    for phase in phases:
        assert not lost(Network().train(), extreme, precision, phase), phase
    for _ in range(rounds(0, 1)):
        model = SGDepth(resolutions=4, disparity_bias=0, attention={"variant": "bottleneck"}).train()
        for phase in ("masked", "patches"):
            assert not lost(model, extreme, precision, phase), phase


def background_alone(model: nn.Module, batches: list[Batch]) -> None:
    batches[1] = replace(batches[1], labels=torch.full_like(batches[1].labels, 19))


@pytest.mark.parametrize(
    "extreme", [nothing_labelled, background_alone, identical_frames], ids=lambda extreme: extreme.__name__
)
def test_enlarged_losses_have_finite_gradients_where_nothing_counts(extreme):
    torch.manual_seed(0)
    assert not lost(Network().train(), extreme, "fp32", "plain", scale=2.0**16)


@pytest.mark.parametrize("beside", [-1e-7, -1.0000001e-7, 0.0, 1e-45])
def test_points_in_the_plane_of_the_camera_have_a_gradient(beside):
    """Motion that puts every point where its projection has no place."""
    depth = torch.zeros(1, 1, 4, 4, requires_grad=True)
    motion = torch.eye(4)[None].clone()
    motion[0, 2, 3] = beside
    motion[0, 0, 3] = 1.0
    motion.requires_grad_()
    K = torch.eye(4)[None]
    grid = sampling_grid(depth, K, K, motion)
    assert grid.isfinite().all()
    grid.sum().backward()
    assert depth.grad.isfinite().all() and motion.grad.isfinite().all()
