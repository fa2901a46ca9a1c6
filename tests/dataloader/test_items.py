"""Makers of items: what they draw, in which order, and what they read."""

import pickle
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from dataloader.batch import APPLY, UNCHANGED
from dataloader.catalog import DATASETS, find_loader
from dataloader.dataset import EvaluationSet, Failure, Key, TrainingSet
from dataloader.items import (
    JITTER_RANGES,
    Item,
    Labelled,
    Video,
    draw_jitter,
    evaluation_item,
    labelled_items,
    video_items,
)
from dataloader.pictures import DecodedPictures
from dataloader.samples import DepthSource
from dataloader.splits import resolve
from dataloader.transforms import random_window
from errors import UserError
from tests.dataloader import tiny

DEPTH = find_loader("depth", "kitti_zhou_train", training=True)
SEGMENTATION = find_loader("segmentation", "cityscapes_train", training=True)
JUDGED = find_loader("depth", "kitti_zhou_validation")
VIDEO, LABELLED = Video(size=(16, 32)), Labelled(size=(24, 48), crop=(16, 32))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tiny.cityscapes(tiny.kitti(tmp_path_factory.mktemp("data")))


def drawn(rng: np.random.Generator, share: float) -> tuple[bool, tuple[float, ...]]:
    flip = rng.random() < 0.5
    factors = [rng.uniform(low, high) for low, high in JITTER_RANGES]
    return flip, ((*factors, 1.0) if rng.random() < share else UNCHANGED)


def test_a_video_item_draws_a_coin_and_then_colours(root):
    sample = resolve(DEPTH, root)[0]
    for seed in range(8):
        item = VIDEO(sample, np.random.default_rng(seed), DecodedPictures((16, 32)))
        assert (item.flip, item.jitter) == drawn(np.random.default_rng(seed), 0.5)
        assert list(item.images) == [0, -1, 1]


def test_a_labelled_item_draws_its_window_last(root):
    sample, pictures = resolve(SEGMENTATION, root)[0], DecodedPictures((24, 48))
    rng = np.random.default_rng(3)
    item = LABELLED(sample, np.random.default_rng(3), pictures)
    assert (item.flip, item.jitter) == drawn(rng, 1.0)
    window = random_window(rng, (24, 48), (16, 32))
    whole = Image.fromarray(pictures.labels(sample.labels, "fromid"))
    small = whole.resize(window.size[::-1], Image.Resampling.NEAREST)
    below, right = window.top + 16, window.left + 32
    assert np.array_equal(item.labels, np.asarray(small)[window.top : below, window.left : right])


@pytest.mark.parametrize(("spec", "maker"), [(DEPTH, VIDEO), (SEGMENTATION, LABELLED)])
def test_makers_travel_to_workers(root, spec, maker):
    data = TrainingSet(spec, resolve(spec, root), maker, seed=1)
    first, second = (each.__getitems__([Key(0, 0, 1)]) for each in (data, pickle.loads(pickle.dumps(data))))
    assert torch.equal(first.images, second.images) and torch.equal(first.jitter, second.jitter)


def test_a_maker_says_which_frames_a_batch_has(root):
    batch = TrainingSet(DEPTH, resolve(DEPTH, root), replace(VIDEO, frames=(0, 1)), seed=1).__getitems__([Key(0, 0, 0)])
    assert batch.frames == (0, 1) and batch.images.shape[1] == 2


def test_the_filter_changes_images_and_nothing_else(root):
    samples = resolve(DEPTH, root)
    sets = [TrainingSet(DEPTH, samples, replace(VIDEO, filter=name), seed=1) for name in ("bilinear", "lanczos")]
    plain, sharp = (data.__getitems__([Key(0, 0, 0)]) for data in sets)
    assert not torch.equal(plain.images, sharp.images)
    assert torch.equal(plain.flip, sharp.flip) and torch.equal(plain.jitter, sharp.jitter)
    want = Image.open(samples[0].images[0]).convert("RGB").resize((32, 16), Image.Resampling.LANCZOS)
    assert np.array_equal(sharp.images[0, 0].permute(1, 2, 0), want)


def test_evaluation_resamples_as_the_network_wants(root):
    sample = resolve(JUDGED, root)[0]
    (batch,) = (EvaluationSet(JUDGED, [sample], size=(16, 32), filter="lanczos").__getitems__([0]),)
    want = Image.open(sample.images[0]).convert("RGB").resize((32, 16), Image.Resampling.LANCZOS)
    assert np.array_equal(batch.images[0, 0].permute(1, 2, 0), want)
    assert np.array_equal(batch.truth[0].image, evaluation_item(JUDGED, sample, (8, 8)).truth.image)


@pytest.mark.parametrize("raster", ["image", "own"])
def test_truth_may_have_a_raster_of_its_own_where_the_data_set_says_so(root, tmp_path, monkeypatch, raster):
    monkeypatch.setitem(DATASETS, "made_up", replace(DATASETS["kitti"], truth_raster=raster))
    np.save(tmp_path / "truth.npy", np.full((55, 31), 7, np.float32))
    sample = replace(resolve(JUDGED, root)[0], depth=DepthSource("array", str(tmp_path / "truth.npy")))
    answer = EvaluationSet(replace(JUDGED, dataset="made_up"), [sample], size=(16, 32)).__getitems__([0])
    if raster == "own":
        assert answer.truth[0].depth.shape == (55, 31)
    else:
        assert isinstance(answer, Failure) and "truth.npy: 55 x 31 (height x width) does not fit" in answer.sentence


def test_depth_and_views_of_items_become_parts_of_a_batch(root):
    def maker(sample, rng, pictures) -> Item:
        item = VIDEO(sample, rng, pictures)
        measured = np.full((1, 16, 32), sample.intrinsics[0], np.float32)
        other = replace(item, images={0: item.images[0][:, :8]}, flip=not item.flip)
        return replace(item, depth=measured, views={"crop": replace(other, views={"deep": other})})

    maker.size, maker.filter, maker.frames = VIDEO.size, VIDEO.filter, VIDEO.frames
    batch = TrainingSet(DEPTH, resolve(DEPTH, root), maker, seed=1).__getitems__([Key(0, 0, 0), Key(0, 0, 1)])
    assert (batch.depth.shape, batch.depth.dtype) == ((2, 1, 16, 32), torch.float32)
    crop = batch.views["crop"]
    assert crop.images.shape == (2, 1, 3, 8, 32) and crop.frames == (0,) and crop.names == batch.names
    assert torch.equal(crop.flip, ~batch.flip) and torch.equal(crop.views["deep"].images, crop.images)


def test_orders_are_drawn_alike_and_take_a_number_whether_colours_change_or_not():
    rng = np.random.default_rng(0)
    found = Counter(draw_jitter(rng, 1.0, any_order=True)[APPLY] for _ in range(2400))
    assert {*found} == {*range(1, 25)} and min(found.values()) > 60  # of 100; the deviation is 10
    assert {draw_jitter(rng, 1.0)[APPLY] for _ in range(9)} == {1.0}
    first, second = (np.random.default_rng(1) for _ in range(2))
    assert draw_jitter(first, 0.0, any_order=True) == UNCHANGED != draw_jitter(second, 1.0, any_order=True)
    assert first.random() == second.random()


def test_builders_read_sizes_and_jitter(root):
    args = tiny.options(root)
    assert video_items(args, filter="lanczos") == replace(VIDEO, filter="lanczos")
    assert labelled_items(args) == LABELLED
    off = tiny.options(root, train_color_jitter="off")
    assert video_items(off).jitter_share == labelled_items(off).jitter_share == 0


def test_sizes_of_labelled_images_matter_where_such_loaders_are_named(root):
    with pytest.raises(UserError, match="--segmentation-crop-height 24: "):
        labelled_items(tiny.options(root, segmentation_crop_height=24))
    labelled_items(tiny.options(root, segmentation_crop_height=24, segmentation_training_loaders=()))
    labelled_items(tiny.options(root, segmentation_crop_height=8, depth_training_loaders=()))
    with pytest.raises(UserError, match="one network pass takes both, so make them equal"):
        labelled_items(tiny.options(root, segmentation_crop_height=8))
