"""A network that says NaN is never judged or shown as if it said depth."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.commands import write_checkpoint

pytestmark = pytest.mark.usefixtures("thin")

PURPOSES = {"depth": "kitti_zhou_test", "segmentation": "cityscapes_validation", "pose": "kitti_odom09_validation"}


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint whose every output is NaN."""
    folder = write_checkpoint(tmp_path_factory.mktemp("broken") / "start")
    state = torch.load(folder / "model.pth", weights_only=True)
    for name, value in state.items():
        if name.endswith("bias") and name.startswith(("depth.", "seg.", "pose.")):
            value.fill_(torch.nan)
    torch.save(state, folder / "model.pth")
    return folder


@pytest.mark.parametrize("purpose", PURPOSES)
def test_evaluation_names_the_first_image_and_keeps_no_table(broken, street, tmp_path, warm, purpose):
    judged = warm.run(
        f"eval_{purpose}.py",
        "--method",
        "sgdepth",
        "--sys-cpu",
        "--sys-num-workers",
        0,
        "--dataset-dir",
        street,
        "--checkpoint-dir",
        tmp_path,
        "--model-load",
        broken,
        f"--{purpose}-validation-resize-height",
        64,
        f"--{purpose}-validation-resize-width",
        64,
        f"--{purpose}-validation-loaders",
        PURPOSES[purpose],
    )
    assert judged.wait() == 2, judged.stderr
    last = judged.stderr.splitlines()[-1]
    assert last.startswith("error: ") and "the network gives NaN or infinite numbers for" in last
    assert not list(tmp_path.rglob("metrics*"))


def test_inference_fails_for_each_image(broken, street, tmp_path, warm):
    images = next((street / "kitti").rglob("image_02/data"))
    done = warm.run(
        "inference.py",
        "--method",
        "sgdepth",
        "--sys-cpu",
        "--model-path",
        broken,
        "--image-path",
        images,
        "--output-path",
        tmp_path / "out",
        "--inference-resize-height",
        64,
        "--inference-resize-width",
        64,
        "--save-arrays",
    )
    assert done.wait() == 2, done.stderr  # of all
    assert done.stderr.count("the network gives NaN or infinite numbers for it") == len(list(images.iterdir()))
    assert not list((tmp_path / "out").iterdir())
