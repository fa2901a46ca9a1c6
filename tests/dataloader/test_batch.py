"""From bytes to float images on the device."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from dataloader.augment import ORDERS, color_jitter
from dataloader.batch import UNCHANGED, RawBatch, camera_matrix, invert_camera, mapped, tensors, to_device
from dataloader.catalog import find_loader
from tests import golden

SPEC = find_loader("depth", "kitti_zhou_train", training=True)
OWN = find_loader("depth", "folder_train", training=True)
CHANGED = (1.1, 0.9, 1.2, 0.05, 1.0)


def raw(jitter: list[tuple[float, ...]], flip: list[bool], labels: bool = False) -> RawBatch:
    rng = np.random.default_rng(0)
    count = len(flip)
    cameras = [camera_matrix((0.58 + 0.1 * row, 1.92, 0.5, 0.5), 8, 12) for row in range(count)]
    return RawBatch(
        spec=SPEC,
        frames=SPEC.frames,
        images=torch.from_numpy(rng.integers(0, 256, (count, 3, 3, 8, 12), dtype=np.uint8)),
        K=torch.from_numpy(np.stack(cameras)),
        flip=torch.tensor(flip),
        jitter=torch.tensor(jitter),
        labels=torch.from_numpy(rng.integers(0, 20, (count, 8, 12), dtype=np.uint8)) if labels else None,
    )


def test_camera_matrices_match_the_published_code():
    _, want = golden.load("sgdepth_data")
    K = camera_matrix((0.58, 1.92, 0.5, 0.5), 32, 96)
    np.testing.assert_allclose(K, want["K"], rtol=1e-6)
    np.testing.assert_allclose(invert_camera(torch.from_numpy(K)[None])[0], want["inv_K"], rtol=1e-5, atol=1e-6)


def test_camera_matrix_in_numbers():
    K = camera_matrix((0.58, 1.92, 0.5, 0.4), 192, 640)
    np.testing.assert_allclose(K, [[371.2, 0, 320, 0], [0, 368.64, 76.8, 0], [0, 0, 1, 0], [0, 0, 0, 1]], rtol=1e-6)
    assert K.dtype == np.float32


def test_every_sample_has_its_own_camera_and_its_inverse():
    batch = to_device(raw([UNCHANGED] * 3, [False] * 3), "cpu")
    assert len(set(batch.K[:, 0, 0].tolist())) == 3
    torch.testing.assert_close(batch.K @ batch.inv_K, torch.eye(4).expand(3, 4, 4))


def test_images_are_bytes_divided_by_255():
    given = raw([UNCHANGED] * 2, [False] * 2)
    batch = to_device(given, "cpu")
    for place, frame in enumerate((0, -1, 1)):
        assert torch.equal(batch.images[frame], given.images[:, place].float() / 255)
        assert batch.images[frame].is_contiguous()
        assert batch.inputs[frame] is batch.images[frame] or torch.equal(batch.inputs[frame], batch.images[frame])


def test_chosen_samples_are_mirrored_with_all_frames_and_labels():
    given = raw([UNCHANGED] * 3, [True, False, True], labels=True)
    batch = to_device(given, "cpu")
    for place, frame in enumerate((0, -1, 1)):
        assert torch.equal(batch.images[frame][0], given.images[0, place].flip(-1).float() / 255)
        assert torch.equal(batch.images[frame][1], given.images[1, place].float() / 255)
    assert torch.equal(batch.labels[2], given.labels[2].flip(-1).long())
    assert torch.equal(batch.labels[1], given.labels[1].long())
    assert torch.equal(batch.K, given.K)


def test_only_the_inputs_of_chosen_samples_are_jittered():
    given = raw([CHANGED, UNCHANGED, CHANGED], [False, True, False])
    batch = to_device(given, "cpu")
    plain = to_device(raw([UNCHANGED] * 3, [False, True, False]), "cpu")
    changed = color_jitter(given.images.float() / 255, given.jitter)
    for place, frame in enumerate((0, -1, 1)):
        assert torch.equal(batch.images[frame], plain.images[frame])
        assert torch.equal(batch.inputs[frame][1], plain.images[frame][1])
        torch.testing.assert_close(batch.inputs[frame][0], changed[0, place])
        torch.testing.assert_close(batch.inputs[frame][2], changed[2, place])


def test_jittering_every_sample_equals_jittering_each():
    together = to_device(raw([CHANGED] * 3, [False] * 3), "cpu")
    changed = color_jitter(raw([CHANGED] * 3, [False] * 3).images.float() / 255, torch.tensor([CHANGED] * 3))
    torch.testing.assert_close(together.inputs[1], changed[:, 2])
    assert together.inputs[1].is_contiguous()


@pytest.mark.parametrize("others", [UNCHANGED, CHANGED])
def test_every_sample_is_jittered_in_its_own_order(others):
    orders = (0, 17, 5, 17)
    rows = [(*CHANGED[:4], 1.0 + order) for order in orders]
    given = raw([*rows, others], [False] * 5)
    batch, images = to_device(given, "cpu"), given.images.float() / 255
    for number, (order, row) in enumerate(zip(orders, rows, strict=True)):
        want = color_jitter(images[number : number + 1], torch.tensor([row]), ORDERS[order])[0]
        for place, frame in enumerate((0, -1, 1)):
            torch.testing.assert_close(batch.inputs[frame][number], want[place])
    for frame in (0, -1, 1):
        assert torch.equal(batch.inputs[frame][4], batch.images[frame][4]) == (others == UNCHANGED)
        assert not torch.equal(batch.inputs[frame][0], batch.inputs[frame][1])


def test_the_raw_batch_is_left_as_it_was():
    given = raw([CHANGED] * 2, [True] * 2)
    before = given.images.clone()
    to_device(given, "cpu")
    assert torch.equal(given.images, before)


def test_published_cameras_stay_as_they_are_in_mirrored_images():
    given = raw([UNCHANGED, UNCHANGED], flip=[False, True])
    assert given.K[1, 0, 2] == 12 / 2
    assert torch.equal(to_device(given, "cpu").K, given.K)
    assert torch.equal(to_device(replace(given, measured=torch.tensor([False, False])), "cpu").K, given.K)


def test_whether_a_principal_point_is_mirrored_depends_on_where_it_comes_from_and_not_on_the_data_set():
    for spec in (SPEC, OWN):
        given = replace(raw([UNCHANGED, UNCHANGED], flip=[False, True]), spec=spec)
        measured = replace(given, measured=torch.tensor([True, True]))  # the middle, in pixels
        assert to_device(measured, "cpu").K[:, 0, 2].tolist() == [6, 12 - 1 - 6]
        given.K[:, 0, 2] = 4.5
        assert to_device(given, "cpu").K[:, 0, 2].tolist() == [4.5, 12 - 1 - 4.5]


def test_a_measured_principal_point_is_mirrored_with_the_pixels():
    given = replace(raw([UNCHANGED, UNCHANGED], flip=[False, True]), spec=OWN)
    given.K[:, 0, 2] = 4
    given.images[:] = 0
    given.images[..., 4] = 255  # the column of the principal point
    mirrored = to_device(given, "cpu")
    assert mirrored.K[:, 0, 2].tolist() == [4, 12 - 1 - 4]
    assert mirrored.images[0][:, 0, 0].argmax(-1).tolist() == [4, 7]
    torch.testing.assert_close(mirrored.K @ mirrored.inv_K, torch.eye(4).expand(2, 4, 4))
    assert given.K[1, 0, 2] == 4


def with_views(flip: list[bool]) -> RawBatch:
    """A batch with depth and labels, a view, and a view of that."""
    whole = raw([CHANGED] * len(flip), flip, labels=True)
    whole = replace(whole, depth=torch.rand(len(flip), 1, 8, 12), names=("a", "b"))
    inner = replace(whole, frames=(0,), images=whole.images[:, :1, :, :4])
    return replace(whole, views={"crop": replace(inner, flip=~inner.flip, views={"deep": inner})})


def test_depth_is_mirrored_where_the_images_are():
    given = with_views([True, False])
    batch = to_device(given, "cpu")
    assert torch.equal(batch.depth[0], given.depth[0].flip(-1)) and torch.equal(batch.depth[1], given.depth[1])


def test_views_are_batches_with_draws_of_their_own():
    given = with_views([True, False])
    crop = to_device(given, "cpu").views["crop"]
    alone = to_device(given.views["crop"], "cpu")
    assert crop.images.keys() == {0} and crop.raw is given.views["crop"]
    assert torch.equal(crop.images[0], alone.images[0]) and torch.equal(crop.inputs[0], alone.inputs[0])
    assert torch.equal(crop.depth[1], given.depth[1].flip(-1))
    assert torch.equal(crop.views["deep"].depth[0], given.depth[0].flip(-1))


def test_every_tensor_of_a_batch_is_found_in_fields_mappings_and_views():
    given = with_views([True, False])
    fields = (given.images, given.K, given.flip, given.jitter, given.labels, given.depth)
    crop, deep = given.views["crop"], given.views["crop"].views["deep"]
    assert len(list(tensors(given))) == 3 * len(fields)
    found = {id(tensor) for tensor in tensors(given)}
    assert {id(tensor) for tensor in (*fields, crop.images, crop.flip, deep.images)} <= found
    batch = to_device(given, "cpu")
    found = {id(tensor) for tensor in tensors(batch)}
    for part in (batch, batch.views["crop"], batch.views["crop"].views["deep"]):
        here = [*part.images.values(), *part.inputs.values(), part.K, part.inv_K, part.flip, part.labels, part.depth]
        assert {id(tensor) for tensor in here} <= found
    assert id(given.images) not in found  # in the memory of the host


def test_changed_tensors_make_a_batch_of_the_same_kind():
    batch = to_device(with_views([True, False]), "cpu")
    doubled = mapped(batch, lambda tensor: tensor.double())
    assert doubled.views["crop"].views["deep"].images[0].dtype == torch.float64
    assert doubled.raw is batch.raw and doubled.teacher is None and doubled.spec is SPEC


def test_page_locked_batches_lock_their_views_too(monkeypatch):
    locked = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: locked.append(tensor) or tensor)
    given = with_views([True, False])
    given.pin_memory()
    assert {id(tensor) for tensor in locked} == {id(tensor) for tensor in tensors(given)}


def test_a_batch_with_views_goes_through_a_file():
    given = with_views([True, False])
    found = RawBatch.of(given.plain())
    assert all(torch.equal(a, b) for a, b in zip(tensors(given), tensors(found), strict=True))
    assert found.views["crop"].spec is SPEC and found.views["crop"].frames == (0,) and found.names == ("a", "b")


def test_files_of_versions_without_views_and_depth_are_read():
    content = raw([CHANGED], [True]).plain()
    del content["views"], content["depth"]
    found = RawBatch.of(content)
    assert not found.views and found.depth is None
