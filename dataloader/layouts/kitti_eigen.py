"""The KITTI Eigen split (Eigen et al., arXiv 1406.2283) as facts: no list has to be fetched.

Its test set is 697 frames of 28 drives; all of the other drives on disk are for training.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..lists import CAMERA_OF, Frame
from .kitti_files import KittiFiles

_TABLE = """
2011_09_26 0002 3 0..75 but 66
2011_09_26 0009 16 0..176; 196..388
2011_09_26 0013 5 0..140 but 15 25 55 75
2011_09_26 0020 3 0..84 but 24 30 39 81
2011_09_26 0023 18 18..468 but 234
2011_09_26 0027 7 0..182 but 105 154
2011_09_26 0029 14 0..196; 268..408 but 282
2011_09_26 0036 32 0..800 but 736
2011_09_26 0046 5 0..120
2011_09_26 0048 1 0..21
2011_09_26 0052 2 0..52 but 24 34
2011_09_26 0056 11 11..286 but 132
2011_09_26 0059 14 0..238 but 168; 274..372
2011_09_26 0064 22 0..550 but 132
2011_09_26 0084 13 49..374 but 166
2011_09_26 0086 27 7..682 but 547
2011_09_26 0093 16 0..256; 305..417
2011_09_26 0096 19 0..456
2011_09_26 0101 34 80..930 but 250
2011_09_26 0106 8 15; 35..219
2011_09_26 0117 26 0..650 but 520
2011_09_28 0002 3 0..63 but 15 27 42; 72..90 but 75
2011_09_29 0071 36 0..612; 735..951 but 843; 1054
2011_09_30 0016 11 0..275 but 99
2011_09_30 0018 107 0..2247 but 321; 2419..2740
2011_09_30 0027 41 0..656; 753..1081 but 999
2011_10_03 0027 181 0..543; 734..4535 but 2182
2011_10_03 0047 32 0..800 but 256
"""
"""Date, drive, step, then runs of left frames: first to last in this step, but these."""


def eigen_test_frames() -> list[Frame]:
    """All frames, by drive and number."""
    return [frame for row in _TABLE.split("\n") if row for frame in _of_row(row)]


def eigen_train_frames(files: KittiFiles) -> list[Frame]:
    """Frames of the drives on disk that have no part in the test set, of either camera, by drive and number.

    Those without a frame before or after them are left out.
    """
    test = {frame.drive for frame in eigen_test_frames()}
    return [
        frame
        for drive in files.raw_drives()
        if drive not in test
        for camera in sorted({*CAMERA_OF.values()})
        for frame in _inner_frames(files, drive, camera)
    ]


def _inner_frames(files: KittiFiles, drive: str, camera: int) -> Iterator[Frame]:
    numbers = files.numbers(drive, camera)
    return (Frame(drive, number, camera) for number in sorted(numbers) if {number - 1, number + 1} <= numbers)


def _of_row(row: str) -> Iterator[Frame]:
    date, drive, step, runs = row.split(maxsplit=3)
    for run in runs.split("; "):
        span, _, holes = run.partition(" but ")
        first, _, last = span.partition("..")
        for number in range(int(first), int(last or first) + 1, int(step)):
            if str(number) not in holes.split():
                yield Frame(f"{date}/{date}_drive_{drive}_sync", number)
