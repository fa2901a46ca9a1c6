"""What stands for the commands in tests of tables over trainings."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

import arguments
from visual.pictures import encode


def option(words: list[str], flag: str) -> str:
    return words[words.index(flag) + 1]


class Commands:
    """Notes the commands, checks their words, and leaves what they would: streets of a few names, metrics, pictures.

    score:   what the evaluation of a run of a seed finds
    stop_at: name of the row whose training is interrupted
    """

    def __init__(self, score: Callable[[int, str], float] = lambda seed, run: 0.1, stop_at: str = ""):
        self.score, self.stop_at = score, stop_at
        self.lines: list[list[str]] = []

    def __call__(self, *words: str | Path) -> None:
        line = [str(word) for word in words]
        if line[0] == "train.py" and option(line, "--model-name") == self.stop_at:
            raise SystemExit(130)
        self.lines.append(line)
        script = line[0].removesuffix(".py")
        if line[0].endswith(".py"):
            arguments.parse(script, line[1:])
        if script.startswith("eval"):
            self._judge(script, line)
        if script == "inference":
            self._draw(Path(option(line, "--output-path")))
        if "synthetic" in line:
            self._render(Path(option(line, "--out")))

    def _judge(self, script: str, line: list[str]) -> None:
        seed, name = int(option(line, "--sys-seed")), option(line, "--model-name")
        value = self.score(seed, name.removeprefix("eval_"))
        names = ("miou",) if script == "eval_segmentation" else ("abs_rel", "rmse", "a1")
        names += ("edge_acc", "edge_comp") if "--metrics" in line else ()
        file = Path(option(line, "--checkpoint-dir"), "street", name, "metrics.json")
        file.parent.mkdir(parents=True, exist_ok=True)
        before = json.loads(file.read_text()) if file.exists() else {}
        file.write_text(json.dumps(before | {script: {"metrics": dict.fromkeys(names, value)}}))

    @staticmethod
    def _draw(folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(4):
            picture = np.full((32, 64, 3), 10 * number, np.uint8)
            (folder / f"{number}.png").write_bytes(encode(picture, ".png"))

    @staticmethod
    def _render(data: Path) -> None:
        lines = [f"day/drive_{number} 1 l" for number in range(8)]
        for line in lines:
            image = data / "kitti" / line.split()[0] / "image_02/data/0000000001.png"
            image.parent.mkdir(parents=True, exist_ok=True)
            image.write_bytes(encode(np.zeros((32, 64, 3), np.uint8), ".png"))
        (data / "kitti_zhou_split").mkdir(exist_ok=True)
        (data / "kitti_zhou_split/val_files.txt").write_text("\n".join(lines))

    @property
    def trained(self) -> list[tuple[str, str]]:
        """Seed and run of every training."""
        done = [line for line in self.lines if line[0] == "train.py"]
        return [(option(line, "--sys-seed"), option(line, "--model-name")) for line in done]

    def training(self, name: str) -> list[str]:
        """Words of the first training of this name."""
        return next(line for line in self.lines if line[0] == "train.py" and option(line, "--model-name") == name)
