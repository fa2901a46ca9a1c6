"""H.264 in MP4, which browsers play, through the optional package `av`; every frame has its own time."""

from __future__ import annotations

import contextlib
import importlib.util
from fractions import Fraction
from pathlib import Path

import numpy as np

from errors import UserError

ENCODER = "libx264"
QUALITY = {"crf": "18", "preset": "veryfast", "x264-params": "colormatrix=smpte170m"}
TICKS = 1000  # parts of a frame's time that times are told in


def is_there() -> bool:
    """Whether H.264 can be written here."""
    if importlib.util.find_spec("av") is None:
        return False
    try:
        import av

        av.codec.Codec(ENCODER, "w")
    except (ImportError, ValueError):  # av.codec.codec.UnknownCodecError is a ValueError
        return False
    return True


class H264:
    """An MP4 file that grows; frames have even sides.

    path: of the file; rate: usual frames per second; size: (height, width) of all frames

    Raises: UserError where it cannot be written.
    """

    def __init__(self, path: Path, rate: float, size: tuple[int, int]):
        import av

        self.path, self.size = path, tuple(side - side % 2 for side in size)
        self._rate = Fraction(rate).limit_denominator(1001)
        self._last = -1
        self._file = av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"})
        self._stream = self._file.add_stream(ENCODER, rate=self._rate, options=QUALITY)
        self._stream.height, self._stream.width = self.size
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = 1 / (self._rate * TICKS)
        try:
            self._file.start_encoding()
        except (OSError, ValueError) as error:
            raise UserError(
                f"{path.parent}: PyAV cannot write a video of {size[1]}x{size[0]} pixels there ({error}); check the "
                "folder, or extract the frames and pass them as a folder"
            ) from None

    def write(self, frame: np.ndarray, seconds: float) -> None:
        """Append a frame (H, W, 3) uint8 RGB that is shown so many seconds after the first one."""
        import av

        height, width = self.size
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame[:height, :width]), "rgb24")
        picture.time_base = self._stream.codec_context.time_base
        picture.pts = self._last = max(round(seconds * self._rate * TICKS), self._last + 1)
        self._file.mux(self._stream.encode(picture))

    def close(self) -> None:
        """Write what is still to come."""
        self._file.mux(self._stream.encode(None))
        self._file.close()

    def abandon(self) -> None:
        """Close the file as it is, for nobody."""
        with contextlib.suppress(OSError, ValueError):
            self._file.close()
