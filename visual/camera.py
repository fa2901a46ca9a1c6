"""A camera of this machine as a film without end, through OpenCV. Imports no torch."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from errors import UserError

if TYPE_CHECKING:
    import cv2

    from .video import Frame

WORD = re.compile(r"camera:(?P<number>\d{1,3})", re.ASCII)
UNKNOWN_RATE = 30.0  # frames per second, of cameras that do not say


def is_camera(path: Path) -> bool:
    """Whether a word of ``--image-path`` names a camera."""
    return WORD.fullmatch(str(path)) is not None


def _opened(path: Path) -> cv2.VideoCapture:
    import cv2

    levels = getattr(cv2.utils, "logging", cv2)  # OpenCV 4 has it all in one place
    level = levels.getLogLevel()
    levels.setLogLevel(0)  # silence: OpenCV complains in several lines of its own
    try:
        capture = cv2.VideoCapture(int(WORD.fullmatch(str(path))["number"]))
        works = capture.isOpened() and capture.read()[0]
    finally:
        levels.setLogLevel(level)
    if not works:
        capture.release()
        raise UserError(
            f"--image-path {path}: no such camera, or it gives no picture (it may be in use, or access denied); name "
            "one by its number, such as camera:0, or a video file"
        )
    return capture


def require_camera(path: Path) -> None:
    """Check that a camera gives pictures; raises `UserError`."""
    _opened(path).release()


class Camera:
    """Frames of a camera until somebody stops them; see `FrameReader`, which is asked the same.

    stopped: says whether to end
    step:    only every step-th frame is given
    """

    total, live = 0, True

    def __init__(self, path: Path, stopped: Callable[[], object], step: int = 1):
        import cv2

        self.path, self.step, self._stopped = path, step, stopped
        self._capture = _opened(path)
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # the newest frame counts
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.rate = (rate if 0 < rate < 1000 else UNKNOWN_RATE) / step
        self._broken = False

    def frames(self) -> Iterator[Frame]:
        """Frames with the time at which they came."""
        import cv2

        from .video import Frame

        begun, number = time.perf_counter(), 0
        try:
            while not self._stopped():
                found, frame = self._capture.read()
                if not found:
                    self._broken = True
                    return
                if number % self.step == 0:
                    yield Frame(number, time.perf_counter() - begun, cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
                number += 1
        finally:
            self._capture.release()

    def fault(self) -> str:
        """After the last frame: what went wrong; "" where nothing did."""
        return f"{self.path}: gives no more pictures" if self._broken else ""
