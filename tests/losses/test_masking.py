"""Masking of moving objects against the published code, and by its properties."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from losses.masking import DynamicClassMask
from tests import golden


def golden_labels(meta: dict, epoch: int, index: int) -> list[torch.Tensor]:
    batch, height, width = meta["inputs"]["N,H,W"]
    k = meta["inputs"]["seed"] + 1000 * epoch + 100 * index
    size = (batch, height // 4, width // 4)

    def up(a: np.ndarray) -> np.ndarray:
        return a.repeat(4, 1).repeat(4, 2)

    threshold = (0.15 * (1 + np.arange(batch)))[:, None, None]
    empty = index == meta["inputs"]["batches_per_epoch"] - 1
    frames = []
    for i in range(3):
        moving = (golden.uniform(k + 10, *size) > 0.6) & (golden.uniform(k + 20 + i, *size) > threshold)
        if empty:
            moving[0] = False
        ids = up(11 + np.floor(8 * golden.uniform(k + 30 + i, *size)))
        frames.append(
            torch.from_numpy(np.where(up(moving), ids, up(np.floor(11 * golden.uniform(k + i, *size))))).long()
        )
    return frames


@pytest.mark.parametrize("name", ["linear", "fixed"])
def test_masks_and_thresholds_match_the_published_code(name):
    meta, want = golden.load(f"sgdepth_dc_masking_{name}")
    config = meta["config"]
    masking = DynamicClassMask(
        config["masking_from_epoch"], config["num_epochs"], config["linear_increase"], config["moving_mask_percent"]
    )
    row = 0
    for epoch in range(config["num_epochs"]):
        masking.begin_epoch()
        if masking.active(epoch):
            for index in range(meta["inputs"]["batches_per_epoch"]):
                target, *warped = golden_labels(meta, epoch, index)
                keep = masking(target, warped).numpy()
                assert np.array_equal(np.packbits(keep.astype(np.uint8)), want["masks"][row])
                np.testing.assert_allclose(1 - keep.mean((1, 2)), want["masked_fraction"][row], atol=1e-6)
                row += 1
            np.testing.assert_allclose(masking.ious(), meta["iou_log_moving"][epoch], rtol=1e-12)
            masking.end_epoch(epoch)
        np.testing.assert_allclose(masking.threshold, want["thresholds"][epoch, 0], rtol=1e-12)
    assert row == len(want["masks"])


def frame(x: int, size: int = 2) -> torch.Tensor:
    labels = torch.zeros(1, 6, 10, dtype=torch.long)
    labels[:, 2:4, x : x + size] = 13
    return labels


def masking(**changes: object) -> DynamicClassMask:
    return DynamicClassMask(**{"from_epoch": 0, "epochs": 4, "linear_increase": False, "fraction": 0.5} | changes)


def test_a_car_that_moves_is_masked_where_it_is_and_where_it_was():
    mask = masking()
    mask.threshold = 0.5
    keep = mask(frame(2), [frame(4), frame(2)])
    assert mask.ious().tolist() == [4 / (8 + 4)]
    assert torch.equal(~keep, (frame(2) == 13) | (frame(4) == 13))


def test_a_car_that_stands_is_kept():
    mask = masking()
    mask.threshold = 1.0
    assert mask(frame(2), [frame(2), frame(2)]).all()


def test_an_image_without_dynamic_classes_is_neither_noted_nor_masked():
    mask = masking()
    mask.threshold = 2.0
    assert mask(torch.zeros(1, 4, 4).long(), [torch.zeros(1, 4, 4).long()]).all()
    assert len(mask.ious()) == 0


def test_background_counts_as_dynamic_unless_told_otherwise():
    labels = torch.full((1, 4, 4), 19)
    mask = masking()
    mask(labels, [labels])
    assert len(mask.ious()) == 1
    mask = masking(classes=(11, 13))
    mask(labels, [labels])
    assert len(mask.ious()) == 0


def test_a_run_that_starts_masking_in_its_last_epoch_does_not_divide_by_zero():
    mask = masking(from_epoch=3, epochs=4, linear_increase=True)
    mask(frame(2), [frame(3)])
    assert mask.end_epoch(3)["threshold"] == pytest.approx(mask.ious().min())


def test_state_survives_a_checkpoint():
    first, second = masking(), masking()
    first.threshold = 0.25
    first(frame(2), [frame(3)])
    second.load_state_dict(first.state_dict())
    assert second.threshold == 0.25 and second.ious().tolist() == first.ious().tolist()
    assert first.end_epoch(0) == second.end_epoch(0)
    second.load_state_dict({})
    assert second.threshold == 0


def test_masking_that_has_noted_nothing_settles_on_any_device():
    with torch._subclasses.FakeTensorMode():
        bad = torch.zeros((), device="cuda")
    mask = DynamicClassMask(15, 20, False, 0.1)
    mask.begin_epoch()
    mask.after_step(bad)
