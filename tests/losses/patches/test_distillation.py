"""Refined disparities in a training: epochs, gate, moving objects, cached answers."""

from __future__ import annotations

import contextlib

import pytest
import torch
from torch.testing import assert_close

from losses.patches.distillation import PatchDistillation
from losses.patches.refine import PatchRefiner
from methods.video.schedule import Phase, Schedule
from perspective_resample.views import Views, synthesise

RANGE = (0.1, 100.0)


class Teller:
    """A self-teacher that says what it is told and notes what happens to it."""

    def __init__(self, answer=lambda x: x.mean(1, keepdim=True)):
        self.answer, self.told, self.lasts, self.ready = answer, [], [], True

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        return self.answer(image)

    def end_epoch(self, last: bool) -> None:
        self.lasts.append(last)

    def __getattr__(self, name: str):
        return lambda *words: self.told.append(name)


def scene() -> tuple[dict[int, torch.Tensor], dict[int, torch.Tensor], tuple[torch.Tensor, torch.Tensor], torch.Tensor]:
    """Two textured planes, sloped in disparity, seen by a camera that moves sideways: images, motion, camera, truth."""
    batch, height, width = 2, 96, 160
    K = torch.eye(4).repeat(batch, 1, 1)
    K[:, 0, 0], K[:, 1, 1], K[:, 0, 2], K[:, 1, 2] = 100, 100, width / 2, height / 2
    camera = K, torch.linalg.inv(K)
    motion = {f: torch.eye(4).repeat(batch, 1, 1) for f in (-1, 1)}
    motion[-1][:, 0, 3], motion[1][:, 0, 3] = 0.05, -0.05
    truth = (0.05 + 0.15 * torch.linspace(0, 1, height)).view(1, 1, height, 1).repeat(batch, 1, 1, width)
    wide = torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(3))
    smooth = torch.nn.functional.avg_pool2d(torch.nn.functional.pad(wide, (2, 2, 2, 2), mode="reflect"), 5, 1)
    # A neighbour is the target carried along with the opposite motion; on these planes that is exact but for sampling.
    back = {f: torch.linalg.inv(T) for f, T in motion.items()}
    neighbours = synthesise({0: truth}, back, {f: smooth for f in motion}, *camera, *RANGE).color
    return {0: smooth, **neighbours}, motion, camera, truth


def views(disp: torch.Tensor, images: dict, motion: dict, camera: tuple) -> Views:
    return synthesise({0: disp}, motion, images, *camera, *RANGE)


def distil(gate: bool = True, teacher=None, **more) -> PatchDistillation:
    return PatchDistillation(PatchRefiner(64), more.pop("by", Teller()), teacher, gate=gate, depth_range=RANGE, **more)


def run(distillation: PatchDistillation, disp: torch.Tensor, **more):
    images, motion, camera, _ = scene()
    return distillation(
        images, disp, views(disp, images, motion, camera), motion, camera, contextlib.nullcontext, **more
    )


class Truth:
    """Stands in for a refiner whose result is given."""

    def __init__(self, target: torch.Tensor):
        self.target = target

    def __call__(self, image: torch.Tensor, disp: torch.Tensor, *_: object):
        found = PatchRefiner(64).merge([], disp)
        covered = torch.ones_like(found.covered)
        return type(found)(self.target, covered, found.weight, (), covered, found.passed)


def test_the_gate_passes_better_disparities_and_stops_worse_ones():
    truth = scene()[3]
    wrong = truth * 1.4
    gate = distil()
    gate.refiner = Truth(truth)
    better = run(gate, wrong)
    assert better.passed.tolist() == [True, True] and bool(better.counted.all())
    gate.refiner = Truth(wrong)
    worse = run(gate, truth)
    assert worse.passed.tolist() == [False, False] and not bool(worse.counted.any())
    gate.refiner = Truth(torch.stack((truth[0], truth[1] * 2)))
    assert run(gate, truth * 1.4).passed.tolist() == [True, False]


def test_an_equal_disparity_does_not_pass_and_without_gate_all_do():
    truth = scene()[3]
    gate = distil()
    gate.refiner = Truth(truth)
    assert run(gate, truth).passed.tolist() == [False, False]
    gate.gate = False
    assert run(gate, truth).passed.tolist() == [True, True]


def test_masked_objects_neither_count_nor_decide():
    truth = scene()[3]
    keep = torch.ones(2, 96, 160, dtype=torch.bool)
    keep[0] = False
    keep[1, :40] = False
    gate = distil()
    gate.refiner = Truth(truth)
    found = run(gate, truth * 1.4, keep=keep)
    assert found.passed.tolist() == [False, True]
    assert torch.equal(found.counted[:, 0], keep)


def test_nothing_has_a_gradient_and_the_disparity_is_left_alone():
    disp = scene()[3].clone().requires_grad_()
    found = run(distil(gate=False), disp)
    assert not found.disparity.requires_grad and found.count > 0
    assert bool(found.disparity.isfinite().all()) and not torch.equal(found.disparity, disp)


@pytest.mark.parametrize("grid", [False, True])
def test_cached_answers_replace_the_teacher_also_in_mirrored_images(grid):
    images, motion, camera, truth = scene()
    disp = truth * torch.linspace(1, 1.5, 160)

    def teacher(x: torch.Tensor) -> torch.Tensor:
        return x.square().mean(1)

    whole = images[0].square().mean(1, keepdim=True)
    patches = PatchRefiner(64)(images[0], disp, teacher).patches[0]
    maps = whole
    if grid:
        maps = torch.zeros(2, 1 + int(patches.place.max()), 64, 64)
        maps[patches.image, patches.place] = patches.cut(whole)[:, 0]
    flip = torch.tensor([False, False])
    online, cached = run(distil(False, teacher), disp), run(distil(False), disp, cached=maps, mirrored=flip)
    assert_close(online.disparity, cached.disparity)
    if grid:  # mirrored images look up the mirrored answers of the same candidates
        flip = torch.tensor([True, True])
        turned = PatchRefiner(64)(
            images[0].flip(-1),
            disp.flip(-1),
            lambda x: x.square().mean(1),
            lookup=lambda p: maps.flip(-1)[p.image, p.place],
            mirrored=flip,
        )
        plain = PatchRefiner(64)(images[0], disp, lambda x: x.square().mean(1), lambda x: x.square().mean(1))
        assert_close(turned.disparity.flip(-1), plain.disparity, rtol=1e-4, atol=1e-5)


def test_epochs_and_intervals():
    by = Teller()
    patches = distil(by=by, epochs=(2, 4), interval=2)
    schedule = Schedule(consistency_from=1, patches=patches)
    found = []
    for epoch in range(5):
        schedule.begin_epoch(epoch)
        phases = [schedule.phase(epoch, batch) for batch in range(3)]
        found.append([(phase.consistency, phase.patches is not None) for phase in phases])
        schedule.after_step()
        schedule.end_epoch(epoch)
    assert found == [
        [(False, False)] * 3,
        [(True, False)] * 3,
        *[[(True, True), (True, False), (True, True)]] * 2,
        [(True, False)] * 3,
    ]
    assert by.told.count("begin_epoch") == 2 and by.lasts == [True, False, False, True, True]
    assert Schedule().phase(0, 0) == Phase()


def test_going_on_without_the_teacher_of_the_epoch_takes_one_and_says_so(caplog):
    by = Teller()
    schedule = Schedule(patches=distil(by=by, epochs=(2, 4)))
    by.ready = False
    schedule.go_on(1)
    assert by.told == []
    schedule.go_on(2)
    assert by.told == ["begin_epoch"] and "holds no teacher" in caplog.text
    by.ready = True
    schedule.go_on(3)
    assert by.told == ["begin_epoch"]
