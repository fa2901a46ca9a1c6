"""Inference on images, folders and videos: what is written, and what happens to bad input."""

from __future__ import annotations

import itertools
import logging
import os
import re
import signal
import time
import weakref
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

import arguments
import inference
from errors import UserError
from models.lapdepth import LapDepth
from models.prediction import Prediction
from perspective_resample.depth import DepthMap
from tests import commands, golden, real_data
from visual import fit
from visual.inputs import output_names
from visual.plan import build_fit
from visual.results import Found, Job, ResultFolder
from visual.video import VideoWriter, describe

pytestmark = pytest.mark.usefixtures("thin")

HEIGHT, WIDTH = 64, 128


@pytest.fixture(scope="module")
def model_path(tmp_path_factory) -> Path:
    return commands.write_checkpoint(tmp_path_factory.mktemp("checkpoint") / "epoch_1") / "model.pth"


def make_photo(height: int = 50, width: int = 90, seed: int = 0) -> Image.Image:
    noise = np.random.RandomState(seed).randint(0, 256, (height // 10, width // 10, 3)).astype(np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BILINEAR)


def flags(model_path: Path, source: Path, target: Path, *more: object) -> list[str]:
    return [
        *map(
            str,
            (
                "--sys-cpu",
                "--method",
                "sgdepth",
                "--model-path",
                model_path,
                "--image-path",
                source,
                "--output-path",
                target,
                "--inference-resize-height",
                HEIGHT,
                "--inference-resize-width",
                WIDTH,
                *more,
            ),
        )
    ]


def infer(*what: object) -> int:
    return inference.infer(arguments.parse("inference", flags(*what)))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_network_input_matches_the_published_one():
    meta, want = golden.load("sgdepth_inference")
    levels, seed, *size = map(
        int,
        re.search(r"floor\((\d+)\*uniform\((\d+),(\d+),(\d+),(\d+)\)", meta["inputs"]["image (RGB, uint8)"]).groups(),
    )
    repeat = int(re.search(r"repeated (\d+)x", meta["inputs"]["image (RGB, uint8)"])[1])
    image = np.floor(levels * golden.uniform(seed, *size)).astype(np.uint8).repeat(repeat, 0).repeat(repeat, 1)
    found = fit.network_input(image, tuple(meta["inputs"]["network size"])).astype(np.float32) / 255
    normalised = (found - np.float32([0.485, 0.456, 0.406])) / np.float32([0.229, 0.224, 0.225])
    np.testing.assert_allclose(normalised.transpose(2, 0, 1)[None], want["network_input"], atol=1e-5)


@pytest.mark.parametrize(
    "files, expected",
    [
        ("a.png b.jpg", "a b"),
        ("src.one.png src.two.png", "src.one src.two"),
        ("a.png a.jpg b.jpg", "a_png a_jpg b"),
        ("a.png a.jpg a_png.png a_png_png.jpg", "a_png a_jpg a_png_png a_png_png_jpg"),
    ],
)
def test_output_names_are_the_stems_and_stay_unique(files, expected):
    assert list(output_names({Path(name): Path(name) for name in files.split()}).values()) == expected.split()


def test_one_image_gives_the_picture_and_the_arrays(model_path, tmp_path, run):
    make_photo().save(tmp_path / "my.photo.png")
    target = tmp_path / "not" / "there" / "yet"
    done = run(
        "inference.py",
        *flags(model_path, tmp_path / "my.photo.png", target, "--save-arrays", "--output-format", ".png"),
    )
    assert done.returncode == 0, done.stderr
    assert "Mean forward time" in done.stdout
    assert names(target) == {"my.photo.png", "my.photo_disp.npy", "my.photo_depth.npy", "my.photo_seg.npy"}
    assert "1 picture, 1 disparity in 1/m up to scale, 1 seg, 1 depth in metres up to scale" in done.stdout
    disp, depth, ids = (np.load(target / f"my.photo_{kind}.npy") for kind in ("disp", "depth", "seg"))
    assert (disp.dtype, disp.shape) == (np.float32, (HEIGHT, WIDTH)) and 0.01 <= disp.min() < disp.max() <= 10
    assert (depth.dtype, depth.shape) == (np.float32, (50, 90)) and 0.1 <= depth.min() < depth.max() <= 100
    resized = torch.nn.functional.interpolate(torch.from_numpy(disp)[None, None], (50, 90), mode="bilinear")
    np.testing.assert_allclose(depth, 1 / resized[0, 0].numpy(), rtol=1e-4)
    assert (ids.dtype, ids.shape) == (np.uint8, (50, 90)) and ids.max() < 20
    picture = np.asarray(Image.open(target / "my.photo.png"))
    assert picture.shape == (150, 90, 3)
    assert (picture[:50] == np.asarray(make_photo())).all()


def test_a_folder_of_every_colour_mode_is_done_in_full(model_path, tmp_path):
    source, target = tmp_path / "in", tmp_path / "out"
    (source / "sub.png").mkdir(parents=True)
    photo = make_photo()
    photo.convert("L").save(source / "grey.png")
    photo.convert("RGBA").save(source / "alpha.png")
    photo.quantize(16).save(source / "palette.png")
    photo.convert("CMYK").save(source / "print.jpg")
    photo.convert("1").save(source / "binary.png")
    photo.save(source / "UPPER.JPG")
    Image.fromarray(np.asarray(photo.convert("L")).astype(np.uint16) * 257).save(source / "deep.png")
    make_photo(200, 30).save(source / "tall.png")
    make_photo(10, 10).save(source / "tiny.png")
    (source / "notes.txt").write_text("no image")
    (source / ".hidden.png").write_bytes(b"")
    assert infer(model_path, source, target) == 0
    assert names(target) == {f"{stem}.jpg" for stem in "grey alpha palette print binary UPPER deep tall tiny".split()}
    assert Image.open(target / "tall.jpg").size == (30, 600)
    grey, deep = (np.asarray(Image.open(target / f"{stem}.jpg")).astype(int)[:50] for stem in ("grey", "deep"))
    assert np.abs(grey - deep).max() <= 2


def predictor(model_path: Path, batch: int) -> inference.Predictor:
    found = inference.Predictor(arguments.parse("inference", flags(model_path, Path("in"), Path("out"))))
    found.batch = batch
    return found


def test_batches_change_neither_order_nor_results(model_path, tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(5)]
    for seed, path in enumerate(paths):
        make_photo(50 + seed, 90, seed).save(path)
    names = {path: path.stem for path in paths}
    for batch in (1, 2):
        outputs = ResultFolder(tmp_path / f"by {batch}", ".png", arrays=True)
        outputs.folder.mkdir()
        network = predictor(model_path, batch)
        assert inference.run_images(names, network, outputs) == 0
        assert len(network.seconds) == 5 // batch and "Mean forward time" in network.summary()
    for stem in names.values():
        for kind in ("disp", "depth", "seg"):
            single, together = (np.load(tmp_path / f"by {batch}" / f"{stem}_{kind}.npy") for batch in (1, 2))
            if kind == "seg":  # two classes may be as likely but for the last digit
                assert (together != single).mean() < 1e-3
            else:
                np.testing.assert_allclose(together, single, rtol=1e-4)


def test_what_does_not_fit_into_memory_at_once_goes_in_halves(model_path, monkeypatch):
    network, passes = predictor(model_path, 8), []
    predict = network.model.predict

    def little_memory(images, tasks):
        passes.append(len(images))
        if len(images) > 2:
            raise torch.OutOfMemoryError
        return predict(images, tasks)

    monkeypatch.setattr(network.model, "predict", little_memory)
    views = [np.full((HEIGHT, WIDTH, 3), 30 * number, np.uint8) for number in range(8)]
    few, many = network(views[:5]), network(views)  # the many are halved twice
    assert passes == [5, 2, 3, 1, 2, 8, 4, 2, 2, 4, 2, 2] and network.batch == 2
    for view, *found in zip(views, many, [*few, *many[5:]], strict=True):
        for one in found:
            np.testing.assert_allclose(one.inv_depth, network([view])[0].inv_depth, rtol=1e-4)
    monkeypatch.setattr(network.model, "predict", lambda images, tasks: little_memory(images.repeat(3, 1, 1, 1), tasks))
    with pytest.raises(torch.OutOfMemoryError):
        network(views[:1])


def test_a_network_of_depth_alone_is_drawn_and_stored(model_path, tmp_path, monkeypatch):
    make_photo().save(tmp_path / "a.png")
    network = predictor(model_path, 1)
    metres = torch.linspace(2, 50, HEIGHT * WIDTH).view(1, 1, HEIGHT, WIDTH)
    asked = []

    def say(images, tasks):
        asked.append((tuple(images.shape), tuple(tasks)))
        return Prediction(DepthMap(metres, inverse=False, known="metres"))

    monkeypatch.setattr(network.model, "predict", say)
    outputs = ResultFolder(tmp_path / "out", ".png", arrays=True)
    outputs.folder.mkdir()
    assert inference.run_images({tmp_path / "a.png": "a"}, network, outputs) == 0
    assert asked == [((1, 3, HEIGHT, WIDTH), inference.TASKS)]
    assert names(outputs.folder) == {"a.png", "a_depth.npy", "a_depth.png"}
    expected = cv2.resize(metres[0, 0].numpy(), (90, 50), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(np.load(outputs.folder / "a_depth.npy"), expected)
    picture = np.asarray(Image.open(outputs.folder / "a.png")).astype(int)
    assert picture.shape == (100, 90, 3)
    assert picture[50, 0].sum() > 2 * picture[99, -1].sum()  # the top is near, and near is bright


def test_what_is_no_number_is_told_and_not_written(tmp_path):
    black = np.zeros((4, 4, 3), np.uint8)
    job, outputs = Job("a", (4, 4), fit.View(black, black)), ResultFolder(tmp_path, ".png", arrays=True)
    for inverse in (True, False):
        with pytest.raises(UserError, match="NaN or infinite"):
            outputs.write(job, Found(np.full((4, 4), np.nan, np.float32), inverse, None))
    assert not names(tmp_path)


def test_images_are_resized_with_the_filter_that_the_network_names(model_path):
    network, image = predictor(model_path, 1), np.asarray(make_photo())
    plain = network.fit(image).pixels
    assert (plain == fit.network_input(image, (HEIGHT, WIDTH))).all()
    network.model.input_filter = "lanczos"
    args = arguments.parse("inference", flags(model_path, Path("in"), Path("out")))
    found = build_fit(args, network.model)(image).pixels
    expected = Image.fromarray(image).resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
    assert (found == np.asarray(expected)).all() and (found != plain).any()


def test_images_in_memory_do_not_grow_with_the_folder(model_path, tmp_path, monkeypatch):
    paths = [tmp_path / f"{number}.png" for number in range(60)]
    for path in paths:
        make_photo(20, 30).save(path)
    alive, most = set(), []
    decode, network = fit.network_input, predictor(model_path, 2)

    def counted(image, size, kind):
        small = decode(image, size, kind)
        alive.add(id(small))
        weakref.finalize(small, alive.discard, id(small))
        most.append(len(alive))
        return small

    monkeypatch.setattr(fit, "network_input", counted)
    nothing = Found(np.ones((4, 4), np.float32), True, None)
    monkeypatch.setattr(inference.Predictor, "__call__", lambda self, views: [nothing for _ in views])
    outputs = ResultFolder(tmp_path / "out", ".jpg")
    assert inference.run_images({path: path.stem for path in paths}, network, outputs) == 0
    threads = min(os.cpu_count() or 1, inference.MOST_THREADS)
    assert len(most) == 60 and max(most) <= 2 * (threads + network.batch) + network.batch + 5


def test_a_turned_photo_comes_out_upright(model_path, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # stored on its side
    make_photo(50, 90).save(tmp_path / "turned.jpg", exif=exif)
    assert infer(model_path, tmp_path / "turned.jpg", tmp_path / "out", "--save-arrays") == 0
    assert Image.open(tmp_path / "out" / "turned.jpg").size == (50, 270)
    assert np.load(tmp_path / "out" / "turned_depth.npy").shape == (90, 50)


def test_damaged_images_are_named_and_the_others_done(model_path, tmp_path, run):
    source, target = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    make_photo().save(source / "a.png")
    make_photo().save(source / "c.jpg")
    whole = (source / "a.png").read_bytes()
    (source / "b.png").write_bytes(whole[: len(whole) // 2])
    (source / "d.png").write_bytes(b"")
    (source / "e.jpg").write_text("not an image")
    done = run("inference.py", *flags(model_path, source, target))
    assert done.returncode == 3, done.stderr
    assert names(target) == {"a.jpg", "c.jpg"}
    complaints = [line for line in done.stderr.splitlines() if "error: " in line]
    assert len(complaints) == 3 and "Traceback" not in done.stderr
    for name, line in zip(("b.png", "d.png", "e.jpg"), complaints, strict=True):
        assert name in line and line.endswith("give a whole copy of it, or leave it out")


def test_of_a_list_with_a_missing_image_the_others_are_done(model_path, tmp_path, capsys):
    make_photo().save(tmp_path / "a.png")
    (tmp_path / "list.txt").write_text("a.png\ngone.png\n")
    for more in ([], ["--skip-existing"]):  # the second time all that is there is done
        assert infer(model_path, tmp_path / "list.txt", tmp_path / "out", *more) == 3
        said = capsys.readouterr().err
        assert said.count("list.txt: line 2: gone.png does not exist; correct the list") == said.count("error: ") == 1
    assert names(tmp_path / "out") == {"a.jpg"}
    (tmp_path / "a.png").write_bytes(b"x")
    assert infer(model_path, tmp_path / "list.txt", tmp_path / "out") == 2  # nothing became whole


@pytest.mark.parametrize("is_said", [False, True])
def test_classes_of_a_network_without_any_are_refused_before_an_image_is_read(tmp_path, monkeypatch, is_said):
    (tmp_path / "a.png").write_bytes(b"no image")
    torch.save(LapDepth("GN").state_dict(), tmp_path / "model.pth")
    words = [
        "--sys-cpu",
        "--model-path",
        str(tmp_path / "model.pth"),
        "--image-path",
        str(tmp_path / "a.png"),
        "--save",
        "picture,seg",
    ]
    words += ["--output-path", str(tmp_path / "out"), *(["--method", "lapdepth"] if is_said else [])]
    if is_said:
        monkeypatch.setattr(inference, "Predictor", None)  # it is not even asked for
    args = arguments.parse("inference", words)
    with pytest.raises(UserError, match="^--save seg: a network of --method lapdepth knows no classes; leave it out$"):
        inference.infer(args)
    assert not (tmp_path / "out").exists()


def test_nothing_but_damaged_images_is_a_mistake_and_not_a_partial_success(model_path, tmp_path, capsys):
    (tmp_path / "a.png").write_bytes(b"x")
    assert infer(model_path, tmp_path / "a.png", tmp_path / "out") == 2
    assert "forward time" not in capsys.readouterr().out


def test_what_was_written_of_images_that_failed_is_told(model_path, tmp_path, monkeypatch, capsys):
    make_photo().save(tmp_path / "a.png")
    monkeypatch.setattr("visual.plan.has_lens", lambda *_: True)  # as of another image, whose camera is known
    assert infer(model_path, tmp_path / "a.png", tmp_path / "out", "--save", "picture,depth,ply") == 2
    said = capsys.readouterr()
    assert "says no focal length" in said.err and "1 picture, 1 depth in metres up to scale" in said.out


def test_a_video_of_which_one_frame_is_no_number_is_a_partial_success(model_path, tmp_path, monkeypatch, capsys):
    with VideoWriter(tmp_path / "drive.avi", 10) as writer:
        for seed in range(3):
            writer.write(np.asarray(make_photo(48, 80, seed)))
    calls = itertools.count()

    def say(network: torch.nn.Module, images: torch.Tensor, tasks: tuple) -> Prediction:
        number = next(calls)  # three frames fix the colours before
        values = torch.full((1, 1, HEIGHT, WIDTH), float("nan") if number == 4 else 0.5)
        return Prediction(DepthMap(values, True, "up to scale"))

    monkeypatch.setattr("models.sgdepth.SGDepth.predict", say)
    assert infer(model_path, tmp_path / "drive.avi", tmp_path / "out") == 3
    said = capsys.readouterr()
    assert "NaN or infinite" in said.err and "1 video" in said.out
    assert describe(tmp_path / "out" / "drive.mp4")[1] == 2


def test_a_video_becomes_a_video_with_fixed_colours(model_path, tmp_path):
    with VideoWriter(tmp_path / "drive.avi", 10) as writer:
        for seed in range(6):
            writer.write(np.asarray(make_photo(48, 80, seed)))
    assert infer(model_path, tmp_path / "drive.avi", tmp_path / "out", "--save-arrays") == 0
    assert describe(tmp_path / "out" / "drive.mp4") == (10, 6)
    capture = cv2.VideoCapture(str(tmp_path / "out" / "drive.mp4"))
    assert capture.read()[1].shape == (3 * 48, 80, 3)
    disparities = [np.load(tmp_path / "out" / f"drive_{index:06d}_disp.npy") for index in range(6)]
    assert len({disp.max() for disp in disparities}) == 6
    assert names(tmp_path / "out") == {"drive.mp4"} | {
        f"drive_{i:06d}_{kind}.npy" for i in range(6) for kind in ("disp", "depth", "seg")
    }


def test_of_a_video_that_is_cut_off_the_whole_frames_are_written(model_path, tmp_path, capsys):
    path = tmp_path / "drive.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (80, 48))
    for seed in range(6):
        writer.write(np.asarray(make_photo(48, 80, seed)))
    writer.release()
    path.write_bytes(path.read_bytes()[:-4000])
    assert infer(model_path, path, tmp_path / "out", "--save-arrays") == 3
    said = capsys.readouterr()
    count = describe(tmp_path / "out" / "drive.mp4")[1]
    assert 0 < count < 6 and f"drive.avi: {count} of 6 frames could be decoded, the file is cut off" in said.err
    assert "forward time" in said.out
    assert names(tmp_path / "out") == {"drive.mp4"} | {
        f"drive_{i:06d}_{kind}.npy" for i in range(count) for kind in ("disp", "depth", "seg")
    }


def test_a_damaged_video_is_named(model_path, tmp_path, capsys):
    (tmp_path / "drive.mp4").write_bytes(b"nothing" * 100)
    assert infer(model_path, tmp_path / "drive.mp4", tmp_path / "out") == 2
    assert "drive.mp4: cannot be read as a video" in capsys.readouterr().err
    assert not names(tmp_path / "out")


@pytest.mark.parametrize(
    "change, fault",
    [
        ({"--image-path": "nowhere"}, "nowhere: does not exist"),
        ({"--image-path": ""}, "--image-path: not given"),
        ({"--image-path": "empty"}, "no image in this folder"),
        ({"--output-path": "file"}, "cannot be made"),
        ({"--output-path": "file/below"}, "cannot be made"),
        ({"--output-format": "png"}, "--output-format 'png'"),
        ({"--output-format": ".nonsense"}, "--output-format '.nonsense'"),
        ({"--inference-resize-height": "200"}, "not a multiple of 32; nearest are 192 and 224"),
        ({"--model-path": "nowhere.pth"}, "nowhere.pth"),
        ({"--model-path": "file"}, "file"),
        ({"--model-num-layers": "50"}, "--model-num-layers 18"),
        ({"--output-path": "in", "--output-format": ".png"}, "could be overwritten"),
    ],
)
def test_mistakes_are_told_before_anything_is_written(model_path, tmp_path, monkeypatch, change, fault):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    make_photo().save(tmp_path / "in" / "a.png")
    given = flags(model_path, Path("in"), Path("out"))[1:]
    options = dict(zip(given[::2], given[1::2], strict=True)) | change
    words = ["--sys-cpu", *(word for pair in options.items() for word in pair)]
    with pytest.raises(UserError, match=re.escape(fault)):
        inference.infer(arguments.parse("inference", words))
    assert names(tmp_path / "in") == {"a.png"}


def test_a_name_that_is_none_and_a_folder_that_cannot_be_made_are_told_with_the_rest(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "file").touch()
    words = ["--image-path", "gone.png", "--output-path", str(tmp_path / "file" / "out"), "--model-path"]
    for name, fault in (("monodepth2:mono_640x19", "closest: monodepth2:mono_640x192"), ("dpt-large", "pass --fetch")):
        with pytest.raises(UserError) as error:
            inference.infer(arguments.parse("inference", [*words, name]))
        for part in (fault, "also --image-path gone.png", f"also --output-path {tmp_path}/file/out: cannot be made"):
            assert part in str(error.value)


def test_no_model_is_one_sentence(run):
    assert "--model-path: not given" in commands.error_of(run("inference.py", "--image-path", "x"))
    with pytest.raises(UserError, match="--model-path: not given, --model-load other is for training and evaluation"):
        inference.infer(arguments.parse("inference", ["--image-path", "x", "--model-load", "other"]))


def test_an_interrupt_stops_at_once_and_leaves_whole_files(model_path, tmp_path, warm):
    with VideoWriter(tmp_path / "long.mp4", 25) as writer:
        for seed in range(200):
            writer.write(np.asarray(make_photo(48, 80, seed)))
    words = flags(model_path, tmp_path / "long.mp4", tmp_path / "out", "--save-arrays")
    command = warm("inference.py", *words)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("out/*_disp.npy")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(command.pid, signal.SIGINT)
    assert command.wait() == 130 and "Traceback" not in command.stderr
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".npy"}


def test_real_frames_are_done(model_path, tmp_path):
    recordings = real_data.root()
    (tmp_path / "in").mkdir()
    frames = [
        *sorted(recordings.glob("kitti_raw_mini/*/*/image_02/data/*.png"))[:2],
        *sorted(recordings.glob("cityscapes_mini/leftImg8bit_sequence_jpg/*/*/*.jpg"))[:1],
    ]
    for frame in frames:
        (tmp_path / "in" / frame.name).symlink_to(frame)
    assert infer(model_path, tmp_path / "in", tmp_path / "out") == 0
    for frame in frames:
        width, height = Image.open(frame).size
        assert Image.open(tmp_path / "out" / f"{frame.stem}.jpg").size == (width, 3 * height)


def test_all_that_can_be_saved_is_written_and_told(model_path, tmp_path, capsys):
    make_photo().save(tmp_path / "a.png")
    words = ("--save", "picture,depth16,npz,ply,glb,seg", "--fov", 80, "--depth-scale", 2.5, "--layout", "side")
    assert infer(model_path, tmp_path / "a.png", tmp_path / "out", *words, "--color-bar") == 0
    endings = ("a.jpg", "a_depth.png", "a.npz", "a.ply", "a.glb", "a_seg.npy")
    assert names(tmp_path / "out") == {*endings}
    said = capsys.readouterr().out
    assert f"Wrote to {tmp_path}/out: " in said and "1 npz in metres (times 2.5, as given)" in said
    assert "Depth was multiplied by 2.5" in said and "Mean forward time" in said
    with np.load(tmp_path / "out" / "a.npz") as told:
        assert (
            str(told["intrinsics_source"]) == "--fov 80" and 0.25 <= told["depth"].min() <= told["depth"].max() <= 250
        )


def test_folders_below_keep_their_structure_and_what_is_there_is_left_out(model_path, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    for name in ("in/a.png", "in/deep/a.png", "in/deep/b.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        make_photo().save(tmp_path / name)
    (tmp_path / "in" / "notes.txt").touch()
    (tmp_path / "out" / "deep").mkdir(parents=True)
    (tmp_path / "out" / "deep" / "b.jpg").touch()
    words = (model_path, tmp_path / "in", tmp_path / "out", "--recursive", "--skip-existing")
    assert infer(*words) == 0
    written = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.jpg")}
    assert written == {"a.jpg", "deep/a.jpg", "deep/b.jpg"}
    assert not (tmp_path / "out" / "deep" / "b.jpg").stat().st_size
    assert "left out: 1 whose outputs are there" in caplog.text and "notes.txt (no images)" in caplog.text
    assert infer(*words) == 0 and "nothing is left to do" in caplog.text


@pytest.mark.parametrize(
    "kind, disp", [("squash", (64, 128)), ("pad", (64, 36)), ("crop", (64, 128)), ("multiple", (128, 64))]
)
def test_portraits_are_fitted_as_asked(model_path, tmp_path, caplog, kind, disp):
    make_photo(90, 50).save(tmp_path / "a.png")
    assert infer(model_path, tmp_path / "a.png", tmp_path / "out", "--fit", kind, "--save", "disparity,depth") == 0
    assert np.load(tmp_path / "out" / "a_disp.npy").shape == disp
    assert np.load(tmp_path / "out" / "a_depth.npy").shape == ((25, 50) if kind == "crop" else (90, 50))
    assert ("--fit crop" in caplog.text) == (kind == "squash")


def test_a_step_between_frames_says_that_images_have_none(model_path, tmp_path, caplog):
    make_photo().save(tmp_path / "a.png")
    assert infer(model_path, tmp_path / "a.png", tmp_path / "out", "--frame-step", "3") == 0
    assert "--frame-step 3: without effect, no videos are among the inputs" in caplog.text


def test_a_network_made_for_images_of_their_own_shape_sees_them_so(model_path):
    model = SimpleNamespace(input_fit="multiple", size_divisor=16)
    plain = ["--method", "sgdepth", "--model-path", str(model_path)]
    photo = np.zeros((100, 205, 3), np.uint8)
    sizes = {"": (96, 208), "--inference-resize-height 64": (64, 640), "--fit squash": (192, 640)}
    for words, size in (sizes | {"--fit multiple": (96, 208)}).items():
        args = arguments.parse("inference", [*plain, *words.split()])
        assert build_fit(args, model)(photo).pixels.shape[:2] == size, words


@pytest.mark.parametrize(
    "words, fault",
    [
        (("--save", "pictures"), "--save: 'pictures' is not a list of picture, disparity"),
        (("--range", "80,1"), "--range: '80,1' is not two distances NEAR,FAR"),
        (("--depth-scale", "-3"), "not none, median, a positive factor or camera-height=METRES"),
        (("--intrinsics", "1,2,3"), "--intrinsics: give the four numbers"),
        (("--intrinsics", "9,9,3,3", "--fov", "80"), "--intrinsics: give the four numbers"),
        (("--intrinsics", "0.6,1.9,0.5,0.5"), "--intrinsics 0.6,1.9,0.5,0.5: no pixels"),
        (("--intrinsics", "0,60,30,20"), "--intrinsics 0,60,30,20: no pixels"),
        (("--save", "ply"), "these images say no focal length; give --intrinsics"),
        (("--depth-scale", "camera-height=1.5"), "these images say no focal length"),
        (("--depth-scale", "median"), "no evaluation of .*model.pth is stored"),
        (("--fit", "multiple", "--patch-refine"), "--patch-refine"),
    ],
)
def test_what_cannot_be_saved_or_scaled_is_told_first(model_path, tmp_path, words, fault):
    make_photo().save(tmp_path / "a.png")
    with pytest.raises(UserError, match=fault):
        infer(model_path, tmp_path / "a.png", tmp_path / "out", *words)
    assert not (tmp_path / "out").exists()


def test_pictures_of_a_folder_have_one_range_of_colours_unless_each_has_its_own(model_path, tmp_path, monkeypatch):
    for number in range(3):
        make_photo(50, 90, number).save(tmp_path / f"{number}.png")
    passes = itertools.count(1)

    def say(network: torch.nn.Module, images: torch.Tensor, tasks: tuple) -> Prediction:
        values = torch.full((1, 1, HEIGHT, WIDTH), float(next(passes)))
        return Prediction(DepthMap(values, True, "up to scale"))

    monkeypatch.setattr("models.sgdepth.SGDepth.predict", say)
    words = (model_path, tmp_path, tmp_path / "out", "--layout", "only", "--colormap", "gray")
    for more, expected in (((), (85, 170, 255)), (("--range", "each"), (255, 255, 255)), (("--range", "0.25,9"), None)):
        assert infer(*words, "--output-format", ".png", *more) == 0
        levels = tuple(np.asarray(Image.open(tmp_path / "out" / f"{number}.png"))[0, 0, 0] for number in range(3))
        assert expected is None or levels == expected
    assert next(passes) == 10  # what was looked at first is not computed again


def test_colours_of_a_video_do_not_flicker(model_path, tmp_path, monkeypatch):
    with VideoWriter(tmp_path / "drive.avi", 10) as writer:
        for seed in range(4):
            writer.write(np.asarray(make_photo(48, 80, seed)))
    largest, drawn = itertools.cycle((1.0, 3.0)), []

    def say(network: torch.nn.Module, images: torch.Tensor, tasks: tuple) -> Prediction:
        return Prediction(DepthMap(torch.full((1, 1, HEIGHT, WIDTH), next(largest)), True, "up to scale"))

    monkeypatch.setattr("models.sgdepth.SGDepth.predict", say)
    draw = ResultFolder.draw
    monkeypatch.setattr(ResultFolder, "draw", lambda *words: drawn.append(words[3]) or draw(*words))
    assert infer(model_path, tmp_path / "drive.avi", tmp_path / "out") == 0
    assert len(drawn) == 4 and max(abs(value - 2.0) for value in drawn) < 0.1


def test_a_camera_is_shown_until_the_first_signal(model_path, tmp_path, monkeypatch, capsys):
    class Fake:
        def __init__(self, number: int):
            self.shown = 0

        def isOpened(self) -> bool:  # noqa: N802
            return True

        def read(self) -> tuple[bool, np.ndarray]:
            self.shown += 1
            if self.shown == 5:
                os.kill(os.getpid(), signal.SIGINT)
            return True, np.full((48, 80, 3), 40 * self.shown % 255, np.uint8)

        def get(self, _: int) -> float:
            return 10.0

        def set(self, *_: object) -> bool:
            return True

        def release(self) -> None:
            pass

    monkeypatch.setattr(cv2, "VideoCapture", Fake)
    inputs = ("camera:0", tmp_path / "out", "--frame-step", 1)
    assert infer(model_path, *inputs) == 130
    monkeypatch.undo()
    said = capsys.readouterr()
    assert "1 video" in said.out and not said.err
    assert names(tmp_path / "out") == {"camera_0.mp4"} and describe(tmp_path / "out" / "camera_0.mp4")[1] >= 3


def test_videos_that_browsers_do_not_play_are_told(model_path, tmp_path, monkeypatch, capsys):
    with VideoWriter(tmp_path / "drive.avi", 10) as writer:
        for seed in range(2):
            writer.write(np.asarray(make_photo(48, 80, seed)))
    monkeypatch.setattr("visual.video.is_there", lambda: False)
    assert infer(model_path, tmp_path / "drive.avi", tmp_path / "out", "--frame-step", 2) == 0
    assert "1 video in MPEG-4, which browsers do not play" in capsys.readouterr().out
    assert describe(tmp_path / "out" / "drive.mp4") == (5, 1)


def test_a_video_has_one_scale_for_all_its_frames(model_path, tmp_path, monkeypatch):
    with VideoWriter(tmp_path / "drive.avi", 10) as writer:
        for seed in range(3):
            writer.write(np.asarray(make_photo(48, 80, seed)))
    rows = (torch.arange(HEIGHT) - 20.0).clamp(min=1)[:, None].expand(HEIGHT, WIDTH) / 10
    heights = itertools.cycle((0.1, 0.2, 0.4))

    def say(network: torch.nn.Module, images: torch.Tensor, tasks: tuple) -> Prediction:
        return Prediction(DepthMap((rows / next(heights))[None, None], True, "up to scale"))

    monkeypatch.setattr("models.sgdepth.SGDepth.predict", say)
    (tmp_path / "intrinsics.txt").write_text("69 68 39.5 23.5")  # beside the film
    words = ("--save", "picture,npz", "--depth-scale", "camera-height=1.5")
    assert infer(model_path, tmp_path / "drive.avi", tmp_path / "out", *words) == 0
    depths = []
    for number in range(3):
        with np.load(tmp_path / "out" / f"drive_{number:06d}.npz") as told:
            depths.append(told["depth"])
            assert told["intrinsics"].tolist() == [69, 68, 39.5, 23.5]
    np.testing.assert_allclose(depths[1] / depths[0], 2, rtol=1e-4)  # the camera's height would make them the same
