"""Ten steps of every method that is trained lose what was recorded: no change of the house moves them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import arguments
import train
from methods import METHODS
from visual.report import Report

COMMON = {
    "--sys-num-workers": 0,
    "--train-weights-init": "scratch",
    "--train-num-epochs": 2,
    "--train-batches-per-epoch": 5,
    "--train-warmup-steps": 4,
    "--depth-training-loaders": "kitti_zhou_train",
    "--depth-training-batch-size": 2,
    "--depth-validation-loaders": "",
    "--depth-resize-height": 64,
    "--depth-resize-width": 96,
    "--model-num-layers": 18,
}
LABELLED = {
    "--segmentation-validation-loaders": "",
    "--segmentation-training-batch-size": 1,
    "--segmentation-resize-height": 96,
    "--segmentation-resize-width": 192,
    "--segmentation-crop-height": 64,
    "--segmentation-crop-width": 96,
}
RUNS: dict[str, tuple[dict[str, object], list[str]]] = {
    "sgdepth": (LABELLED | {"--masking-from-epoch": 0, "--train-accumulate": 2}, ["--masking-enable"]),
    "sgdem": (
        LABELLED
        | {
            "--depth-resize-height": 96,
            "--segmentation-resize-height": 144,
            "--segmentation-crop-height": 96,
            "--depth-resize-width": 128,
            "--segmentation-crop-width": 128,
            "--masking-from-epoch": 1,
            "--patch-from-epoch": 0,
            "--patch-until-epoch": 2,
            "--patch-teacher": "none",
            "--patch-gate": "none",
            "--patch-max": 4,
            "--train-checkpoint-frequency": 5,
            "--sd-consistency-from-epoch": 1,
        },
        [],
    ),
    "monodepth2": ({}, []),
    "bdedepth": ({"--model-backbone": "resnet"}, []),
}
RECORDED = {
    "sgdem": [3.08015, 3.05401, 3.0255, 3.02402, 3.01326, 2.96059, 2.9508, 2.93876, 2.84952, 2.82354],
    "sgdepth": [3.01133, 3.01479, 3.01505, 2.99777, 2.99548, 2.94833, 2.95752, 2.95172, 2.91098, 2.91238],
    "monodepth2": [
        0.074407,
        0.0659981,
        0.0663351,
        0.0606877,
        0.0487946,
        0.0513261,
        0.0485974,
        0.059829,
        0.0460151,
        0.0485348,
    ],
    "bdedepth": [0.078138, 0.065634, 0.05818, 0.056301, 0.04487, 0.054373, 0.048964, 0.06607, 0.051243, 0.053919],
}


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if method.trained])
def test_ten_steps_lose_what_was_recorded(name, street, tmp_path, monkeypatch):
    more, switches = RUNS[name]
    values = COMMON | more | {"--dataset-dir": street, "--checkpoint-dir": tmp_path}
    words = ["--method", name, "--sys-cpu", *switches, *(str(word) for pair in values.items() for word in pair)]
    seen: list[float] = []
    plain = Report.after_step
    monkeypatch.setattr(
        Report,
        "after_step",
        lambda report, outcomes: (
            seen.append(sum(outcome.total.item() for outcome in outcomes)),
            plain(report, outcomes),
        ),
    )
    assert train.train(arguments.parse("train", words)) == 0
    # Adam makes much of the last digits of a gradient, which differ between processors.
    np.testing.assert_allclose(seen, RECORDED[name], rtol=2e-3)
    assert list(Path(tmp_path).rglob("epoch_2"))
