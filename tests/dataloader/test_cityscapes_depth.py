"""Cityscapes as a test set of depth: which images, which truth, and what networks see."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataloader.catalog import find_loader
from dataloader.check.doctor import Options, examine
from dataloader.files import read_depth
from dataloader.items import evaluation_item
from dataloader.loaders import build_evaluation
from dataloader.samples import DepthSource, Sample
from dataloader.splits import resolve, truth_kind
from errors import UserError
from evaluation.protocols import DEPTH_PROTOCOLS
from tests import golden
from tests.dataloader import tiny

TEST = find_loader("depth", "cityscapes_test")
SIZE = (64, 128)
CAMERA = {"extrinsic": {"baseline": 0.2}, "intrinsic": {"fx": 160.0, "fy": 160.0, "u0": 64, "v0": 32}}
SCENES = [f"berlin_{sequence:06d}_000019" for sequence in range(3)] + ["bonn_000000_000019"]


def image(root: Path, name: str, folder: str = "leftImg8bit", kind: str = ".png") -> None:
    path = root / f"cityscapes/{folder}/test/{name.partition('_')[0]}/{name}_leftImg8bit{kind}"
    tiny.save(path, tiny.picture(len(name), SIZE))


def disparity(root: Path, name: str, value: int = 4 * 256 + 1, camera: bool = True) -> None:
    city = name.partition("_")[0]
    tiny.save(root / f"cityscapes/disparity/test/{city}/{name}_disparity.png", np.full(SIZE, value, np.uint16))
    if camera:
        path = root / f"cityscapes/camera/test/{city}/{name}_camera.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(CAMERA))


def maps(root: Path, count: int) -> None:
    (root / "cityscapes/gt_depths").mkdir()
    for number in range(count):
        depth = np.full(SIZE, 5 + number, np.float32)
        np.save(root / f"cityscapes/gt_depths/{number:03d}_depth.npy", depth)


def listed(root: Path, lines: list[str]) -> None:
    (root / "cityscapes/test_files.txt").write_text("\r\n".join(lines))


@pytest.fixture
def root(tmp_path) -> Path:
    for name in SCENES:
        image(tmp_path, name)
        disparity(tmp_path, name)
    return tmp_path


def test_without_a_list_annotated_frames_have_the_depth_of_their_disparity(root):
    image(root, "bonn_000000_000019", "leftImg8bit_sequence")
    image(root, "bonn_000000_000018", "leftImg8bit_sequence")
    samples = resolve(TEST, root)
    assert [sample.name for sample in samples] == SCENES
    assert "/leftImg8bit_sequence/" in samples[-1].images[0] and "/leftImg8bit/" in samples[0].images[0]
    assert np.unique(read_depth(samples[0].depth)).tolist() == [8.0]  # 0.2 m * 160 / 4
    assert truth_kind(TEST, samples) == "cityscapes disparity"


def test_the_list_says_which_map_belongs_to_an_image(root, caplog):
    maps(root, 4)
    listed(root, [f"{name.partition('_')[0]} {name}" for name in reversed(SCENES)] + [""])
    samples = resolve(TEST, root)
    assert [sample.name for sample in samples] == SCENES[::-1]
    assert [read_depth(sample.depth)[0, 0] for sample in samples] == [5, 6, 7, 8]
    assert truth_kind(TEST, samples) == "cityscapes gt_depths" and not caplog.messages


def test_maps_of_another_number_than_the_list_are_doubted_and_gaps_are_no_truth(root, caplog):
    maps(root, 1)
    listed(root, [f"leftImg8bit_sequence/test/berlin/{name}_leftImg8bit.png" for name in SCENES[:3]])
    assert [sample.depth is None for sample in resolve(TEST, root)] == [False, True, True]
    assert "1 maps for 3 lines" in caplog.text


def test_maps_without_the_list_are_not_guessed_at(root, caplog):
    maps(root, 4)
    assert {sample.depth.kind for sample in resolve(TEST, root)} == {"stereo"}
    assert "gt_depths: not used, only test_files.txt tells" in caplog.text


@pytest.mark.parametrize("line", ["berlin", "berlin berlin_0 extra line", "../x ../../etc/passwd"])
def test_a_line_that_names_no_frame_is_refused(root, line):
    listed(root, ["berlin berlin_000000_000019", line])
    with pytest.raises(UserError, match=r"test_files\.txt, line 2: .* is not '<city>"):
        resolve(TEST, root)


def test_missing_images_and_missing_truth_are_named(root):
    listed(root, [*(f"x {name}" for name in SCENES), "ulm ulm_000000_000019"])
    with pytest.raises(UserError, match=r"1 missing file: .*/leftImg8bit/test/ulm/ulm_000000_000019_leftImg8bit\.png"):
        resolve(TEST, root)
    assert len(resolve(TEST, root, drop=True)) == 4
    for path in (root / "cityscapes/disparity").rglob("*.png"):
        path.unlink()
    with pytest.raises(UserError, match="unpack disparity_trainvaltest"):
        build_evaluation(
            tiny.options(root, depth_validation_loaders=("cityscapes_test",), data_on_missing="drop"), "depth"
        )


def test_an_empty_part_says_what_to_unpack(tmp_path):
    (tmp_path / "cityscapes").mkdir()
    with pytest.raises(UserError, match="no images in leftImg8bit_sequence/test or leftImg8bit/test"):
        resolve(TEST, tmp_path)


@pytest.mark.parametrize(
    "camera", [{}, {"extrinsic": 3, "intrinsic": {}}, {**CAMERA, "intrinsic": {"fx": -1}}, {**CAMERA, "extrinsic": {}}]
)
def test_a_camera_that_is_none_is_a_fault_of_its_file(root, camera):
    path = root / f"cityscapes/camera/test/berlin/{SCENES[0]}_camera.json"
    path.write_text(json.dumps(camera))
    with pytest.raises(UserError, match=r"camera\.json: (extrinsic|intrinsic) \w+ is .*, not a positive number"):
        build_evaluation(tiny.options(root, depth_validation_loaders=("cityscapes_test",)), "depth")
    report, _ = examine(TEST, Options(dataset_dir=str(root)))
    assert any("camera.json" in fault for fault in report.faults)


def test_without_a_camera_the_usual_one_serves_and_is_told(root, caplog):
    assert truth_kind(TEST, resolve(TEST, root)) == "cityscapes disparity" and not caplog.messages
    (root / f"cityscapes/camera/test/berlin/{SCENES[0]}_camera.json").unlink()
    samples = resolve(TEST, root)
    assert read_depth(samples[0].depth)[0, 0] == pytest.approx(0.209313 * 2262.52 / 4, rel=1e-6)
    assert truth_kind(TEST, samples) == "cityscapes disparity, usual camera"
    (said,) = caplog.messages
    assert f"cityscapes/camera/test: no camera file for 1 of 4 images, such as {SCENES[0]}; baseline" in said


def test_the_doctor_finds_nothing_to_complain_of(root):
    report, tiles = examine(TEST, Options(dataset_dir=str(root)), tiles=True)
    assert not report.faults and len(tiles) == 4


def test_depth_of_a_disparity_is_that_of_the_published_code(tmp_path):
    meta, want = golden.load("cityscapes_preprocess")
    path = tiny.save(tmp_path / "disparity.png", want["disparity_png"])
    camera = tmp_path / "camera.json"
    camera.write_text(json.dumps(meta["camera"]))
    found = read_depth(DepthSource("stereo", str(path), calibration=str(camera)))
    np.testing.assert_allclose(found, want["depth_from_disparity"], rtol=1e-6)


def test_networks_see_what_the_published_loader_shows_them(tmp_path):
    meta, want = golden.load("cityscapes_preprocess")
    path = tiny.save(tmp_path / "image.png", want["raw_10"])
    depth = np.arange(np.prod(meta["raw_size"]), dtype=np.float32).reshape(meta["raw_size"])
    np.save(tmp_path / "depth.npy", depth)
    sample = Sample(
        "one", {0: str(path)}, (1.1, 2.2, 0.5, 0.5), depth=DepthSource("array", str(tmp_path / "depth.npy"))
    )
    item = evaluation_item(TEST, sample, tuple(meta["network_size"]), "lanczos")
    assert np.array_equal(item.images[0].transpose(1, 2, 0), want["eval_color_0"])
    rows = meta["raw_size"][0] * 3 // 4
    assert np.array_equal(item.truth.depth, depth[:rows]) and item.truth.image.shape[0] == rows


def test_windows_are_those_of_manydepth_and_of_sgdepth():
    found = {name: DEPTH_PROTOCOLS[name].valid(np.full((768, 2048), 9, np.float32)) for name in DEPTH_PROTOCOLS}
    for name, rows, columns in (
        ("cityscapes_test", (256, 768), (192, 1856)),
        ("cityscapes_test_sgdepth", (102, 716), (204, 1843)),
    ):
        marked = np.argwhere(found[name])
        assert (*marked.min(0), *(marked.max(0) + 1)) == (rows[0], columns[0], rows[1], columns[1])


def test_png_and_jpeg_are_found_alike(tmp_path):
    image(tmp_path, SCENES[0], "leftImg8bit_sequence", ".JPG")
    assert isinstance(Image.open(resolve(TEST, tmp_path)[0].images[0]), Image.Image)
