"""Split lists in text form, one frame per line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from errors import UserError
from storage.text import read_text

CAMERA_OF = {"l": 2, "2": 2, "r": 3, "3": 3}
_DIGITS = 10  # of a frame number, as KITTI has them
_IMAGE = re.compile(
    r"(?P<drive>.+?)/image_0?(?P<camera>[23])(?:/data)?/(?P<frame>[0-9]{1,10})\.(?:png|jpe?g)", re.IGNORECASE
)
_PREFIXES = ("./", "kitti/", "Raw_data/", "sequences/")


@dataclass(frozen=True, slots=True)
class Frame:
    """One KITTI image: `drive` is "<date>/<drive>", or an odometry sequence such as "09"; camera 2 left, 3 right."""

    drive: str
    number: int
    camera: int = 2

    @property
    def name(self) -> str:
        """Unique name of this image."""
        return f"{self.drive}/image_{self.camera:02d}/{self.number:010d}"


def leads_out(path: str) -> bool:
    """Whether a relative path with `/` names a place outside the folder it starts from."""
    return path.startswith("/") or ".." in path.split("/")


def parse_image_path(path: str) -> Frame | None:
    """The frame an image path names, with or without its leading folders; None where it names none."""
    path = path.replace("\\", "/")
    while prefix := next((each for each in _PREFIXES if path.startswith(each)), ""):
        path = path.removeprefix(prefix)
    match = _IMAGE.fullmatch(path)
    if match is None:
        return None
    return Frame(_sequence(match["drive"]), int(match["frame"]), int(match["camera"]))


def _sequence(folder: str) -> str:
    return f"{int(folder):02d}" if folder.isascii() and folder.isdigit() and len(folder) <= _DIGITS else folder


def _parse_line(line: str) -> Frame | None:
    fields = line.split()
    if len(fields) == 1:
        return parse_image_path(fields[0])
    number = fields[1] if len(fields) == 3 else ""
    if not (number.isascii() and number.isdigit() and len(number) <= _DIGITS) or fields[2] not in CAMERA_OF:
        return None
    folder = fields[0].replace("\\", "/").removeprefix("Raw_data/").strip("/")
    return Frame(_sequence(folder), int(fields[1]), CAMERA_OF[fields[2]]) if folder else None


def fetch_list(path: Path) -> str:
    """What brings a list to its place, as a remedy; a split that was never published as text has none to fetch."""
    folder = path.parent.parent if path.parent.name == "splits" else path.parent
    split = folder.name.removeprefix("kitti_").removesuffix("_split")
    if split == "kitti":
        return f"copy {folder.name} with its index files from SGDepth's download, it has no published lists"
    overwrite = " --overwrite" if path.exists() else ""
    return f"fetch it with python -m dataloader.prepare splits {split} --out {folder.parent}{overwrite}"


def read_lines(path: Path, remedy: str, empty_remedy: str = "") -> list[tuple[int, str]]:
    """Lines of a text file with their numbers from 1, without those that are blank.

    Args:
        path: of the file
        remedy: what to do where it cannot be read
        empty_remedy: what to do where there is nothing in it, if that is something else

    Raises:
        UserError: when it cannot be read or is empty.
    """
    try:
        lines = read_text(path).splitlines()
    except (OSError, UnicodeDecodeError) as fault:
        raise UserError(f"{path}: unreadable ({fault}); {remedy}") from fault
    found = [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]
    if not found:
        raise UserError(f"{path}: the list is empty; {empty_remedy or remedy}")
    return found


def read_list(path: Path) -> list[Frame]:
    """Frames of a split list in its order; any line ends, blank lines are skipped.

    Raises:
        UserError: when the file cannot be read, is empty, or a line has neither of the two forms or leads out of the
            data set.
    """
    frames = []
    for number, line in read_lines(path, fetch_list(path)):
        frame = _parse_line(line)
        if frame is None:
            raise UserError(
                f"{path}, line {number}: {line.strip()[:80]!r} is neither '<date>/<drive> <frame> <l|r>' "
                "nor an image path; mend or fetch the list again"
            )
        if leads_out(frame.drive):
            raise UserError(
                f"{path}, line {number}: {line.strip()[:80]!r} leads out of the data set folder; mend or "
                "fetch the list again"
            )
        frames.append(frame)
    return frames
