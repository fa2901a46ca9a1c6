"""Decoding in a process of its own, whose FFmpeg says on its standard error what is wrong with a frame.

OpenCV hands FFmpeg's options to the reader of the file only, not to the decoder, which guesses what it cannot decode.
What it says of that is the one sign. With one thread it says it before the frame is given.
"""

from __future__ import annotations

import os
import re
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryFile
from typing import NamedTuple

import cv2
import numpy as np

OPTIONS = ("OPENCV_FFMPEG_CAPTURE_OPTIONS", "fflags;discardcorrupt")  # packets that the end of the file cuts off
HEAD = struct.Struct("<?d1s??II")
# Of the decoders of MPEG-1, -2 and -4, H.263, H.264, HEVC, WMV and MJPEG. Other messages come with sound files too:
# cameras leave out the end of a JPEG, or put in sections of their own.
DAMAGED = re.compile(
    rb"damaged|illegal (dc|ac|mb|chroma)|invalid (mb|cbp|huffman)|error (at|while decoding) mb|concealing"
    rb"|slice end not|overreading|(end|slice) mismatch|mvs not available|error (y|dc|count)|mjpeg_decode_dc|bad vlc"
    rb"|no jpeg data|cabac_init|bytestream overr|decode_slice_header error",
    re.IGNORECASE,
)
BROKEN = re.compile(rb"exceeds containing master|packet_obj_size|invalid as first byte", re.IGNORECASE)


class Decoded(NamedTuple):
    """One attempt at a frame.

    Attributes:
        frame: uint8 BGR (H, W, 3); None at the end, or where a frame cannot be decoded
        time: of the frame, milliseconds
        kind: I, P, B, ... ; ? where the codec has no kinds
        guessed: whether the decoder complained since the attempt before
        broken: whether the file could not be followed since the attempt before
    """

    frame: np.ndarray | None
    time: float
    kind: str
    guessed: bool
    broken: bool


def attempts(path: Path) -> Iterator[Decoded]:
    """Attempts at frames without end, or until the decoder breaks down."""
    command = [sys.executable, "-P", __file__, str(path.absolute())]
    # Warnings too, and by FFmpeg itself: what OpenCV prints for it is held back.
    extra = {"OPENCV_FFMPEG_THREADS": "1", "OPENCV_FFMPEG_LOGLEVEL": "24", "OPENCV_FFMPEG_SKIP_LOG_CALLBACK": "1"}
    given = dict([OPTIONS]) | os.environ | extra
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=given) as child:
        try:
            while len(head := child.stdout.read(HEAD.size)) == HEAD.size:
                found, time, kind, guessed, broken, height, width = HEAD.unpack(head)
                data = child.stdout.read(3 * height * width)
                if len(data) < 3 * height * width:
                    return
                frame = np.frombuffer(data, np.uint8).reshape(height, width, 3) if found else None
                yield Decoded(frame, time, kind.decode(), guessed, broken)
        finally:
            child.kill()


def _serve(path: str) -> None:
    """Write attempts to the standard output until nobody reads them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; the reader ends this process
    pipe = os.fdopen(os.dup(1), "wb")
    with TemporaryFile() as messages:
        said = messages.fileno()
        os.dup2(said, 1)
        os.dup2(said, 2)
        capture = cv2.VideoCapture(path)
        while True:
            found, frame = capture.read()
            length = os.lseek(said, 0, os.SEEK_CUR)
            os.lseek(said, 0, os.SEEK_SET)
            text = os.read(said, length)
            os.lseek(said, 0, os.SEEK_SET)
            kind = chr(int(capture.get(cv2.CAP_PROP_FRAME_TYPE)) or ord("?")).encode()
            signs = bool(DAMAGED.search(text)), bool(BROKEN.search(text))
            size = frame.shape[:2] if found else (0, 0)
            pipe.write(HEAD.pack(found, capture.get(cv2.CAP_PROP_POS_MSEC), kind, *signs, *size))
            if found:
                pipe.write(frame)
            pipe.flush()


if __name__ == "__main__":
    try:
        _serve(sys.argv[1])
    except BrokenPipeError:
        os._exit(0)
