"""The table of one network's speed: its facts, a row per form, reasons for what cannot be measured."""

from __future__ import annotations

import sys
from argparse import Namespace

import pytest
import torch
from torch import nn

from benchmarks import speed
from errors import UserError
from models.prediction import Prediction
from perspective_resample.depth import DepthMap
from tests.commands import write_checkpoint
from tests.warm import ThinPools

pytestmark = pytest.mark.usefixtures("thin")
WORDS = ["--method", "sgdepth", "--height", "64", "--width", "64"]
CHOSEN = {"batch": 2, "rounds": 1, "threads": 1, "cpu": True}


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.pose = nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.Linear(9, 9)

    def predict(self, image, tasks):
        return Prediction(DepthMap(self.conv(image).sum(1, keepdim=True), False, "metres"))


def test_parameters_and_operations_are_those_of_depth():
    assert speed.parameters(Small()) == 4 * 3 * 9
    assert speed.gmacs(Small(), torch.rand(1, 3, 10, 20)) == pytest.approx(4 * 3 * 9 * 200 / 1e9)


def test_the_table_has_a_row_for_every_form(tmp_path, monkeypatch):
    folder = write_checkpoint(tmp_path / "epoch_1")
    monkeypatch.setattr(speed.multiprocessing, "get_context", lambda kind: ThinPools)
    reasons = {"compiled": "no compiler", "bf16": "emulated", "onnx": "needs onnx"}
    monkeypatch.setattr(speed, "lacking", lambda form, device: reasons.get(form, ""))
    head, facts, _, *rows = speed.table(Namespace(network=str(folder), **CHOSEN), WORDS).splitlines()
    assert f"{folder} (sgdepth), 2 x 64x64" in head and "million parameters" in facts and "GMACs" in facts
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]
    assert [row[0] for row in cells] == [*speed.FORMS] and all(len(row) == 4 for row in cells)
    for name, images, milliseconds, memory in (row for row in cells if row[0] in ("eager", "pt2")):
        assert float(images) * float(milliseconds) == pytest.approx(1000, rel=0.1) and float(memory) > 0, name
    assert [cells[place][1] for place in (1, 2, 4)] == [*reasons.values()]


def test_what_cannot_be_measured_says_why(monkeypatch):
    monkeypatch.setattr("engine.device.has_bf16", lambda kind: False)
    monkeypatch.setattr("storage.programs.PACKAGES", ("onnx_of_nowhere",))
    assert speed.lacking("bf16", "cpu") == "this device only emulates bf16"
    assert speed.lacking("onnx", "cpu") == "needs onnx_of_nowhere"
    assert speed.lacking("eager", "cpu") == speed.lacking("pt2", "cpu") == ""

    def broken(flag, device):
        raise UserError(f"{flag}: torch.compile does not work here (no g++); leave the option out")

    monkeypatch.setattr("engine.device.require_compiler", broken)
    assert speed.lacking("compiled", "cpu") == "torch.compile does not work here (no g++)"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nowhere"], "error: --model-path nowhere: no such file"),
        (["nowhere", "--batch", "0"], "error: --batch 0: give at least 1"),
        (["nowhere", "--heigth", "64"], "error: --heigth: unknown option of export.py"),
    ],
)
def test_mistakes_are_one_sentence(words, told, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["speed", *words])
    assert speed.main() == 2
    assert capsys.readouterr().err.startswith(told)
