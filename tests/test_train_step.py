"""A whole training step, forward and backward, against the published code."""

from __future__ import annotations

import contextlib
from functools import partial

import numpy as np
import pytest
import torch
from torch._dynamo.utils import counters
from torch.testing import assert_close
from torchvision.models.resnet import BasicBlock, ResNet

from dataloader.batch import Batch
from engine.optimizer import Rule, Schedule
from engine.outcome import Outcome
from engine.updates import Updates
from errors import UserError
from losses.consistency import SemanticDepthConsistency
from losses.depth import DepthLoss
from losses.masking import DynamicClassMask
from losses.objective import Objective
from losses.semantic import SegmentationLoss
from methods.video.schedule import Phase
from methods.video.step import compare
from models import encoders
from models.sgdepth import SGDepth
from perspective_resample.views import synthesise
from tests import golden
from tests.batches import batch_of

RESAMPLE = partial(synthesise, depth_min=0.1, depth_max=100.0)


def batches(meta: dict) -> list[Batch]:
    inputs = meta["inputs"]
    seed, depth_size, seg_size = inputs["seed"], inputs["depth batch"], inputs["seg batch"]
    height, width = inputs["H,W"]
    frames = {
        f: torch.from_numpy(golden.uniform(seed + i, depth_size, 3, height, width)).double()
        for i, f in enumerate((0, -1, 1))
    }
    image = torch.from_numpy(golden.uniform(seed + 5, seg_size, 3, height, width)).double()
    ids = np.floor(22 * golden.uniform(seed + 6, seg_size, 1, height // 8, width // 8))[:, 0].repeat(8, 1).repeat(8, 2)
    labels = torch.from_numpy(np.where(ids > 18, 255, ids)).long()
    K = torch.eye(4, dtype=torch.float64)
    K[0, 0], K[1, 1], K[0, 2], K[1, 2] = 0.58 * width, 1.92 * height, width / 2, height / 2
    return [
        batch_of("depth", frames, K=K.repeat(depth_size, 1, 1)),
        batch_of("segmentation", {0: image}, labels, K.repeat(seg_size, 1, 1)),
    ]


def network(meta: dict) -> SGDepth:
    config = meta["config"]
    with golden.unfilled():
        model = SGDepth(
            config["num_layers"],
            config["num_layers_pose"],
            config["split_pos"],
            config["depth_resolutions"],
            grad_scales=tuple(config["gradient scales"]),
        )
    model.double().load_state_dict(golden.state_dict(meta["keys"], meta["scale"], torch.float64))
    # Means such as 0.485 are rounded when they are made in float32.
    model.mean, model.std = (
        torch.tensor(v, dtype=torch.float64).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    return model.train()


def step(model: SGDepth, data: list, masking: DynamicClassMask | None = None) -> list[Outcome]:
    objective = Objective(DepthLoss(), SegmentationLoss())
    outcomes = compare(model, objective, data, RESAMPLE, contextlib.nullcontext, Phase(masking))
    sum(outcome.total for outcome in outcomes).backward()
    return outcomes


@pytest.mark.parametrize("name", ["sgdepth_train_step", "sgdepth_train_step_masked"])
def test_losses_gradients_and_statistics_match_the_published_step(name):
    meta, want = golden.load(name)
    model, masking = network(meta), None
    if meta["config"]["masking"]:
        masking = DynamicClassMask(0, 20, False, 0.1)
        masking.threshold = 2.0
    depth, seg = step(model, batches(meta), masking)
    assert_close(depth.terms["loss_depth"].item(), want["loss_depth"].item(), rtol=1e-8, atol=0)
    assert_close(seg.terms["loss_seg"].item(), want["loss_seg"].item(), rtol=1e-8, atol=0)
    np.testing.assert_allclose(depth.look.prediction.disp[0].detach()[:, :, ::2, ::2], want["disp_0"], atol=1e-6)
    np.testing.assert_allclose(
        seg.look.prediction.logits.detach()[:, :, ::4, ::4], want["seg_logits"], rtol=1e-5, atol=1e-5
    )
    if masking:
        np.testing.assert_allclose(depth.look.keep.double().mean(), want["moving_mask_mean"].item(), rtol=1e-9)
        np.testing.assert_allclose(masking.ious(), want["iou_moving"], rtol=1e-9)
    gradients = {key: p.grad for key, p in model.named_parameters()}
    assert list(gradients) == meta["grad_names"]
    np.testing.assert_allclose([g.norm().item() for g in gradients.values()], want["grad_norms"], rtol=1e-5, atol=1e-12)
    golden.assert_close_to_max(gradients["common.encoder.encoder.conv1.weight"][:8].numpy(), want["grad_conv1"], 1e-5)
    golden.assert_close_to_max(
        gradients["pose.encoder.encoder.conv1.weight"][:4].numpy(), want["grad_pose_conv1"], 1e-5
    )
    buffers = dict(model.named_buffers())
    for key in ("running_mean", "running_var"):
        np.testing.assert_allclose(buffers[f"common.encoder.encoder.bn1.{key}"], want[f"bn1_{key}"], rtol=1e-8)
    np.testing.assert_allclose(
        buffers["pose.encoder.encoder.bn1.running_mean"], want["pose_bn1_running_mean"], rtol=1e-8, atol=1e-12
    )
    assert buffers["pose.encoder.encoder.bn1.num_batches_tracked"].item() == want["pose_bn1_batches"].item()


@pytest.mark.usefixtures("thin_here")
def test_masking_everything_leaves_only_smoothness():
    torch.manual_seed(0)
    model = SGDepth(resolutions=1).double().train()
    frames = {f: torch.rand(1, 3, 64, 64).double() for f in (0, -1, 1)}
    data = [batch_of("depth", frames)]
    masking = DynamicClassMask(0, 20, False, 0.1, classes=range(20))
    masking.threshold = 2.0
    (outcome,) = step(model, data, masking)
    assert not outcome.look.keep.any()
    assert_close(outcome.total, outcome.terms["disp_smth_loss/0"])


@pytest.mark.usefixtures("thin_here")
def test_asking_for_classes_first_costs_no_gradient_in_half_precision():
    torch.manual_seed(0)
    model = SGDepth(resolutions=1).eval()  # running statistics: both passes see the same
    frames = {f: torch.rand(1, 3, 64, 64) for f in (0, -1, 1)}
    image, labels = torch.rand(1, 3, 64, 64), torch.randint(0, 19, (1, 64, 64))
    data = [batch_of("depth", frames), batch_of("segmentation", {0: image}, labels)]
    found = []
    for segment, classify in ((False, False), (False, True), (True, False)):
        model.zero_grad()
        outcomes = compare(
            model,
            Objective(DepthLoss(), SegmentationLoss()),
            data,
            RESAMPLE,
            lambda: torch.autocast("cpu", torch.bfloat16),
            Phase(masking=(lambda *_: None) if segment else None, consistency=classify),
        )
        sum(outcome.total for outcome in outcomes).backward()
        found.append({name: p.grad for name, p in model.named_parameters()})
    plain, *others = found
    assert all(
        grad is not None and all(torch.equal(grad, each[name]) for each in others) for name, grad in plain.items()
    )


def street_like(size: int = 64, count: int = 2) -> list[Batch]:
    """A depth and a segmentation batch of so many random images each, float32."""
    frames = {f: torch.rand(count, 3, size, size) for f in (0, -1, 1)}
    image, labels = torch.rand(count, 3, size, size), torch.randint(0, 19, (count, size, size))
    return [batch_of("depth", frames), batch_of("segmentation", {0: image}, labels)]


@pytest.mark.usefixtures("thin_here")
@pytest.mark.parametrize("bias", [-200.0, 200.0])
@pytest.mark.parametrize("dtype", [None, torch.bfloat16, torch.float16])
def test_disparity_at_its_bounds_keeps_every_number_finite(dtype, bias):
    torch.manual_seed(0)
    model = SGDepth(resolutions=2, attention={"variant": "bottleneck"}).train()
    with torch.no_grad():
        for conv in model.depth.multires.convs:
            conv.bias.fill_(bias)
    objective = Objective(
        DepthLoss(), SegmentationLoss(), consistency=SemanticDepthConsistency(), consistency_weight=10.0
    )
    outcomes = compare(
        model,
        objective,
        street_like(),
        RESAMPLE,
        lambda: torch.autocast("cpu", dtype, enabled=dtype is not None),
        Phase(consistency=True),
    )
    depth = outcomes[0]
    assert depth.look.prediction.disp[0].unique().tolist() == [float(bias > 0)]
    assert_close(depth.look.views.depth, torch.full_like(depth.look.views.depth, 0.1 if bias > 0 else 100.0))
    sum(outcome.total for outcome in outcomes).backward()
    values = [
        *depth.terms.values(),
        *outcomes[1].terms.values(),
        *depth.look.prediction.motion.values(),
        *(p.grad for p in model.parameters() if p.grad is not None),
    ]
    assert all(value.dtype == torch.float32 and value.isfinite().all() for value in values)


@pytest.mark.usefixtures("thin_here")
def test_network_views_and_losses_compile_in_one_piece_each(monkeypatch):
    def short(name: str, pretrained: bool) -> ResNet:
        """A ResNet with a block where the real one has a row of equal ones, each of which is traced."""
        return ResNet(BasicBlock, [1, 1, 1, 1])

    monkeypatch.setattr(encoders, "imagenet_network", short)
    torch.manual_seed(0)
    torch.compiler.reset()
    counters.clear()
    model = SGDepth(resolutions=2, attention={"variant": "bottleneck"}).train()
    objective = Objective(
        DepthLoss(), SegmentationLoss(), consistency=SemanticDepthConsistency(), consistency_weight=10.0
    )
    keys, data, masking = list(model.state_dict()), street_like(), DynamicClassMask(0, 20, False, 0.1)
    phases = (Phase(), Phase(masking, consistency=True))

    def totals(resample) -> list[float]:
        return [
            outcome.total.item()
            for phase in phases
            for outcome in compare(model, objective, data, resample, contextlib.nullcontext, phase)
        ]

    want = totals(RESAMPLE)
    model.compile(backend="eager")
    objective.compile(backend="eager")
    assert totals(partial(torch.compile(RESAMPLE.func, backend="eager"), **RESAMPLE.keywords)) == pytest.approx(want)
    assert counters["stats"]["unique_graphs"] >= 3 and not counters["graph_break"]
    assert list(model.state_dict()) == keys
    torch.compiler.reset()


def updates_of(optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler | None = None, **counts: int) -> Updates:
    scaler = scaler or torch.amp.GradScaler("cpu", enabled=False)
    return Updates(optimizer, Schedule(optimizer, Rule()), scaler, **counts)


def test_gradients_of_several_batches_make_one_step():
    weight = torch.zeros(2, requires_grad=True)
    optimizer = torch.optim.SGD([weight], lr=1.0, fused=True)
    updates = updates_of(optimizer, accumulate=3, batches=5)
    changed, seen, unfinished = [], [], []
    for batch, gradient in enumerate((3.0, 6.0, 9.0, 2.0, 4.0)):
        unfinished.append(updates.unfinished)
        changed.append(updates(weight[0] * gradient, 0, batch))
        seen.append(-weight[0].item())
    assert changed == [False, False, True, False, True]  # the last two of the epoch make a step of their own
    assert seen == [0, 0, 6, 6, 9]
    assert unfinished == [0, 1, 2, 0, 1] and updates.unfinished == 0


def test_a_run_that_goes_on_begins_a_group_of_batches():
    weight = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([weight], lr=1.0, fused=True)
    updates = updates_of(optimizer, accumulate=4, batches=8)
    updates.begin_epoch(3)
    assert [updates(weight.sum(), 0, batch) for batch in range(3, 8)] == [False, False, False, True, True]
    assert weight.item() == -2  # the mean gradient, twice
    assert updates.unfinished == 0  # though the group was not full


def test_a_step_that_float16_cannot_hold_is_left_out():
    weight = torch.ones(1, requires_grad=True)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0)
    updates = updates_of(torch.optim.Adam([weight], 0.1, fused=True), scaler)
    assert updates.parts == {"scaler": scaler}
    updates(weight * float("inf"), 0, 0)
    assert weight.item() == 1 and scaler.get_scale() == 1
    updates.check()
    updates(weight * 3, 0, 1)
    assert weight.item() < 1 and weight.grad.item() == 3
    for step in range(2, 4):
        updates(weight * float("nan"), 0, step)
    with pytest.raises(UserError, match="--train-precision fp16: the gradients overflow"):
        updates.check()
    assert updates_of(torch.optim.SGD([weight])).parts == {}
