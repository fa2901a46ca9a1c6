"""What each part of SGDEM is worth on the synthetic street, and what teachers of whole images are:
``python -m benchmarks.ablation``, many hours.

Every row is trained from scratch with every seed, all in equally many steps, and judged on streets it has not seen. A
row that is finished is not trained again, one that was interrupted goes on. One teacher, of streets that no student
sees, is trained first, for all seeds; where another process is at it, this one waits.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from errors import UserError
from storage import descriptors
from storage.atomic import write_whole
from storage.lock import changing

from .commands import HELD_OUT, TRAINING, Run, command, held_out_frames
from .street import Plan, Row, Seed, Table, plan_of, preset_file, report, schedule, table_parser

STUDENT, TEACHER = "sgdem_street", "street_teacher"
TEACHER_SEED = 101
NOTE = "teacher.json"
IN_METRES, BY_MEDIAN = "teacher_metres", "teacher_median"
ALIGNMENT = {IN_METRES: "none", BY_MEDIAN: "median"}
CACHE, TRUTH, FILE = "{cache}", "{truth}", "{teacher}"
"""In options: folders with answers of the teacher and with blurred truth, and the teacher itself."""


def _consistency(variant: str, weight: float, *more: str) -> tuple[str, ...]:
    return ("--sd-consistency-variant", variant, "--sd-consistency-weight", f"{weight:g}", *more)


def _taught(loss: str, weight: float = 0.1, gate: str = "none", cache: str = CACHE) -> tuple[str, ...]:
    words = ("--teacher-loss-weight", f"{weight:g}", "--teacher-cache", cache, "--teacher-loss", loss)
    return words if gate == "none" else (*words, "--teacher-gate", gate)


_ATTENTION = ("--model-attention", "bottleneck")
_DECIDED = _consistency("decided", 10)
_PATCHES = ("--patch-distill", "--patch-teacher", FILE, "--patch-teacher-cache", CACHE)
_SMOOTH = "ssi+gradient"


def _rows() -> dict[str, Row]:
    parts = {
        "base": ("base", ()),
        "attention": ("+ attention", _ATTENTION),
        "decided": ("+ consistency as decided, weight 10", _DECIDED),
        "light": ("+ consistency as decided, weight 1", _consistency("decided", 1)),
        "paper": ("+ consistency as in the paper, weight 10", _consistency("paper", 10)),
        "boundary": (
            "+ smooth but for borders of classes",
            _consistency("boundary", 0.01, "--depth-disparity-smoothness", "0"),
        ),
        "triplet": ("+ triplets at borders of classes", _consistency("triplet", 0.1)),
        "plane": ("+ planes of road and sidewalk", _consistency("plane", 0.1)),
        "patches": ("+ patches as published", _PATCHES),
        "ssi": ("+ whole images, ssi", _taught("ssi")),
        "gradient": ("+ whole images, ssi+gradient", _taught(_SMOOTH)),
        "ranking": ("+ whole images, ranking", _taught("ranking")),
        "strong": ("+ whole images, ssi+gradient, weight 1", _taught(_SMOOTH, 1)),
        "photometric": ("+ ssi+gradient with photometric gate", _taught(_SMOOTH, gate="photometric")),
        "uncertainty": ("+ ssi+gradient with gate of uncertainty", _taught(_SMOOTH, gate="uncertainty")),
        "truth": ("+ blurred truth, ssi+gradient, weight 1", _taught(_SMOOTH, 1, cache=TRUTH)),
        "published": ("SGDEM as published", (*_ATTENTION, *_DECIDED, *_PATCHES)),
    }
    teachers = {IN_METRES: Row("teacher, in metres", TEACHER), BY_MEDIAN: Row("teacher, scaled by medians", TEACHER)}
    return teachers | {name: Row(title, STUDENT, options) for name, (title, options) in parts.items()}


TABLE = Table(
    _rows(),
    against="base",
    metrics=("abs_rel", "rmse", "a1", "miou", "to_teacher", "minutes"),
    enlarged=2,  # the teacher sees half the size of a frame
    common=("--model-attention", "none", "--sd-consistency-weight", "0", "--no-patch-distill"),
)


def joined(rows: Mapping[str, Row], text: str) -> tuple[str, Row]:
    """A row with the options of several, given as NAME,NAME, and what it is called.

    Raises:
        ValueError: when there is no such row, or two of them contradict each other.
    """
    names = text.split(",")
    wrong = [name for name in names if name not in rows or rows[name].preset != STUDENT or not rows[name].options]
    if wrong or len(set(names)) < max(len(names), 2):
        known = ", ".join(name for name, row in rows.items() if row.preset == STUDENT and row.options)
        raise ValueError(f"--together {text}: give two or more different ones of {known}, separated by commas")
    found: dict[str, tuple[str, str]] = {}
    for name in names:
        for flag, value in _settings(rows[name].options).items():
            before, owner = found.setdefault(flag, (value, name))
            if before != value:
                raise ValueError(f"--together {text}: {owner} has {flag} {before}, {name} has {value}; leave one out")
    options = tuple(word for flag, (value, _) in found.items() for word in (flag, value) if word)
    return "+".join(names), Row(f"together: {', '.join(names)}", STUDENT, options)


def _settings(options: Sequence[str]) -> dict[str, str]:
    """Values by flag; "" of a switch."""
    flags = [place for place, word in enumerate(options) if word.startswith("--")]
    ends = [*flags[1:], len(options)]
    return {options[place]: " ".join(options[place + 1 : end]) for place, end in zip(flags, ends, strict=True)}


def chosen(named: Sequence[str], together: Sequence[str], against: str) -> Table:
    """The table with the rows that are named, or all, and those that are put together, compared with one of them.

    The base and the teacher are always there, and what is compared with.

    Raises:
        ValueError: when there is no such row.
    """
    rows = TABLE.rows
    if wrong := [name for name in named if name not in rows]:
        raise ValueError(f"--rows {wrong[0]}: no such row; there are {', '.join(rows)}")
    more = dict(joined(rows, text) for text in together)
    if against not in rows | more:
        raise ValueError(f"--against {against}: no such row; there are {', '.join(rows | more)}")
    always = (*ALIGNMENT, TABLE.against, against)
    kept = {name: row for name, row in rows.items() if not named or name in (*named, *always)}
    return replace(TABLE, rows=kept | more, against=against)


@dataclass(frozen=True, kw_only=True)
class Teacher:
    """The teacher of all seeds.

    steps:  of its training; 0: as its preset says
    size:   (height, width) of the frames of its street
    drives: of its street
    """

    folder: Path
    steps: int
    size: tuple[int, int]
    drives: int
    run: Run = command

    @property
    def checkpoint(self) -> Path:
        """Its last one."""
        return self._school.runs / self._school.last("teacher")

    @property
    def _school(self) -> Seed:
        """Where it is trained: a street of its own, whose only row it is."""
        table = Table({"teacher": Row("teacher", TEACHER)}, against="teacher", resized=False)
        return Seed(table, Plan(self.steps, self.size, self.drives), TEACHER_SEED, self.folder, self.run)

    def make(self) -> None:
        """Train it, or go on with it, unless it is there; one process at a time.

        Raises:
            ValueError: when it was made in another way.
        """
        note = self.folder / NOTE
        asked = {"steps": self.steps, "size": [*self.size], "drives": self.drives}
        self.folder.mkdir(parents=True, exist_ok=True)
        if not note.exists():
            print(f"{self.folder}: the teacher comes first; if another process is at it, this one waits", flush=True)
        with changing(note):
            if not note.exists():
                self._school.prepare(["teacher"])
                self._school.train("teacher")
                write_whole(note, json.dumps(asked, indent=2).encode())
        if (made := json.loads(note.read_text())) != asked:
            raise ValueError(f"{note}: the teacher was made with {made}, not {asked}; give another --out")


@dataclass(frozen=True)
class Pupils(Seed):
    """The rows of one seed, and what they ask of their teacher."""

    teacher: Teacher = field(kw_only=True)

    @property
    def places(self) -> dict[str, str]:
        """What stands for words in options."""
        return {
            CACHE: str(self.out / "teacher_cache"),
            TRUTH: str(self.out / "truth_cache"),
            FILE: str(self.teacher.checkpoint),
        }

    @property
    def answers(self) -> Path:
        """Depth that the teacher says of held-out images."""
        return self.out / "teacher_depth.npz"

    def prepare(self, missing: Sequence[str]) -> None:
        """Render the street, make the teacher, and ask it once about all images."""
        super().prepare(missing)
        self.teacher.make()
        height, width = map(str, self.plan.size)
        wanted = {word for name in missing for word in self.table.rows[name].options}
        asked, data = ["--teacher", self.teacher.checkpoint, "--mirrored"], ["--dataset-dir", self.data]
        if CACHE in wanted:
            size = ["--height", height, "--width", width, "--sys-cpu"]
            cache = ["--out", self.places[CACHE], *size]
            self.run("-m", "dataloader.prepare", "teacher-cache", TRAINING, *asked, *cache, *data)
        if TRUTH in wanted:
            cache = ["--out", self.places[TRUTH], "--size", height, width]
            self.run("-m", "benchmarks.answers", "truth", *cache, *data)
        checkpoint = ["--checkpoint", self.teacher.checkpoint]
        self.run("-m", "benchmarks.answers", "depth", "--out", self.answers, *checkpoint, *data)

    def train(self, name: str) -> None:
        """Train a row; the teacher is there."""
        if name not in ALIGNMENT:
            super().train(name)

    def training_words(self, name: str) -> list[str]:
        """Options of the training of a row, with the places of this seed."""
        return [self.places.get(word, word) for word in super().training_words(name)]

    def judge(self, name: str) -> dict[str, float]:
        """All that is measured of a row, also how far it is from its teacher."""
        if name in ALIGNMENT:
            network = ["--model-name", f"eval_{name}", "--model-load", str(self.teacher.checkpoint)]
            rules = ["--depth-validation-loaders", HELD_OUT, "--depth-gt", "raw", "--depth-alignment", ALIGNMENT[name]]
            self.run("eval_depth.py", *self.options(TEACHER), *network, *rules)
            return self.metrics(f"eval_{name}")
        found = super().judge(name)
        self.evaluate("eval_depth.py", name, f"to_teacher_{name}", "--depth-gt", self.answers)
        return found | {"to_teacher": self.metrics(f"to_teacher_{name}")["abs_rel"]}

    def picture(self) -> np.ndarray:
        """Four frames, and below them the disparity of every row, with its title: (H, W, 3) uint8."""
        from dataloader.files import open_rgb
        from visual.comparisons import titled

        frames = self.out / "frames"
        held_out_frames(self.data, frames)
        strips = {"four streets that were not seen in training": frames}
        for name, row in self.table.rows.items():
            if name == IN_METRES:
                continue  # the same network as that of the next row
            folder = self.out / "pictures" / name
            self._infer(name, frames, folder)
            strips["teacher" if name in ALIGNMENT else row.title] = folder
        shown = {}
        for title, folder in strips.items():
            pictures = [np.asarray(open_rgb(path)) for path in sorted(folder.glob("*.png"))]
            shown[title] = titled(np.concatenate(pictures, axis=1), title)
        return np.concatenate(list(shown.values()))

    def _infer(self, name: str, frames: Path, folder: Path) -> None:
        """Disparities of frames as pictures, unless they are there."""
        if len(list(folder.glob("*.png"))) == len(list(frames.glob("*.png"))):
            return
        row = self.table.rows[name]
        network = self.teacher.checkpoint if name in ALIGNMENT else self.runs / self.last(name)
        size = [] if name in ALIGNMENT else self._size("inference-resize")
        where = ["--model-path", network / "model.pth", "--image-path", frames, "--output-path", folder]
        look = ["--output-format", ".png", "--layout", "only"]
        self.run("inference.py", "--config", preset_file(row.preset), "--sys-cpu", *where, *look, *size)


def check_rows(seed: Seed) -> None:
    """Look at the options of all trainings before the first begins.

    Raises:
        UserError: naming what does not go together.
    """
    import arguments
    import methods

    for name, row in seed.table.rows.items():
        if row.preset == STUDENT:
            args = arguments.parse("train", seed.training_words(name))
            methods.building(args.method).check(args)


def main(words: Sequence[str] | None = None, run: Run = command) -> None:
    """Make the table, and a picture of the last seed."""
    descriptors.prepare()
    size = "of what students see; frames have twice the sides"
    parser = table_parser("python -m benchmarks.ablation", __doc__, (1, 2), "ablation", size)
    add = parser.add_argument
    add("--rows", nargs="+", default=[], metavar="NAME", help=f"which of {', '.join(TABLE.rows)}; default: all")
    add("--together", nargs="+", default=[], metavar="NAME,NAME", help="one more row each, of the options of several")
    add("--against", default=TABLE.against, metavar="NAME", help="row that the others are compared with; default: base")
    add("--teacher-steps", type=int, default=0, help="of the training of the teacher; 0: as its preset says")
    add("--teacher-drives", type=int, default=96, help="of the street of the teacher, 12 frames each")
    args = parser.parse_args(words)
    from visual.pictures import encode

    folder, numbers = args.out.resolve(), list(dict.fromkeys(args.seeds))
    try:
        if max(numbers) >= TEACHER_SEED:
            raise ValueError(f"--seeds: {TEACHER_SEED} and up are those of teachers, which no student sees")
        if args.teacher_steps < 0 or args.teacher_drives < 1:
            raise ValueError("--teacher-steps: 0 or more; --teacher-drives: 1 or more")
        table = chosen(args.rows, args.together, args.against)
        plan = plan_of(args, table)
        schedule(TEACHER, args.teacher_steps)
        frames = tuple(table.enlarged * side for side in plan.size)
        teacher = Teacher(
            folder=folder / "teacher", steps=args.teacher_steps, size=frames, drives=args.teacher_drives, run=run
        )
        seeds = [Pupils(table, plan, seed, folder / f"seed_{seed}", run, teacher=teacher) for seed in numbers]
        check_rows(seeds[0])
        beside = "" if args.against == TABLE.against else f"_against_{args.against}"
        report(table, seeds, folder / f"table_{'_'.join(map(str, numbers))}{beside}.md")
        shown = folder / f"pictures_{numbers[-1]}.png"
        write_whole(shown, encode(seeds[-1].picture(), ".png"))
    except (ValueError, UserError) as error:
        parser.error(str(error))
    print(f"\npictures: {shown}")


if __name__ == "__main__":
    main()
