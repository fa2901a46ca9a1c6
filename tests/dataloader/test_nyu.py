"""NYU Depth v2 in each of its forms, and what is said of damaged ones."""

import shutil
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest

from dataloader import nyu_files
from dataloader.catalog import find_loader
from dataloader.dataset import Key, TrainingSet
from dataloader.files import image_size, open_rgb, read_depth, read_image
from dataloader.integrity import find_damaged, needed
from dataloader.items import evaluation_item
from dataloader.measured import Measured
from dataloader.splits import resolve, truth_kind
from dataloader.truth import size_doubts
from errors import UserError
from tests import golden, real_data
from tests.dataloader import indoor
from tests.dataloader.tiny import picture, save

WHOLE, STRUCT = find_loader("depth", "nyu_v2_test"), find_loader("depth", "nyu_v2_struct_test")
TRAIN, OFFICIAL = (find_loader("depth", f"nyu_v2_{name}train", training=True) for name in ("", "official_"))
DENSE = find_loader("depth", "nyu_v2_dense_test")


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    indoor.labelled(tmp_path / "nyu_v2")
    return tmp_path


def extracted(root: Path, place: str = "official_splits/test") -> Path:
    for room, number in (("kitchen", 3), ("bathroom", 2)):
        save(root / f"nyu_v2/{place}/{room}/rgb_{number:05d}.jpg", picture(number, indoor.SIZE))
        depth = (indoor.room_depth(number) * 1000).astype(np.uint16)
        save(root / f"nyu_v2/{place}/{room}/sync_depth_{number:05d}.png", depth)
    return root


def test_the_labelled_file_gives_its_test_images_upright_and_framed_in_black(labelled):
    samples = resolve(WHOLE, labelled)
    assert [sample.name for sample in samples] == ["home_office/rgb_00001", "bathroom/rgb_00002", "kitchen/rgb_00003"]
    for number, sample in enumerate(samples, start=1):
        expected = np.zeros((*indoor.SIZE, 3), np.uint8)
        expected[7:474, 7:632] = picture(number, indoor.SIZE)[7:474, 7:632]
        assert (read_image(sample.images[0]) == expected).all()
        assert (read_depth(sample.depth) == indoor.room_depth(number)).all()
        assert image_size(sample.images[0]) == indoor.SIZE
        assert {*needed(sample)} == {str(labelled / "nyu_v2/nyu_depth_v2_labeled.mat")}
    assert not find_damaged(path for sample in samples for path in needed(sample))
    assert not size_doubts(samples)


@pytest.mark.parametrize("place", ["official_splits/test", "nyu_depth_v2/official_splits/test", "test"])
def test_extracted_images_are_found_where_people_have_them(tmp_path, place):
    samples = resolve(WHOLE, extracted(tmp_path, place))
    assert [sample.name for sample in samples] == ["bathroom/rgb_00002", "kitchen/rgb_00003"]
    depth = read_depth(samples[0].depth)
    assert depth.dtype == np.float32 and np.abs(depth - indoor.room_depth(2)).max() <= 1e-3


@pytest.mark.parametrize("lines", ["{} {} 518.8579\n", "/{} /{} 518.8579\r\n", "test/{} test/{} test/dense/x.png\n"])
def test_a_list_decides_in_every_form_that_circulates(tmp_path, lines):
    extracted(tmp_path)
    pairs = [("kitchen/rgb_00003.jpg", "kitchen/sync_depth_00003.png"), ("bathroom/rgb_00002.jpg", "None")]
    text = "".join(lines.format(*pair) for pair in pairs).replace("test/None", "None").replace("/None", "None")
    (tmp_path / "nyu_v2/test_files.txt").write_bytes(text.encode())
    first, second = resolve(WHOLE, tmp_path)
    assert (first.name, second.name) == ("kitchen/rgb_00003", "bathroom/rgb_00002")
    assert first.depth is not None and second.depth is None


def test_a_listed_image_that_is_missing_is_named_or_left_out(tmp_path):
    extracted(tmp_path)
    index = tmp_path / "nyu_v2/test_files.txt"
    index.write_text("kitchen/rgb_00003.jpg kitchen/sync_depth_00003.png\nfoyer/rgb_1.jpg foyer/sync_depth_1.png\n")
    with pytest.raises(UserError, match=r"2 missing files: .*foyer/rgb_1\.jpg"):
        resolve(WHOLE, tmp_path)
    assert len(resolve(WHOLE, tmp_path, drop=True)) == 1
    index.write_text("../secret.jpg a.png\n")
    with pytest.raises(UserError, match=r"test_files\.txt, line 1: .* below the data folder"):
        resolve(WHOLE, tmp_path)


def test_all_forms_show_the_same_truth(labelled):
    from dataloader.prepare.__main__ import main

    before = {sample.name: sample for sample in resolve(WHOLE, labelled)}
    assert main(["nyu", "--dataset-dir", str(labelled)]) == 0
    after = {sample.name: sample for sample in resolve(WHOLE, labelled)}
    assert before.keys() == after.keys()
    for name, sample in after.items():
        raw, stored = read_depth(before[name].depth), cv2.imread(sample.depth.path, cv2.IMREAD_UNCHANGED)
        assert (stored == (raw * np.float32(1000)).astype(np.uint16)).all()
        assert (read_depth(sample.depth) == stored.astype(np.float32) / np.float32(1000)).all()
        assert Path(sample.depth.path).relative_to(labelled / "nyu_v2/official_splits/test").parts[0] in indoor.ROOMS
        difference = read_image(sample.images[0]).astype(int) - read_image(before[name].images[0])
        assert np.abs(difference).mean() < 2
        dense = Path(sample.depth.path).parent / f"dense/sync_depth_dense_{name[-5:]}.png"
        assert cv2.imread(str(dense), cv2.IMREAD_UNCHANGED).min() == 500


def test_extraction_completes_a_folder_and_says_what_it_cannot_read(labelled, tmp_path, capsys):
    from dataloader.prepare.__main__ import main

    source, out = labelled / "nyu_v2", tmp_path / "out"
    words = ["nyu", "--mat", str(source / "nyu_depth_v2_labeled.mat"), "--splits", str(source / "splits.mat")]
    assert main([*words, "--out", str(out)]) == 0
    lost = out / "nyu_v2/official_splits/test/kitchen/rgb_00003.jpg"
    content = lost.read_bytes()
    lost.unlink()
    assert main([*words, "--out", str(out)]) == 0
    assert lost.read_bytes() == content
    capsys.readouterr()
    assert main(["nyu", "--dataset-dir", str(out)]) == 2
    assert "nyu_depth_v2_labeled.mat" in capsys.readouterr().err
    (source / "splits.mat").write_bytes(b"MATLAB 5.0 MAT-file, but cut off")
    assert main([*words, "--out", str(tmp_path / "other")]) == 2
    assert "no MATLAB file of version 5" in capsys.readouterr().err and not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    "numbers, said",
    [((0, 2), "not numbers from 1 to 4"), ((2, 2), "each once"), ((2, 5), "from 1 to 4"), ((1.5, 2), "not numbers")],
)
def test_numbers_of_splits_mat_count_from_one(labelled, numbers, said):
    from scipy import io

    io.savemat(labelled / "nyu_v2/splits.mat", {"testNdxs": np.array(numbers)[:, None]})
    with pytest.raises(UserError, match=said):
        resolve(WHOLE, labelled)


def test_what_is_missing_is_said(tmp_path):
    with pytest.raises(UserError, match="nyu_v2: no such folder"):
        resolve(WHOLE, tmp_path)
    (tmp_path / "nyu_v2").mkdir()
    with pytest.raises(UserError, match=r"neither official_splits/test nor nyu_depth_v2_labeled\.mat"):
        resolve(WHOLE, tmp_path)
    with pytest.raises(UserError, match=r"no nyu_test/\*\.h5 there"):
        resolve(STRUCT, tmp_path)
    indoor.labelled(tmp_path / "nyu_v2")
    (tmp_path / "nyu_v2/splits.mat").unlink()
    with pytest.raises(UserError, match=r"splits\.mat is missing"):
        resolve(WHOLE, tmp_path)


def test_the_test_set_of_structdepth(tmp_path):
    indoor.struct_test(tmp_path / "nyu_v2/nyu_test", ("00002", "00001"))
    samples = resolve(STRUCT, tmp_path)
    assert [sample.name for sample in samples] == ["00001", "00002"]
    item = evaluation_item(STRUCT, samples[0], (96, 128))
    assert item.images[0].shape == (3, 96, 128)
    assert (item.truth.image == picture(1, indoor.SIZE)[44:471, 40:601]).all()
    assert (item.truth.depth == indoor.room_depth(1)[44:471, 40:601]).all()


def damaged_copies(folder: Path) -> dict[str, Path]:
    whole = indoor.struct_test(folder / "whole", ("1",)) / "1.h5"
    made = {name: folder / f"{name}.h5" for name in ("cut", "noise", "links", "far", "kind", "shape", "huge")}
    made["cut"].write_bytes(whole.read_bytes()[:4096])
    made["noise"].write_bytes(b"no HDF5 at all")
    shutil.copy(whole, folder / "other.h5")
    with h5py.File(made["links"], "w") as file:
        file["rgb"] = h5py.ExternalLink("other.h5", "rgb")
    with h5py.File(made["far"], "w") as file:
        file.create_dataset("rgb", (3, 4, 4), "u1", external=[(str(folder / "other.h5"), 0, 48)])
    with h5py.File(made["kind"], "w") as file:
        file["rgb"] = np.zeros((3, 4, 4), np.float32)
    with h5py.File(made["shape"], "w") as file:
        file["rgb"] = np.zeros((4, 4, 3), np.uint8)
    with h5py.File(made["huge"], "w") as file:
        file.create_dataset("rgb", (3, 1 << 20, 1 << 20), "u1", chunks=(3, 1 << 10, 1 << 10))
    return made


def test_damaged_and_hostile_files_end_in_a_sentence(tmp_path):
    for name, path in damaged_copies(tmp_path).items():
        with pytest.raises(UserError, match=rf"{name}\.h5") as caught:
            open_rgb(nyu_files.member(str(path), "rgb"))
        assert "fetch" in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(UserError, match="no such file"):
        open_rgb(nyu_files.member(str(tmp_path / "absent.h5"), "rgb"))


def test_a_labelled_file_without_its_rooms_is_refused(labelled):
    with h5py.File(labelled / "nyu_v2/nyu_depth_v2_labeled.mat", "a") as file:
        room = file.create_dataset("#refs#/bad", data=np.array([[ord(letter)] for letter in "../up"], np.uint16))
        file["sceneTypes"][0, 1] = room.ref
    with pytest.raises(UserError, match=r"'\.\./up' is no kind of room"):
        resolve(WHOLE, labelled)


@pytest.mark.golden
def test_real_images_are_read_in_both_forms(tmp_path):
    (tmp_path / "nyu_v2").symlink_to(real_data.root() / "nyu_mini")
    (extracted_one,), (struct,) = resolve(WHOLE, tmp_path), resolve(STRUCT, tmp_path)
    assert extracted_one.name == "sample_basement/rgb_00001"
    near, same = read_depth(extracted_one.depth), read_depth(struct.depth)
    assert near.shape == same.shape == indoor.SIZE and np.abs(near - same).max() < 1.1e-3 and (same > 0).mean() > 0.5
    colours = np.abs(read_image(extracted_one.images[0]).astype(int) - read_image(struct.images[0]))
    assert colours.mean() < 5  # a JPEG of it


@pytest.mark.golden
def test_the_view_of_the_test_images_is_the_published_one(tmp_path):
    meta, want = golden.load("nyu_preprocess")
    raw = golden.uniform(901, 1, 3, 30, 40)
    import torch

    enlarged = torch.nn.functional.interpolate(torch.from_numpy(raw), (480, 640), mode="bilinear", align_corners=False)
    image = (enlarged * 255).round()[0].byte().numpy()
    with h5py.File(tmp_path / "1.h5", "w") as file:
        file["rgb"], file["depth"] = image, golden.uniform(902, 480, 640) * 9 + np.float32(0.5)
    (tmp_path / "nyu_v2/nyu_test").mkdir(parents=True)
    shutil.move(tmp_path / "1.h5", tmp_path / "nyu_v2/nyu_test/1.h5")
    (sample,) = resolve(STRUCT, tmp_path)
    item = evaluation_item(STRUCT, sample, tuple(meta["size"]), "lanczos")
    assert np.abs(item.images[0].transpose(1, 2, 0).astype(int) - want["test_color"]).max() <= 2
    assert item.truth.depth.shape == tuple(want["test_depth_shape"])
    step = -(-427 // want["test_depth_sample"].shape[0])
    np.testing.assert_allclose(item.truth.depth[::step, ::step], want["test_depth_sample"], rtol=1e-6)
    height, width = meta["size"]
    normalised = item.K / np.array([width, height, 1, 1], np.float32)[:, None]
    np.testing.assert_allclose(normalised, want["K_test_normalised"], rtol=1e-5, atol=1e-6)


def test_a_path_that_merely_looks_alike_is_one_of_a_file(tmp_path):
    path = save(tmp_path / "a.h5::rgb.png", picture(1))
    assert open_rgb(path).size == (80, 24) and not nyu_files.is_member(path)
    assert nyu_files.container(str(path)) == str(path)


def sync(root: Path, place: str = "sync", count: int = 3) -> Path:
    """Training frames of BTS or LapDepth in two scenes, depth of 1 + number metres."""
    for scene, number in ((scene, number) for scene in ("bathroom_0001", "cafe_0001a") for number in range(count)):
        save(root / f"nyu_v2/{place}/{scene}/rgb_{number:05d}.jpg", picture(number, indoor.SIZE))
        counts = np.full(indoor.SIZE, 1000 * (1 + number), np.uint16)
        save(root / f"nyu_v2/{place}/{scene}/sync_depth_{number:05d}.png", counts)
    return root


@pytest.mark.parametrize(
    ("line", "dense"),
    [
        ("/bathroom_0001/rgb_{0}.jpg /bathroom_0001/sync_depth_{0}.png 518.8579", False),
        ("bathroom_0001/rgb_{0}.jpg bathroom_0001/sync_depth_{0}.png", False),
        ("sync/bathroom_0001/rgb_{0}.jpg sync/bathroom_0001/sync_depth_{0}.png", False),
        (
            "bathroom_0001/rgb_{0}.jpg bathroom_0001/sync_depth_{0}.png "
            "bathroom_0001/dense/sync_depth_dense_{0}.png 518.8579",
            True,
        ),
    ],
)
def test_both_generations_of_training_lists_are_read(tmp_path, line, dense):
    sync(tmp_path)
    save(tmp_path / "nyu_v2/sync/bathroom_0001/dense/sync_depth_dense_00001.png", np.full(indoor.SIZE, 4000, np.uint16))
    (tmp_path / "nyu_v2/train_files.txt").write_text("".join(line.format(f"{n:05d}") + "\r\n" for n in (2, 1)))
    first, second = resolve(TRAIN, tmp_path)
    assert (first.name, second.name) == ("bathroom_0001/rgb_00002", "bathroom_0001/rgb_00001")
    assert (read_depth(first.depth)[0, 0], read_depth(second.depth)[0, 0]) == (3, 2)
    assert first.dense is None and read_depth(second.dense)[0, 0] == 4  # listed, or found beside the truth


@pytest.mark.parametrize("place", ["sync", "nyu_depth_v2/sync"])
def test_without_a_list_all_training_frames_are_there(tmp_path, caplog, place):
    sync(tmp_path, place)
    with caplog.at_level("INFO"):
        assert len(resolve(TRAIN, tmp_path)) == 6
    assert "no list" in caplog.text and "all 6 images, of 2 scenes" in caplog.text


def test_the_list_of_training_frames_on_disk_is_kept_by_a_command(tmp_path):
    from dataloader.prepare.__main__ import main

    sync(tmp_path)
    save(tmp_path / "nyu_v2/sync/cafe_0001a/dense/sync_depth_dense_00000.png", np.full(indoor.SIZE, 1, np.uint16))
    before = resolve(TRAIN, tmp_path)
    assert main(["lists", "nyu_v2_train", "--dataset-dir", str(tmp_path)]) == 0
    lines = (tmp_path / "nyu_v2/train_files.txt").read_text().splitlines()
    assert lines[0] == "bathroom_0001/rgb_00000.jpg bathroom_0001/sync_depth_00000.png"
    assert lines[3].split()[2] == "cafe_0001a/dense/sync_depth_dense_00000.png"
    assert resolve(TRAIN, tmp_path) == before


def test_a_list_of_what_is_not_extracted_is_refused(labelled, capsys):
    from dataloader.prepare.__main__ import main

    assert main(["lists", "nyu_v2_test", "--dataset-dir", str(labelled)]) == 2
    assert (
        "its images lie in the .mat file; extract them with python -m dataloader.prepare nyu" in capsys.readouterr().err
    )


def test_the_doctor_names_the_list(tmp_path, capsys):
    from dataloader.check.__main__ import main

    sync(tmp_path)
    assert main(["nyu_v2_train", "--dataset-dir", str(tmp_path)]) == 0
    assert "none, all images there" in capsys.readouterr().out
    path = tmp_path / "nyu_v2/train_files.txt"
    path.write_text("cafe_0001a/rgb_00000.jpg cafe_0001a/sync_depth_00000.png 518.8579\n")
    assert main(["nyu_v2_train", "--dataset-dir", str(tmp_path)]) == 0 and str(path) in capsys.readouterr().out


def test_training_sees_the_part_of_the_frames_that_was_measured(tmp_path):
    sync(tmp_path, count=1)
    data = TrainingSet(TRAIN, resolve(TRAIN, tmp_path), Measured(), seed=1)
    raw = data.__getitems__([Key(0, 0, 0)])
    whole = read_image(data.samples[0].images[0])
    assert np.array_equal(raw.images[0, 0].permute(1, 2, 0), whole[45:472, 43:608]) and raw.depth.min() == 1


def test_missing_training_frames_are_said_with_another_loader(tmp_path, labelled):
    with pytest.raises(UserError, match="no folder sync; unpack .*, or train with nyu_v2_official_train"):
        resolve(TRAIN, labelled)


def test_the_official_training_images_come_from_the_labelled_file_or_its_extraction(labelled):
    from dataloader.prepare.__main__ import main

    (before,) = resolve(OFFICIAL, labelled)
    assert before.name == "kitchen/rgb_00000" and (read_depth(before.depth) == indoor.room_depth(0)).all()
    assert read_depth(before.dense).min() == 0.5
    assert main(["nyu", "--dataset-dir", str(labelled), "--part", "train"]) == 0
    (after,) = resolve(OFFICIAL, labelled)
    assert after.name == before.name and after.depth.path.startswith(f"{labelled}/nyu_v2/official_splits/train/")
    assert np.abs(read_depth(after.dense) - read_depth(before.dense)).max() <= 1e-3
    assert after.window is None


@pytest.mark.parametrize("extract", [False, True])
def test_one_loader_of_the_test_images_has_their_depth_without_gaps(labelled, extract):
    from dataloader.prepare.__main__ import main

    assert not extract or main(["nyu", "--dataset-dir", str(labelled)]) == 0
    samples = resolve(DENSE, labelled)
    assert len(samples) == 3 and all(read_depth(sample.depth).min() == 0.5 for sample in samples)
    assert truth_kind(DENSE, samples) == "nyu_v2, filled" and truth_kind(WHOLE, samples) == "nyu_v2"
