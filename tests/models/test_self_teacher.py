"""A network that teaches itself leaves no trace in the one that learns."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from models.self_teacher import EMA_DECAY, SelfTeacher
from models.sgdepth import SGDepth

pytestmark = pytest.mark.usefixtures("thin")


@pytest.fixture
def network() -> SGDepth:
    torch.manual_seed(0)
    return SGDepth(resolutions=1, disparity_bias=0).train()


IMAGE = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def changed(network: SGDepth) -> None:
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.01)
    network(({0: IMAGE},), ("depth",))  # running statistics move too


def answer(network: SGDepth) -> torch.Tensor:
    was = network.training
    network.eval()
    with torch.no_grad():
        found = network.depth_branch()(IMAGE)
    network.train(was)
    return found


@pytest.mark.parametrize("kind", ["snapshot", "ema", "student"])
def test_a_call_changes_nothing_in_the_network(network, kind):
    teacher = SelfTeacher(network, kind)
    teacher.begin_epoch()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    found = teacher(IMAGE)
    assert found.shape == (2, 1, 64, 64) and not found.requires_grad and network.training
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    assert all(p.requires_grad for p in network.parameters())
    assert len(list(network.parameters())) == len(list(SGDepth(resolutions=1).parameters()))
    assert_close(found, answer(network))


def test_a_snapshot_stays_until_the_next_epoch(network):
    teacher = SelfTeacher(network, "snapshot")
    teacher.begin_epoch()
    first = answer(network)
    changed(network)
    teacher.after_step()
    assert torch.equal(teacher(IMAGE), first) and not torch.equal(answer(network), first)
    teacher.end_epoch(last=False)
    assert teacher.state_dict() == {}
    teacher.begin_epoch()
    assert torch.equal(teacher(IMAGE), answer(network))


def test_the_running_mean_follows_slowly(network):
    teacher = SelfTeacher(network, "ema")
    teacher.begin_epoch()
    before = network.common.encoder.encoder.conv1.weight.detach().clone()
    changed(network)
    teacher.after_step()
    key = "common.encoder.encoder.conv1.weight"
    found = teacher.state_dict()["branch"][key]
    assert_close(found, EMA_DECAY * before + (1 - EMA_DECAY) * network.common.encoder.encoder.conv1.weight)
    buffer = "common.encoder.encoder.bn1.running_mean"
    assert torch.equal(teacher.state_dict()["branch"][buffer], network.state_dict()[buffer])
    teacher.end_epoch(last=False)
    teacher.begin_epoch()  # the mean goes on over epochs
    assert torch.equal(teacher.state_dict()["branch"][key], found)
    teacher.end_epoch(last=True)
    assert teacher.state_dict() == {} and not teacher.ready


def test_the_student_is_the_network_as_it_is_now(network):
    teacher = SelfTeacher(network, "student")
    changed(network)
    assert torch.equal(teacher(IMAGE), answer(network)) and teacher.state_dict() == {}


def test_a_fixed_teacher_never_changes(network):
    other = SGDepth(resolutions=1, disparity_bias=1).depth_branch()
    teacher = SelfTeacher(network, fixed=other)
    teacher.begin_epoch()
    first = teacher(IMAGE)
    changed(network)
    teacher.after_step()
    assert torch.equal(teacher(IMAGE), first) and teacher.state_dict() == {}
    assert not any(p.requires_grad for p in other.parameters())


@pytest.mark.parametrize("kind", ["snapshot", "ema"])
def test_a_run_that_goes_on_inside_an_epoch_has_the_same_teacher(network, kind):
    teacher = SelfTeacher(network, kind)
    teacher.begin_epoch()
    changed(network)
    teacher.after_step()
    again = SelfTeacher(network, kind)
    again.load_state_dict(teacher.state_dict())
    assert torch.equal(again(IMAGE), teacher(IMAGE))
    changed(network)
    for one in (teacher, again):
        one.after_step()
    assert torch.equal(again(IMAGE), teacher(IMAGE))
    other = SelfTeacher(network, "student")
    other.load_state_dict(teacher.state_dict())
    assert torch.equal(other(IMAGE), answer(network))
    missing = SelfTeacher(network, "snapshot")
    missing.load_state_dict({"kind": "another"})
    assert not missing.ready and SelfTeacher(network, "student").ready
