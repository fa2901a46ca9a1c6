"""Items: what they hold and what they depend on."""

import numpy as np
import pytest
import torch

from dataloader.batch import APPLY
from dataloader.catalog import find_loader
from dataloader.dataset import EvaluationSet, Failure, Key, TrainingSet
from dataloader.files import read_image, read_labels
from dataloader.items import JITTER_RANGES, Labelled, Video
from dataloader.splits import resolve
from tests.dataloader import tiny

DEPTH = find_loader("depth", "kitti_zhou_train", training=True)
SEGMENTATION = find_loader("segmentation", "cityscapes_train", training=True)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tiny.cityscapes(tiny.kitti(tmp_path_factory.mktemp("data")))


def depth_set(root, seed: int = 1, **options):
    return TrainingSet(DEPTH, resolve(DEPTH, root), Video(size=(16, 32), **options), seed=seed)


def segmentation_set(root, **options):
    return TrainingSet(
        SEGMENTATION, resolve(SEGMENTATION, root), Labelled(size=(24, 48), crop=(16, 32), **options), seed=1
    )


def same(first, second) -> bool:
    tensors = ("images", "K", "flip", "jitter", "labels")
    pairs = [(getattr(first, name), getattr(second, name)) for name in tensors]
    return all(a is b is None or torch.equal(a, b) for a, b in pairs)


def test_a_depth_batch_holds_bytes_of_all_frames(root):
    batch = depth_set(root).__getitems__([Key(0, 0, 0), Key(0, 0, 3)])
    assert (batch.images.shape, batch.images.dtype) == ((2, 3, 3, 16, 32), torch.uint8)
    assert batch.frames == (0, -1, 1)
    assert batch.K[1, 0, 0].item() == pytest.approx(0.58 * 32)
    assert batch.labels is None and batch.truth == ()


def test_a_segmentation_batch_holds_train_ids_of_the_crop(root):
    batch = segmentation_set(root).__getitems__([Key(0, 0, index) for index in range(4)])
    assert batch.images.shape == (4, 1, 3, 16, 32)
    assert (batch.labels.shape, batch.labels.dtype) == ((4, 16, 32), torch.uint8)
    assert set(batch.labels.unique().tolist()) <= {*range(19), 255}


def test_items_depend_on_seed_epoch_pass_and_index_alone(root):
    for data in (depth_set(root), segmentation_set(root)):
        one = data.__getitems__([Key(3, 1, 2)])
        again = data.__getitems__([Key(0, 0, 1), Key(3, 1, 2)])
        assert torch.equal(one.images[0], again.images[1]) and torch.equal(one.jitter[0], again.jitter[1])
        keys = [Key(3, 1, index) for index in range(4)]
        drawn = data.__getitems__(keys)
        for change in ({"epoch": 4}, {"number": 0}):
            assert not same(drawn, data.__getitems__([key._replace(**change) for key in keys]))
    assert not same(depth_set(root, seed=2).__getitems__(keys), depth_set(root).__getitems__(keys))


def test_half_of_the_depth_samples_and_all_segmentation_samples_are_jittered(root):
    keys = [Key(epoch, 0, 0) for epoch in range(200)]
    depth, segmentation = (
        np.concatenate([data.__getitems__(keys[start : start + 50]).jitter.numpy() for start in range(0, 200, 50)])
        for data in (depth_set(root), segmentation_set(root))
    )
    assert 0.4 < depth[:, APPLY].mean() < 0.6
    assert segmentation[:, APPLY].all()
    for column, (low, high) in enumerate(JITTER_RANGES):
        values = segmentation[:, column]
        assert low <= values.min() < low + 0.1 * (high - low) and high - 0.1 * (high - low) < values.max() <= high


def test_half_of_the_samples_are_mirrored_and_jitter_can_be_switched_off(root):
    batch = depth_set(root, jitter_share=0.0).__getitems__([Key(epoch, 0, 0) for epoch in range(100)])
    assert 0.35 < batch.flip.float().mean() < 0.65
    assert not batch.jitter[:, APPLY].any()


def test_switching_jitter_off_leaves_everything_else_as_it_was(root):
    keys = [Key(epoch, 0, 0) for epoch in range(10)]
    with_jitter, without = (segmentation_set(root, jitter_share=share).__getitems__(keys) for share in (1.0, 0.0))
    assert torch.equal(with_jitter.images, without.images) and torch.equal(with_jitter.labels, without.labels)
    assert torch.equal(with_jitter.flip, without.flip)


def test_a_damaged_file_travels_as_a_sentence(root, tmp_path):
    samples = resolve(DEPTH, tiny.kitti(tmp_path))
    path = samples[2].images[1]
    with open(path, "r+b") as file:
        file.truncate(80)
    answer = TrainingSet(DEPTH, samples, Video(size=(16, 32)), seed=1).__getitems__([Key(0, 0, 0), Key(0, 0, 2)])
    assert isinstance(answer, Failure)
    assert answer.sentence.startswith(f"{path}: cannot decode")


def test_evaluation_keeps_images_and_truth_at_their_own_size(root):
    spec = find_loader("depth", "kitti_zhou_validation")
    samples = resolve(spec, root)
    batch = EvaluationSet(spec, samples, size=(16, 32)).__getitems__([0, 4])
    assert batch.images.shape == (2, 1, 3, 16, 32)
    assert not batch.flip.any() and not batch.jitter[:, APPLY].any()
    for truth, sample in zip(batch.truth, (samples[0], samples[4]), strict=True):
        assert truth.name == sample.name
        assert np.array_equal(truth.image, read_image(sample.images[0]))
        assert truth.depth.shape == tiny.SIZE and truth.depth.dtype == np.float32
    assert batch.truth[1].depth[10, 38] == pytest.approx(14, abs=1 / 256)


def test_segmentation_truth_are_train_ids(root):
    spec = find_loader("segmentation", "cityscapes_validation")
    samples = resolve(spec, root)
    (truth,) = EvaluationSet(spec, samples, size=(16, 32)).__getitems__([0]).truth
    assert np.array_equal(truth.labels, read_labels(samples[0].labels))
