"""A teacher of whole images, in the steps of every method that learns from video."""

from __future__ import annotations

import contextlib
from argparse import Namespace
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

import arguments
import methods
from dataloader.batch import Batch, to_device
from dataloader.catalog import find_loader
from dataloader.dataset import DRAWS, Key, TrainingSet
from dataloader.splits import resolve
from errors import UserError
from losses.relative import standardised
from methods import METHODS
from methods.video.look import Seen
from methods.video.teaching import Teaching, check_teaching
from methods.video.training import VideoTraining
from models.prediction import Outputs
from perspective_resample.rearrange import permuted_back
from perspective_resample.views import synthesise

pytestmark = pytest.mark.usefixtures("thin")

VIDEO = [
    name
    for name, each in METHODS.items()
    if any(title.startswith("teacher of") for title, _ in each.options.get("train", ()))
]
WORDS = [
    "--sys-cpu",
    "--train-weights-init",
    "scratch",
    "--depth-resize-height",
    "64",
    "--depth-resize-width",
    "96",
    "--teacher",
    "mine",
    "--teacher-loss-weight",
    "0.5",
]
CROP = ["--segmentation-crop-height", "64", "--segmentation-crop-width", "96"]
SMALL = {
    "bdedepth": ["--model-backbone", "resnet"],
    "sgdepth": CROP,
    "sgdem": ["--no-patch-distill", "--model-num-layers", "18", *CROP],
}


class StandIn(nn.Module):
    """Says what a place looks like, and something else of mirrored images where they are dark."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Tensor] = []

    def forward(self, rgb: Tensor) -> Tensor:
        self.asked.append(rgb)
        return 300 * rgb.mean(1) - 40


def parsed(method: str, *words: str) -> Namespace:
    return arguments.parse("train", ["--method", method, *WORDS, *SMALL.get(method, []), *words])


def built(method: str, *words: str, teacher: nn.Module | None = None) -> tuple[nn.Module, VideoTraining]:
    args = parsed(method, *words)
    torch.manual_seed(0)
    network = methods.building(method).network(args).train()
    opened: Callable[..., nn.Module] = lambda name, asked: teacher or StandIn()  # noqa: E731
    return network, methods.training(method).training(args, network, opened, contextlib.nullcontext)


@pytest.fixture(scope="module")
def data(street) -> Callable[..., Batch]:
    """Batches of two samples of a method, as its items make them."""

    def batch(method: str, epoch: int = 0, flip: bool | None = None, **more: object) -> Batch:
        spec = find_loader("depth", "kitti_zhou_train", training=True)
        maker = methods.building(method).items(parsed(method))["depth"]
        training_set = TrainingSet(spec, resolve(spec, street), maker, **more)
        raw = training_set.__getitems__([Key(epoch, 0, 0), Key(epoch, 0, 1)])
        return to_device(raw if flip is None else replace(raw, flip=torch.tensor([flip, flip])), "cpu")

    return batch


def test_all_methods_that_learn_from_video_have_the_same_options():
    assert VIDEO == ["sgdem", "sgdepth", "monodepth2", "bdedepth"]


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("sgdem", ()),
        ("sgdepth", ("--teacher-gate", "photometric")),
        ("monodepth2", ("--teacher-loss", "ranking")),
        ("bdedepth", ("--teacher-loss", "ssi", "--teacher-gate", "uncertainty")),
        ("bdedepth", ("--teacher-loss", "ranking", "--teacher-gate", "photometric")),
    ],
)
def test_a_step_learns_from_the_teacher_and_comes_again_as_it_was(data, method, words):
    teacher = StandIn()
    network, training = built(method, *words, teacher=teacher)
    batch = data(method, pairs=range(9))
    (outcome,) = training.step(network, [batch], 0, 0)
    term = outcome.terms["loss_teacher"]
    judged = "photometric" not in words  # new networks say nearly the same of all pixels, which moves none
    assert teacher.asked and (term.item() > 0 or not judged)
    plain_network, plain = built(method, "--teacher-loss-weight", "0")
    (without,) = plain.step(plain_network, [batch], 0, 0)
    torch.testing.assert_close(outcome.total - term, without.total)
    assert "loss_teacher" not in without.terms and without.found.get("taught") is None
    term.backward()
    assert not judged or max(float(p.grad.abs().max()) for p in network.parameters() if p.grad is not None) > 0
    pictures, measures = outcome.look.pictures(), outcome.look.measures()
    assert pictures["teacher"].shape[0] == 3 and 0 <= measures["teacher_counted"].item() <= 1
    assert "answers of the teacher" in outcome.numbers[0]
    number = len(teacher.asked)
    (again,) = training.again(network, [batch], [outcome.found])
    assert again.total.item() == outcome.total.item() and len(teacher.asked) == number


@pytest.mark.parametrize("method", VIDEO)
def test_the_teacher_is_in_no_optimiser_checkpoint_or_network(method):
    teacher = nn.Conv2d(3, 1, 1)
    network, training = built(method, teacher=teacher)
    theirs = {id(p) for p in teacher.parameters()}
    assert not theirs & {id(p) for group in training.groups for p in group["params"]}
    assert not theirs & {id(p) for p in network.parameters()} and not theirs & {
        id(p) for p in training.objective.parameters()
    }
    assert all(not isinstance(part, Teaching) for part in training.parts.values())
    assert training.schedule.teaching.teacher is teacher


def test_epochs_and_decay():
    _, training = built(
        "monodepth2", "--teacher-from-epoch", "2", "--teacher-until-epoch", "5", "--teacher-decay", "0.5"
    )
    lessons = [training.schedule.phase(epoch, 3).lesson for epoch in range(7)]
    assert [lesson and lesson.weight for lesson in lessons] == [None, None, 0.5, 0.25, 0.125, None, None]
    _, training = built("monodepth2", "--teacher-decay", "0")
    assert [bool(training.schedule.phase(epoch, 0).lesson) for epoch in (0, 1, 19)] == [True, False, False]
    _, training = built("monodepth2")
    assert training.schedule.phase(19, 0).lesson.weight == 0.5


def test_the_teacher_sees_images_as_recorded_and_its_answers_turn_with_them(data):
    _, training = built("monodepth2", "--teacher-gate", "uncertainty")
    teaching = training.schedule.teaching
    straight, turned = (data("monodepth2", flip=flip) for flip in (False, True))
    answers = [teaching.ask(batch, contextlib.nullcontext) for batch in (straight, turned)]
    assert torch.equal(answers[0], answers[1].flip(-1)) and answers[0].shape == (2, 2, 64, 96)
    assert torch.equal(*(seen for seen in teaching.teacher.asked[::2]))
    assert torch.equal(answers[0][:, :1], answers[0][:, 1:])  # it says the same of mirrored images
    cached = replace(turned.raw, guide=answers[0])
    assert torch.equal(teaching.ask(to_device(cached, "cpu"), contextlib.nullcontext), answers[1])
    assert len(teaching.teacher.asked) == 4


def test_views_are_compared_with_their_part_of_the_answer(data):
    """A teacher whose answer is the picture itself: what a window shows is the answer to the window."""
    network, training = built("bdedepth")
    batch = data("bdedepth")
    training.autocast = contextlib.nullcontext
    seen = {}
    plain = Teaching.compare

    def compare(self, view, answer, counted, draws):
        seen[len(seen)] = (view, answer)
        return plain(self, view, answer, counted, draws)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Teaching, "compare", compare)
        (outcome,) = training.step(network, [batch], 0, 0)
    image, local, reshuffled = (seen[number] for number in range(3))
    assert torch.equal(image[1], reshuffled[1])
    expected = 300 * batch.views["local"].images[0].mean(1, keepdim=True) - 40
    apart = (standardised(local[1]) - standardised(expected)).abs()
    assert apart.mean() < 0.2  # of their spread: one is enlarged from the small image, one from the file
    unmoved = (standardised(image[1]) - standardised(expected)).abs()
    assert apart.mean() < 0.3 * unmoved.mean()
    restored = permuted_back(
        network.outputs(batch.views["reshuffled"].inputs[0], ("depth",)).disp[0], batch.views["reshuffled"].place
    )
    assert reshuffled[0].prediction.disp[0].shape == restored.shape


def test_the_photometric_gate_opens_where_the_teacher_explains_the_neighbours_better(data):
    """Left half: the student's disparity moves pixels as the neighbour has them; right half: the teacher's does."""
    _, training = built("monodepth2", "--teacher-gate", "photometric")
    teaching = training.schedule.teaching
    batch = data("monodepth2", flip=False)
    true = torch.linspace(0.1, 0.5, 64).view(1, 1, 64, 1).expand(2, 1, 64, 96).contiguous()
    motion = {1: torch.eye(4).repeat(2, 1, 1)}
    motion[1][:, 0, 3] = 0.02
    # The image is what its neighbour shows of it with the true depth.
    image = synthesise({0: true}, motion, batch.images, batch.K, batch.inv_K, *teaching.depth_range).color[1]
    batch = replace(batch, images={**batch.images, 0: image})
    wrong = true.flip(2)
    left = torch.arange(96) < 48
    own = torch.where(left, true, wrong)
    views = synthesise({0: own}, motion, batch.images, batch.K, batch.inv_K, *teaching.depth_range)
    seen = Seen(batch, Outputs(disp={0: own}, motion=motion), views)
    counted = teaching.counted(seen, true)
    assert counted.shape == (2, 1, 64, 96) and counted.dtype == torch.bool
    assert counted[..., :44].float().mean() < 0.05 < 0.7 < counted[..., 52:].float().mean()


def test_pairs_are_drawn_by_seed_epoch_and_index_and_leave_all_else_as_it_was(data):
    first, same, other, none = (
        data("monodepth2", epoch, pairs=epochs)
        for epoch, epochs in ((1, range(1, 3)), (1, range(1, 3)), (2, range(1, 3)), (1, range(0)))
    )
    assert first.draws.shape == (2, *DRAWS) and torch.equal(first.draws, same.draws)
    assert not torch.equal(first.draws, other.draws) and not torch.equal(first.draws[0], first.draws[1])
    assert none.draws is None and all(torch.equal(first.inputs[f], none.inputs[f]) for f in none.inputs)
    assert data("monodepth2", 3, pairs=range(1, 3)).draws is None
    assert not torch.equal(first.draws, data("monodepth2", 1, pairs=range(1, 3), seed=2).draws)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--teacher", ""), "nobody teaches; name a checkpoint or a frozen network by --teacher"),
        (("--teacher", "none"), "nobody teaches"),
        (("--teacher-from-epoch", "4", "--teacher-until-epoch", "4"), "4: must be below --teacher-until-epoch 4"),
    ],
)
def test_what_cannot_be_taught_is_said_in_a_sentence(words, sentence):
    with pytest.raises(UserError, match=sentence):
        check_teaching(parsed("monodepth2", *words))


def test_options_without_effect_are_told(caplog):
    check_teaching(parsed("monodepth2", "--teacher-loss-weight", "0", "--teacher-gate", "uncertainty"))
    assert "--teacher, --teacher-gate: without effect unless --teacher-loss-weight is above 0" in caplog.text
    caplog.clear()
    check_teaching(parsed("monodepth2", "--teacher-from-epoch", "20"))
    assert "--teacher-from-epoch 20: never reached with --train-num-epochs 20" in caplog.text
    caplog.clear()
    check_teaching(parsed("monodepth2"))
    assert not caplog.text
