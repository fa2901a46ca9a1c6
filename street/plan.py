"""Which drives and streets a data set consists of, what they are called, and which list names them."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from errors import UserError

from .camera import Camera, cityscapes_camera, kitti_camera
from .files import DATE
from .road import MAX_FRAMES
from .scene import Scene, draw_scene

VERSION = 1  # of the renderer; another version renders other pictures
FIRST_STREET, FIRST_TEST_DRIVE = 10**6, 2 * 10**6  # scene numbers
STREETS_PER_DRIVE = 4
FIRST_NAME = 1001  # drive numbers start here, so that none is taken for a real drive
SEQUENCES = ("09", "10")  # parts that serve as odometry sequences
LIMITS = {"drives": (1, 9000), "frames": (3, MAX_FRAMES), "height": (32, 4096), "width": (32, 4096), "seed": (0, 2**31)}


@dataclass(frozen=True)
class Recipe:
    """What decides every byte of a data set; sizes in pixels.

    Raises:
        UserError: a number is out of range.
    """

    drives: int
    frames: int
    height: int
    width: int
    seed: int

    def __post_init__(self) -> None:
        for name, (low, high) in LIMITS.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise UserError(f"--{name} {value}: outside {low}..{high}; pass a number in this range")

    @property
    def held_out(self) -> int:
        """Number of validation drives, and of test drives."""
        return max(2, round(14 * self.drives / 60))

    @property
    def camera(self) -> Camera:
        """Camera of the drives."""
        return kitti_camera(self.height, self.width)

    @property
    def street_camera(self) -> Camera:
        """Camera of the single streets: half as high again, twice as wide as high."""
        height = round(1.5 * self.height)
        return cityscapes_camera(height, 2 * height)

    def stored(self) -> dict[str, object]:
        """What synthetic.json says about it."""
        return {"generator": "street", "version": VERSION, "options": asdict(self)}


@dataclass(frozen=True)
class Drive:
    """One drive: place in the order of names, part, scene number, number of frames."""

    position: int
    part: str  # "train", "val", "test" or one of SEQUENCES
    scene: int
    frames: int

    @property
    def name(self) -> str:
        """Folder name in the date folder."""
        return f"{DATE}_drive_{FIRST_NAME + self.position:04d}_sync"

    def draw(self, seed: int) -> Scene:
        """The street of this drive; sequence 10 is strongly curved."""
        return draw_scene(seed, self.scene, curved=self.part == "10")


@dataclass(frozen=True)
class Street:
    """One single picture in the layout of Cityscapes."""

    city: str
    part: str
    position: int
    scene: int

    @property
    def stem(self) -> str:
        """File name up to the type."""
        return f"{self.city}_{self.position:06d}_000019"


def plan(recipe: Recipe) -> tuple[list[Drive], list[Street]]:
    """All drives and streets of a data set."""
    held = recipe.held_out
    scenes = [("train", i) for i in range(recipe.drives)]
    scenes += [("val", recipe.drives + i) for i in range(held)]
    scenes += [("test", FIRST_TEST_DRIVE + i) for i in range(held)]
    scenes += [(part, recipe.drives + held + i) for i, part in enumerate(SEQUENCES)]
    long = min(5 * recipe.frames, MAX_FRAMES)
    drives = [
        Drive(position, part, scene, long if part in SEQUENCES else recipe.frames)
        for position, (part, scene) in enumerate(scenes)
    ]
    # A street gives one image where a drive gives many: a few times as many streets keep segmentation from learning
    # single pictures by heart.
    labelled = STREETS_PER_DRIVE * recipe.drives
    streets = [Street("ahrendorf", "train", i, FIRST_STREET + i) for i in range(labelled)]
    streets += [Street("zellstadt", "val", i, FIRST_STREET + labelled + i) for i in range(held)]
    return drives, streets


def split_lists(drives: list[Drive]) -> dict[str, str]:
    """Path below the data set folder and text of every split list.

    The first and the last frame of a drive lack a neighbour and are left out; odometry tests need only the next one.
    """
    lists = {}
    for split in ("zhou", "kitti", "odom09", "odom10"):
        folder = f"kitti_{split}_split"
        lists[f"{folder}/train_files.txt"] = _lines(drives, "train", "lr", 1)
        lists[f"{folder}/val_files.txt"] = _lines(drives, "val", "l", 1)
        sequence = split.removeprefix("odom")
        test = _lines(drives, sequence, "l", 0) if sequence in SEQUENCES else _lines(drives, "test", "l", 1)
        lists[f"{folder}/test_files.txt"] = test
    for part in ("train", "test"):
        lists[f"kitti_annotated_split/{part}_files.txt"] = _pairs(drives, part)
    return lists


def _pairs(drives: list[Drive], part: str) -> str:
    """All left frames of a part with their depth maps, in the form of BTS; none of them needs neighbours."""
    return "".join(
        f"{DATE}/{drive.name}/image_02/data/{frame:010d}.png "
        f"{drive.name}/proj_depth/groundtruth/image_02/{frame:010d}.png\n"
        for drive in drives
        if drive.part == part
        for frame in range(drive.frames)
    )


def _lines(drives: list[Drive], part: str, sides: str, first: int) -> str:
    return "".join(
        f"{DATE}/{drive.name} {frame} {side}\n"
        for drive in drives
        if drive.part == part
        for side in sides
        for frame in range(first, drive.frames - 1)
    )
