"""Images that are damaged, huge, or something else: read as documented or refused by name, in bounded memory."""

from __future__ import annotations

import io
import os
import resource
import struct
import subprocess
import sys
import zlib
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataloader.files import MOST_PIXELS, PNG_SIGNATURE, image_size, read_counts, read_image
from dataloader.integrity import find_damaged
from errors import UserError
from tests import commands
from tests.conftest import ROOT
from tests.dataloader import tiny
from tests.reliability import mutants
from tests.reliability.mutants import chunk, stored

pytestmark = pytest.mark.usefixtures("thin")

INFERENCE = (
    "--sys-cpu",
    "--method",
    "sgdepth",
    "--save-arrays",
    "--output-format",
    ".png",
    "--inference-resize-height",
    64,
    "--inference-resize-width",
    64,
)
ROOM = 3 << 28  # bytes of address space for reading an image, with the interpreter and its libraries


def bounded(*words: object) -> subprocess.CompletedProcess:
    """A program of this project in little memory, without warnings of Pillow's."""
    limit = partial(resource.setrlimit, resource.RLIMIT_AS, (ROOM, ROOM))
    return subprocess.run(
        [sys.executable, "-W", "ignore", *map(str, words)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        preexec_fn=limit,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )


def test_damaged_images_of_any_kind_are_refused_or_read_whole_and_the_process_survives(tmp_path, rounds):
    count = rounds(60, 500)
    done = bounded("-m", "tests.reliability.mutants", tmp_path, count)
    assert done.returncode == 0, done.stderr
    refused, read = map(int, done.stdout.split())
    assert refused + read == 3 * count and min(refused, read) > count / 10


def head(width: int, height: int, colour: int = 2) -> bytes:
    return PNG_SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0))


def packed_zeros(count: int) -> bytes:
    """What zlib makes of so many zeros, without the time that takes: the same block again and again."""
    squeeze, room = zlib.compressobj(9), 1 << 20
    first = squeeze.compress(bytes(count % room)) + squeeze.flush(zlib.Z_FULL_FLUSH)
    again = squeeze.compress(bytes(room)) + squeeze.flush(zlib.Z_FULL_FLUSH)
    return first + count // room * again + b"\x03\0" + struct.pack(">I", count % 65521 << 16 | 1)  # no block, adler32


def black(width: int, height: int) -> bytes:
    """An RGB image of very few bytes."""
    return head(width, height) + chunk(b"IDAT", packed_zeros((1 + 3 * width) * height)) + chunk(b"IEND", b"")


def jpeg_of(width: int, height: int) -> bytes:
    content = bytearray(stored(Image.fromarray(tiny.picture(1)), "JPEG"))
    start = content.index(b"\xff\xc0") + 5
    content[start : start + 4] = struct.pack(">HH", height, width)
    return bytes(content)


def swollen(kind: bytes) -> bytes:
    """A small image with a quarter of a gigabyte of text or of colour profile."""
    return (
        head(4, 4, 0)
        + chunk(kind, b"a\0\0" + packed_zeros(1 << 28))
        + chunk(b"IDAT", zlib.compress(bytes(20)))
        + chunk(b"IEND", b"")
    )


def test_zeros_are_packed_as_zlib_does_it():
    for count in (0, 3, 1 << 20, (2 << 20) + 70000):
        assert zlib.decompress(packed_zeros(count)) == bytes(count)


@pytest.mark.parametrize(
    "content",
    [
        black(12000, 9000),
        head(60000, 60000) + chunk(b"IEND", b""),
        head(2**31 - 1, 2**31 - 1),
        jpeg_of(65500, 65500),
        jpeg_of(10000, 9000),
        swollen(b"zTXt"),
        swollen(b"iCCP"),
        stored(Image.new("L", (1, 1)), "BMP").replace(struct.pack("<II", 1, 1), struct.pack("<II", 40000, 40000)),
    ],
    ids=["black", "no pixels", "largest", "jpeg", "jpeg just too large", "text", "profile", "bmp"],
)
def test_a_small_file_cannot_fill_the_memory(tmp_path, content):
    path = tmp_path / "bomb.png"
    path.write_bytes(content)
    code = (
        "import sys; from dataloader.files import read_image, image_size; from errors import UserError\n"
        "for read in (image_size, read_image):\n    try: read(sys.argv[1])\n    except UserError as e: print(e)"
    )
    done = bounded("-c", code, path)
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert [line.startswith(f"{path}: ") for line in done.stdout.splitlines()] == [True, True]


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_what_is_too_large_is_told_so(tmp_path):
    path = tmp_path / "huge.png"
    for height in (9000, 20000):
        path.write_bytes(head(10000, height) + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
        for read in (image_size, read_image):
            with pytest.raises(UserError, match=rf"huge\.png: .* more than {MOST_PIXELS} pixels.*; scale it down$"):
                read(path)


def test_postscript_is_not_handed_to_an_interpreter(tmp_path, monkeypatch):
    interpreter = tmp_path / "bin/gs"
    interpreter.parent.mkdir()
    interpreter.write_text(f"#!/bin/sh\ntouch {tmp_path}/executed\n")
    interpreter.chmod(0o755)
    monkeypatch.setenv("PATH", f"{interpreter.parent}:{os.environ['PATH']}")
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", None)  # looked for once in a process
    (tmp_path / "a.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n")
    for read in (read_image, image_size):
        with pytest.raises(UserError, match=r"a\.png: "):
            read(tmp_path / "a.png")
    assert not (tmp_path / "executed").exists()


def test_pipes_devices_and_folders_are_no_images(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "loop.png").symlink_to("loop.png")
    for path in map(str, tmp_path.iterdir()):
        with pytest.raises(UserError, match=f"{path}: "):
            read_image(path)
        with pytest.raises(UserError, match=f"{path}: "):
            image_size(path)
        assert find_damaged([path])[path].startswith(f"{path}: ")


def test_a_file_longer_than_any_image_is_not_read(tmp_path):
    path = tmp_path / "sparse.png"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(UserError, match="1099511627776 bytes are more than any image needs"):
        read_image(path)


@pytest.mark.parametrize("values", [[[70000]], [[-1]]])
def test_counts_that_do_not_fit_are_not_cut_to_16_bits(tmp_path, values):
    Image.fromarray(np.array(values, np.int32)).save(tmp_path / "a.tif")
    with pytest.raises(UserError, match=r"a\.tif: values from .* do not fit into 16 bit"):
        read_counts(tmp_path / "a.tif")


def _full_disk() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (10000, 10000))


def test_inference_writes_arrays_whole_or_not_at_all(tmp_path, warm):
    (tmp_path / "in").mkdir()
    for height in (20, 90):
        tiny.save(tmp_path / f"in/{height}.png", tiny.picture(1, (height, 90)))
    model = commands.write_checkpoint(tmp_path / "epoch_1") / "model.pth"
    done = warm.run(
        "inference.py",
        *INFERENCE,
        "--model-path",
        model,
        "--image-path",
        tmp_path / "in",
        "--output-path",
        tmp_path / "out",
        "--output-format",
        ".jpg",
        before=_full_disk,
    )
    assert done.wait() == 2, done.stderr  # disparity of the size of the network has 16 kB
    assert "File too large" in done.stderr and "Traceback" not in done.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} <= {"20.jpg", "90.jpg"}


def test_inference_reads_every_kind_names_what_is_damaged_and_leaves_no_half_file(tmp_path, warm):
    source, target = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    sound = {f"{number}.png": content for number, content in enumerate(mutants.kinds().values())}
    sound["one.png"] = stored(Image.new("RGB", (1, 1)), "PNG")
    bad = {
        "cut.png": sound["0.png"][:-30],
        "empty.png": b"",
        "page.png": b"<!DOCTYPE html><html></html>",
        "bomb.png": black(12000, 9000),
    }
    for name, content in (sound | bad).items():
        (source / name).write_bytes(content)
    model = commands.write_checkpoint(tmp_path / "epoch_1") / "model.pth"
    done = warm.run("inference.py", *INFERENCE, "--model-path", model, "--image-path", source, "--output-path", target)
    assert done.wait() == 3, done.stderr
    said = [line for line in done.stderr.replace("\r", "\n").splitlines() if "image" not in line.partition(":")[0]]
    errors = sorted(line for line in said if line.startswith("error: "))
    assert [line.split(": ")[1] for line in errors] == [str(source / name) for name in sorted(bad)]
    written = {path.name for path in target.iterdir()}
    assert written == {
        f"{Path(name).stem}{end}" for name in sound for end in (".png", "_disp.npy", "_depth.npy", "_seg.npy")
    }
    for name in sound:
        height, width = image_size(source / name)
        with Image.open(io.BytesIO((target / name).read_bytes())) as picture:
            assert picture.size == (width, 3 * height)
        assert np.load(target / f"{Path(name).stem}_depth.npy").shape == (height, width)
