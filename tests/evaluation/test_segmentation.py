"""Segmentation scores: the published numbers, and counting."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from errors import UserError
from evaluation.segmentation import confusion_matrix, evaluate_segmentation, native_ids, segmentation_scores
from tests import golden


def make_batch(*labels: np.ndarray) -> SimpleNamespace:
    truth = tuple(SimpleNamespace(name=f"image {i}", labels=found) for i, found in enumerate(labels))
    return SimpleNamespace(
        spec=SimpleNamespace(domain="test_seg"), truth=truth, inputs={0: torch.zeros(len(labels), 3, 4, 8)}
    )


def answers(*logits: np.ndarray):
    queue = iter(logits)
    return lambda _: SimpleNamespace(logits=torch.as_tensor(next(queue)))


def one_hot(ids: np.ndarray, classes: int = 20) -> np.ndarray:
    return np.eye(classes, dtype=np.float32)[ids].transpose(2, 0, 1)[None]


def numbers(pattern: str, text: str) -> list[float]:
    """What the groups of a pattern find in an expression, as numbers."""
    return [float(group) for group in re.search(pattern, text).groups()]


def golden_inputs(meta: dict) -> tuple[list[np.ndarray], list[np.ndarray]]:
    truth_text, logits_text = meta["inputs"]["gt of image i"], meta["inputs"]["logits of image i"]
    levels, _, height, width = map(int, numbers(r"floor\((\d+)\*uniform\(seed\+(\d+)i,1,1,(\d+),(\d+)\)", truth_text))
    step, ignored = (int(*numbers(pattern, truth_text)) for pattern in (r"seed\+(\d+)i", r"value (\d+) -> 255"))
    repeat = int(*numbers(r"every cell (\d+)x", truth_text))
    spread, centre = numbers(r"L = (\d+)\*\(.*?\)-([\d.]+)\)", logits_text)
    lowered, raised, share = numbers(r"-= (\d+); .* add ([\d.]+) where .* > ([\d.]+)$", logits_text)
    truths, logits = [], []
    for i in range(meta["inputs"]["images"]):
        seed = meta["inputs"]["seed"] + step * i
        ids = np.floor(levels * golden.uniform(seed, 1, 1, height, width)).astype(np.int64)
        ids[(ids > 18) | (ids == ignored)] = 255
        scores = np.float32(spread) * (golden.uniform(seed + 1, 1, 20, height, width) - np.float32(centre))
        scores[:, 19] -= lowered
        chosen = np.where(ids == 255, 0, ids)
        bonus = np.float32(raised) * (golden.uniform(seed + 2, 1, 1, height, width) > share)
        np.put_along_axis(scores, chosen, np.take_along_axis(scores, chosen, 1) + bonus, 1)
        truths.append(ids[0, 0].repeat(repeat, 0).repeat(repeat, 1).astype(np.uint8))
        logits.append(scores)
    return truths, logits


def test_scores_match_the_published_code():
    meta, want = golden.load("sgdepth_seg_metrics")
    truths, logits = golden_inputs(meta)
    result = evaluate_segmentation(answers(*logits), [make_batch(truth) for truth in truths])
    np.testing.assert_array_equal(result.confusions.sum(0), want["confusion"])
    for name in ("iou", "acc", "prec"):
        np.testing.assert_allclose(result.scores[name], want[f"nanok_{name}"], rtol=1e-12)
    found = [result.scores[name] for name in meta["outputs"]["scalars"]]
    np.testing.assert_allclose(found, want["scalars"], rtol=1e-12)


def test_scores_of_a_small_matrix_are_what_one_computes_by_hand():
    scores = segmentation_scores(np.array([[3, 1, 0], [2, 4, 0], [0, 0, 0]]))
    np.testing.assert_allclose(scores["iou"], [3 / 6, 4 / 7, np.nan])
    np.testing.assert_allclose(scores["acc"], [3 / 4, 4 / 6, np.nan])
    np.testing.assert_allclose(scores["prec"], [3 / 5, 4 / 5, np.nan])
    assert scores["meaniou"] == pytest.approx((3 / 6 + 4 / 7) / 2)
    assert scores["totalacc"] == pytest.approx(7 / 10)
    assert scores["freqwacc"] == pytest.approx(0.4 * 3 / 6 + 0.6 * 4 / 7)


def test_confusion_ignores_what_is_no_class():
    labels = torch.tensor([0, 1, 1, 255, 20, 2], dtype=torch.uint8)
    found = confusion_matrix(labels, torch.tensor([0, 1, 2, 1, 1, 2]), 3)
    assert found.tolist() == [[1, 0, 0], [0, 1, 1], [0, 0, 1]]


@pytest.mark.parametrize("size", [(15, 20), (7, 9), (37, 52), (60, 80)])
def test_choosing_the_class_before_resizing_gives_the_published_ids(size):
    logits = torch.rand(1, 20, 15, 20, generator=torch.Generator().manual_seed(1))
    expected = interpolate(logits, size, mode="nearest").argmax(1)[0]
    assert torch.equal(native_ids(logits, size).long(), expected)


def test_a_perfect_prediction_has_miou_one_over_the_present_classes():
    ids = np.random.RandomState(0).randint(0, 5, (6, 9))
    result = evaluate_segmentation(answers(one_hot(ids)), [make_batch(ids.astype(np.uint8))])
    assert result.metrics == {"miou": 1, "accuracy": 1} and result.void_share == 0
    assert result.rows == [{"name": "image 0", "miou": 1, "accuracy": 1}]


def test_a_predicted_void_channel_counts_as_a_class_with_iou_zero():
    ids = np.zeros((4, 4), np.int64)
    ids[:, 2:] = 1
    wrong = ids.copy()
    wrong[0, 0] = 19
    result = evaluate_segmentation(answers(one_hot(wrong)), [make_batch(ids.astype(np.uint8))])
    assert result.metrics["miou"] == pytest.approx((7 / 8 + 1 + 0) / 3)
    assert result.void_share == pytest.approx(1 / 16)


def test_images_of_different_size_in_one_batch_and_images_without_labels():
    small, large = np.zeros((3, 5), np.uint8), np.ones((8, 6), np.uint8)
    nothing = np.full((4, 4), 255, np.uint8)
    seen = []
    result = evaluate_segmentation(
        answers(np.concatenate([one_hot(np.zeros((4, 8), int))] * 3)),
        [make_batch(small, nothing, large)],
        on_image=lambda *what: seen.append(what),
    )
    assert result.skipped == 1 and result.names == ("image 0", "image 2")
    assert result.metrics["accuracy"] == pytest.approx(0.5)
    assert [tuple(ids.shape) for _, _, ids in seen] == [(3, 5), (4, 4), (8, 6)]
    assert set(result.scalars()) == {"meaniou", "totalacc", "meanacc", "meanprec", "freqwacc"}


def test_a_set_without_any_label_is_the_users_mistake():
    batch = make_batch(np.full((4, 4), 255, np.uint8))
    with pytest.raises(UserError, match="test_seg: none of 1 images"):
        evaluate_segmentation(answers(one_hot(np.zeros((4, 8), int))), [batch])
