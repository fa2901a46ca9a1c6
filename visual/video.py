"""Video files as frames and back, through OpenCV; sound is not carried over."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from errors import UserError

SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv")
CODEC = "mp4v"
UNKNOWN_RATE = 25.0  # frames per second, for files that do not say


def _encodable(path: Path) -> str:
    """The path as OpenCV takes it; raises `UserError` where its name is no UTF-8."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise UserError(f"{path}: its name is no UTF-8; rename it") from None
    return str(path)


@contextmanager
def _opened(path: Path) -> Iterator[cv2.VideoCapture]:
    # A relative name such as "concat:a" would be an order to FFmpeg.
    capture = cv2.VideoCapture(_encodable(path.absolute()))
    try:
        if not capture.isOpened():
            raise UserError(f"{path}: cannot be read as a video (damaged, or a codec OpenCV lacks); convert it to MP4")
        yield capture
    finally:
        capture.release()


def describe(path: Path) -> tuple[float, int]:
    """Frames per second and number of frames as the file states them (0 where it does not know).

    Raises: UserError naming a file that is no readable video.
    """
    with _opened(path) as capture:
        rate = capture.get(cv2.CAP_PROP_FPS)
        count = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    return (rate if 0 < rate < 1000 else UNKNOWN_RATE), max(int(count), 0)


def read_frames(path: Path) -> Iterator[np.ndarray]:
    """Every frame in order, uint8 RGB (H, W, 3).   Raises: UserError as `describe`."""
    with _opened(path) as capture:
        while True:
            found, frame = capture.read()
            if not found:
                return
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)


def spread_frames(path: Path, count: int) -> Iterator[np.ndarray]:
    """Up to `count` frames at equal distances, uint8 RGB (H, W, 3).

    Where the file does not know its length or cannot be searched, what the first readable positions hold.
    """
    total = max(describe(path)[1], count)
    with _opened(path) as capture:
        for position in sorted({index * total // count for index in range(count)}):
            capture.set(cv2.CAP_PROP_POS_FRAMES, position)
            found, frame = capture.read()
            if found:
                yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)


class VideoWriter:
    """Writes an MP4 that appears under its name only when it is complete.

    All frames have the size of the first; the codec drops an odd last row or column.
    """

    def __init__(self, path: Path, rate: float):
        self.path, self.rate = path, rate
        self._part = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
        self._writer: cv2.VideoWriter | None = None

    def __enter__(self) -> "VideoWriter":
        return self

    def write(self, frame: np.ndarray) -> None:
        """Append one frame, uint8 RGB (H, W, 3).   Raises: UserError where OpenCV cannot write the file."""
        if self._writer is None:
            size = (frame.shape[1], frame.shape[0])
            part = _encodable(self._part.absolute())
            self._writer = cv2.VideoWriter(part, cv2.VideoWriter_fourcc(*CODEC), self.rate, size)
            if not self._writer.isOpened():
                raise UserError(
                    f"{self.path}: OpenCV cannot write a video of {size[0]}x{size[1]} pixels here; "
                    "check the folder, or extract the frames and pass them as a folder"
                )
        self._writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._writer is not None:
            self._writer.release()
        if kind is None and self._writer is not None:
            os.replace(self._part, self.path)
        self._part.unlink(missing_ok=True)
