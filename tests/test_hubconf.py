"""The Python interface: it says what the commands say, of any image, to any number of threads."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import arguments
import hubconf
import inference
from errors import UserError
from evaluation.depth import constant_depth
from hubconf import compare, depth, evaluate
from models.monodepth2 import Monodepth2
from tests.commands import write_checkpoint
from tests.methods.monodepth2.test_published_files import published
from visual.video import VideoWriter

pytestmark = pytest.mark.usefixtures("thin")
ROOT = Path(__file__).parents[1]
SMALL = {"inference_resize_height": 64, "inference_resize_width": 128}
VALIDATED = {"depth_validation_resize_height": 64, "depth_validation_resize_width": 128, "sys_num_workers": 0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, thin) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("run") / "epoch_1")


@pytest.fixture(scope="module")
def predictor(folder):
    return depth(folder, method="sgdepth", device="cpu", **SMALL)


@pytest.fixture(scope="module")
def photo(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("photos") / "photo.png"
    Image.fromarray(np.random.RandomState(0).randint(0, 256, (40, 72, 3)).astype(np.uint8)).save(path)
    return path


def test_importing_it_costs_neither_torch_nor_time():
    code = "import sys, time; start = time.process_time(); import hubconf\n"
    code += "print(time.process_time() - start, 'torch' in sys.modules, 'numpy' in sys.modules)"
    spent, *loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert loaded == ["False", "False"] and float(spent) < 0.3


def test_a_result_is_what_inference_writes(predictor, folder, photo, tmp_path):
    words = [
        "--method",
        "sgdepth",
        "--sys-cpu",
        "--model-path",
        str(folder),
        "--image-path",
        str(photo),
        "--output-path",
    ]
    words += [str(tmp_path), "--save", "picture,disparity,depth,depth16,seg,npz,ply,glb", "--output-format", ".png"]
    words += [f"--inference-resize-{side}={size}" for side, size in (("height", 64), ("width", 128))]
    assert inference.infer(arguments.parse("inference", [*words, "--fov", "80"])) == 0
    seen = depth(folder, method="sgdepth", device="cpu", fov=80, **SMALL)(photo)
    assert (seen.depth == np.load(tmp_path / "photo_depth.npy")).all() and seen.depth.dtype == np.float32
    assert (seen.labels == np.load(tmp_path / "photo_seg.npy")).all() and seen.unit == "metres up to scale"
    np.testing.assert_allclose(seen.disparity, 1 / seen.depth, rtol=1e-6)
    endings = {"picture": ".png", "disparity": "_disp.npy", "depth": "_depth.npy", "depth16": "_depth.png"}
    for kind, ending in (endings | {"seg": "_seg.npy", "npz": ".npz", "ply": ".ply", "glb": ".glb"}).items():
        seen.save(tmp_path / f"mine{ending}", kind)
        assert (tmp_path / f"mine{ending}").read_bytes() == (tmp_path / f"photo{ending}").read_bytes(), kind
    assert repr(seen) == "Result('photo', 40x72, metres up to scale, with labels)"


def test_files_go_by_their_ending(predictor, photo, tmp_path):
    seen = predictor(photo)
    for ending in (".jpg", ".npz", ".npy"):
        seen.save(tmp_path / f"a{ending}")
    assert (np.load(tmp_path / "a.npy") == seen.depth).all()
    with np.load(tmp_path / "a.npz") as told:
        assert str(told["unit"]) == seen.unit
    with Image.open(tmp_path / "a.jpg") as picture:
        assert picture.size == (72, 3 * 40)


def test_an_image_is_a_file_an_array_or_a_picture(predictor, photo):
    pixels = np.asarray(Image.open(photo))
    wanted = predictor(photo).depth
    alpha = np.dstack([pixels, pixels[..., 0]])
    for seen in predictor([str(photo), pixels, pixels / 255, pixels[:, ::-1][:, ::-1], alpha, Image.open(photo)]):
        assert (seen.depth == wanted).all()
    grey = predictor(pixels[..., 0]).image
    assert (grey == pixels[..., :1]).all() and grey.shape == (40, 72, 3)
    brightness = Image.fromarray(np.float32(pixels[..., 0] / 255))
    assert (predictor(brightness).image == pixels[..., :1]).all()
    turned = Image.fromarray(pixels)
    turned.getexif()[274] = 6
    assert predictor(turned).depth.shape == (72, 40)


def test_images_of_several_sizes_go_together(predictor, photo):
    pixels = np.asarray(Image.open(photo))
    wide, high = predictor([pixels, pixels[:, :30]])
    assert wide.depth.shape == (40, 72) and high.depth.shape == (40, 30)


def test_colours_and_points(predictor, photo):
    seen = predictor(photo)
    assert seen.colour().shape == (40, 72, 3) and (seen.colour("viridis") != seen.colour()).any()
    near = seen.colour("gray", range=(seen.depth.min() * 0.5, seen.depth.max() * 2))
    assert near.std() < seen.colour("gray").std() or near.max() < 255
    with pytest.raises(UserError, match="--intrinsics 0.7,1.2,0.5,0.5: no pixels"):
        seen.points(intrinsics=(0.7, 1.2, 0.5, 0.5))
    points = seen.points(intrinsics=(50, 50, 35.5, 19.5))
    assert points.dtype == np.float32 and points.shape[1] == 6 and 0 <= points[:, 3:].min() <= points[:, 3:].max() <= 1
    rows = np.round(points[:, 1] / points[:, 2] * 50 + 19.5).astype(int)
    columns = np.round(points[:, 0] / points[:, 2] * 50 + 35.5).astype(int)
    np.testing.assert_allclose(points[:, 2], seen.depth[rows, columns], rtol=1e-5)
    np.testing.assert_allclose(points[:, 3:] * 255, seen.image[rows, columns], atol=1e-3)


def test_a_film_gives_a_result_for_every_frame(predictor, tmp_path):
    frames = [np.full((48, 64, 3), 60 * number, np.uint8) for number in range(3)]
    with VideoWriter(tmp_path / "drive.avi", 10) as writer:
        for frame in frames:
            writer.write(frame)
    (tmp_path / "intrinsics.txt").write_text("50 50 31.5 23.5")
    seen = [*predictor.stream(tmp_path / "drive.avi")]
    assert [one.job.name for one in seen] == [f"drive_00000{n}" for n in range(3)] and len(seen[0].points())
    asked = []

    def live():
        for frame in frames:
            asked.append(len(asked))
            yield frame

    first = next(predictor.stream(live()))
    assert (first.depth == predictor(frames[0]).depth).all() and asked == [0]  # as they come, not one ahead
    with pytest.raises(UserError, match="cannot be read as a video"):
        predictor.stream(tmp_path / "none.mp4")


def test_several_threads_may_ask_one_predictor(predictor, monkeypatch):
    rng = np.random.RandomState(1)
    images = [rng.randint(0, 256, (40, 72, 3)).astype(np.uint8) for _ in range(8)]
    wanted = [predictor(image).depth for image in images]
    inside, most, plain = [], [], predictor._network._found

    def slow(views):
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.002)
        found = plain(views)
        inside.pop()
        return found

    monkeypatch.setattr(predictor._network, "_found", slow)
    with ThreadPoolExecutor(4) as threads:
        found = [seen.depth for seen in threads.map(predictor, images)]
    assert max(most) == 1 and all((a == b).all() for a, b in zip(found, wanted, strict=True))


def test_random_numbers_of_the_caller_go_on(folder):
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    wanted = random.random(), np.random.rand(), torch.rand(()).item()
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    depth(folder, method="sgdepth", device="cpu", **SMALL)
    assert (random.random(), np.random.rand(), torch.rand(()).item()) == wanted


def test_torch_hub_opens_it_and_what_it_opened_works_afterwards(folder, photo, street, tmp_path, run):
    code = f"""
import sys
sys.path[:] = [path for path in sys.path if path not in ("", {str(ROOT)!r})]
import torch
loaded = torch.hub.load({str(ROOT)!r}, "depth", {str(folder)!r}, method="sgdepth", source="local", **{SMALL!r})
print(loaded({str(photo)!r}).depth.shape)
from hubconf import evaluate
print(evaluate(loaded, "kitti_zhou_test", {str(street)!r}, **{VALIDATED!r}).known)
"""
    done = run("-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["(40, 72)", "up to scale"]


def test_evaluation_says_what_the_command_says(predictor, folder, street, tmp_path):
    import eval_depth

    words = ["--method", "sgdepth", "--sys-cpu", "--model-load", str(folder), "--dataset-dir", str(street)]
    words += [f"--{name.replace('_', '-')}={value}" for name, value in VALIDATED.items()]
    words += ["--depth-validation-loaders", "kitti_zhou_test", "--eval-num-images", "0", "--checkpoint-dir"]
    args = arguments.parse("eval_depth", [*words, str(tmp_path)])
    evaluation = eval_depth.open_evaluation(args, "eval_depth", "depth")
    entry = eval_depth.evaluate_loader(args, evaluation, evaluation.loaders[0])
    judged = evaluate(predictor, "kitti_zhou_test", street, **VALIDATED)
    assert {name: entry["metrics"][name] for name in judged.metrics} == judged.metrics
    assert judged.protocol == entry["protocol"] and len(judged.names) == entry["images"]


def test_boundaries_are_judged_by_dense_truth_alone(street):
    with pytest.raises(UserError, match="dense truth is needed, and that of kitti_zhou_validation comes from laser"):
        evaluate(
            lambda image: np.ones(image.shape[:2]), "kitti_zhou_validation", street, "metres", metrics="boundaries"
        )


def test_a_function_of_an_image_is_judged_as_what_it_says_it_gives(street):
    sizes = set()

    def ramp(image):
        sizes.add((image.shape, image.dtype.name))
        return torch.linspace(60, 5, 32)[:, None].repeat(1, 16)

    def judged(function, known):
        return evaluate(function, "kitti_zhou_test", street, known=known, sys_num_workers=0)

    metres, scaled = judged(ramp, "metres"), judged(lambda image: 7 * ramp(image), "up to scale")
    assert sizes == {((64, 128, 3), "uint8")}
    assert (metres.alignment, scaled.alignment) == ("none", "median") and metres.metrics != scaled.metrics
    assert judged(ramp, "up to scale").metrics == pytest.approx(scaled.metrics)
    shifted = judged(lambda image: 3 / ramp(image) + 5, "up to scale and shift")
    assert shifted.alignment == "least squares"
    assert shifted.metrics == pytest.approx(
        judged(lambda image: 1 / ramp(image), "up to scale and shift").metrics, 1e-3
    )
    flat = judged(lambda image: np.ones(image.shape[:2]), "up to scale")
    assert flat.metrics == pytest.approx(evaluate_constant(street).metrics, rel=1e-6)


def evaluate_constant(street):
    from dataloader.loaders import build_evaluation
    from dataloader.prefetch import stream
    from evaluation.depth import evaluate_depth
    from evaluation.protocols import DEPTH_PROTOCOLS

    words = ["--depth-validation-loaders", "kitti_zhou_test", "--dataset-dir", str(street), "--sys-num-workers", "0"]
    (data,) = build_evaluation(arguments.parse("eval_depth", words), "depth")
    return evaluate_depth(constant_depth, stream(data, "cpu"), DEPTH_PROTOCOLS["kitti_zhou"])


def test_networks_and_functions_are_compared_in_one_table(predictor, street):
    judged = evaluate(predictor, "kitti_zhou_test", street, **VALIDATED)

    def flat(image):
        return np.ones(image.shape[:2])

    table = compare([predictor, predictor, flat], "kitti_zhou_test", street, known="up to scale", **VALIDATED)
    assert [*table.results] == [predictor.name, f"{predictor.name} #2", "flat"]
    assert table.results[predictor.name].metrics == judged.metrics
    header, *rows = str(compare({"a_b": judged, "flat": table.results["flat"]})).splitlines()
    assert header.startswith("network | protocol") and rows[0].startswith("a_b ") and "that of the image" in rows[1]
    assert "a\\_b" in compare({"a_b": judged}).latex() and "| a_b  " in compare({"a_b": judged}).markdown()
    capped = evaluate(predictor, "kitti_zhou_test", street, depth_cap=20, **VALIDATED)
    with pytest.raises(UserError, match=r"a and b: judged differently, range \[0.001, 80.0\] and \[0.001, 20.0\]"):
        compare({"a": judged, "b": capped})


@pytest.mark.parametrize(
    ("image", "told"),
    [
        ("nowhere.png", "nowhere.png: no such file"),
        (np.zeros((3, 4, 5)), r"array of shape \(3, 4, 5\): no image"),
        (np.zeros((0, 4, 3), np.uint8), "no image"),
        (np.full((4, 4, 3), 700), "array of int64 from 700 to 700: give uint8"),
        (np.full((4, 4, 3), 1.5), "array of float64 from 1.5 to 1.5"),
        (np.full((4, 4, 3), np.nan), "array of float64 from nan"),
        (3, "int: no image"),
        (None, "NoneType: no image"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_image_is_told(predictor, image, told):
    with pytest.raises(UserError, match=told):
        predictor(image)


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda seen: seen.save("x.xyz"), "x.xyz: no kind of file that is written here"),
        (lambda seen: seen.save("x"), "no ending"),
        (lambda seen: seen.save("x.png", "depth"), "x.png: depth is written as .npy"),
        (lambda seen: seen.save("x.png", "npz"), "x.png: npz is written as .npz"),
        (lambda seen: seen.save("x.png", "deep"), "kind 'deep': is none of picture, disparity"),
        (lambda seen: seen.points(), "says no focal length; give intrinsics"),
        (lambda seen: seen.points((1, 2, 3)), "give the four numbers"),
        (lambda seen: seen.points((1, 2, 3, 4), 5), "give the four numbers"),
        (lambda seen: seen.points(fov=180), "a fov in degrees"),
        (lambda seen: seen.colour("plasm"), "closest: plasma"),
        (lambda seen: seen.colour(range=(5, 2)), "the nearer one first"),
    ],
)
def test_what_a_result_cannot_give_is_told(predictor, photo, ask, told):
    with pytest.raises(UserError, match=told):
        ask(predictor(photo))


def test_of_relative_inverse_depth_no_distance_is_given(predictor, photo, tmp_path):
    from dataclasses import replace

    seen = predictor(photo)
    relative = replace(seen, found=replace(seen.found, ids=None, known="up to scale and shift"))
    assert relative.unit == "up to scale and shift" and relative.labels is None
    assert (relative.disparity == seen.disparity).all() and relative.colour().shape == (40, 72, 3)
    asked = (
        lambda: relative.depth,
        lambda: relative.points(fov=60),
        lambda: relative.save(tmp_path / "a.npy"),
        lambda: relative.save(tmp_path / "a.glb"),
        lambda: relative.colour(range=(1, 5)),
    )
    for ask in asked:
        with pytest.raises(UserError, match="up to scale and shift"):
            ask()
    with pytest.raises(UserError, match="knows no classes"):
        relative.save(tmp_path / "a.npy", "seg")
    relative.save(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as told:
        assert (told["inverse_depth"] == seen.disparity).all()


def test_mistakes_about_networks_and_data_are_sentences(predictor, folder, street):
    asked = {
        "--model-path nowhere: no such file": lambda: depth("nowhere"),
        "pass --method sgdem or --method sgdepth": lambda: depth(folder),
        "--fitt=pad: unknown option": lambda: depth(folder, method="sgdepth", fitt="pad"),
        "save: says what inference.py reads or writes": lambda: depth(folder, method="sgdepth", save="npz"),
        "--sys-device": lambda: depth(folder, method="sgdepth", device="tpu"),
        "four numbers fx,fy,cx,cy": lambda: depth(folder, method="sgdepth", intrinsics=(1, 2)),
        "kitti_zhou_tes: no such loader": lambda: evaluate(predictor, "kitti_zhou_tes", street),
        "/nowhere: no such folder": lambda: evaluate(predictor, "kitti_zhou_test", "/nowhere"),
        "--dataset-dir: not given": lambda: evaluate(predictor, "kitti_zhou_test"),
        "names no data set": lambda: evaluate(predictor, "", street),
        "a network of ours says itself": lambda: evaluate(predictor, "kitti_zhou_test", street, known="metres"),
        "known '': says what the function gives": lambda: evaluate(abs, "kitti_zhou_test", street),
        "neither a predictor": lambda: evaluate(3, "kitti_zhou_test", street, known="metres"),
        "array of shape": lambda: evaluate(
            lambda image: image, "kitti_zhou_test", street, known="metres", sys_num_workers=0
        ),
        "no median scales": lambda: evaluate(
            lambda image: -1.0 - image[..., 0], "kitti_zhou_test", street, known="up to scale", sys_num_workers=0
        ),
        "0 or below": lambda: evaluate(
            lambda image: 0 * image[..., 0], "kitti_zhou_test", street, known="metres", sys_num_workers=0
        ),
        "no numbers": lambda: evaluate(lambda _: "x", "kitti_zhou_test", street, known="metres", sys_num_workers=0),
        "nothing to compare": lambda: compare([]),
        "have no name": lambda: compare([object()]),
    }
    for told, ask in asked.items():
        with pytest.raises(UserError, match=told):
            ask()


def test_the_code_of_the_page_runs(street, tmp_path, photo, run):
    torch.manual_seed(3)
    published(tmp_path / "torch/hub/checkpoints/monodepth2/mono_640x192", Monodepth2(resolutions=2).eval())
    write_checkpoint(tmp_path / "runs" / "sgdepth_eccv_test" / "zhou_full" / "checkpoints" / "epoch_20")
    Image.open(photo).save(tmp_path / "photo.jpg")
    with VideoWriter(tmp_path / "drive.mp4", 10) as writer:
        writer.write(np.full((48, 64, 3), 60, np.uint8))
    from tests.test_docs import DOCUMENTS, code_blocks

    script = "\n".join(code_blocks(DOCUMENTS["docs/python.md"], "python"))
    script = script.replace("/data/sets", str(street)).replace("/data/runs", str(tmp_path / "runs"))
    done = run("-c", script, cwd=tmp_path, env={"TORCH_HOME": str(tmp_path / "torch"), "IFN_DIR_CHECKPOINT": ""})
    assert done.returncode == 0, done.stderr
    assert "closest: monodepth2:mono_640x192" in done.stdout and "a ramp" in done.stdout
    assert {"photo.png", "photo_depth.png"} <= {path.name for path in tmp_path.iterdir()}


def test_only_what_is_meant_is_offered():
    assert {name for name in dir(hubconf) if callable(getattr(hubconf, name)) and not name.startswith("_")} == {
        "depth",
        "evaluate",
        "compare",
        "Predictor",
    }
    assert (ROOT / "py.typed").is_file()
