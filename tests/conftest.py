"""Things many tests share: a tiny street, and commands run as a user runs them."""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from filelock import FileLock

from tests import golden

# What takes seconds to import is imported by whoever needs it: the process that only hands out tests does not.
if TYPE_CHECKING:
    from tests.warm import Command, Warm

ROOT = Path(__file__).parents[1]
Run = Callable[..., "Command"]
LONG = {f"test_{name}" for name in "app cold_starts dying_processes train_step memory benchmarks bad_steps".split()}
"""Files with a test that takes 8 seconds or more."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """How much is tested: the faults of tests/reliability/ as often as promised, or nothing that needs files."""
    parser.addoption(
        "--full",
        action="store_true",
        help="inject every fault as often as promised, export every method: takes much longer",
    )
    parser.addoption(
        "--no-golden", action="store_true", help="leave out the tests that need golden files or real recordings"
    )


def pytest_sessionstart(session: pytest.Session) -> None:
    """A missing folder is a mistake, so that no comparison is left out unseen."""
    import_in_turn(session.config)
    for folder, variable in ((golden.FOLDER, "GOLDEN_DIR"), (golden.RECORDINGS, "REAL_DATA_DIR")):
        if not folder.is_dir() and not session.config.option.no_golden:
            raise pytest.UsageError(
                f"{folder}: no such folder; set {variable}, or leave out the tests that need it with --no-golden"
            )


def import_in_turn(config: pytest.Config) -> None:
    """Let every worker begin with other test modules: what one has rewritten for its assertions, the others read."""
    worker = getattr(config, "workerinput", None)
    if worker is None or sys.dont_write_bytecode or config.args != config.getini("testpaths"):
        return
    modules = [path.relative_to(ROOT).with_suffix("") for path in sorted((ROOT / "tests").rglob("test_*.py"))]
    first = len(modules) * int(worker["workerid"].removeprefix("gw")) // worker["workercount"]
    for module in modules[first:] + modules[:first]:
        with contextlib.suppress(Exception, pytest.skip.Exception):  # collection tells what is wrong
            importlib.import_module(".".join(module.parts))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what reads files from outside; ``--no-golden`` does not collect it: what does not run counts nowhere.

    Files with a test that takes long come first, so that no process is left alone with it in the end.
    """
    items.sort(key=lambda item: item.path.stem not in LONG)
    for item in items:
        fixtures = [fixture.func for known in item._fixtureinfo.name2fixturedefs.values() for fixture in known]
        if any(map(golden.read_by, (item.function, *fixtures))):
            item.add_marker("golden")
    if config.option.no_golden:
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("golden")])
        items[:] = [item for item in items if not item.get_closest_marker("golden")]


def pytest_collection_finish() -> None:
    """What has been imported and collected stays: looking it over for garbage takes half a second, again and again."""
    gc.collect()
    gc.freeze()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Files from outside are for marked tests alone, those that ``--no-golden`` leaves out."""
    golden.allow(item.get_closest_marker("golden") is not None)


@pytest.fixture(autouse=True)
def nothing_is_known_of_files() -> None:
    """A folder may have the name of one in which an earlier test of this process had looked at files."""
    if integrity := sys.modules.get("dataloader.integrity"):
        integrity._sound.clear()


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Small tensors gain nothing from threads, and results do not depend on their number."""
    import torch

    torch.set_num_threads(1)


def leave_writing_to_the_system() -> None:
    """From now on this process does not wait until a disk has what it writes: nobody cuts the power of a test.

    Waiting takes no time of the processor, and longer than most tests; commands in new interpreters wait.
    """
    os.fsync = lambda handle: None


@pytest.fixture(autouse=True, scope="session")
def no_waiting_for_disks() -> Iterator[None]:
    """What is tested of writing is what processes see of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", os.fsync)  # comes back
        leave_writing_to_the_system()
        yield


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder that all processes of this test session share."""
    base = tmp_path_factory.getbasetemp()
    return base if worker_id == "master" else base.parent


@pytest.fixture(scope="session")
def street(shared_folder: Path) -> Path:
    """Data set folder with a small synthetic street, 64x128 frames; made once, read only."""
    from street import write_dataset

    folder = shared_folder / "street"
    with FileLock(folder.with_suffix(".lock")):
        if not (folder / "whole").exists():
            write_dataset(folder / "data", drives=2, frames=4, height=64, width=128, seed=3, workers=1)
            (folder / "whole").touch()
    return folder / "data"


@pytest.fixture(scope="module")
def thin() -> Iterator[None]:
    """Networks of a module's tests have an eighth of their width, those of the commands they start as well."""
    from tests.thin import thin_networks

    with thin_networks():
        yield


@pytest.fixture
def thin_here() -> Iterator[None]:
    """As `thin`, for one test of a module that needs whole networks as well."""
    from tests.thin import thin_networks

    with thin_networks():
        yield


@pytest.fixture
def whole_here() -> Iterator[None]:
    """Whole networks for one test of a module that is `thin`."""
    from tests.thin import thin_networks

    with thin_networks(False):
        yield


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Run one of the commands; ``run("train.py", "--help", env={...})`` gives its outcome with text output."""
    from tests.warm import Warm

    commands = Warm(tmp_path_factory.mktemp("commands"))
    yield commands.run
    commands.end()


@pytest.fixture
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm]:
    """Start commands in warm processes: ``warm("train.py", *words)`` is a `Command`; all are gone after the test."""
    from tests.warm import Warm

    commands = Warm(tmp_path_factory.mktemp("outputs"))
    yield commands
    commands.end()


def tiny_options(data: Path | str, checkpoints: Path) -> list[str]:
    """Options with which training on the tiny street takes seconds: 64x64 networks, two epochs of three steps."""
    values = {
        "--dataset-dir": data,
        "--checkpoint-dir": checkpoints,
        "--sys-num-workers": 0,
        "--train-weights-init": "scratch",
        "--train-num-epochs": 2,
        "--train-batches-per-epoch": 3,
        "--train-print-frequency": 1,
        "--train-tb-frequency": 2,
        "--train-checkpoint-frequency": 1,
        "--model-depth-resolutions": 2,
        "--depth-training-loaders": "kitti_zhou_train",
        "--depth-training-batch-size": 2,
        "--depth-resize-height": 64,
        "--depth-resize-width": 64,
        "--segmentation-training-batch-size": 1,
        "--segmentation-resize-height": 96,
        "--segmentation-resize-width": 192,
        "--segmentation-crop-height": 64,
        "--segmentation-crop-width": 64,
        "--depth-validation-loaders": "",
        "--segmentation-validation-loaders": "",
        "--depth-validation-resize-height": 64,
        "--depth-validation-resize-width": 64,
        "--segmentation-validation-resize-height": 64,
        "--segmentation-validation-resize-width": 64,
    }
    return ["--method", "sgdepth", "--sys-cpu", *(str(word) for pair in values.items() for word in pair)]
