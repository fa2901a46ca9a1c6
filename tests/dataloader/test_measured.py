"""Images with their measured depth: turned, cropped, mirrored alike; other colours for the network."""

from argparse import Namespace
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dataloader.augment import AS_IT_IS, recolour
from dataloader.batch import to_device
from dataloader.catalog import find_loader
from dataloader.dataset import Failure, Key, TrainingSet
from dataloader.loaders import build_training
from dataloader.measured import LOW, SWAPS, Colours, Measured, measured_items
from dataloader.pictures import DecodedPictures
from dataloader.samples import DepthSource, Sample
from dataloader.window import BottomWindow, PixelWindow
from errors import UserError
from presets.measured import MEASURED_TRAINING
from tests import golden
from tests.dataloader import tiny

SPEC = find_loader("depth", "folder_test")
SIZE = (24, 32)
RANGES = Colours(gamma=0.1, brightness=0.1, share=1.0, swap=0.5)


def depth_of(seed: int = 0, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Metres with gaps, a different number in every pixel."""
    depth = (np.arange(size[0] * size[1], dtype=np.float32).reshape(size) + 1) / 8 + seed
    depth[::5, ::3] = 0
    return depth


@pytest.fixture
def sample(tmp_path) -> Sample:
    return made(tmp_path)


def made(folder: Path, seed: int = 0, size: tuple[int, int] = SIZE, **more: object) -> Sample:
    image = tiny.save(folder / f"{seed}.png", tiny.picture(seed, size))
    np.save(folder / f"{seed}.npy", depth_of(seed, size))
    depth = DepthSource("array", str(folder / f"{seed}.npy"))
    return Sample(str(seed), {0: str(image)}, (0.6, 1.9, 0.5, 0.5), depth=depth, **more)


def item_of(sample: Sample, seed: int = 0, **options: object):
    return Measured(**options)(sample, np.random.default_rng(seed), DecodedPictures(()))


def pixels(item) -> np.ndarray:
    return item.images[0].transpose(1, 2, 0)


def test_colours_match_the_published_code():
    meta, want = golden.load("spatialkd_augment")
    image = torch.from_numpy(golden.uniform(500, 24, 32, 3)).permute(2, 0, 1)[None, None]
    (low, high), (dark, bright) = meta["inputs"]["multiplier_range"], meta["inputs"]["brightness_range"]
    cases = {
        "color0": (0.1, 0.9, (0.2, 0.5, 0.8), 0),
        "color1": (0.6, 0.3, (0.9, 0.1, 0.4), 4),
        "color2": (0.9, 0.95, (1, 1, 1), 1),
    }
    for name, (gamma, brightness, factors, number) in cases.items():
        row = [low + (high - low) * gamma, dark + (bright - dark) * brightness]
        row += [low + (high - low) * each for each in factors] + [*[*permutations(range(3))][number]]
        found = recolour(image, torch.tensor([row]))[0, 0].permute(1, 2, 0)
        np.testing.assert_allclose(found, want[name], rtol=1e-5, atol=1e-6)


def test_every_sample_of_a_batch_has_its_own_colours_and_all_frames_share_them():
    images = torch.rand(2, 3, 3, 4, 5)
    rows = torch.tensor([RANGES.draw(np.random.default_rng(seed)) for seed in range(3)])
    found = recolour(images, rows)
    for place in range(3):
        torch.testing.assert_close(
            found[:, place : place + 1], recolour(images[:, place : place + 1], rows[place, None])
        )
    assert torch.equal(recolour(images, torch.tensor([AS_IT_IS] * 3)), images)


def test_image_and_depth_are_turned_as_the_published_code_does(tmp_path):
    _, want = golden.load("spatialkd_augment")
    image = (255 * golden.uniform(501, 24, 32, 3)).astype(np.uint8)
    counts = (20000 * golden.uniform(502, 24, 32)).astype(np.uint16)
    paths = [tiny.save(tmp_path / f"{name}.png", array) for name, array in (("a", image), ("b", counts))]
    sample = Sample("a", {0: str(paths[0])}, (1, 1, 0.5, 0.5), depth=DepthSource("map", str(paths[1]), unit=1.0))

    class Turn:
        """A generator whose first number means 0.8 degrees."""

        uniform = staticmethod(lambda low, high, count=None: 0.8 if count is None else np.zeros(count))
        random = staticmethod(lambda count: np.ones(count) * 0.5)

    item = Measured(rotation=1.0)(sample, Turn, DecodedPictures(()))
    np.testing.assert_array_equal(pixels(item), want["rot_rgb"])
    np.testing.assert_array_equal(item.depth[0], want["rot_depth"])


def test_what_turns_out_of_the_picture_is_black_and_not_measured(sample):
    item = item_of(sample, seed=3, rotation=40.0)
    assert not pixels(item)[0, 0].any() and item.depth[0, 0, 0] == 0
    assert {*np.unique(item.depth)} <= {*np.unique(depth_of())}  # the nearest, never a mean


def test_depth_stays_with_its_pixels_in_crop_and_mirror_image(tmp_path):
    samples = [made(tmp_path, seed, window=PixelWindow(rows=(4, 24), columns=(2, 30), of=SIZE)) for seed in range(4)]
    data = TrainingSet(SPEC, samples, Measured(crop=(16, 20)), seed=1)
    batch = to_device(data.__getitems__([Key(0, 0, index) for index in range(4)]), "cpu")
    assert batch.images[0].shape == (4, 3, 16, 20) and batch.depth.shape == (4, 1, 16, 20)
    assert {*batch.flip.tolist()} == {True, False}
    for place, flip in enumerate(batch.flip.tolist()):
        depth, whole = batch.depth[place, 0].numpy(), depth_of(place)
        shown = depth[:, ::-1] if flip else depth
        known = np.argwhere(shown > 0)[0]
        row, column = np.argwhere(whole == shown[tuple(known)])[0] - known
        assert 4 <= row <= 24 - 16 and 2 <= column <= 30 - 20
        np.testing.assert_array_equal(shown, whole[row : row + 16, column : column + 20])
        picture = tiny.picture(place, SIZE)[row : row + 16, column : column + 20]
        np.testing.assert_array_equal(
            (batch.images[0][place].flip(-1) if flip else batch.images[0][place]).permute(1, 2, 0) * 255, picture
        )


def test_crops_lie_anywhere_up_to_the_last_row_and_column(sample):
    places = {
        tuple(np.argwhere(depth_of() == item_of(sample, seed, crop=(22, 30)).depth[0, 1, 1])[0]) for seed in range(80)
    }
    assert places == {(row + 1, column + 1) for row in range(3) for column in range(3)}
    assert item_of(sample, crop=SIZE).depth.shape == (1, *SIZE)
    assert item_of(sample, crop=(0, 20)).depth.shape == (1, 24, 20)


def test_a_crop_larger_than_the_window_is_told_by_its_option(sample):
    where = replace(sample, window=BottomWindow(20, 1216))
    with pytest.raises(UserError, match="--depth-crop-height/-width 22 x 0: larger than .*0.png, 20 x 32 .height x w"):
        item_of(where, crop=(22, 0))


def test_switching_parts_off_changes_no_other_draw(sample):
    for seed in range(6):
        full = item_of(sample, seed, crop=(16, 20), colours=RANGES, rotation=3.0)
        plain = item_of(sample, seed, crop=(16, 20))
        assert full.flip == plain.flip and plain.colours == AS_IT_IS
        coloured = item_of(sample, seed, crop=(16, 20), colours=RANGES)
        assert np.array_equal(coloured.depth, plain.depth) and coloured.colours == full.colours


def test_colours_keep_to_their_ranges_and_shares():
    rows = np.array([RANGES.draw(np.random.default_rng(seed)) for seed in range(400)])
    assert 0.9 <= rows[:, :5].min() < 0.91 and 1.09 < rows[:, :5].max() <= 1.1
    orders = [tuple(row) for row in rows[:, 5:]]
    assert {*orders} == {(0, 1, 2), *SWAPS} and 0.4 < np.mean([order != (0, 1, 2) for order in orders]) < 0.6
    assert SWAPS == [(0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1)]
    half = [replace(RANGES, share=0.5, swap=0).draw(np.random.default_rng(seed)) for seed in range(400)]
    assert 0.4 < np.mean([row == AS_IT_IS for row in half]) < 0.6


def test_the_network_alone_sees_other_colours(tmp_path):
    samples = [made(tmp_path, seed) for seed in range(2)]
    data = TrainingSet(SPEC, samples, Measured(colours=RANGES), seed=1)
    raw = data.__getitems__([Key(0, 0, index) for index in range(2)])
    batch = to_device(raw, "cpu")
    assert not torch.equal(batch.inputs[0], batch.images[0])
    torch.testing.assert_close(batch.inputs[0], recolour(batch.images[0][None], raw.colours)[0])
    plain = to_device(replace(raw, colours=torch.tensor([AS_IT_IS] * 2)), "cpu")
    assert torch.equal(plain.inputs[0], plain.images[0])


def test_a_sample_is_drawn_by_seed_epoch_and_index(tmp_path):
    samples = [made(tmp_path, seed) for seed in range(2)]
    maker = Measured(crop=(16, 20), rotation=2.0, colours=RANGES)

    def drawn(seed: int, epoch: int) -> torch.Tensor:
        batch = TrainingSet(SPEC, samples, maker, seed=seed).__getitems__([Key(epoch, 0, 1)])
        return torch.cat([batch.colours.flatten(), batch.depth.flatten()])

    assert torch.equal(drawn(1, 0), drawn(1, 0))
    assert not torch.equal(drawn(1, 0), drawn(1, 1)) and not torch.equal(drawn(1, 0), drawn(2, 0))


def test_depth_counts_up_to_the_reach_of_the_network(sample):
    assert item_of(sample, depth_max=10.0).depth.max() == 10
    more = replace(sample, dense=sample.depth, base=sample.depth)
    item = item_of(more, depth_max=10.0, dense_max=20.0, dense=True, base=True)
    assert (item.depth.max(), item.dense.max(), item.base.max()) == (10, 20, 20)


def test_filled_and_smooth_depth_travel_with_the_measured_one(sample):
    more = replace(sample, dense=sample.depth)
    item = item_of(more, seed=2, crop=(16, 20), rotation=3.0, dense=True, base=True)
    assert np.array_equal(item.dense, item.depth) and not item.base.any() and item.base.shape == (1, 16, 20)
    assert item_of(more).dense is None
    batch = to_device(TrainingSet(SPEC, [more], Measured(dense=True), seed=1).__getitems__([Key(0, 0, 0)]), "cpu")
    assert torch.equal(batch.dense, batch.depth) and batch.base is None


def test_images_may_be_resized_after_the_crop_and_shown_smaller_too(sample):
    item = item_of(sample, seed=1, crop=(16, 20), resize=(32, 48), low=0.75)
    crop = item_of(sample, seed=1, crop=(16, 20))
    for part, size in ((item, (32, 48)), (item.views[LOW], (24, 36))):
        want = Image.fromarray(pixels(crop)).resize(size[::-1], Image.Resampling.BILINEAR)
        np.testing.assert_array_equal(pixels(part), want)
        assert part.flip == item.flip and part.colours == item.colours
    assert item.depth.shape == (1, 32, 48) and {*np.unique(item.depth)} <= {*np.unique(crop.depth)}


@pytest.mark.parametrize(("crop", "size"), [((0, 0), (16, 24)), ((8, 0), (8, 24))])
def test_depth_of_a_window_of_pixels_is_left_to_be_resized_once(sample, crop, size):
    framed = replace(sample, window=PixelWindow(rows=(4, 20), columns=(2, 26), of=(24, 32)), dense=sample.depth)
    item = item_of(framed, seed=1, crop=crop, resize=(32, 48), dense=True, base=True, low=0.75)
    cut = item_of(framed, seed=1, crop=crop, dense=True, base=True)
    assert pixels(item).shape == (32, 48, 3) and pixels(item.views[LOW]).shape == (24, 36, 3)
    for name in ("depth", "dense", "base"):
        assert getattr(item, name).shape == (1, *size)
        assert np.array_equal(getattr(item, name), getattr(cut, name))
    other = replace(framed, window=replace(framed.window, of=(48, 64)))  # as if images had half the usual size
    assert item_of(other, seed=1, crop=(0, 0), resize=(32, 48)).depth.shape == (1, 16, 24)


def test_depth_of_another_size_than_its_image_is_refused(tmp_path):
    sample = made(tmp_path)
    np.save(tmp_path / "0.npy", depth_of(size=(24, 34)))
    answer = TrainingSet(SPEC, [sample], Measured(), seed=1).__getitems__([Key(0, 0, 0)])
    assert isinstance(answer, Failure) and "0.npy: 24 x 34 (height x width) does not fit the image" in answer.sentence


def test_images_of_different_sizes_need_a_crop(tmp_path):
    samples = [made(tmp_path), made(tmp_path, 1, (24, 40))]
    keys = [Key(0, 0, 0), Key(0, 0, 1)]
    answer = TrainingSet(SPEC, samples, Measured(), seed=1).__getitems__(keys)
    assert isinstance(answer, Failure) and "0 is 24 x 32 (height x width), 1 24 x 40, and a batch" in answer.sentence
    assert len(TrainingSet(SPEC, samples, Measured(crop=(0, 32)), seed=1).__getitems__(keys)) == 2


def options(**changes: object) -> Namespace:
    group = {option.name: option.default for option in MEASURED_TRAINING[1]}
    usual = {"train_color_jitter": "on", "data_cache": "", "method": "spatial_kd", "model_depth_max": 80.0}
    return Namespace(**(group | usual | changes))


def test_options_become_the_maker():
    want = Measured(crop=(192, 640), colours=RANGES, depth_max=80.0, dense_max=80.0, dense=True, low=0.75)
    assert measured_items(options(), dense=True, low=0.75) == want
    assert measured_items(options(train_color_jitter="off")).colours == Colours()
    changed = options(depth_crop_height=0, train_rotation=2.5, train_color_share=0.5, train_channel_swap=0.0)
    maker = measured_items(changed, resize=(96, 128))
    assert (maker.crop, maker.size, maker.rotation) == ((0, 640), (96, 128), 2.5)
    assert maker.colours == Colours(gamma=0.1, brightness=0.1, share=0.5, swap=0.0)


def test_a_cache_of_pictures_of_one_size_is_refused():
    with pytest.raises(UserError, match="--data-cache c: holds pictures of one size, and --method spatial_kd turns"):
        measured_items(options(data_cache="c"))


def test_videos_are_not_taken_for_measured_depth(tmp_path):
    root = tiny.kitti(tmp_path)
    with pytest.raises(UserError, match="--depth-training-loaders kitti_zhou_train: it has video, and this method "):
        build_training(tiny.options(root), {"depth": Measured(crop=(16, 32))})
