"""What the parts of a system are worth on the synthetic street: ``python -m benchmarks.street TABLE``, many hours.

Every row is trained from scratch with every seed, all in equally many steps, and judged on streets it has not seen. A
row that is finished is not trained again, one that was interrupted goes on.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from storage import descriptors
from storage.atomic import write_whole

from .commands import COLUMNS, ROOT, Run, command, read_results, usual_options

CLASS, RESULTS, MINUTES = "street", "results.json", "minutes.json"
SHRUNK = (2.5, 1.5)
"""Height and width of labelled images by those of what is cut out of them, as in presets of the street."""


@dataclass(frozen=True)
class Row:
    """A training: its title, its preset, what it has besides, and the row that is its teacher."""

    title: str
    preset: str
    options: tuple[str, ...] = ()
    teacher: str = ""


@dataclass(frozen=True)
class Table:
    """What is compared.

    rows:     by the names of their runs, teachers before their students
    against:  the row that the others are compared with
    size:     (height, width) of the frames, and of what the network sees where it is `resized`
    drives:   of training
    metrics:  keys of `COLUMNS`; with `miou`, classes are judged, too
    judging:  options of eval_depth.py
    fill:     loaders whose depth is filled first
    enlarged: how many times larger the frames are drawn than `size`
    common:   options of training that all rows have; those of a row win
    """

    rows: Mapping[str, Row]
    against: str
    size: tuple[int, int] = (96, 320)
    resized: bool = True
    drives: int = 60
    metrics: tuple[str, ...] = ("abs_rel", "rmse", "a1")
    judging: tuple[str, ...] = ()
    fill: tuple[str, ...] = ()
    enlarged: int = 1
    common: tuple[str, ...] = ()

    @property
    def segments(self) -> bool:
        """Whether its networks know classes."""
        return "miou" in self.metrics


def _views(crop: bool, reshuffle: bool) -> tuple[str, ...]:
    return ("--local-crop" if crop else "--no-local-crop", "--patch-reshuffle" if reshuffle else "--no-patch-reshuffle")


def _parts(transformer: bool, kernel: str) -> tuple[str, ...]:
    return ("--model-transformer" if transformer else "--no-model-transformer", "--diffusion-kernel", kernel)


TABLES = {
    "bdedepth": Table(
        {
            "base": Row("base", "bdedepth_street", _views(False, False)),
            "crop": Row("+ local crop", "bdedepth_street", _views(True, False)),
            "reshuffle": Row("+ reshuffle", "bdedepth_street", _views(False, True)),
            "both": Row("both", "bdedepth_street", _views(True, True)),
            "monodepth2": Row("Monodepth2", "monodepth2_street"),
        },
        against="base",
    ),
    "spatial_kd": Table(
        {
            "teacher": Row("teacher", "spatial_kd_street"),
            "alone": Row("student alone", "spatial_kd_street_student"),
            "distilled": Row("student distilled", "spatial_kd_street_student", teacher="teacher"),
        },
        against="alone",  # which the student is to be better than; the teacher is another network
        size=(192, 640),
        resized=False,
        drives=24,
    ),
    "sd_convtrans": Table(
        {
            "pyramid": Row("pyramid", "sd_convtrans_street", _parts(False, "none")),
            "transformer": Row("+ transformer", "sd_convtrans_street", _parts(True, "none")),
            "trained": Row("+ diffusion, trained", "sd_convtrans_street", _parts(True, "trained")),
            "random": Row("+ diffusion, random", "sd_convtrans_street", _parts(True, "random")),
        },
        against="pyramid",
        metrics=("abs_rel", "rmse", "a1", "edge_acc", "edge_comp"),
        judging=("--metrics", "boundaries"),
        fill=("kitti_annotated_train",),
    ),
}


@dataclass(frozen=True)
class Plan:
    """How long and on what the rows of a table are trained; another plan needs another folder.

    steps: of every row; 0: as its preset says
    data:  a street that is there already, for all seeds; empty: one is rendered for every seed
    """

    steps: int
    size: tuple[int, int]
    drives: int
    data: str = ""


@dataclass(frozen=True)
class Seed:
    """One seed of a table: its folder, its street, and how its commands are run."""

    table: Table
    plan: Plan
    number: int
    out: Path
    run: Run = field(default=command)

    @property
    def data(self) -> Path:
        """Its street."""
        return Path(self.plan.data or self.out / "data")

    @property
    def runs(self) -> Path:
        """Folder of all its runs."""
        return self.out / "checkpoints"

    def results(self) -> dict[str, dict[str, float]]:
        """Metrics of the rows; those that are there are read, the others are trained and judged first."""
        path = self.out / RESULTS
        found = _read_results(path, self.plan)
        missing = [name for name in self.table.rows if name not in found]
        if missing:
            self.prepare(missing)
        for name in missing:
            self.train(name)
            measured = self.judge(name)
            found[name] = {metric: measured[metric] for metric in self.table.metrics if metric in measured}
            note = {"plan": asdict(self.plan), "rows": found}
            write_whole(path, json.dumps(note, indent=2).encode())
        return found

    def prepare(self, missing: Sequence[str]) -> None:
        """Make what the rows that are missing are trained on."""
        height, width = (str(self.table.enlarged * side) for side in self.plan.size)
        if not self.plan.data:
            street = ["--drives", str(self.plan.drives), "--height", height, "--width", width]
            self.run("-m", "dataloader.prepare", "synthetic", "--out", self.data, "--seed", str(self.number), *street)
        if self.table.fill:
            self.run("-m", "dataloader.prepare", "fill", *self.table.fill, "--dataset-dir", self.data)

    def train(self, name: str) -> None:
        """Train a row, or go on with it; the minutes add up."""
        begin = time.monotonic()
        try:
            self.run("train.py", *self.training_words(name))
        finally:
            minutes = self._minutes()
            minutes[name] = minutes.get(name, 0.0) + (time.monotonic() - begin) / 60
            write_whole(self.out / MINUTES, json.dumps(minutes, indent=2).encode())

    def training_words(self, name: str) -> list[str]:
        """Options of the training of a row."""
        row = self.table.rows[name]
        _, words = schedule(row.preset, self.plan.steps)
        words += ["--train-checkpoint-frequency", "1", "--keep", "last=1", "--resume", "auto"]
        words += ["--depth-validation-loaders", "", *self._size("depth-resize")]
        if self.table.segments:
            words += ["--segmentation-validation-loaders", "", *self._size("segmentation-crop")]
            words += self._size("segmentation-resize", SHRUNK)
        if row.teacher:
            words += ["--kd-teacher", self.last(row.teacher)]
        return [*self.options(row.preset), "--model-name", name, *words, *self.table.common, *row.options]

    def last(self, name: str) -> str:
        """The last checkpoint of a row, below the folder of all runs."""
        epochs, _ = schedule(self.table.rows[name].preset, self.plan.steps)
        return f"{CLASS}/{name}/checkpoints/epoch_{epochs}"

    def judge(self, name: str) -> dict[str, float]:
        """All that is measured of a row."""
        self.evaluate("eval_depth.py", name, f"eval_{name}", *self.table.judging)
        if self.table.segments:
            self.evaluate("eval_segmentation.py", name, f"eval_{name}")
        return self.metrics(f"eval_{name}") | {"minutes": self._minutes()[name]}

    def evaluate(self, script: str, name: str, run: str, *more: str | Path) -> None:
        """Judge a row by a command, in a run folder of this name."""
        size = self._size("depth-validation-resize") if script == "eval_depth.py" else []
        where = ["--model-name", run, "--model-load", self.last(name), "--eval-num-images", "4"]
        self.run(script, *self.options(self.table.rows[name].preset), *where, *size, *more)

    def metrics(self, run: str) -> dict[str, float]:
        """What the metrics.json of a run folder says, of all its sets."""
        entries = read_results(self.runs, CLASS, run).values()
        return {metric: value for entry in entries for metric, value in entry["metrics"].items()}

    def _minutes(self) -> dict[str, float]:
        path = self.out / MINUTES
        return json.loads(path.read_text()) if path.exists() else {}

    def options(self, preset: str) -> list[str]:
        """Those that all commands share."""
        return usual_options(preset_file(preset), self.number, self.data, self.runs, CLASS)

    def _size(self, flag: str, times: tuple[float, float] = (1, 1)) -> list[str]:
        height, width = (str(round(factor * side)) for factor, side in zip(times, self.plan.size, strict=True))
        return [f"--{flag}-height", height, f"--{flag}-width", width] if self.table.resized else []


def preset_file(name: str) -> Path:
    """The file of a preset."""
    return ROOT / "presets" / f"{name}.toml"


def schedule(preset: str, steps: int) -> tuple[int, list[str]]:
    """Epochs of a training of so many steps, 0 for those of the preset, and the options that make it so.

    What the preset says in steps and epochs of warm-up and decay keeps its share of the training.

    Raises:
        ValueError: when the steps make no whole epochs.
    """
    recipe = tomllib.loads(preset_file(preset).read_text())
    usual = recipe["train-num-epochs"]
    if not steps:
        return usual, []
    epochs = min(usual, steps)
    batches, rest = divmod(steps, epochs)
    if rest:
        below = steps - rest
        raise ValueError(
            f"{steps} are no multiple of the {epochs} epochs of {preset}.toml; take {below} or {below + epochs}"
        )
    share = steps / (usual * recipe["train-batches-per-epoch"])
    words = {"num-epochs": epochs, "batches-per-epoch": batches}
    words["warmup-steps"] = round(share * recipe["train-warmup-steps"])
    if "train-scheduler-step-size" in recipe:
        words["scheduler-step-size"] = max(1, round(epochs / usual * recipe["train-scheduler-step-size"]))
    if "train-final-epochs" in recipe:
        words["final-epochs"] = min(recipe["train-final-epochs"], epochs - 1)
    return epochs, [word for name, value in words.items() for word in (f"--train-{name}", str(value))]


def _read_results(path: Path, plan: Plan) -> dict[str, dict[str, float]]:
    """Rows that are done; raises ValueError where they were made by another plan."""
    if not path.exists():
        return {}
    note = json.loads(path.read_text())
    asked = json.loads(json.dumps(asdict(plan)))
    before = note["plan"]
    changed = [f"{name} {before[name]}, not {value}" for name, value in asked.items() if before[name] != value]
    if changed:
        raise ValueError(f"{path} was made with {' and '.join(changed)}; give another --out, or the same options")
    return note["rows"]


def markdown(table: Table, found: Mapping[int, Mapping[str, Mapping[str, float]]]) -> str:
    """The table: every metric as mean and spread over the seeds, then its difference to the row `against`.

    The spread is the standard deviation with Bessel's correction; differences are those of the same seed. With one seed
    there is none. What was not measured of a row is left out. Of several seeds, a second table has the first metric of
    each.
    """
    base = table.rows[table.against].title
    titles = [COLUMNS[metric][0] for metric in table.metrics]
    header = ["", *titles, *(f"{title} - that of {base}" for title in titles)]
    lines = [header, ["---"] * len(header)]
    for name, row in table.rows.items():
        cells = []
        for signed in (False, True):
            for metric in table.metrics:
                if (signed and name == table.against) or any(metric not in rows[name] for rows in found.values()):
                    cells.append("")
                    continue
                values = [
                    rows[name][metric] - (rows[table.against][metric] if signed else 0) for rows in found.values()
                ]
                cells.append(_spread(values, ("+z" if signed else "") + COLUMNS[metric][1]))
        lines.append([row.title, *cells])
    seeds = ", ".join(map(str, found))
    text = f"{_body(lines)}\n\nMean ± standard deviation over seeds {seeds}; differences seed by seed."
    return text if len(found) < 2 else f"{text}\n\n{_by_seed(table, found)}"


def _by_seed(table: Table, found: Mapping[int, Mapping[str, Mapping[str, float]]]) -> str:
    """The first metric of every row with every seed."""
    title, form = COLUMNS[table.metrics[0]]
    lines = [[f"{title} by seed", *map(str, found)], ["---"] * (len(found) + 1)]
    for name, row in table.rows.items():
        lines.append([row.title, *(format(rows[name][table.metrics[0]], form) for rows in found.values())])
    return _body(lines)


def _body(lines: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _spread(values: Sequence[float], form: str) -> str:
    mean = format(statistics.fmean(values), form)
    return mean if len(values) < 2 else f"{mean} ± {format(statistics.stdev(values), form.lstrip('+'))}"


def table_parser(
    prog: str, about: str | None, seeds: Sequence[int], out: str, size: str = "of the frames"
) -> argparse.ArgumentParser:
    """The options that all tables share; `size`: of what --size is the size."""
    parser = argparse.ArgumentParser(prog=prog, description=about)
    add = parser.add_argument
    add("--seeds", type=int, nargs="+", default=list(seeds), help="of streets, weights and order of images")
    add("--steps", type=int, default=0, help="of every training; 0: as the presets say")
    add("--size", type=int, nargs=2, metavar=("H", "W"), help=f"{size}, pixels")
    add("--drives", type=int, default=0, help="of training, 12 frames each; 0: as the table has it")
    add("--data", default="", metavar="DIR", help="a street that is there already, for all seeds")
    add("--out", type=Path, default=Path(out), help="folder for data and checkpoints")
    return parser


def plan_of(args: argparse.Namespace, table: Table) -> Plan:
    """The plan that the options say.

    Raises:
        ValueError: when a row cannot be trained so.
    """
    data = str(Path(args.data).resolve()) if args.data else ""
    plan = Plan(args.steps, tuple(args.size or table.size), args.drives or table.drives, data)
    if plan.steps < 0 or (table.resized and any(side % 32 for side in plan.size)):
        raise ValueError("--steps: 0 or more; --size: multiples of 32")
    for row in table.rows.values():
        schedule(row.preset, plan.steps)
    return plan


def report(table: Table, seeds: Sequence[Seed], path: Path) -> None:
    """Train and judge what is missing, seed by seed, then print the table and keep it."""
    text = markdown(table, {seed.number: seed.results() for seed in seeds})
    write_whole(path, f"{text}\n".encode())
    print(f"\n{text}", flush=True)


def main(words: Sequence[str] | None = None, run: Run = command) -> None:
    """Make one of the tables."""
    descriptors.prepare()
    parser = table_parser("python -m benchmarks.street", __doc__, (1, 2, 3), "street_tables")
    parser.add_argument("table", choices=TABLES, help="what is compared")
    args = parser.parse_args(words)
    table, folder = TABLES[args.table], (args.out / args.table).resolve()
    try:
        plan = plan_of(args, table)
        seeds = [Seed(table, plan, seed, folder / f"seed_{seed}", run) for seed in dict.fromkeys(args.seeds)]
        report(table, seeds, folder / "table.md")
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
