"""The page: what is behind it, and one look at it in a browser."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import app
import hubconf
from dataloader.labels import CLASSES
from errors import UserError
from storage import shelf
from street import pictures
from tests.commands import write_checkpoint
from visual.limits import Limits
from visual.video import VideoWriter

ROOT = Path(__file__).parents[1]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), "")
WITHOUT_GPU = ["--no-sandbox", "--enable-unsafe-swiftshader"]
WIDE = Limits.of(megabytes=10, megapixels=1, seconds=10)
SMALL = {"inference_resize_height": 64, "inference_resize_width": 128}


@pytest.fixture(scope="module")
def photo(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("photos") / "street.png"
    Image.fromarray(next(iter(pictures(1, 64, 128)))).save(path)
    return path


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("films") / "street.mp4"
    with VideoWriter(path, 5.0) as writer:
        for frame in pictures(5, 64, 128):
            writer.write(frame)
    return path


@pytest.fixture(scope="module")
def predictor(tmp_path_factory, thin):
    folder = write_checkpoint(tmp_path_factory.mktemp("run") / "epoch_1")
    return hubconf.depth(folder, method="sgdepth", device="cpu", layout="only", color_bar=True, **SMALL)


@pytest.fixture
def desk(predictor, tmp_path) -> app.Desk:
    return app.Desk({"first": "path"}, lambda name: predictor, WIDE, tmp_path / "made")


def glb_head(path: str) -> dict:
    content = Path(path).read_bytes()
    return json.loads(content[20 : 20 + struct.unpack_from("<I", content, 12)[0]])


def test_an_image_is_shown_with_what_can_be_downloaded(desk, photo):
    shown = desk.show(str(photo), "first")
    assert shown.said.startswith("street.png: 128x64 pixels, metres up to scale, in ") and "60 degrees" in shown.said
    with Image.open(shown.picture) as picture:
        assert picture.width == 128 and picture.height > 64  # the colours are explained below
    assert [Path(name).name for name in shown.files] == ["street.npz", "street_depth.png", "street.glb"]
    with np.load(shown.files[0]) as stored, Image.open(shown.files[1]) as counts:
        assert stored["depth"].shape == (64, 128) and stored["intrinsics"].size == 0
        assert np.asarray(counts).dtype == np.uint16 and np.asarray(counts).any()
    assert "animations" in glb_head(shown.cloud) and "animations" not in glb_head(shown.files[2])
    image, masks = shown.classes
    assert image.shape == (64, 128, 3) and sum(mask for mask, _ in masks).max() == 1
    assert all(name in {row[0] for row in CLASSES} for _, name in masks)


def test_files_are_those_that_inference_writes(desk, predictor, photo, tmp_path):
    shown = desk.show(str(photo), "first", fov=80)
    seen = app._through(predictor(photo), 80)
    for name, kind in zip(shown.files, ("npz", "depth16", "glb"), strict=True):
        seen.save(tmp_path / f"mine{Path(name).suffix}", kind)
        assert Path(name).read_bytes() == (tmp_path / f"mine{Path(name).suffix}").read_bytes(), kind
    assert "degrees" not in shown.said


def test_a_film_is_shown_with_the_details_of_its_middle(desk, film):
    shown = desk.show(str(film), "first", step=2)
    assert "3 frames in" in shown.said and "those at 0.4 s" in shown.said and shown.picture is None
    assert Path(shown.film).stat().st_size > 500 and shown.cloud and shown.classes and len(shown.files) == 3


def test_what_was_made_before_is_gone(desk, photo, film):
    before = desk.show(str(film), "first")
    desk.show(str(photo), "first")
    assert not Path(before.film).exists()


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda path, photo, film: path.write_bytes(photo.read_bytes()[:-900]), "cannot decode (the file ends early"),
        (lambda path, photo, film: path.write_bytes(b""), "the file is empty; give an image or a video"),
        (lambda path, photo, film: path.write_text("#!/bin/sh\nexit 1\n"), "neither an image nor a video"),
        (lambda path, photo, film: path.write_text("#EXTM3U\n/etc/passwd\n"), "neither an image nor a video"),
        (lambda path, photo, film: path.write_bytes(film.read_bytes()[:200]), "cannot be read as a video"),
        (lambda path, photo, film: path.write_bytes(bytes((10 << 20) + 1)), "10.0 MB, and at most 10 are taken; give"),
        (lambda path, photo, film: Image.new("RGB", (2000, 600)).save(path, "PNG"), "2000x600 pixels, and at most 1 m"),
    ],
)
@pytest.mark.parametrize("name", ["a.png", "a.mp4"])
def test_what_cannot_be_used_is_told_in_a_sentence(desk, photo, film, tmp_path, make, told, name):
    path = tmp_path / name
    make(path, photo, film)
    shown = desk.show(str(path), "first")
    assert shown.said.startswith(f"{name}: ") and told in shown.said, shown.said
    assert "\n" not in shown.said and str(tmp_path) not in shown.said
    assert not any((shown.picture, shown.film, shown.classes, shown.cloud, shown.files))


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        (Limits.of(10, 1, 0.5), "street.mp4: longer than 0.5 seconds, which are the most that are taken; cut it"),
        (Limits.of(10, 0.005, 10), "street.mp4: 128x64 pixels, and at most 0.005 million are taken; scale it down"),
    ],
)
def test_films_that_are_too_much_are_told(desk, film, limits, told):
    desk.limits = limits
    assert desk.show(str(film), "first").said.startswith(told)


def test_a_film_that_breaks_off_is_shown_as_far_as_it_goes(desk, film, tmp_path, monkeypatch):
    monkeypatch.setattr("visual.video.FrameReader.fault", lambda self: f"{self.path}: 5 of 9 frames could be decoded")
    shown = desk.show(str(film), "first")
    assert shown.film and "street.mp4: 5 of 9 frames could be decoded." in shown.said and str(film) not in shown.said


def test_other_faults_are_sentences_too(desk, photo, monkeypatch, caplog):
    assert desk.show(None, "first").said == "no file was given; drop an image or a short video above"
    assert desk.show(str(photo), "/etc/passwd").said.startswith("no network of that name is offered here")
    assert desk.show(str(photo), "first", fov=400).said.startswith("field of view 400: give degrees")

    def broken(name: str) -> hubconf.Predictor:
        raise error

    desk.open, error = broken, MemoryError()
    assert desk.show(str(photo), "first").said.startswith("the memory is exhausted")
    error = ZeroDivisionError("division")
    assert "the terminal of app.py says more" in desk.show(str(photo), "first").said
    assert "ZeroDivisionError" in caplog.text


def test_networks_without_distances_have_neither_points_nor_counts(desk, predictor, photo, monkeypatch):
    from dataclasses import replace

    class Relative:
        def __call__(self, path):
            seen = predictor(path)
            return replace(seen, found=replace(seen.found, known="up to scale and shift", ids=None))

    desk.open = lambda name: Relative()
    shown = desk.show(str(photo), "first")
    assert shown.picture and shown.cloud is None and shown.classes is None
    assert "no points" in shown.said and [Path(name).name for name in shown.files] == ["street.npz"]


def test_the_network_that_was_used_last_is_kept(desk, predictor):
    asked = []
    desk.networks = {"a": "one", "b": "two"}
    desk.open = lambda name: asked.append(name) or predictor
    for name in ("a", "a", "b", "a"):
        desk.network(name)
    assert asked == ["one", "two", "one"]


def test_networks_at_hand_can_be_chosen(tmp_path, monkeypatch):
    monkeypatch.setattr(shelf, "MODELS", {})
    for name in ("a/one/checkpoints/epoch_1", "a/one/checkpoints/epoch_2", "a/two/checkpoints/epoch_7"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "model.pth").touch()
    named = tmp_path / "a/two/checkpoints/epoch_7"
    found = shelf.choices([str(named)], str(tmp_path))
    newest = "a/one/checkpoints/epoch_2"
    assert [*found.items()] == [(str(named), str(named)), (newest, str(tmp_path / newest))]
    with pytest.raises(UserError, match="--model-path nowhere: no such file or folder"):
        shelf.choices(["nowhere"], "")
    with pytest.raises(UserError, match="no network is at hand; give one"):
        shelf.choices([], "")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--max-seconds", "0"], "--max-seconds: 0.0 is out of range; give a finite number of at least 0.1"),
        (["--max-megabytes", "nan"], "--max-megabytes"),
        (["--port", "70000"], "--port: 70000 is out of range"),
        (["--method", "nothing"], "--method: 'nothing' is not one of"),
        (["--share"], "unrecognized arguments: --share"),
    ],
)
def test_options_have_bounds(words, told):
    with pytest.raises(UserError, match=told.replace("(", r"\(")):
        app.parse("app", words)


def test_it_listens_to_this_machine_alone_by_default():
    args = app.parse("app", ["--model-path", "a", "b"])
    assert (args.host, args.model_path, args.max_seconds) == ("127.0.0.1", ("a", "b"), 30.0)


@pytest.mark.parametrize(("words", "code", "told"), [(["--help"], 0, ""), ([], 2, "error: app.py: the page is made")])
def test_without_gradio_there_is_help_and_a_sentence(words, code, told):
    script = f"""
import importlib.util, runpy, sys
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name == "gradio" else found(name, *more)
sys.argv = ["app.py", *{words!r}]
try: runpy.run_path("app.py", run_name="__main__")
except SystemExit as stop: assert stop.code == {code}, stop.code
assert "torch" not in sys.modules and "gradio" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr.startswith(told) and done.stderr.count("\n") == bool(told), done.stderr


def test_a_port_that_is_taken_is_told():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with (
            pytest.raises(UserError, match=f"--port {port}: Address already in use"),
            app.served(None, "127.0.0.1", port, 1),
        ):
            pass


@contextlib.contextmanager
def page_of(folder: Path, log: Path):
    """The command in a process of its own; gives it and the address of the page."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = ["--model-path", folder, "--method", "sgdepth", "--port", port, "--max-megabytes", 1, "--sys-device", "cpu"]
    environment = os.environ | {"IFN_DIR_CHECKPOINT": "", "OMP_NUM_THREADS": "1"}
    with (
        log.open("w") as file,
        subprocess.Popen(
            [sys.executable, "-m", "tests.thinly", "app.py", *map(str, words)],
            cwd=ROOT,
            stdout=file,
            stderr=file,
            env=environment,
        ) as command,
    ):
        try:
            for _ in range(1200):
                if "shows the page" in log.read_text() or command.poll() is not None:
                    break
                time.sleep(0.1)
            assert command.poll() is None, log.read_text()
            yield command, f"http://127.0.0.1:{port}/"
        finally:
            command.kill()


def answer(page, file: Path) -> str:
    """What the page says of a file."""
    before = page.locator("#said textarea").input_value()
    if page.locator("#file .file-preview").count():
        page.locator("#file button[aria-label*=lear]").first.click()
    page.set_input_files("#file input[type=file]", file)
    page.wait_for_selector("#file .file-preview")
    page.click("#start")
    page.wait_for_function("before => document.querySelector('#said textarea').value != before", arg=before)
    return page.locator("#said textarea").input_value()


def colours_of(png: bytes) -> int:
    return len(np.unique(np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).reshape(-1, 3), axis=0))


def test_the_page_in_a_browser(photo, tmp_path):
    pytest.importorskip("gradio", reason="gradio is an extra: pip install gradio")
    driver = pytest.importorskip("playwright.sync_api", reason="playwright is an extra: pip install playwright")
    if not CHROMIUM:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    folder = write_checkpoint(tmp_path / "epoch_1")
    hostile = tmp_path / "street.png"
    hostile.write_text("<script>alert(1)</script>")
    with page_of(folder, tmp_path / "log") as (command, address), driver.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=WITHOUT_GPU)
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        errors, outside = [], []
        page.on("console", lambda message: message.type == "error" and errors.append(message.text))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("dialog", lambda dialog: errors.append(dialog.message))
        page.on("request", lambda sent: sent.url.startswith((address, "blob:", "data:")) or outside.append(sent.url))
        page.set_default_timeout(60_000)
        page.goto(address)
        page.wait_for_selector("#start")
        assert answer(page, photo).startswith("street.png: 128x64 pixels, metres up to scale")
        page.wait_for_selector("#picture img")
        page.wait_for_selector("#cloud canvas")
        deadline, cloud = time.monotonic() + 60, page.locator("#cloud canvas")
        while colours_of(first := cloud.screenshot()) < 50:
            assert time.monotonic() < deadline, "no points are drawn"
        while cloud.screenshot() == first:
            assert time.monotonic() < deadline, "the points do not turn"
        assert page.locator("#files .file-preview tr").count() == 3 and page.locator("#classes img").count()
        assert colours_of(page.screenshot()) > 500
        told = answer(page, hostile)
        assert (
            told == "street.png: neither an image nor a video that can be read here; give a PNG, a JPEG or an MP4, say"
        )
        assert not page.locator("#picture img").count() and not page.locator("#files .file-preview").count()
        for path in ("requirements.txt", "../../../../../etc/passwd", str(ROOT / "README.md")):
            assert page.request.get(f"{address}gradio_api/file={path}").status in (403, 404), path
        assert not errors and not outside, (errors, outside)
        browser.close()
        command.send_signal(signal.SIGINT)
        assert command.wait(30) == 130
    told = (tmp_path / "log").read_text()
    assert "Traceback" not in told and told.count("\n") == 1, told
