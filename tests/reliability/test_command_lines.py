"""Random command lines end with 0 or 2, and what is wrong with them is said in a few lines without a traceback."""

from __future__ import annotations

import os
import random
import resource
import shutil
from pathlib import Path

import pytest
from PIL import Image

from arguments import COMMANDS, options_of
from presets.option import Option
from tests.commands import write_checkpoint
from tests.conftest import ROOT, tiny_options
from tests.warm import Command, Warm

pytestmark = pytest.mark.usefixtures("thin")

LINES = 5
AT_ONCE = 2
MEMORY = 4 << 30  # beyond what a process has when it starts to work
WORDS = (
    "",
    " ",
    "-",
    "--",
    "---",
    "0",
    "-1",
    "1e9",
    "nan",
    "inf",
    "-inf",
    "1e400",
    "99999999999999999999",
    "0x10",
    "1_0",
    "٣",
    "½",
    "true",
    "None",
    "ä ö",
    "日本",
    "\u202e",
    "a\nb",
    "a,b",
    ",",
    ",,",
    "..",
    "../..",
    "/",
    "/dev/null",
    "/dev/full",
    "/proc/1/x",
    "~",
    "$HOME",
    "%s",
    "{}",
    "*",
    "\\",
    "'",
    '"',
    "x" * 300,
    "\udcff",
    "=",
    "-h",
    "--help=1",
    "README.md",
    "presets/sgdem.toml",
    "presets",
)
BUDGET = ("--train-num-epochs", "--train-batches-per-epoch")
SLOW = ("--sys-num-workers", "--train-compile", "--sys-seed", "--patch-teacher", "--train-weights-init")


def little_memory() -> None:
    """What a size with too many digits asks for is refused before it hurts the machine; files go where they may."""
    limit_memory(MEMORY)
    os.chdir(os.environ["SCRATCH"])


def less_memory() -> None:
    """Too little for an image of 8192x8192."""
    limit_memory(MEMORY // 4)


def limit_memory(more: int) -> None:
    """Let this process have so many bytes of address space beyond what its imports took, which differs by version."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


@pytest.fixture(scope="module")
def place(street, tmp_path_factory) -> Path:
    """Folder with data, a checkpoint, images, and files that are none of these."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "data").symlink_to(street)
    write_checkpoint(folder / "runs/start")
    (folder / "images").mkdir()
    for name in "ab":
        Image.new("RGB", (80, 64), (90, 20, 120)).save(folder / f"images/{name}.png")
    (folder / "empty").mkdir()
    (folder / "file").write_bytes(b"\x89PNG\r\n\x1a\n\0\xff")
    (folder / "list.json").write_text("[1, 2]")
    (folder / "bad.toml").write_text("train-num-epochs = 'many'")
    return folder


def plain(command: str, place: Path, run: Path) -> list[str]:
    """A command line that works, in a second or two."""
    if command == "train":
        return [*tiny_options(place / "data", run), "--train-num-epochs", "1", "--train-batches-per-epoch", "1"]
    if command == "export":
        words = ["--method", "sgdepth", "--model-path", str(place / "runs/start"), "--height", "64", "--width", "64"]
        return [*words, "--output", str(run / "network.safetensors")]
    words = ["--method", "sgdepth", "--sys-cpu", "--sys-num-workers", "0"]
    if command == "inference":
        return [
            *words,
            "--model-path",
            str(place / "runs/start"),
            "--image-path",
            str(place / "images"),
            "--output-path",
            str(run / "out"),
            "--inference-resize-height",
            "64",
            "--inference-resize-width",
            "64",
        ]
    purpose, loader = {
        "eval_depth": ("depth", "kitti_zhou_test"),
        "eval_pose": ("pose", "kitti_odom09_validation"),
        "eval_segmentation": ("segmentation", "cityscapes_validation"),
    }[command]
    return [
        *words,
        "--dataset-dir",
        str(place / "data"),
        "--checkpoint-dir",
        str(run),
        "--model-load",
        str(place / "runs/start"),
        "--eval-num-images",
        "1",
        f"--{purpose}-validation-loaders",
        loader,
        f"--{purpose}-validation-resize-height",
        "64",
        f"--{purpose}-validation-resize-width",
        "64",
    ]


def value(rng: random.Random, option: Option, place: Path) -> str:
    """Something to give to an option: what it allows, what is near it, or anything at all."""
    kind = rng.random()
    if option.flag in BUDGET:
        return rng.choice(("0", "1", "-1", "1.5", "nan", "", "one"))
    if kind < 0.3:
        return rng.choice(WORDS)
    if kind < 0.4:
        return str(place / rng.choice(("data", "runs/start", "images", "empty", "file", "list.json", "bad.toml", "no")))
    if option.choices:
        chosen = str(rng.choice(option.choices))
        return chosen if rng.random() < 0.6 else chosen[: rng.randrange(1, 4)] + rng.choice(("", "x", chosen))
    if isinstance(option.default, int) and not isinstance(option.default, bool):
        return str(rng.choice((0, 1, 2, 3, 31, 32, 64, 96, 128, 255, 256, 4096, 10**6, 2**31, 2**63, -1, 1.5)))
    if isinstance(option.default, float):
        return str(rng.choice((0, 1, 0.5, 1e-30, 1e-300, 1e30, 1e300, -1, -0.0, 1e-7)))
    if isinstance(option.default, tuple):
        numbers = (0, 1, 19, 254, 255, 256, -3, 1e9, 74.5)
        return ",".join(str(rng.choice(numbers)) for _ in range(rng.choice((1, 3, 4, 4, 5))))
    return str(option.default) + rng.choice(("", "x", "/x", ".png"))


def random_words(rng: random.Random, command: str, place: Path) -> list[str]:
    """Two to five options of a command with values, some of them without, twice, unknown, or of another command."""
    words: list[str] = []
    for _ in range(rng.randint(2, 5)):
        owner = command if rng.random() < 0.95 else rng.choice(list(COMMANDS))
        option = rng.choice([option for option in options_of(owner) if option.flag not in SLOW])
        flag = option.flag
        if rng.random() < 0.06:
            flag = rng.choice((flag[:-1], flag + "s", flag[1:], flag.replace("-", "_"), flag.upper(), "--config"))
        if isinstance(option.default, bool):
            words += [rng.choice((flag, "--no-" + flag[2:], flag + "=1"))]
        elif rng.random() < 0.04:
            words += [flag]
        else:
            given = value(rng, option, place)
            words += [f"{flag}={given}"] if rng.random() < 0.3 else [flag, given]
    return words


def told(command: Command) -> list[str]:
    """Lines on stderr, without those that a progress bar draws."""
    lines = command.err.read_bytes().decode(errors="replace").split("\n")
    return [line for line in lines if line.strip() and "\r" not in line]


def fault(command: Command, code: int) -> str:
    """What is wrong with how a command ended, or nothing."""
    lines = told(command)
    if code not in (0, 2):
        return f"exit code {code}"
    if "Traceback" in command.stderr + command.stdout:
        return "traceback"
    if len(lines) > LINES:
        return f"{len(lines)} lines"
    return "" if code == 0 or any(line.startswith("error: ") for line in lines) else "no sentence"


def test_random_command_lines_end_with_0_or_2(place, tmp_path, warm: Warm, rounds):
    waiting, wrong, codes = [], [], []
    count = rounds(25, 300)
    for seed in range(count + AT_ONCE):
        if seed < count:
            rng = random.Random(seed)
            command, run = rng.choice(list(COMMANDS)), tmp_path / f"run{seed}"
            more = random_words(rng, command, place) if seed else []  # the first one has to work
            words = [*plain(command, place, run), *more]
            started = warm(ROOT / f"{command}.py", *words, before=little_memory, env={"SCRATCH": str(tmp_path)})
            waiting.append((seed, run, words, started))
        if seed >= AT_ONCE - 1 and waiting:
            number, run, words, started = waiting.pop(0)
            codes.append(started.wait())
            if found := fault(started, codes[-1]):
                wrong.append(f"{number}: {found}: {words[-8:]}\n{started.stderr[-1500:]}")
            shutil.rmtree(run, ignore_errors=True)
    assert not wrong, f"{len(wrong)} command lines\n" + "\n".join(wrong)
    assert 0 in codes and 2 in codes


@pytest.mark.parametrize(
    ("command", "words", "sentence"),
    [
        ("train", ["--segmentation-resize-height", "3200000"], "--segmentation-resize-height: 3200000 is out of range"),
        ("train", ["--train-tb-frequency", str(2**63)], "--train-tb-frequency: 9223372036854775808 is out of range"),
        ("eval_depth", ["--model-name", "\udcff"], "the name of the run folder is no UTF-8"),
    ],
)
def test_what_no_machine_has_is_one_sentence(place, tmp_path, warm: Warm, command, words, sentence):
    started = warm(f"{command}.py", *plain(command, place, tmp_path / "run"), *words)
    assert not fault(started, started.wait())
    assert told(started)[-1].startswith("error: ") and sentence in told(started)[-1]


def test_an_image_beyond_the_memory_is_one_sentence(place, tmp_path, warm: Warm):
    size = ["--depth-validation-resize-height", "8192", "--depth-validation-resize-width", "8192"]
    words = plain("eval_depth", place, tmp_path / "run")
    started = warm("eval_depth.py", *words, *size, before=less_memory)
    assert not fault(started, started.wait())
    assert told(started)[-1].startswith("error: the memory is exhausted; lower the batch sizes")
