"""The Monodepth2 network against the published one, and by its properties."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from models.monodepth2 import Monodepth2, normalise
from perspective_resample.pose import transformation
from tests import golden

NAME = "monodepth2_resnet18_forward"


def published(meta: dict) -> dict[str, torch.Tensor]:
    """State under our keys: the name of the file becomes the first part of the key."""
    state = golden.state_dict(meta["keys"], meta["scale"])
    return {key.replace("/", ".", 1): value for key, value in state.items() if ".fc." not in key}


def statistics(x: torch.Tensor) -> list[float]:
    return [x.mean().item(), x.std().item(), x.min().item(), x.max().item()]


def test_state_dict_has_the_published_keys_and_shapes():
    meta, _ = golden.load(NAME)
    expected = [[key.replace("/", ".", 1), shape] for key, shape in meta["keys"] if ".fc." not in key]
    with torch.device("meta"):
        model = Monodepth2()
    assert [[key, list(value.shape)] for key, value in model.state_dict().items()] == expected


@pytest.fixture(scope="module")
def filled() -> Monodepth2:
    meta, _ = golden.load(NAME)
    with golden.unfilled():
        model = Monodepth2()
    model.load_state_dict(published(meta))
    return model.eval()


@pytest.fixture(scope="module")
def frames() -> tuple[torch.Tensor, torch.Tensor]:
    golden.load(NAME)
    return tuple(torch.from_numpy(golden.uniform(seed, 1, 3, 64, 128)) for seed in (101, 102))


def test_encoder_maps_match_the_published_network(filled, frames):
    _, want = golden.load(NAME)
    with torch.no_grad():
        features = filled.encoder(normalise(frames[0]))
    for index, feature in enumerate(features):
        np.testing.assert_allclose(statistics(feature), want[f"feat{index}_stats"], rtol=1e-5, atol=1e-5)
        _, channels, height, width = feature.shape
        sample = feature[0, :: max(1, channels // 4), :: max(1, height // 3), :: max(1, width // 4)]
        np.testing.assert_allclose(sample, want[f"feat{index}_sample"], rtol=1e-5, atol=1e-5)


def test_disparity_and_depth_match_the_published_network(filled, frames):
    _, want = golden.load(NAME)
    with torch.no_grad():
        (outputs,) = filled([{0: frames[0]}], ["depth"])
        depth = filled.predict(frames[0]).depth
        branch = filled.depth_branch()(frames[0])
    assert sorted(outputs.disp) == [0, 1, 2, 3] and not outputs.motion
    for r, disp in outputs.disp.items():
        np.testing.assert_allclose(disp, want[f"disp{r}"], rtol=1e-5, atol=1e-5)
    assert depth.inverse and depth.known == "up to scale"
    np.testing.assert_allclose(statistics(depth.depth()), want["depth0_stats"], rtol=1e-5, atol=1e-5)
    assert_close(branch, outputs.disp[0], rtol=0, atol=0)


def test_motion_matches_the_published_network(filled, frames):
    _, want = golden.load(NAME)
    first, second = frames
    with torch.no_grad():
        vectors = filled.pose(filled.pose_encoder(normalise(torch.cat(frames, 1)))[-1])
        plain = filled.predict_motion(first, second)
        (ahead,) = filled([{0: first, 1: second}], ["depth"])
        (behind,) = filled([{-1: first, 0: second}], ["depth"])
    for name, vector in zip(("axisangle", "translation"), vectors, strict=True):
        np.testing.assert_allclose(vector[:, :, None], want[name], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(plain, want["cam_T_cam"], rtol=1e-5, atol=1e-5)
    assert_close(ahead.motion[1], plain, rtol=0, atol=0)
    np.testing.assert_allclose(behind.motion[-1], want["cam_T_cam_inverted"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("name", "invert"), [("rot_T", False), ("rot_T_inverted", True)])
def test_large_rotations_match_the_published_ones(name, invert):
    _, want = golden.load(NAME)
    axisangle, translation = (torch.from_numpy(golden.uniform(seed, 4, 3)) * 2 - 1 for seed in (103, 104))
    np.testing.assert_allclose(transformation(axisangle, translation, invert), want[name], rtol=1e-5, atol=1e-5)


@pytest.fixture(scope="module")
def fresh() -> Monodepth2:
    torch.manual_seed(0)
    return Monodepth2(resolutions=2, depth_range=(0.5, 20.0))


def test_depth_lies_in_the_range_of_the_network(fresh):
    depth = fresh.eval().predict(torch.rand(2, 3, 64, 64)).depth
    assert depth.values.shape == (2, 1, 64, 64) and depth.values.dtype == torch.float32
    assert depth.depth().min() >= 0.5 and depth.depth().max() <= 20.0
    assert fresh.predict(torch.rand(1, 3, 64, 64), ("segmentation",)).depth is None


def test_pose_statistics_are_updated_once_per_pair(fresh):
    fresh.train()
    counter = fresh.pose_encoder.encoder.bn1.num_batches_tracked.zero_()
    frame = torch.rand(2, 3, 64, 64)
    (outputs,) = fresh([{0: frame, -1: frame, 1: frame}], ["depth"])
    assert counter.item() == 2 and sorted(outputs.disp) == [0, 1] and sorted(outputs.motion) == [-1, 1]


def test_everything_learns(fresh):
    fresh.train().zero_grad()
    frame = torch.rand(2, 3, 64, 64)
    (outputs,) = fresh([{0: frame, 1: frame.flip(3)}], ["depth"])
    (sum(disp.sum() for disp in outputs.disp.values()) + outputs.motion[1].sum()).backward()
    assert all(p.grad is not None for p in fresh.parameters())


def test_half_precision_stays_inside(fresh):
    fresh.eval()
    frame = torch.rand(1, 3, 64, 64)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        (outputs,) = fresh([{0: frame, 1: frame}], ["depth"])
        prediction = fresh.predict(frame)
    assert outputs.disp[0].dtype == outputs.motion[1].dtype == prediction.depth.values.dtype == torch.float32


def test_the_first_pose_convolution_is_drawn_as_the_others(fresh):
    weight = fresh.pose_encoder.encoder.conv1.weight
    assert not torch.equal(weight[:, :3], weight[:, 3:])
    assert abs(weight.std().item() / (2 / (64 * 49)) ** 0.5 - 1) < 0.05  # Kaiming, fan out


@pytest.mark.parametrize(("purpose", "classify"), [("segmentation", False), ("depth", True)])
def test_classes_are_refused(fresh, purpose, classify):
    with pytest.raises(ValueError, match="depth and motion alone"):
        fresh([{0: torch.rand(1, 3, 64, 64)}], [purpose], classify)
