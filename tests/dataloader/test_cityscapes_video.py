"""Cityscapes as training data of depth: frames of the download, and triplets of several makers."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataloader.catalog import find_loader
from dataloader.check.__main__ import main as doctor
from dataloader.check.doctor import Options, examine
from dataloader.files import image_size, read_image
from dataloader.items import Video
from dataloader.layouts.cityscapes_triplets import stack_of
from dataloader.loaders import build_training
from dataloader.pictures import DecodedPictures
from dataloader.prepare.__main__ import main
from dataloader.splits import resolve
from errors import UserError
from tests import golden, real_data
from tests.dataloader import tiny

TRAIN = find_loader("depth", "cityscapes_train", training=True)
SIZE = (64, 128)
CAMERA = {"extrinsic": {"baseline": 0.2}, "intrinsic": {"fx": 140.0, "fy": 150.0, "u0": 66.0, "v0": 30.0}}
INTRINSICS = (140 / 128, 150 / 48, 66 / 128, 30 / 48)  # of the upper three quarters


@pytest.fixture(autouse=True)
def told(caplog):
    caplog.set_level(logging.INFO)
    return caplog


def frame(root: Path, number: int, sequence: str = "aachen_000000", kind: str = ".png", size=SIZE) -> Path:
    city = sequence.partition("_")[0]
    folder = root / f"cityscapes/leftImg8bit_sequence/train/{city}"
    return tiny.save(folder / f"{sequence}_{number:06d}_leftImg8bit{kind}", tiny.picture(number, size))


def camera(root: Path, sequence: str = "aachen_000000", number: int = 19, content: object = CAMERA) -> Path:
    path = root / f"cityscapes/camera/train/{sequence.partition('_')[0]}/{sequence}_{number:06d}_camera.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def root(tmp_path) -> Path:
    for number in range(15, 23):
        frame(tmp_path, number)
    camera(tmp_path)
    return tmp_path


def names(root: Path) -> list[str]:
    return [sample.name for sample in resolve(TRAIN, root)]


def test_every_frame_with_neighbours_two_away_is_a_sample_of_its_upper_three_quarters(root, told):
    frame(root, 30)
    samples = resolve(TRAIN, root)
    assert [sample.name for sample in samples] == [f"aachen_000000_{number:06d}" for number in range(17, 21)]
    assert "train_files.txt, so all 4 frames count" in told.text and "prepare splits cityscapes" in told.text
    first = samples[0]
    assert list(first.images) == [0, -1, 1] and first.measured
    for offset, number in ((0, 17), (-1, 15), (1, 19)):
        assert np.array_equal(read_image(first.images[offset]), tiny.picture(number, SIZE)[:48])
        assert image_size(first.images[offset]) == (48, 128)
    assert first.intrinsics == pytest.approx(INTRINSICS)


def test_neighbours_are_of_the_same_sequence(tmp_path):
    for sequence, numbers in (("hamburg_000000", (1, 3)), ("hamburg_000001", (5, 7)), ("ulm_000000", (0, 2, 4))):
        for number in numbers:
            frame(tmp_path, number, sequence)
        camera(tmp_path, sequence)
    assert names(tmp_path) == ["ulm_000000_000002"]


def test_a_list_says_which_frames_in_which_order(root, told):
    lines = ["aachen aachen_000000_000020", "aachen aachen_000000_000018", ""]
    (root / "cityscapes/train_files.txt").write_bytes("\r\n".join(lines).encode())
    assert names(root) == ["aachen_000000_000020", "aachen_000000_000018"] and "there is no" not in told.text
    (root / "cityscapes/train_files.txt").write_text("aachen aachen_000000_000022\naachen aachen_000000_000018")
    with pytest.raises(
        UserError, match=r"1 missing file: .*/train/aachen/aachen_000000_000024_leftImg8bit\.png; unpack"
    ):
        resolve(TRAIN, root)
    assert len(resolve(TRAIN, root, drop=True)) == 1


def test_every_snippet_has_its_own_camera_the_nearest_of_its_sequence(root):
    other = {"intrinsic": {"fx": 120.0, "fy": 150.0, "u0": 66.0, "v0": 30.0}}
    for number in range(100, 105):
        frame(root, number)
    camera(root, number=110, content=other)
    found = {sample.name: sample.intrinsics[0] * 128 for sample in resolve(TRAIN, root)}
    assert found["aachen_000000_000017"] == pytest.approx(140) and found["aachen_000000_000102"] == pytest.approx(120)


def test_frames_that_were_resized_keep_the_camera_of_full_size(tmp_path):
    for number in (0, 2, 4):
        frame(tmp_path, number, size=(48, 96))
    camera(tmp_path, content={"intrinsic": {"fx": 2262.5, "fy": 2265.3, "u0": 1096.9, "v0": 513.1}})
    (sample,) = resolve(TRAIN, tmp_path)
    assert sample.intrinsics == pytest.approx((2262.5 / 2048, 2265.3 / 768, 1096.9 / 2048, 513.1 / 768))


def test_jpeg_in_capitals_serves_and_png_goes_first(root):
    frame(root, 17, kind=".jpg")
    frame(root, 23, kind=".JPG")
    samples = resolve(TRAIN, root)
    assert samples[0].images[0].endswith("000017_leftImg8bit.png::upper")
    assert samples[-1].images[1].endswith("000023_leftImg8bit.JPG::upper")


def test_missing_parts_are_named(tmp_path):
    (tmp_path / "cityscapes").mkdir()
    with pytest.raises(UserError, match="no images in leftImg8bit_sequence/train; unpack leftImg8bit_sequence_"):
        resolve(TRAIN, tmp_path)
    for number in (0, 1, 2):
        frame(tmp_path, number)
    with pytest.raises(UserError, match="no frame in leftImg8bit_sequence/train has one 2 before and 2 after it"):
        resolve(TRAIN, tmp_path)
    frame(tmp_path, 4)
    with pytest.raises(UserError, match=r"1 missing file: .*aachen_000000_000019_camera\.json; unpack .*camera_train"):
        resolve(TRAIN, tmp_path)
    camera(tmp_path, content={"intrinsic": {"fx": 1, "fy": 0, "u0": 1, "v0": 1}})
    with pytest.raises(UserError, match=r"camera\.json: intrinsic fy is 0, not a positive number"):
        resolve(TRAIN, tmp_path)


def test_a_damaged_frame_is_named_as_the_file_it_is(root):
    path = frame(root, 17)
    path.write_bytes(path.read_bytes()[:99])
    options = tiny.options(root, depth_training_loaders=("cityscapes_train",))
    maker = Video(size=(32, 64))
    with pytest.raises(UserError, match=r"000017_leftImg8bit\.png: cannot decode"):
        build_training(options, {"depth": maker})
    options.data_on_missing = "drop"
    data = build_training(options, {"depth": maker})
    assert [sample.name[-2:] for sample in data.datasets[0].samples] == ["18", "20"]


def test_a_cache_gives_the_same_pictures(root, tmp_path):
    options = tiny.options(root, depth_training_loaders=("cityscapes_train",), train_batches_per_epoch=2)
    maker = Video(size=(32, 64), filter="lanczos")
    plain = [batch.images for (batch,) in build_training(options, {"depth": maker}).epoch(1)]
    options.data_cache = str(tmp_path / "cache")
    for _ in range(2):
        cached = [batch.images for (batch,) in build_training(options, {"depth": maker}).epoch(1)]
        assert all((one == other).all() for one, other in zip(plain, cached, strict=True))


def test_the_doctor_judges_what_the_whole_camera_sees(root):
    frame(root, 17, size=SIZE)
    low = {"intrinsic": {"fx": 140.0, "fy": 140.0, "u0": 64.0, "v0": 32.0}}
    camera(root, content=low)
    report, tiles = examine(TRAIN, Options(dataset_dir=str(root)), tiles=True)
    assert not report.faults and len(tiles) == 4
    assert "fx 140.0 fy 140.0 cx 64.0 cy 32.0 pixels at 64 x 128" in str(report) and "principal point" not in str(
        report
    )
    camera(root, content={"intrinsic": {"fx": 140.0, "fy": 300.0, "u0": 64.0, "v0": 32.0}})
    assert "check the camera files" in str(examine(TRAIN, Options(dataset_dir=str(root)))[0])


def prepare(root: Path, out: Path, *words: object) -> int:
    return main([str(word) for word in ("cityscapes-triplets", "--dataset-dir", root, "--out", out, *words)])


@pytest.fixture
def published(tmp_path) -> tuple[Path, dict, dict[str, np.ndarray]]:
    """The download behind the golden numbers."""
    meta, want = golden.load("cityscapes_preprocess")
    folder = tmp_path / "cityscapes/leftImg8bit_sequence/train/testcity"
    for number in (8, 10, 12):
        tiny.save(folder / f"testcity_000003_{number:06d}_leftImg8bit.png", want[f"raw_{number}"])
    camera(tmp_path, "testcity_000003", content=meta["camera"])
    return tmp_path, meta, want


@pytest.mark.golden
def test_triplets_are_those_of_the_published_preparation(published, capsys, told):
    root, meta, want = published
    out = root / "cityscapes_triplets"
    height, width = meta["img_height_width"]
    assert prepare(root, out, "--height", height, "--width", width) == 0
    assert f"{out}: complete, 1 triplets, 1 of them made now" in capsys.readouterr().out
    assert "one of larger images" in told.text  # which is so: the golden images are reduced, their camera is not
    written = sorted(str(path.relative_to(out)) for path in out.rglob("*_0*"))
    assert written == sorted(meta["dumped"])
    image, text = (out / path for path in meta["dumped"])
    assert np.array_equal(read_image(image), want["triplet"]) and text.read_bytes() == want["cam_txt"].tobytes()


@pytest.mark.golden
def test_networks_are_trained_with_what_the_published_loader_reads(tmp_path, told):
    meta, want = golden.load("cityscapes_preprocess")
    image, text = (tmp_path / "cityscapes_triplets" / path for path in meta["dumped"])
    tiny.save(image, want["triplet"])
    camera_of(image, want["K_triplet_normalised"])
    (sample,) = resolve(TRAIN, tmp_path)
    assert sample.intrinsics == pytest.approx(tuple(want["K_triplet_normalised"][[0, 1, 0, 1], [0, 1, 2, 2]]), rel=1e-6)
    assert "its principal point lies outside the image, as in 1 of 1 camera files" in told.text
    pictures = DecodedPictures(tuple(meta["network_size"]), "lanczos")
    for offset in (-1, 0, 1):
        found = pictures.image(sample.images[offset]).transpose(1, 2, 0)
        assert np.array_equal(found, want[f"train_color_{offset}"])


@pytest.mark.golden
def test_the_first_frames_of_the_download_are_what_evaluation_sees(published):
    root, meta, want = published
    (sample,) = resolve(TRAIN, root)
    pictures = DecodedPictures(tuple(meta["network_size"]), "lanczos")
    assert np.array_equal(pictures.image(sample.images[0]).transpose(1, 2, 0), want["eval_color_0"])


def camera_of(image: Path, normalised: np.ndarray | None = None) -> None:
    """The camera file beside a triplet."""
    K = np.diag([0.9, 2.0, 1.0]) + np.array([[0, 0, 0.5], [0, 0, 0.6], [0, 0, 0]]) if normalised is None else normalised
    width, height = Image.open(image).size
    size = stack_of(str(image), (height, width)).size
    values = K * np.array([[size[1]], [size[0]], [1]])
    image.with_name(f"{image.stem}_cam.txt").write_text(",".join(f"{value:f}" for value in values.ravel()))


@pytest.mark.parametrize(("along", "kind"), [(0, ".png"), (1, ".jpg")])
@pytest.mark.parametrize("folder", ["cityscapes_triplets", "cityscapes_preprocessed", "cityscapes", "."])
def test_dumps_of_either_shape_are_recognised(tmp_path, along, kind, folder):
    frames = [np.full((24, 64, 3), 40 * (number + 1), np.uint8) for number in range(3)]
    image = tmp_path / folder / f"ulm/ulm_000001_000004{kind}"
    tiny.save(image, np.concatenate(frames, along))
    camera_of(image)
    (sample,) = resolve(TRAIN, tmp_path)
    assert sample.name == "ulm_000001_000004" and sample.intrinsics == pytest.approx((0.9, 2, 0.5, 0.6), rel=1e-5)
    for place, offset in enumerate((-1, 0, 1)):
        picture = read_image(sample.images[offset])
        assert picture.shape == (24, 64, 3) and abs(int(picture.mean()) - 40 * (place + 1)) < 3
        assert image_size(sample.images[offset]) == (24, 64)


@pytest.mark.parametrize(
    ("size", "along"),
    [((1152, 1024), "rows"), ((288, 416), "rows"), ((384, 3072), "columns"), ((128, 1248), "columns")],
)
def test_the_shape_of_usual_dumps_says_how_they_are_stacked(size, along):
    assert stack_of("x.png", size).along == along


def test_what_is_no_triplet_is_refused(tmp_path):
    image = tiny.save(tmp_path / "cityscapes_triplets/ulm/ulm_000000_000002.png", tiny.picture(0, (70, 64)))
    text = image.with_name("ulm_000000_000002_cam.txt")
    text.write_text("1,0,1,0,1,1,0,0,1")
    with pytest.raises(UserError, match="70 x 64 .* is no triplet: three frames of one size do not fill it"):
        resolve(TRAIN, tmp_path)
    tiny.save(image, tiny.picture(0, (72, 64)))
    for words in ("", "1,0,1", "1,2,1,0,1,1,0,0,1", "a,0,1,0,1,1,0,0,1", "nan,0,1,0,1,1,0,0,1", "-1,0,9,0,9,9,0,0,1"):
        text.write_text(words)
        with pytest.raises(
            UserError, match=r"ulm_000000_000002_cam\.txt: .*; make it with python -m dataloader.prepare"
        ):
            resolve(TRAIN, tmp_path)
    image.unlink()
    with pytest.raises(UserError, match=r"1 missing file: .*ulm_000000_000002\.png"):
        resolve(TRAIN, tmp_path)


def test_a_dump_goes_before_the_download_and_the_console_says_so(root, told):
    assert prepare(root, root / "cityscapes_triplets", "--height", 64, "--width", 128, "--workers", 1) == 0
    assert names(root) == [f"aachen_000000_{number:06d}" for number in range(17, 21)]
    assert f"triplets of {root}/cityscapes_triplets, all 4 of them" in told.text
    assert f" folder {root}/cityscapes_triplets samples 4 from one folder " in " ".join(
        str(examine(TRAIN, Options(str(root)))[0]).split()
    )
    (root / "cityscapes/train_files.txt").write_text("aachen aachen_000000_000018\n")
    (sample,) = resolve(TRAIN, root)
    assert sample.intrinsics == pytest.approx(INTRINSICS)
    assert np.abs(read_image(sample.images[1]).astype(int) - tiny.picture(20, SIZE)[:48]).max() == 0


def test_an_interrupted_preparation_goes_on_and_other_sizes_are_refused(root, tmp_path, capsys):
    out = tmp_path / "triplets"
    size = ("--height", 64, "--width", 128, "--workers", 1)
    assert prepare(root, out, *size) == 0
    kept = (out / "aachen/aachen_000000_000018.png").stat().st_mtime_ns
    (out / "aachen/aachen_000000_000017_cam.txt").unlink()  # which is written last
    frame(root, 23)
    capsys.readouterr()
    assert prepare(root, out, *size) == 0
    assert f"{out}: complete, 5 triplets, 2 of them made now" in capsys.readouterr().out
    assert (out / "aachen/aachen_000000_000018.png").stat().st_mtime_ns == kept
    assert prepare(root, out, "--height", 32, "--width", 64) == 2
    assert "holds triplets made as" in capsys.readouterr().err
    assert prepare(root, root / "cityscapes", *size) == 2
    assert "holds other things" in capsys.readouterr().err


def test_several_processes_make_the_same_triplets(root, tmp_path):
    frame_of = range(40, 46)
    for number in frame_of:
        frame(root, number, "bonn_000002")
    camera(root, "bonn_000002")
    for workers in (1, 2):
        assert prepare(root, tmp_path / str(workers), "--height", 64, "--width", 128, "--workers", workers) == 0
    one, two = ({path.name: path.read_bytes() for path in (tmp_path / name).rglob("*_0*")} for name in "12")
    assert one == two and len(one) == 12


@pytest.mark.parametrize(
    ("words", "sentence"),
    [(("--height", 8), "--height 8: give at least 32"), (("--workers", -1), "--workers -1: give at least 0")],
)
def test_mistakes_end_with_a_sentence(root, tmp_path, capsys, words, sentence):
    assert prepare(root, tmp_path / "out", *words) == 2 and sentence in capsys.readouterr().err
    for path in (root / "cityscapes/camera").rglob("*.json"):
        path.unlink()
    assert prepare(root, tmp_path / "out") == 2
    assert "aachen_000000_000019_camera.json: no such file, nor one of its sequence" in capsys.readouterr().err


@pytest.mark.golden
def test_real_frames_train_from_the_download(tmp_path):
    (tmp_path / "cityscapes").symlink_to(real_data.root() / "cityscapes_mini")
    (sample,) = resolve(TRAIN, tmp_path)
    assert sample.name == "aachen_000000_000019" and image_size(sample.images[1]) == (768, 2048)
    assert sample.intrinsics == pytest.approx((2262.52 / 2048, 2265.3018 / 768, 1096.98 / 2048, 513.137 / 768))
    report, _ = examine(TRAIN, Options(dataset_dir=str(tmp_path)))
    assert not report.faults and "intrinsics at" not in str(report)


def test_the_doctor_takes_the_purposes_of_the_name_that_have_images(root, capsys):
    assert doctor(["cityscapes_train", "--dataset-dir", str(root)]) == 0
    told = capsys.readouterr().out
    assert "cityscapes_train (depth training)\n" in told and "cityscapes_train (segmentation): not examined" in told
    assert doctor(["cityscapes_train", "--purpose", "segmentation", "--dataset-dir", str(root)]) == 2
    tiny.cityscapes(root)
    assert doctor(["cityscapes_train", "--dataset-dir", str(root)]) == 0
    assert "not examined" not in capsys.readouterr().out


def test_a_cache_is_filled_for_the_purpose_that_is_named(root, tmp_path, capsys):
    tiny.cityscapes(root)
    words = ["cache", "cityscapes_train", "--dataset-dir", str(root), "--height", "64", "--width", "64", "--out"]
    assert main([*words, str(tmp_path / "labels")]) == 0
    assert "0 of 8 pictures are there" in capsys.readouterr().out  # four images, four labels
    assert main([*words, str(tmp_path / "video"), "--purpose", "depth"]) == 0
    assert "0 of 8 pictures are there" in capsys.readouterr().out  # eight frames
    assert len(list((tmp_path / "video").glob("*.shard"))) == 1 < len(list((tmp_path / "labels").glob("*.shard")))
