"""A camera as a film without end."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from errors import UserError
from visual.camera import Camera, require_camera
from visual.inputs import find_inputs


class Fake:
    """A camera that shows so many pictures, each darker than the one before."""

    pictures = 1000

    def __init__(self, number: int):
        self.number, self.shown = number, 0

    def isOpened(self) -> bool:  # noqa: N802
        return self.number == 0

    def read(self) -> tuple[bool, np.ndarray | None]:
        self.shown += 1
        picture = np.full((48, 64, 3), 255 - self.shown, np.uint8)
        picture[..., 0] = 0  # blue, as OpenCV orders colours
        return (True, picture) if self.shown <= self.pictures else (False, None)

    def get(self, _: int) -> float:
        return 20.0

    def set(self, *_: object) -> bool:
        return True

    def release(self) -> None:
        pass


@pytest.fixture
def fake(monkeypatch) -> type[Fake]:
    monkeypatch.setattr(cv2, "VideoCapture", Fake)
    return Fake


def test_frames_come_until_it_is_stopped(fake):
    seen = []
    camera = Camera(Path("camera:0"), lambda: len(seen) == 3, step=2)
    for frame in camera.frames():
        seen.append(frame)
    assert camera.rate == 10 and camera.total == 0 and not camera.fault()
    assert [frame.number for frame in seen] == [0, 2, 4]
    times = [frame.seconds for frame in seen]
    assert times == sorted(times) and (seen[0].pixels[0, 0] == (253, 253, 0)).all()


def test_one_that_is_pulled_out_is_told(fake, monkeypatch):
    monkeypatch.setattr(fake, "pictures", 3)
    camera = Camera(Path("camera:0"), bool)
    assert len([*camera.frames()]) == 2 and camera.fault() == "camera:0: gives no more pictures"


def test_one_that_is_not_there_is_one_sentence(fake, monkeypatch):
    require_camera(Path("camera:0"))
    with pytest.raises(UserError, match="--image-path camera:7: no such camera"):
        find_inputs(["camera:7"], recursive=False)
    monkeypatch.setattr(fake, "pictures", 0)
    with pytest.raises(UserError, match="--image-path camera:0: no such camera, or it gives no picture"):
        require_camera(Path("camera:0"))


def test_it_is_a_film_among_the_inputs(fake, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.png").touch()
    inputs = find_inputs(["camera:0", "a.png"], recursive=False)
    assert inputs.videos == {Path("camera:0"): "camera_0"} and inputs.images == {Path("a.png"): "a"}
    Path("camera:0").touch()
    with pytest.raises(UserError, match="--image-path camera:x: does not exist"):
        find_inputs(["camera:x"], recursive=False)
