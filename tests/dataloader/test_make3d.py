"""Make3D as it is downloaded."""

import numpy as np
import pytest
from scipy import io

from dataloader.catalog import find_loader
from dataloader.files import read_depth
from dataloader.items import evaluation_item
from dataloader.splits import resolve
from errors import UserError
from tests.dataloader import indoor

SPEC = find_loader("depth", "make3d_test")
IDS = ("10.21op2-p-015t000", "math11-p-139t0")


@pytest.mark.parametrize("plain", [True, False])
def test_images_meet_the_laser_grid_of_their_id(tmp_path, plain):
    indoor.make3d(tmp_path / "make3d", IDS, plain)
    samples = resolve(SPEC, tmp_path)
    assert [sample.name for sample in samples] == [f"img-{name}" for name in IDS]
    for seed, sample in enumerate(samples):
        depth = np.random.default_rng(seed).uniform(2, 81, (55, 305, 4))[..., 3]
        assert (read_depth(sample.depth) == depth.astype(np.float32)).all()


def test_networks_see_the_middle_that_truth_is_compared_in(tmp_path):
    indoor.make3d(tmp_path / "make3d", IDS[:1])
    (sample,) = resolve(SPEC, tmp_path)
    item = evaluation_item(SPEC, sample, (96, 192))
    assert item.truth.image.shape == (852, 1704, 3) and item.truth.depth.shape == (21, 305)
    assert (item.truth.depth == read_depth(sample.depth)[17:38]).all()


def test_a_list_of_ids_decides(tmp_path):
    root = indoor.make3d(tmp_path / "make3d", IDS)
    (root / "test_files.txt").write_bytes(f"{IDS[1]}\r\n".encode())
    assert [sample.name for sample in resolve(SPEC, tmp_path)] == [f"img-{IDS[1]}"]
    (root / "test_files.txt").write_text(f"{IDS[1]}\nmore\n")
    with pytest.raises(UserError, match=r"1 missing file: .*img-more\.jpg"):
        resolve(SPEC, tmp_path)
    (root / "test_files.txt").write_text("../../a\n")
    with pytest.raises(UserError, match="no id of an image"):
        resolve(SPEC, tmp_path)


def test_what_is_missing_is_said_and_images_without_grid_have_no_truth(tmp_path):
    with pytest.raises(UserError, match="make3d: no such folder"):
        resolve(SPEC, tmp_path)
    (tmp_path / "make3d").mkdir()
    with pytest.raises(UserError, match="no images Test134/img-<id>.jpg"):
        resolve(SPEC, tmp_path)
    root = indoor.make3d(tmp_path / "make3d", IDS)
    (root / f"Gridlaserdata/depth_sph_corr-{IDS[0]}.mat").unlink()
    first, second = resolve(SPEC, tmp_path)
    assert first.depth is None and second.depth is not None


@pytest.mark.parametrize(
    "content, said",
    [
        ({"Other": np.zeros((55, 305, 4))}, "no variable Position3DGrid among Other"),
        ({"Position3DGrid": np.zeros((55, 305))}, "which it cannot be"),
        ({"Position3DGrid": np.zeros((55, 305, 3))}, "has 3 channels"),
        ({"Position3DGrid": "text"}, "which it cannot be"),
        (b"\0" * 200, "no MATLAB file of version 5|no variable Position3DGrid among none"),  # as SciPy takes it
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 200, "no MATLAB file of version 5"),
    ],
)
def test_a_grid_that_is_none_ends_in_a_sentence(tmp_path, content, said):
    path = indoor.make3d(tmp_path / "make3d", IDS[:1]) / f"Gridlaserdata/depth_sph_corr-{IDS[0]}.mat"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        io.savemat(path, content)
    (sample,) = resolve(SPEC, tmp_path)
    with pytest.raises(UserError, match=said):
        read_depth(sample.depth)


def test_every_cut_off_grid_ends_in_a_sentence(tmp_path):
    root = indoor.make3d(tmp_path / "make3d", IDS)
    for sample in resolve(SPEC, tmp_path):
        whole = (root / f"Gridlaserdata/{sample.depth.path.rpartition('/')[2]}").read_bytes()
        for length in (0, 10, 127, 130, 200, len(whole) // 2, len(whole) - 1):
            with open(sample.depth.path, "wb") as file:
                file.write(whole[:length])
            with pytest.raises(UserError):
                read_depth(sample.depth)
