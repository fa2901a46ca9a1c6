"""``make demo``: render a street, train a method on it, judge it on streets it has not seen, draw a picture."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from methods import METHODS
from storage import descriptors

from .commands import COLUMNS, ROOT, command, held_out_frames, native_precision, read_results, usual_options

CLASS, TRAINED, UNTRAINED = "street", "trained", "untrained"


@dataclass(frozen=True)
class Demo:
    """What the demo of a method needs, besides its preset ``<method>_street.toml``.

    last:   checkpoint that the preset ends with
    short:  batches of an epoch where the processor computes in fp32 alone: the whole demo takes minutes there, too
    street: options of the renderer
    """

    method: str
    last: str
    short: int
    street: tuple[str, ...] = ()

    @property
    def preset(self) -> Path:
        """Options of training, evaluation and inference."""
        return ROOT / "presets" / f"{self.method}_street.toml"


DEMOS = {
    demo.method: demo
    for demo in (
        Demo("sgdepth", "epoch_11", short=45),
        # It sees half the size of an image, so frames are larger, and fewer.
        Demo("spatial_kd", "epoch_8", short=50, street=("--height", "192", "--width", "640", "--drives", "24")),
    )
}


def fewer_steps(demo: Demo) -> list[str]:
    """Options for a training that takes minutes in fp32: shorter epochs, and a shorter schedule, which counts epochs.

    The warm-up stays as long as it is: it is there for the first steps, which are the same.
    """
    import arguments

    usual = arguments.parse("train", ["--config", str(demo.preset)])
    epochs, batches = usual.train_num_epochs, usual.train_batches_per_epoch
    print(f"fp32 on this processor: {epochs * demo.short} steps instead of {epochs * batches}", flush=True)
    return ["--train-batches-per-epoch", str(demo.short)]


def train(demo: Demo, common: list[str], name: str, *more: str) -> None:
    """Train one network, or take the checkpoint an earlier demo left."""
    unjudged = [word for task in ("depth", "segmentation") for word in (f"--{task}-validation-loaders", "")]
    unjudged = unjudged if "segmentation" in METHODS[demo.method].tasks else unjudged[:2]
    command("train.py", *common, "--model-name", name, "--resume", "auto", *unjudged, *more)


def evaluate(demo: Demo, common: list[str], name: str, checkpoint: str) -> dict:
    """What the network of a checkpoint can do, depth first; the content of its metrics.json."""
    where = ["--model-name", f"eval_{name}", "--model-load", f"{CLASS}/{name}/checkpoints/{checkpoint}"]
    for script in ("eval_depth", "eval_segmentation", "eval_pose"):
        if script in METHODS[demo.method].options:
            command(f"{script}.py", *common, *where, "--eval-num-images", "4")
    return read_results(Path(common[common.index("--checkpoint-dir") + 1]), CLASS, f"eval_{name}")


def constant_depth(common: list[str]) -> float:
    """Abs Rel of the same depth everywhere, scaled by its median like the networks."""
    import arguments
    from dataloader.batch import to_device
    from dataloader.loaders import build_evaluation
    from evaluation.depth import constant_depth as predict
    from evaluation.depth import evaluate_depth
    from evaluation.protocols import DEPTH_PROTOCOLS

    args = arguments.parse("eval_depth", common)
    (data,) = build_evaluation(args, "depth")
    batches = (to_device(raw, "cpu") for raw in data)
    return evaluate_depth(predict, batches, DEPTH_PROTOCOLS[data.spec.protocol]).metrics["abs_rel"]


def picture(demo: Demo, data: Path, common: list[str], out: Path) -> Path:
    """Inference on held-out frames, side by side."""
    import cv2

    chosen = out / "images"
    held_out_frames(data, chosen)
    folder = Path(common[common.index("--checkpoint-dir") + 1]) / CLASS / TRAINED / "checkpoints" / demo.last
    command(
        "inference.py",
        "--config",
        demo.preset,
        "--sys-cpu",
        "--model-path",
        folder / "model.pth",
        "--image-path",
        chosen,
        "--output-path",
        out / "predictions",
        "--output-format",
        ".png",
    )
    columns = [cv2.imread(str(path)) for path in sorted((out / "predictions").glob("*.png"))]
    cv2.imwrite(str(out / "street.png"), cv2.hconcat(columns))
    return out / "street.png"


def table(results: Mapping[str, Mapping[str, dict]], constant: float) -> str:
    """Markdown: constant depth, then networks with what their metrics.json says of every set."""
    titles, rows = [], {}
    for name, found in results.items():
        cells = []
        for domain, entry in found.items():
            for metric, (title, form) in COLUMNS.items():
                if metric in entry["metrics"]:
                    number = "".join(filter(str.isdigit, domain)) if metric == "ate_mean" else ""
                    cells.append((f"{title} {number}".strip(), format(entry["metrics"][metric], form)))
        titles = [title for title, _ in cells]
        rows[name] = [value for _, value in cells]
    rows = {"constant depth": [f"{constant:.3f}", *[""] * (len(titles) - 1)], **rows}
    lines = [["", *titles], ["---"] * (len(titles) + 1), *([name, *values] for name, values in rows.items())]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def main() -> None:
    """Run the whole demo."""
    descriptors.prepare()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--method", choices=DEMOS, default="sgdepth", help="what is trained")
    parser.add_argument("--seed", type=int, default=1, help="of the street, the weights and the order of the images")
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder for data, checkpoints and pictures")
    args = parser.parse_args()
    demo = DEMOS[args.method]
    out = (args.out / f"seed_{args.seed}").resolve()
    out = out if args.method == "sgdepth" else out / args.method
    out.mkdir(parents=True, exist_ok=True)
    data, start = out / "data", time.perf_counter()
    common = usual_options(demo.preset, args.seed, data, out / "checkpoints", CLASS, workers=1)
    length = [] if native_precision() else fewer_steps(demo)
    command("-m", "dataloader.prepare", "synthetic", "--out", data, "--seed", str(args.seed), *demo.street)
    train(demo, common, UNTRAINED, "--train-num-epochs", "0")
    train(demo, common, TRAINED, *length)
    checkpoints = {UNTRAINED: "epoch_0", TRAINED: demo.last}
    results = {name: evaluate(demo, common, name, checkpoint) for name, checkpoint in checkpoints.items()}
    image = picture(demo, data, common, out)
    constant = constant_depth(common)
    text = table(results, constant)
    (out / "table.md").write_text(text + "\n")
    ratio = next(iter(results[TRAINED].values()))["metrics"]["abs_rel"] / constant
    print(
        f"\n{text}\n\nAbs Rel is {ratio:.2f} of the constant's; {(time.perf_counter() - start) / 60:.1f} minutes\n"
        f"picture: {image}"
    )


if __name__ == "__main__":
    main()
