"""The segmentation loss against the published code, and by its properties."""

from __future__ import annotations

import re

import numpy as np
import torch
from torch.testing import assert_close

from losses.semantic import CLASS_WEIGHTS, SegmentationLoss
from tests import golden


def test_value_and_gradient_match_the_published_loss():
    meta, want = golden.load("sgdepth_seg_loss")
    seed, *shape = map(int, re.search(r"uniform\(([\d,]+)\)", meta["inputs"]["logits"])[1].split(","))
    label_seed, *label_shape = map(int, re.search(r"uniform\(([\d,]+)\)", meta["inputs"]["target"])[1].split(","))
    logits = (8 * (torch.from_numpy(golden.uniform(seed, *shape)).double() - 0.5)).requires_grad_()
    labels = np.floor(22 * golden.uniform(label_seed, *label_shape))[:, 0]
    labels = torch.from_numpy(np.where(labels > 18, 255, labels)).long()
    loss = SegmentationLoss()(logits, labels)
    loss.backward()
    assert_close(loss.item(), want["loss"].item(), rtol=1e-8, atol=0)
    golden.assert_close_to_max(logits.grad.numpy(), want["grad"], 1e-5)


def test_loss_equals_the_weighted_mean_written_out():
    torch.manual_seed(0)
    logits, labels = torch.randn(1, 20, 2, 3).double(), torch.tensor([[[0, 5, 255], [18, 13, 1]]])
    scores = logits.log_softmax(1)
    total = weight = 0.0
    for y, x in ((0, 0), (0, 1), (1, 0), (1, 1), (1, 2)):
        label = labels[0, y, x].item()
        total -= CLASS_WEIGHTS[label] * scores[0, label, y, x].item()
        weight += CLASS_WEIGHTS[label]
    assert_close(SegmentationLoss()(logits, labels).item(), total / weight)


def test_nothing_labelled_costs_nothing():
    logits = torch.randn(1, 20, 4, 4, requires_grad=True)
    loss = SegmentationLoss()(logits, torch.full((1, 4, 4), 255))
    loss.backward()
    assert loss.item() == 0 and logits.grad.abs().max() == 0


def test_ids_that_are_no_class_are_left_out():
    logits, labels = torch.randn(1, 20, 2, 2), torch.tensor([[[3, 20], [254, 7]]])
    only = torch.tensor([[[3, 255], [255, 7]]])
    assert_close(SegmentationLoss()(logits, labels), SegmentationLoss()(logits, only))


def test_other_numbers_of_classes_weigh_all_alike():
    logits, labels = torch.randn(2, 5, 4, 4), torch.randint(0, 5, (2, 4, 4))
    assert_close(SegmentationLoss(5)(logits, labels), torch.nn.functional.cross_entropy(logits, labels))
