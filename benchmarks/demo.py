"""``make demo``: render a street, train SGDepth on it, judge it on streets it has not seen, draw a picture."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from storage import descriptors

ROOT = Path(__file__).parents[1]
PRESET = ROOT / "presets" / "sgdepth_street.toml"
CLASS, TRAINED, UNTRAINED = "street", "trained", "untrained"
LAST = "epoch_11"


def command(*words: str | Path) -> None:
    """Run one of the project's commands, shown as a user would type it; stop the demo where it fails."""
    line = [str(word) for word in words]
    print(f"\n$ python {' '.join(line)}", flush=True)
    code = subprocess.run([sys.executable, *line], cwd=ROOT, check=False).returncode
    if code:
        sys.exit(code)


def native_precision() -> list[str]:
    """Options for bf16 where the processor computes in it by itself; elsewhere it takes several times as long."""
    from engine.device import has_bf16

    return ["--train-precision", "bf16"] if has_bf16("cpu") else []


def train(common: list[str | Path], name: str, *more: str) -> None:
    """Train one network, or take the checkpoint an earlier demo left."""
    command(
        "train.py",
        *common,
        "--model-name",
        name,
        "--resume",
        "auto",
        "--depth-validation-loaders",
        "",
        "--segmentation-validation-loaders",
        "",
        *more,
    )


def evaluate(common: list[str | Path], name: str, checkpoint: str) -> dict:
    """Depth, segmentation and motion of one checkpoint; the content of its metrics.json."""
    where = ["--model-name", f"eval_{name}", "--model-load", f"{CLASS}/{name}/checkpoints/{checkpoint}"]
    for script in ("eval_depth.py", "eval_segmentation.py", "eval_pose.py"):
        command(script, *common, *where, "--eval-num-images", "4")
    folder = Path(common[common.index("--checkpoint-dir") + 1])
    return json.loads((folder / CLASS / f"eval_{name}" / "metrics.json").read_text())


def constant_depth(common: list[str | Path]) -> float:
    """Abs Rel of the same depth everywhere, scaled by its median like the networks."""
    import arguments
    from dataloader.batch import to_device
    from dataloader.loaders import build_evaluation
    from evaluation.depth import constant_depth as predict
    from evaluation.depth import evaluate_depth
    from evaluation.protocols import DEPTH_PROTOCOLS

    args = arguments.parse("eval_depth", [str(word) for word in common])
    (data,) = build_evaluation(args, "depth")
    batches = (to_device(raw, "cpu") for raw in data)
    return evaluate_depth(predict, batches, DEPTH_PROTOCOLS[data.spec.protocol]).metrics["abs_rel"]


def picture(data: Path, common: list[str | Path], out: Path, count: int = 4) -> Path:
    """Inference on held-out frames, side by side."""
    import cv2

    listed = (data / "kitti_zhou_split" / "val_files.txt").read_text().splitlines()
    chosen = out / "images"
    chosen.mkdir(exist_ok=True)
    for number, line in enumerate(listed[:: max(1, len(listed) // count)][:count]):
        drive, frame, _ = line.split()
        source = data / "kitti" / drive / "image_02" / "data" / f"{int(frame):010d}.png"
        (chosen / f"{number}.png").write_bytes(source.read_bytes())
    folder = Path(common[common.index("--checkpoint-dir") + 1]) / CLASS / TRAINED / "checkpoints" / LAST
    command(
        "inference.py",
        "--config",
        PRESET,
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


def table(results: dict[str, dict], constant: float) -> str:
    """Markdown: constant depth, untrained and trained network."""
    lines = [
        "| | Abs Rel | RMSE | a1 | mIoU | ATE 09 | ATE 10 |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        f"| constant depth | {constant:.3f} | | | | | |",
    ]
    for name, found in results.items():
        depth = found["kitti_zhou_val_depth"]["metrics"]
        miou = found["cityscapes_val_seg"]["metrics"]["miou"]
        motion = [found[f"kitti_odom{n}_val_pose"]["metrics"]["ate_mean"] for n in ("09", "10")]
        lines.append(
            f"| {name} | {depth['abs_rel']:.3f} | {depth['rmse']:.2f} | {depth['a1']:.3f} | {miou:.3f} | "
            f"{motion[0]:.3f} | {motion[1]:.3f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Run the whole demo."""
    descriptors.prepare()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of the street, the weights and the order of the images")
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder for data, checkpoints and pictures")
    args = parser.parse_args()
    out = (args.out / f"seed_{args.seed}").resolve()
    out.mkdir(parents=True, exist_ok=True)
    data, start = out / "data", time.perf_counter()
    common = [
        "--config",
        PRESET,
        "--sys-cpu",
        "--sys-seed",
        str(args.seed),
        "--sys-num-workers",
        "1",
        "--dataset-dir",
        data,
        "--checkpoint-dir",
        out / "checkpoints",
        "--experiment-class",
        CLASS,
        *native_precision(),
    ]
    command("-m", "dataloader.prepare", "synthetic", "--out", data, "--seed", str(args.seed))
    train(common, UNTRAINED, "--train-num-epochs", "0")
    train(common, TRAINED)
    results = {UNTRAINED: evaluate(common, UNTRAINED, "epoch_0"), TRAINED: evaluate(common, TRAINED, LAST)}
    image = picture(data, common, out)
    constant = constant_depth(common)
    text = table(results, constant)
    (out / "table.md").write_text(text + "\n")
    ratio = results[TRAINED]["kitti_zhou_val_depth"]["metrics"]["abs_rel"] / constant
    print(
        f"\n{text}\n\nAbs Rel is {ratio:.2f} of the constant's; {(time.perf_counter() - start) / 60:.1f} minutes\n"
        f"picture: {image}"
    )


if __name__ == "__main__":
    main()
