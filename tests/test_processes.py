"""Training on several processes: the numbers of one, one voice, and an end for all where one ends."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import arguments
import methods
import train
from dataloader.batch import Batch
from dataloader.order import Order
from engine import ranks
from engine.device import prepare_torch
from engine.optimizer import Rule, Schedule
from engine.updates import Updates
from errors import UserError
from losses.consistency import SemanticDepthConsistency
from losses.depth import DepthLoss
from losses.masking import DynamicClassMask
from losses.objective import Objective
from losses.patches.loss import PatchLoss
from losses.patches.refine import Refined
from losses.semantic import SegmentationLoss
from methods.video.schedule import Phase
from methods.video.step import compare
from models.sgdepth import SGDepth
from perspective_resample.views import synthesise
from tests.batches import batch_of
from tests.commands import Ranks, surroundings
from tests.conftest import tiny_options
from tests.dataloader.tiny import build_training
from tests.warm import Warm

pytestmark = pytest.mark.usefixtures("thin")

RUN = Path("sgdepth_eccv_test/sgdepth_base")
RESAMPLE = partial(synthesise, depth_min=0.1, depth_max=100.0)


# What each of two processes does, and one alone.


def batches(rank: int, count: int) -> list[Batch]:
    """A depth batch of 4 / count and a segmentation batch of 2 / count random images, with unequal shares of labels."""
    generator = torch.Generator().manual_seed(1)
    images = {f: torch.rand(4, 3, 64, 64, generator=generator) for f in (0, -1, 1)}
    image, labels = (
        torch.rand(2, 3, 64, 64, generator=generator),
        torch.randint(0, 19, (2, 64, 64), generator=generator),
    )
    labels[0, :40] = 255
    K = torch.eye(4)
    K[0, 0], K[1, 1], K[0, 2], K[1, 2] = 40, 40, 32, 32

    def share(values: Tensor) -> Tensor:
        return values.chunk(count)[rank]

    frames = {frame: share(picture) for frame, picture in images.items()}
    return [
        batch_of("depth", frames, K=K.repeat(4 // count, 1, 1)),
        batch_of("segmentation", {0: share(image)}, share(labels), K.repeat(2 // count, 1, 1)),
    ]


def train_a_little(rank: int, count: int) -> dict[str, object]:
    """Two steps of two batches each, with statistics of batch normalisation that stay: losses, weights, threshold."""
    torch.manual_seed(22)  # a network that sees some of the classes that move
    model = SGDepth(resolutions=2, disparity_bias=0.0).to(memory_format=torch.channels_last).eval()
    with torch.no_grad():
        model.depth.multires.convs[0].weight.mul_(20)  # a rough disparity
    objective = Objective(
        DepthLoss(),
        SegmentationLoss(denominator=ranks.denominator),
        consistency=SemanticDepthConsistency(denominator=ranks.denominator),
        consistency_weight=10.0,
    )
    common = {"gather": ranks.all_gather, "is_first": ranks.is_first()}
    masking = DynamicClassMask(0, 20, False, 0.3, classes=[7], **common)  # of which it sees a lot
    data, found = batches(rank, count), []
    optimizer = torch.optim.SGD(model.parameters(), 1e-4, fused=True)
    updates = Updates(
        optimizer,
        Schedule(optimizer, Rule(steps=2)),
        torch.amp.GradScaler("cpu", enabled=False),
        accumulate=2,
        batches=4,
    )
    network = ranks.wrap_in_ddp(model, partly_idle=False)
    for batch in range(4):
        with updates.collecting(network, batch):
            outcomes = compare(
                network, objective, data, RESAMPLE, contextlib.nullcontext, Phase(masking, consistency=True)
            )
            updates(sum(outcome.total for outcome in outcomes), 0, batch)
        terms = [outcome.total for outcome in outcomes] + [outcomes[0].terms["loss_sd"]]
        found.append(ranks.all_reduce_mean(torch.stack(terms).detach()))
    kept = masking.state_dict()
    masking.load_state_dict(kept)
    return {
        "losses": torch.stack(found),
        "weights": model.state_dict(),
        "ious": masking.ious(),
        "masking": masking.end_epoch(0),
    }


def patch_loss(rank: int, count: int, pixels: int) -> Tensor:
    """Loss of this share of two images, in the first of which `pixels` count."""
    disp, target = torch.rand(2, 2, 1, 16, 16, generator=torch.Generator().manual_seed(2))
    counted = torch.zeros(2, 1, 16, 16, dtype=torch.bool)
    counted[0].view(-1)[:pixels] = True
    mine = [values.chunk(count)[rank] for values in (disp, target, counted)]
    passed = torch.ones(2 // count, dtype=torch.bool)
    loss = PatchLoss(denominator=ranks.denominator)
    return loss(mine[0], Refined(mine[1], mine[2], mine[1], (), mine[2], passed))


def one_task(rank: int, count: int) -> dict[str, Tensor]:
    """Statistics and weights after a step in which half of a network is idle and each process sees other images."""
    torch.manual_seed(rank)  # the weights of the first process are to count
    model = nn.ModuleDict({"used": nn.BatchNorm1d(3), "idle": nn.Linear(3, 3)})
    model.forward = lambda values: model["used"](values)
    network = ranks.wrap_in_ddp(model, partly_idle=True)
    network(torch.full((2, 3), float(rank)) + torch.tensor([[-1.0], [1.0]])).square().sum().backward()
    ranks.average_batchnorm_statistics(model)
    return model.state_dict()


def said(call: object) -> str:
    with contextlib.suppress(UserError):
        call()
        return ""
    try:
        call()
    except UserError as error:
        return str(error)


def meet(rank: int) -> dict[str, object]:
    """What processes tell each other."""

    def fails(which: int) -> None:
        with ranks.raising_on_all_ranks():
            if rank == which:
                raise UserError(f"image of {rank}: damaged")

    def fetches() -> None:
        with ranks.raising_on_all_ranks(), ranks.local_rank_0_first():
            if rank == 0:
                raise UserError("weights: not there")

    def draws() -> list[int]:
        return list(ranks.in_lockstep(range(3)))

    return {
        "place": ranks.rank_and_size(),
        "first": ranks.is_first(),
        "largest": ranks.all_reduce_max(130 + 13 * rank),
        "gathered": ranks.all_gather(torch.arange(rank + 1)),
        "items": draws(),
        "faults": [said(partial(fails, which)) for which in (0, 1, 2)],
        "fetched": said(fetches),
        "alike": [said(partial(ranks.require_equal, "differ", *values)) for values in ((1, 2), (1, rank))],
        "heard": [ranks.first_to_say(line) for line in ("a", "b", "a")],
    }


def work(folder: Path) -> None:
    """All of the above in one of two processes."""
    ranks.join()
    rank, _ = ranks.rank_and_size()
    found = {
        "training": train_a_little(rank, 2),
        "patches": [patch_loss(rank, 2, n) for n in (0, 1, 100)],
        "one_task": one_task(rank, 2),
        "meeting": meet(rank),
    }
    torch.save(found, folder / f"{rank}.pt")
    ranks.leave()
    os._exit(0)  # as commands do


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm]:
    """Starts what the tests of this module share."""
    commands = Warm(tmp_path_factory.mktemp("outputs"))
    yield commands
    commands.end()


@pytest.fixture(scope="module")
def two(commands: Warm, tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    """What `work` found in each of two processes."""
    folder = tmp_path_factory.mktemp("two")
    code = f"from pathlib import Path\nfrom tests.test_processes import work\nwork(Path({str(folder)!r}))"
    both = Ranks.start(commands, "-c", code)
    assert both.wait() == [0, 0], both.stderr
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in (0, 1)]


@pytest.fixture(scope="module")
def alone() -> dict[str, object]:
    """The same training in one process."""
    return train_a_little(0, 1)


def test_half_the_batch_in_each_of_two_processes_gives_the_losses_and_weights_of_one(two, alone):
    both = [found["training"] for found in two]
    assert alone["losses"].min() > 0 and alone["losses"][0, 0] != alone["losses"][2, 0]
    for found in both:
        torch.testing.assert_close(found["losses"], alone["losses"], rtol=1e-6, atol=1e-7)
        assert list(found["weights"]) == list(alone["weights"])
        for name, value in found["weights"].items():
            torch.testing.assert_close(value, alone["weights"][name], rtol=1e-5, atol=1e-6)
            assert torch.equal(value, both[0]["weights"][name])


def test_the_threshold_of_the_masking_is_that_of_all_images_and_loading_counts_none_twice(two, alone):
    both = [found["training"] for found in two]
    assert len(alone["ious"]) == 16 and len({*alone["ious"]}) > 4
    for found in both:
        np.testing.assert_allclose(sorted(found["ious"]), sorted(alone["ious"]), rtol=1e-3)
        assert found["masking"] == both[0]["masking"]
        assert found["masking"] == pytest.approx(alone["masking"], rel=1e-3)


@pytest.mark.parametrize(("index", "pixels"), [(0, 0), (1, 1), (2, 100)])
def test_the_mean_over_unequal_numbers_of_pixels_is_that_of_all(two, index, pixels):
    found = [process["patches"][index].item() for process in two]
    assert found[1] == 0 and sum(found) / 2 == pytest.approx(patch_loss(0, 1, pixels).item(), rel=1e-6)


def test_statistics_are_averaged_and_weights_start_as_in_the_first_process(two):
    for found in (process["one_task"] for process in two):
        torch.testing.assert_close(found["used.running_mean"], torch.full((3,), 0.05))  # momentum 0.1, means 0 and 1
        assert torch.equal(found["idle.weight"], two[0]["one_task"]["idle.weight"])


def test_processes_agree_and_a_mistake_of_one_is_that_of_all(two):
    for rank, found in enumerate(process["meeting"] for process in two):
        assert (found["place"], found["first"], found["largest"]) == ((rank, 2), rank == 0, 143)
        assert found["gathered"].tolist() == [0, 0, 1] and found["items"] == [0, 1, 2]
        assert found["faults"] == ["image of 0: damaged", "image of 1: damaged", ""]
        assert found["alike"] == ["", "differ"] and found["fetched"] == "weights: not there"
    heard = [process["meeting"]["heard"] for process in two]
    assert [sum(words) for words in zip(*heard, strict=True)] == [1, 1, 1]


def test_alone_nothing_is_shared():
    count = torch.tensor(3)
    assert ranks.all_reduce_mean(count) is count and ranks.denominator(count) == 3 and ranks.all_reduce_max(143) == 143
    assert ranks.rank_and_size() == (0, 1) and ranks.first_to_say("a") and ranks.first_to_say("a")
    model = nn.Linear(1, 1)
    assert ranks.wrap_in_ddp(model, partly_idle=True) is model
    with pytest.raises(UserError, match="a: b"), ranks.raising_on_all_ranks():
        raise UserError("a: b")


class Numbered:
    """Eleven samples."""

    seed, spec = 1, SimpleNamespace(domain="numbered")

    def __len__(self) -> int:
        return 11


@pytest.mark.parametrize("start", [0, 2])
def test_processes_draw_slices_of_the_batch_one_process_would_draw(start):
    def drawn(size: int, place: tuple[int, int]) -> list[list]:
        order = Order(Numbered(), size, place)
        order.epoch, order.start, order.stop = 3, start, 5
        return list(order)

    whole = drawn(4, (0, 1))
    slices = [drawn(2, (rank, 2)) for rank in (0, 1)]
    assert len(whole) == 5 - start and whole[-1][0].number == 2  # two batches of four in every pass
    assert [first + second for first, second in zip(*slices, strict=True)] == whole


def test_a_batch_size_counts_in_every_process(street, tmp_path):
    args = arguments.parse("train", [*tiny_options(street, tmp_path), "--depth-training-batch-size", "5"])
    assert build_training(args).lengths == (8, 8)
    with pytest.raises(UserError, match="--depth-training-batch-size 5 in each of 2 processes: .* has 8 samples"):
        build_training(args, (1, 2))


def test_batch_normalisation_over_all_processes_needs_gpus_and_keeps_the_keys(street, tmp_path, monkeypatch, caplog):
    args = arguments.parse("train", [*tiny_options(street, tmp_path), "--train-sync-batchnorm"])
    train.check(args, methods.building("sgdepth").check)
    assert "--train-sync-batchnorm: without effect on one process" in caplog.text
    among_two(monkeypatch)
    with pytest.raises(UserError, match="--train-sync-batchnorm: .* GPUs only; pass --no-train-sync-batchnorm"):
        train.check(args, methods.building("sgdepth").check)
    model = SGDepth(resolutions=1)
    keys = list(model.state_dict())
    assert list(nn.SyncBatchNorm.convert_sync_batchnorm(model).state_dict()) == keys


def among_two(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in surroundings(1, 29500).items():
        monkeypatch.setenv(name, value)


def test_every_process_has_a_gpu_of_its_own(monkeypatch):
    chosen = []
    among_two(monkeypatch)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    args = SimpleNamespace(
        command="train",
        sys_device="auto",
        sys_cpu=False,
        sys_seed=1,
        sys_best_effort_determinism=False,
        train_precision="fp32",
    )
    assert prepare_torch(args) == torch.device("cuda:1") and chosen == [1]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UserError, match=r"more processes than there are GPUs \(1\)"):
        prepare_torch(args)


# The command, as torchrun starts it.


def options(data: Path, folder: Path) -> list[str]:
    """One triplet per process, statistics of masking from the first epoch on, an optimiser step per two batches."""
    return [
        *tiny_options(data, folder),
        "--depth-training-batch-size",
        "1",
        "--masking-enable",
        "--masking-from-epoch",
        "0",
        "--masking-linear-increase",
        "--train-accumulate",
        "2",
    ]


def weights(folder: Path) -> dict[str, Tensor]:
    return torch.load(folder / "model.pth", weights_only=True)


@pytest.fixture(scope="module")
def trained(street: Path, commands: Warm, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("trained")
    words = ["--segmentation-validation-loaders", "cityscapes_validation", "--sys-num-workers", "1"]
    both = Ranks.start(commands, "train.py", *options(street, folder), *words)
    assert both.wait() == [0, 0], both.stderr
    return folder / RUN, both.stdout


def test_one_process_speaks_and_writes_a_checkpoint_as_alone(trained, street, tmp_path):
    folder, output = trained
    assert len(re.findall(r"^epoch \d/2 batch \d/3 \|", output, re.MULTILINE)) == 6
    assert output.count("masking: threshold") == 2 and output.count("cityscapes_val_seg: meaniou") == 2
    assert [len([*(folder / name).iterdir()]) for name in ("train", "validation", "images")] == [1, 1, 1]
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == ["epoch_1", "epoch_2"]
    plain = methods.building("sgdepth").network(arguments.parse("train", options(street, tmp_path)))
    assert list(weights(folder / "checkpoints/epoch_2")) == list(plain.state_dict())
    kept = torch.load(folder / "checkpoints/epoch_2/train.pth", weights_only=True)
    assert len(kept["masking"]["ious"]) == 6  # three steps of one triplet in each of two processes
    assert json.loads((folder / "opt.json").read_text())["depth_training_batch_size"] == 1


def test_a_signal_to_one_process_stops_all_and_they_go_on_bit_for_bit(trained, street, tmp_path, warm):
    both = Ranks.start(warm, "train.py", *options(street, tmp_path))
    both.commands[0].until("epoch 1/2 batch 1/3")
    os.kill(both.commands[1].pid, signal.SIGTERM)
    assert both.wait() == [143, 143], both.stderr
    assert "stopped; saved" in both.stdout
    ((saved),) = [path.name for path in (tmp_path / RUN / "checkpoints").iterdir()]
    assert "_batch_" in saved or saved == "epoch_1"
    both = Ranks.start(warm, "train.py", *options(street, tmp_path), "--resume", "auto")
    assert both.wait() == [0, 0], both.stderr
    assert both.stdout.count("going on from") == 1
    whole, resumed = (weights(folder / "checkpoints/epoch_2") for folder in (trained[0], tmp_path / RUN))
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())


def test_a_damaged_image_of_one_process_is_one_sentence_and_the_run_is_saved(street, tmp_path, warm):
    data = tmp_path / "data"
    subprocess.run(["cp", "-r", street, data], check=True)
    words = options(data, tmp_path / "runs")
    labelled = build_training(arguments.parse("train", words)).datasets[1]
    order = Order(labelled, 1, (1, 2))
    order.start, order.stop = 2, 3
    ((key,),) = order
    path = Path(labelled.samples[key.index].images[0])
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255  # head and end stay whole, so only decoding finds it
    path.write_bytes(content)
    both = Ranks.start(warm, "train.py", *words)
    assert both.wait() == [2, 2] and both.stderr.count("error: ") == 1, both.stderr
    assert str(path) in both.stderr and 'train.py", line' not in both.stderr
    assert "stopped; saved" in both.stdout
    assert [path.name for path in (tmp_path / "runs" / RUN / "checkpoints").iterdir()] == ["epoch_0_batch_2"]


ENDS = {
    "mistake": "raise UserError('a: b')",
    "bug": "rank == 1 and 1 / 0",
    "kill": "rank == 1 and os.kill(os.getpid(), 9)",
}


@pytest.mark.parametrize(
    ("how", "codes", "last"),
    [
        ("mistake", [2, 2], "error: a: b"),
        ("bug", [2, 1], "ZeroDivisionError: division by zero"),
        ("kill", [2, -9], None),
    ],
)
def test_a_process_that_ends_ends_the_other_with_a_sentence(warm, how, codes, last, command="train"):
    code = (
        "import harness, os\nfrom errors import UserError\nfrom engine import ranks\ndef run(args):\n"
        f"    rank = ranks.rank_and_size()[0]\n    {ENDS[how]}\n    ranks.all_reduce_max()\n"
        f"harness.main('{command}', run)"
    )
    both = Ranks.start(warm, "-c", code)
    assert both.wait(40) == codes, both.stderr
    first, second = (each.stderr for each in both.commands)
    if how == "mistake":
        assert first + second == f"{last}\n"
    else:
        assert first.startswith("error: another process of this run has ended") and first.count("\n") == 1
        assert second.strip().endswith(last or "")


def test_inference_refuses_to_be_several(warm):
    sentence = "error: inference.py: works in one process; start it with python instead of torchrun"
    test_a_process_that_ends_ends_the_other_with_a_sentence(warm, "mistake", [2, 2], sentence, command="inference")
