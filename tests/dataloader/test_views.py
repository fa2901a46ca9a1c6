"""Items with further views: pixels and places as published, draws, mirroring, colours, the cache."""

from __future__ import annotations

import pickle
from argparse import Namespace
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import arguments
from dataloader.batch import UNCHANGED, RawBatch, to_device
from dataloader.cache.data import CachedPictures, pictures_of, provide
from dataloader.catalog import find_loader
from dataloader.dataset import Key, TrainingSet
from dataloader.items import Video
from dataloader.pictures import DecodedPictures
from dataloader.samples import Sample
from dataloader.splits import resolve
from dataloader.transforms import resize_image, resize_window
from dataloader.views import VideoViews, random_crop, random_split, swapped, view_items
from methods import building
from perspective_resample.rearrange import permuted_back
from tests import golden
from tests.dataloader import tiny

DEPTH = find_loader("depth", "kitti_zhou_train", training=True)
SIZE = (32, 96)
MAKER = VideoViews(size=SIZE, filter="lanczos")


@pytest.fixture(scope="module")
def sample(tmp_path_factory) -> Sample:
    return resolve(DEPTH, tiny.kitti(tmp_path_factory.mktemp("data")))[0]


def made(maker: Video, sample: Sample, seed: int = 0):
    return maker(sample, np.random.default_rng(seed), DecodedPictures(maker.size, maker.filter))


@pytest.mark.parametrize("case", range(3))
def test_views_are_the_published_ones(case):
    meta, want = golden.load("bdedepth_views")
    draws, size = meta["cases"][case]["draws"], tuple(meta["size"])
    window, crop = random_crop(draws[:3], size)
    assert [*window.size, window.left, window.top] == want[f"case{case}_resized_crop"].tolist()
    assert crop.ratio == want[f"case{case}_ratio"].item()
    split = random_split(draws[3:], size)
    assert [size[1] - split[1], size[0] - split[0]] == want[f"case{case}_split_xy"].tolist()
    for frame in (0, -1, 1):
        raw = Image.fromarray(want[f"raw_{frame}"])
        near = resize_window(raw, window, "lanczos").transpose(1, 2, 0)
        assert np.abs(near.astype(int) - want[f"case{case}_local_{frame}"]).max() <= 1
    plain = resize_image(Image.fromarray(want["raw_0"]), size, "lanczos")
    assert np.abs(plain.transpose(1, 2, 0).astype(int) - want["color_0"]).max() <= 1
    found = swapped(want["color_0"].transpose(2, 0, 1), split).transpose(1, 2, 0)
    np.testing.assert_array_equal(found, want[f"case{case}_reshuffle_0"])


def test_the_image_and_its_draws_are_those_without_views(sample):
    plain, item = (made(maker, sample, 3) for maker in (Video(size=SIZE, filter="lanczos"), MAKER))
    assert (item.flip, item.jitter) == (plain.flip, plain.jitter) and np.array_equal(item.K, plain.K)
    assert all(np.array_equal(item.images[frame], plain.images[frame]) for frame in (0, -1, 1))
    assert [*item.views] == ["local", "reshuffled"] and [*item.views["reshuffled"].images] == [0]
    assert all(view.jitter == item.jitter and view.flip == item.flip for view in item.views.values())


def test_a_view_does_not_depend_on_the_other(sample):
    both = made(MAKER, sample)
    local, reshuffled = made(replace(MAKER, reshuffled=False), sample), made(replace(MAKER, local=False), sample)
    assert [*local.views] == ["local"] and local.views["local"].place == both.views["local"].place
    assert [*reshuffled.views] == ["reshuffled"]
    assert np.array_equal(reshuffled.views["reshuffled"].images[0], both.views["reshuffled"].images[0])


def seeds(sample: Sample) -> dict[bool, int]:
    """A seed that mirrors, and one that does not."""
    return {made(MAKER, sample, seed).flip: seed for seed in range(12)}


@pytest.mark.parametrize("flip", [False, True])
def test_views_of_mirrored_samples_are_cut_from_the_mirrored_image(sample, flip):
    item = made(replace(MAKER, jitter_share=0.0), sample, seeds(sample)[flip])
    raw = batch_of([item])
    batch = to_device(raw, "cpu")
    whole = Image.open(sample.images[-1]).convert("RGB")
    whole = whole.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip else whole
    rng = np.random.default_rng(seeds(sample)[flip])
    MAKER.draw(rng)
    window, crop = random_crop(rng.random(5)[:3], SIZE)
    assert item.views["local"].place == tuple(crop)
    expected = resize_window(whole, window, "lanczos")
    assert np.abs(batch.views["local"].images[-1][0].numpy() * 255 - expected).max() <= 1.001
    view = batch.views["reshuffled"]
    assert torch.equal(permuted_back(view.images[0], view.place), batch.images[0])
    assert [*batch.views["local"].inputs] == [0] and [*batch.inputs] == [0, -1, 1]


def batch_of(items: list) -> RawBatch:
    from dataloader.dataset import _collate

    return _collate(DEPTH, items)


def jittered(sample: Sample, maker: VideoViews) -> RawBatch:
    return batch_of([made(replace(maker, jitter_share=share), sample) for share in (1.0, 0.0)])


def test_colours_are_those_of_the_sample(sample):
    raw = jittered(sample, MAKER)
    batch = to_device(raw, "cpu")
    assert raw.jitter.shape == raw.views["local"].jitter.shape == (2, 5)
    view = batch.views["reshuffled"]
    assert torch.equal(permuted_back(view.inputs[0], view.place), batch.inputs[0])  # jitter knows no places
    assert not torch.equal(batch.inputs[0][0], batch.images[0][0])


def test_every_image_may_have_colours_of_its_own(sample):
    raw = jittered(sample, replace(MAKER, each=True))
    plain, batch = to_device(jittered(sample, MAKER), "cpu"), to_device(raw, "cpu")
    assert raw.jitter.shape == (2, 3, 5) and raw.views["reshuffled"].jitter.shape == (2, 1, 5)
    assert len({tuple(row) for view in (raw, *raw.views.values()) for row in view.jitter[0].tolist()}) == 7
    assert (raw.jitter[1] == torch.tensor(UNCHANGED)).all()
    for frame in (0, -1, 1):
        one = to_device(replace(raw, jitter=raw.jitter[:, raw.frames.index(frame)], views={}), "cpu")
        assert torch.equal(batch.inputs[frame], one.inputs[frame])
        assert torch.equal(batch.images[frame], plain.images[frame])
    for name in ("local", "reshuffled"):
        assert torch.equal(raw.views[name].place, jittered(sample, MAKER).views[name].place)
        assert not torch.equal(batch.views[name].inputs[0][0], plain.views[name].inputs[0][0])


def test_a_batch_with_views_goes_to_a_file_and_back(sample):
    raw = batch_of([made(replace(MAKER, each=True), sample, seed) for seed in (0, 1)])
    again = RawBatch.of(raw.plain())
    for one, other in ((raw, again), *((raw.views[name], again.views[name]) for name in raw.views)):
        assert torch.equal(one.images, other.images) and torch.equal(one.jitter, other.jitter)
        assert (one.place is None) == (other.place is None) and one.frames == other.frames
    assert torch.equal(raw.views["local"].place, again.views["local"].place)


def test_items_are_a_function_of_seed_epoch_and_index(sample):
    def data(seed: int) -> TrainingSet:
        return TrainingSet(DEPTH, [sample, sample], pickle.loads(pickle.dumps(MAKER)), seed=seed)

    place = data(1).__getitems__([Key(0, 0, 1)]).views["local"].place
    assert torch.equal(place[0], data(1).__getitems__([Key(0, 0, 0), Key(0, 0, 1)]).views["local"].place[1])
    for other in (data(2).__getitems__([Key(0, 0, 1)]), data(1).__getitems__([Key(1, 0, 1)])):
        assert not torch.equal(place, other.views["local"].place)


def test_a_cache_changes_nothing(sample, tmp_path):
    root = tiny.kitti(tmp_path / "data")
    found = resolve(DEPTH, root)[:1]
    wanted = pictures_of(DEPTH, found, root, SIZE, "lanczos")
    places = provide(tmp_path / "cache", wanted.values(), threads=1, tell=lambda text: None)
    cached = CachedPictures(tmp_path / "cache", SIZE, "lanczos", {name: places[one] for name, one in wanted.items()})
    item = made(MAKER, found[0])
    again = MAKER(found[0], np.random.default_rng(0), cached)
    for one, other in ((item, again), *((item.views[name], again.views[name]) for name in item.views)):
        assert all(np.array_equal(one.images[frame], other.images[frame]) for frame in one.images)


def options(*words: str) -> Namespace:
    return arguments.parse("train", [*words, "--depth-resize-height", "64", "--depth-resize-width", "96"])


def test_recipes_say_which_views_there_are():
    views = building("bdedepth").items(options("--method", "bdedepth"))["depth"]
    plain = Video(size=(64, 96), filter="lanczos", any_order=True)
    assert views == VideoViews(**vars(plain), local=True, reshuffled=True, each=False)
    crop = options("--method", "bdedepth", "--no-patch-reshuffle", "--jitter-per-image", "--train-color-jitter", "off")
    off = replace(plain, jitter_share=0.0)
    assert view_items(crop, "lanczos") == VideoViews(**vars(off), local=True, reshuffled=False, each=True)
    assert building("monodepth2").items(options("--method", "monodepth2"))["depth"] == plain
    words = ("--segmentation-crop-height", "64", "--segmentation-crop-width", "96")
    assert not building("sgdepth").items(options("--method", "sgdepth", *words))["depth"].any_order
    assert type(view_items(options("--method", "bdedepth", "--no-local-crop", "--no-patch-reshuffle"))) is Video
