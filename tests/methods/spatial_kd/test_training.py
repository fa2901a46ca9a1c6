"""Steps of Spatial-KD: the published student step, blocks that come again, what is trained and what is not."""

from __future__ import annotations

import contextlib
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import arguments
import methods
from engine.optimizer import Schedule, build_optimizer, build_rule
from engine.run_state import RunState
from methods.spatial_kd.training import SpatialKDTraining, training
from models.spatial_kd import SpatialKD
from storage.weights import copy_weights
from tests import golden
from tests.batches import measured_batch
from tests.reliability.test_bad_steps import Reads

STEP = "spatialkd_student_step"


def options(*words: str) -> Namespace:
    small = ["--method", "spatial_kd", "--sys-cpu", "--train-weights-init", "scratch", "--model-encoder", "resnet18"]
    return arguments.parse("train", [*small, "--depth-crop-height", "64", "--depth-crop-width", "64", *words])


def built(*words: str, encoder: str = "resnet18") -> tuple[Namespace, SpatialKD, SpatialKDTraining]:
    args = options(*words)
    torch.manual_seed(0)
    network = methods.building("spatial_kd").network(args).train()
    teacher = SpatialKD(encoder).eval().requires_grad_(False)
    return args, network, training(args, network, lambda name, decoder: teacher, contextlib.nullcontext)


@pytest.fixture(scope="module")
def published() -> tuple[SpatialKD, SpatialKD, dict, dict[str, np.ndarray]]:
    """Student and teacher with the weights of the golden step, its description and what came of it."""
    meta, want = golden.load(STEP)
    state = golden.state_dict(meta["keys"], meta["scale"])
    networks = []
    for part, kind in (("student", "mobilenetv2"), ("teacher", "resnext101")):
        with golden.unfilled():
            network = SpatialKD(kind)
        own = {key.removeprefix(f"{part}."): v for key, v in state.items() if key.startswith((f"{part}.", "decoder."))}
        missing = network.load_state_dict(own, strict=False).missing_keys
        assert all(key.endswith("num_batches_tracked") for key in missing)
        networks.append(network)
    return *networks, meta, want


@pytest.mark.parametrize("variant", ["released", "full"])
def test_the_published_student_step(variant, published, monkeypatch):
    student, teacher, meta, want = published
    student.encoder.residuals = variant == "full"
    student.train().zero_grad()
    about, share = meta["inputs"], meta["inputs"]["drop_prob"]
    image = torch.from_numpy(golden.uniform(about["image"]["seed"], *about["image"]["shape"]))
    truth = 80 * torch.from_numpy(golden.uniform(401, 2, 1, 128, 192))
    truth[torch.from_numpy(golden.uniform(402, 2, 1, 128, 192)) < 0.7] = 0
    noises = iter([torch.from_numpy(golden.uniform(each["seed"], *each["shape"])) for each in about["noise"]])
    batch = replace(measured_batch(), inputs={0: image}, images={0: image}, depth=truth)
    args = options("--kd-teacher", "published")
    method = training(args, student, lambda name, decoder: teacher.eval(), contextlib.nullcontext)
    monkeypatch.setattr(torch, "rand", lambda *_, **__: next(noises))
    (outcome,) = method.again(student, [batch], [{"share": share, "seed": 0}])
    outcome.total.backward()
    terms = {name: value.item() for name, value in outcome.terms.items()}
    expected = {
        "loss_depth": want[f"{variant}_scale_inv"],
        "loss_replaced": 0.2 * want[f"{variant}_drop"].sum(),
        "loss_feature": 0.3 * want[f"{variant}_feat"].sum(),
        **{f"loss_laplacian_{part}": 0.1 * want[f"{variant}_lap{part}"].sum() for part in (1, 2, 3)},
    }
    assert terms == pytest.approx({name: float(value) for name, value in expected.items()}, rel=1e-5)
    assert outcome.total.item() == pytest.approx(float(want[f"{variant}_total"]), rel=1e-5)
    depth = outcome.look.depth.detach()[..., ::2, ::2].numpy()
    golden.assert_close_to_max(depth, want[f"{variant}_depth"], 1e-4)
    gradients = dict(student.named_parameters())
    norms = [gradients[key.removeprefix("student.")].grad.norm().item() for key in meta["grad_norm_keys"]]
    np.testing.assert_allclose(norms, want[f"{variant}_grad_norms"], rtol=1e-3)
    assert all(p.grad is None for p in [*student.decoder.parameters(), *teacher.parameters()])


@pytest.mark.usefixtures("thin")
class TestThin:
    """With networks of an eighth of their width."""

    def test_alone_two_groups_learn_with_the_decay_of_the_recipe(self):
        args, network, method = built()
        optimizer = build_optimizer(args, method.groups)
        assert type(optimizer).__name__ == "AdamW"
        assert [(group["lr"], group["weight_decay"], group["eps"]) for group in optimizer.param_groups] == [
            (1e-4, 0.01, 1e-6),
            (1e-4, 0.0, 1e-6),
        ]
        assert sum(len(group["params"]) for group in method.groups) == len([*network.parameters()])
        (outcome,) = method.step(network, [measured_batch()], 0, 0)
        assert [*outcome.terms] == ["loss_depth"]

    def test_a_student_learns_by_its_encoder_alone_and_keeps_the_decoder_of_its_teacher(self):
        _, network, method = built("--kd-teacher", "other")
        before = {key: value.clone() for key, value in network.state_dict().items() if key.startswith("decoder.")}
        assert [each for group in method.groups for each in group["params"]] == [*network.encoder.parameters()]
        outcomes = method.step(network.train(), [measured_batch()], 30, 0)
        sum(outcome.total for outcome in outcomes).backward()
        assert all(p.grad is not None for p in network.encoder.parameters())
        assert all(p.grad is None and not p.requires_grad for p in network.decoder.parameters())
        assert not network.decoder.training and network.encoder.training
        after = network.state_dict()
        assert all(torch.equal(value, after[key]) for key, value in before.items())
        assert {*outcomes[0].terms} == {
            "loss_depth",
            "loss_feature",
            "loss_laplacian_1",
            "loss_laplacian_2",
            "loss_laplacian_3",
            "loss_replaced",
        }

    def test_a_student_that_begins_from_another_network_keeps_the_decoder_of_its_teacher(self):
        _, network, _ = built("--kd-teacher", "other")
        before = {key: value.clone() for key, value in network.decoder.state_dict().items()}
        other = SpatialKD("resnet18", norm="BN").state_dict()
        copy_weights(network, other, Path("baseline"), strict=False, remedy=str)
        assert all(torch.equal(value, before[key]) for key, value in network.decoder.state_dict().items())
        encoder = network.encoder.state_dict()
        assert all(torch.equal(value, other[f"encoder.{key}"]) for key, value in encoder.items())

    def test_a_decoder_with_batch_normalisation_keeps_its_statistics(self):
        args = options("--kd-teacher", "other", "--model-norm", "BN")
        network, teacher = methods.building("spatial_kd").network(args), SpatialKD("resnet18", norm="BN").eval()
        method = training(args, network, lambda name, decoder: teacher, contextlib.nullcontext)
        mean = network.decoder.decoder_1_up.norm.running_mean.clone()
        method.step(network.train(), [measured_batch()], 0, 0)
        assert torch.equal(network.decoder.decoder_1_up.norm.running_mean, mean)

    def test_blocks_are_those_of_seed_rank_and_step(self):
        _, _, method = built("--kd-teacher", "other")
        distillation = method.distillation
        image = torch.rand(2, 3, 128, 128)

        def masks(epoch: int, batch: int, number: int = 0) -> list[Tensor]:
            drawn = distillation.draw(epoch, batch, number)
            return [one.mask for one in distillation.taught(image, **drawn).replacements]

        first, second = masks(30, 7), masks(30, 7)
        assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
        assert len(first) == 4 and any(mask.any() for mask in first)
        for other in (masks(30, 8), masks(31, 7), masks(30, 7, 1)):
            assert any(not torch.equal(one, two) for one, two in zip(first, other, strict=True))
        assert not any(mask.any() for mask in masks(0, 0))

    def test_the_share_of_blocks_is_that_of_the_schedule(self):
        _, _, method = built("--kd-teacher", "other", "--train-batches-per-epoch", "7")
        _, want = golden.load("spatialkd_schedules")
        found = [method.distillation.draw(step // 7, step % 7, 0)["share"] for step in range(55 * 7)]
        np.testing.assert_allclose(found, want["drop_prob"], rtol=1e-5, atol=1e-7)

    def test_a_step_that_was_kept_comes_again_with_its_blocks(self):
        _, network, method = built("--kd-teacher", "other")
        batches = [measured_batch(), measured_batch(seed=3)]
        first = method.step(network, batches, 40, 3)
        again = method.again(network, batches, [outcome.found for outcome in first])
        assert [one.total.item() for one in first] == [one.total.item() for one in again]
        assert first[0].found["seed"] != first[1].found["seed"] and first[0].found["share"] == pytest.approx(0.2)

    def test_without_replacement_nothing_is_replaced(self):
        _, network, method = built("--kd-teacher", "other", "--kd-replace", "0")
        (outcome,) = method.step(network, [measured_batch()], 40, 0)
        assert "loss_replaced" not in outcome.terms

    def test_a_step_reads_nothing_from_the_device(self):
        _, network, method = built("--kd-teacher", "other")
        batch = measured_batch()
        with Reads() as reads:
            (outcome,) = method.step(network, [batch], 40, 0)
            outcome.total.backward()
        assert not reads.found

    def test_the_teacher_is_asked_once_and_not_for_its_depth(self):
        args, network, _ = built()
        teacher = SpatialKD("resnet18").eval().requires_grad_(False)
        args.kd_teacher = "other"
        method = training(args, network, lambda name, decoder: teacher, contextlib.nullcontext)
        calls = []
        teacher.encoder.register_forward_hook(lambda *_: calls.append("encoder"))
        teacher.decoder.decoder_5.register_forward_hook(lambda *_: calls.append("output"))
        method.step(network, [measured_batch()], 0, 0)
        assert calls == ["encoder"]

    def test_a_checkpoint_of_a_student_is_whole_and_knows_nothing_of_its_teacher(self, tmp_path):
        args, network, method = built("--kd-teacher", "other")
        schedule = Schedule(build_optimizer(args, method.groups), build_rule(args))
        state = RunState(network, schedule.optimizer, schedule, method.parts, args.method, arguments.as_table(args))
        saved = torch.load(state.save(tmp_path) / "model.pth", weights_only=True)
        assert saved.keys() == SpatialKD("resnet18").state_dict().keys() and not method.parts


@pytest.mark.parametrize(("encoder", "is_told"), [("resnet18", True), ("resnext101", False)])
def test_a_network_as_small_as_a_student_says_that_it_learns_alone(caplog, encoder, is_told):
    caplog.set_level("INFO")
    methods.building("spatial_kd").check(options("--model-encoder", encoder))
    assert ("resnet18 learns alone, from what was measured; --kd-teacher" in caplog.text) == is_told
