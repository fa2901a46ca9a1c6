"""What is too large to be looked at for somebody else: sizes of files and pictures, lengths of films."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from errors import UserError

MEGABYTE = 1 << 20  # as browsers count
MEGAPIXEL = 10**6


@dataclass(frozen=True)
class Limits:
    """What may be uploaded: bytes of a file, pixels of an image or frame, seconds of a video."""

    bytes: float
    pixels: float
    seconds: float

    @classmethod
    def of(cls, megabytes: float, megapixels: float, seconds: float) -> Limits:
        """Limits in the units of the options."""
        return cls(megabytes * MEGABYTE, megapixels * MEGAPIXEL, seconds)

    def __str__(self) -> str:
        megabytes, megapixels = self.bytes / MEGABYTE, self.pixels / MEGAPIXEL
        return f"{megabytes:g} MB, {megapixels:g} megapixels, {self.seconds:g} s"

    def check_file(self, path: Path) -> None:
        """Raise `UserError` for a file that is too large, or an empty one."""
        size = path.stat().st_size
        if not size:
            raise UserError(f"{path.name}: the file is empty; give an image or a video")
        if size > self.bytes:
            raise UserError(
                f"{path.name}: {size / MEGABYTE:.1f} MB, and at most {self.bytes / MEGABYTE:g} are taken; give a "
                "smaller file, or start app.py with --max-megabytes"
            )

    def check_pixels(self, path: Path, size: tuple[int, int]) -> None:
        """Raise `UserError` where an image or frames of (height, width) `size` are too large."""
        if size[0] * size[1] > self.pixels:
            raise UserError(
                f"{path.name}: {size[1]}x{size[0]} pixels, and at most {self.pixels / MEGAPIXEL:g} million are taken; "
                "scale it down, or start app.py with --max-megapixels"
            )

    def check_seconds(self, path: Path, seconds: float) -> None:
        """Raise `UserError` where a video is too long."""
        if seconds > self.seconds:
            raise UserError(
                f"{path.name}: longer than {self.seconds:g} seconds, which are the most that are taken; cut it, or "
                "start app.py with --max-seconds"
            )
