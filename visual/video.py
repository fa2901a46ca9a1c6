"""Video files as frames and back, through OpenCV, H.264 through PyAV; sound is not carried over."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import cv2
import numpy as np

from errors import UserError

from .containers import avi_packets, is_cut, program_stream
from .decoder import OPTIONS, attempts
from .h264 import H264, is_there

CODEC = "mp4v"
UNKNOWN_RATE = 25.0  # frames per second, for files that do not say
TOLERATED, TOLERATED_SHARE = 3, 0.02  # frames that may be missing at the end of a file that is not cut off
ON_TIME = 0.2  # how far a frame may be from its time, in frames
PREDICTED = ("P", "B", "S", "p", "b")  # kinds of frames, as FFmpeg calls them
UNMARKED = (".wmv",)  # whose last frame FFmpeg does not mark where the end of the file cuts it off
LEAST_ATTEMPTS = 16  # at a next frame before it is the end


def _encodable(path: Path) -> str:
    """The path as OpenCV takes it; raises `UserError` where its name is no UTF-8."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise UserError(f"{path}: its name is no UTF-8; rename it") from None
    return str(path)


@contextmanager
def _opened(path: Path) -> Iterator[cv2.VideoCapture]:
    # What the end of the file cuts off is no frame; FFmpeg would show half of it.
    os.environ.setdefault(*OPTIONS)
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


def frame_size(path: Path) -> tuple[int, int]:
    """(height, width) of the frames as the file states them.   Raises: UserError as `describe`."""
    with _opened(path) as capture:
        return int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)), int(capture.get(cv2.CAP_PROP_FRAME_WIDTH))


class Frame(NamedTuple):
    """One frame of a film: its number in the file, its time in seconds, uint8 RGB (H, W, 3)."""

    number: int
    seconds: float
    pixels: np.ndarray


class FrameReader:
    """The frames of a video that are whole, in order, with their numbers in the file, from 0.

    A frame that cannot be decoded, that the file breaks off in, or that the decoder had to guess a part of is left
    out and keeps its number, and so is what was predicted from it. Where the frames of a file are evenly spaced their
    times tell how many are missing in between; in others they are counted. They are upright, as the file says.

    step: only every step-th frame is given

    Attributes:
        live: whether frames come when they can
        step: as given
        rate: usual frames per second of those that are given
        whole: frames found so far
        cut: whether the file is shorter than its headers say
        holes: whether frames were missing between others
        total: frames as the file states them, or more where there are more; 0 where it does not know
    """

    live = False

    def __init__(self, path: Path, step: int = 1):
        self.path, self.step = path, step
        self._rate, self.total = describe(path)
        self.rate = self._rate / step
        self.whole, self.holes, self.cut = 0, False, is_cut(path)
        if stream := program_stream(path):
            self.total = 0  # what FFmpeg estimates from times falls short
            self.holes, self.cut = stream
        packets = avi_packets(path)
        self._even = packets is not None or self._is_even()
        self._there, self._begun = packets or ([], set())

    def __iter__(self) -> Iterator[tuple[int, np.ndarray]]:
        """Number and frame, uint8 RGB (H, W, 3).   Raises: UserError as `describe`."""
        return ((frame.number, frame.pixels) for frame in self.frames())

    def frames(self) -> Iterator[Frame]:
        """Frames with their times, of evenly spaced ones from their numbers.   Raises: UserError as `describe`."""
        for number, milliseconds, frame in self._whole():
            self.whole += 1
            if number % self.step == 0:
                seconds = number / self._rate if self._even else milliseconds / 1000
                yield Frame(number, seconds, cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))

    def _whole(self) -> Iterator[tuple[int, float, np.ndarray]]:
        """Number, time in milliseconds and frame, BGR, of those that are whole."""
        held = None
        for number, milliseconds, frame, follows in self._decoded():
            if held and follows:
                yield held
            held = None if frame is None else (number, milliseconds, frame)
        if held and not self._breaks_off(held[0]):
            yield held

    def _decoded(self) -> Iterator[tuple[int, float, np.ndarray | None, bool]]:
        """Number, time and frame, None for a wrong one, and whether the one before is whole for all we know.

        What is predicted from a wrong frame is wrong as well, up to a frame that is not predicted. Where frames are
        reordered the decoder is ahead by one, so that its complaint may concern that very frame: the next one counts.
        Only the index of an AVI file tells whether the frame before a hole is whole.
        """
        before, good, last = -1, -1, -1  # the frame before, the last that is right (places), the number of the former
        failures, awaited = 0, 0  # attempts since the frame before; frames that are not predicted until one is right
        first, reordered, on_time = 0.0, False, not self._there
        for found in attempts(self.path):
            self.holes |= found.guessed
            awaited = max(awaited, int(found.guessed))
            if found.frame is None:  # the end, or a frame that is damaged
                failures += 1
                if failures > max(self.total - self.whole, LEAST_ATTEMPTS):
                    return
                continue
            slot = found.time * self._rate / 1000
            if before < 0 and not self._there:
                first = slot  # a film may begin late
            astray = on_time and awaited > 0
            before = self._place(slot - first, before, good if astray else before, failures > 0 or astray)
            on_time &= astray or abs(slot - first - before) < ON_TIME
            number = self._there[before] if before < len(self._there) else before
            lost = number in self._begun
            broken = found.broken or number > last + 1 or failures > 0
            self.holes |= broken or lost
            last, failures, reordered = number, 0, reordered or found.kind == "B"
            if self.total:
                self.total = max(self.total, number + 1)
            if found.guessed or broken or lost:
                awaited = 2 if reordered and found.guessed else max(awaited, 1)
            if found.kind not in PREDICTED and not found.guessed:
                awaited = max(awaited - 1, 0)
            if not awaited:
                good = before
            right = None if awaited or lost else found.frame
            yield number, found.time, right, bool(self._there) or not broken

    def _breaks_off(self, last: int) -> bool:
        """Whether the last frame may be half there."""
        if self.cut:
            return self.path.suffix.lower() in UNMARKED
        return not self._there and self._is_short(last + 1)

    def _is_short(self, count: int) -> bool:
        return self.total - count > max(TOLERATED, self.total * TOLERATED_SHARE)

    def fault(self) -> str:
        """After the last frame: what is missing; "" where nothing is.

        Without any other sign a few frames are no fault: lengths are often estimated from a duration, which may be
        that of the sound, and encoders hold back some frames at the end.
        """
        if not (self.cut or self.holes or self._is_short(self.whole)):
            return ""
        reason = "the file is cut off" if self.cut else "it is damaged" if self.holes else "the others are not there"
        total = self.total or "an unknown number of"
        return f"{self.path}: {self.whole} of {total} frames could be decoded, {reason}; give a whole copy of it"

    def _place(self, slot: float, before: int, floor: int, by_time: bool) -> int:
        """Place of a frame in the order of all, from its time in units of the usual distance.

        After damage (`by_time`) any above `floor` is believed; otherwise a jump in films that are evenly spaced.
        """
        place = round(slot)
        is_jump = self._even and place > before + 1 and abs(slot - place) < ON_TIME
        return place if is_jump or (by_time and place > floor) else before + 1

    def _is_even(self) -> bool:
        """Whether the last frame has the time that it must have where all are evenly spaced."""
        if not self.total:
            return False
        with _opened(self.path) as capture:
            start = capture.get(cv2.CAP_PROP_POS_MSEC) if capture.read()[0] else 0.0
            capture.set(cv2.CAP_PROP_POS_FRAMES, self.total - 1)
            found, _ = capture.read()
            last = capture.get(cv2.CAP_PROP_POS_MSEC)
            if found and capture.read()[0]:
                return False
        if not found:  # damage may be in the way
            last = self._last_time()
        return abs((last - start) * self._rate / 1000 - (self.total - 1)) < 0.5

    def _last_time(self) -> float:
        """Milliseconds of the last frame that can be decoded, for files that cannot be sought in."""
        last, failures = 0.0, 0
        with _opened(self.path) as capture:
            while failures <= LEAST_ATTEMPTS:
                if capture.grab():
                    last, failures = capture.get(cv2.CAP_PROP_POS_MSEC), 0
                else:
                    failures += 1
        return last


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

    With the package `av` it is H.264 with the time of every frame, else MPEG-4 of OpenCV at a constant rate, and so are
    files of other kinds. All frames have the size of the first; an odd last row or column is dropped.

    live: frames come when they can; at a constant rate one is shown until the next

    Attributes:
        modern: whether it is H.264, which browsers play
    """

    def __init__(self, path: Path, rate: float, live: bool = False):
        self.path, self.rate, self.live = path, rate, live
        self.modern = path.suffix == ".mp4" and is_there()
        self._part = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
        self._writer: cv2.VideoWriter | H264 | None = None
        self._first, self._count, self._before = 0.0, 0, np.empty(0)

    def __enter__(self) -> "VideoWriter":
        return self

    def write(self, frame: np.ndarray, seconds: float | None = None) -> None:
        """Append one frame, uint8 RGB (H, W, 3), of a time in the film; without it, the next at the usual rate.

        Raises: UserError where the file cannot be written.
        """
        seconds = self._count / self.rate if seconds is None else seconds
        if self._writer is None:
            self._writer, self._first = self._begun(frame.shape[0], frame.shape[1]), seconds
        if isinstance(self._writer, H264):
            self._writer.write(frame, seconds - self._first)
        else:
            while self.live and 0 < self._count < round((seconds - self._first) * self.rate):
                self._writer.write(self._before)
                self._count += 1
            self._before = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
            self._writer.write(self._before)
        self._count += 1

    def _begun(self, height: int, width: int) -> "cv2.VideoWriter | H264":
        part = _encodable(self._part.absolute())
        if self.modern:
            return H264(Path(part), self.rate, (height, width))
        writer = cv2.VideoWriter(part, cv2.VideoWriter_fourcc(*CODEC), self.rate, (width, height))
        if not writer.isOpened():
            raise UserError(
                f"{self.path}: OpenCV cannot write a video of {width}x{height} pixels here; "
                "check the folder, or extract the frames and pass them as a folder"
            )
        return writer

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            if isinstance(self._writer, H264):
                (self._writer.close if kind is None else self._writer.abandon)()
            elif self._writer is not None:
                self._writer.release()
            if kind is None and self._writer is not None:
                os.replace(self._part, self.path)
        finally:
            self._part.unlink(missing_ok=True)
