"""The SGDepth network against the published one, and by its properties."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from errors import UserError
from models.gradients import split_with_scales
from models.sgdepth import IMAGENET_MEAN, IMAGENET_STD, SGDepth
from perspective_resample.depth import disp_to_depth, scale_disparity
from storage.catalogue import place
from storage.published import sha256
from tests import golden


def shapes(model: torch.nn.Module) -> list[list]:
    return [[key, list(value.shape)] for key, value in model.state_dict().items()]


def expected_keys(configs: list[dict], config: dict) -> list[list]:
    if "keys" in config:
        return config["keys"]
    minus = set(config["minus"])
    plus = {key: shape for key, shape in config["plus"]}
    kept = [[key, plus.pop(key, shape)] for key, shape in configs[0]["keys"] if key not in minus]
    return kept + [[key, shape] for key, shape in plus.items()]


@pytest.mark.parametrize("index", range(9))
def test_state_dict_has_the_published_keys_and_shapes(index):
    meta, _ = golden.load("sgdepth_state_dict_keys")
    config = meta["configs"][index]
    with torch.device("meta"):
        model = SGDepth(
            config["num_layers"], config["num_layers_pose"], config["split_pos"], config["depth_resolutions"]
        )
    found, expected = shapes(model), expected_keys(meta["configs"], config)
    assert len(found) == config["num_keys"]
    assert sum(p.numel() for p in model.parameters()) == config["num_parameters"]
    if "keys" in config:
        assert found == expected  # the order fixes what optim.pth means
    assert sorted(map(str, found)) == sorted(map(str, expected))


def test_outputs_match_the_published_network():
    meta, want = golden.load("sgdepth_model_r18")
    config, inputs = meta["config"], meta["inputs"]
    shape = [config[name] for name in ("num_layers", "num_layers_pose", "split_pos", "depth_resolutions")]
    with golden.unfilled():
        model = SGDepth(*shape)
    model.load_state_dict(golden.state_dict(meta["keys"], meta["scale"]))
    model.eval()
    frames = {
        offset: torch.from_numpy(
            golden.uniform(inputs[f"frame_{offset:+d}" if offset else "frame_0"], *inputs["shape"])
        )
        for offset in (0, -1, 1)
    }
    with torch.no_grad():
        depth, seg = model([frames, {0: frames[0]}], ["depth", "segmentation"])
        alone, classes = model.outputs(frames[0]), model.predict(frames[0], ("segmentation",))
    for r in range(config["depth_resolutions"]):
        np.testing.assert_allclose(depth.disp[r], want[f"disp_{r}"], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(seg.logits[:, :, ::2, ::2], want["seg_logits"], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(depth.motion[-1], want["T_prev"].reshape(-1, 4, 4), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(depth.motion[1], want["T_next"].reshape(-1, 4, 4), rtol=1e-5, atol=1e-5)
    assert_close(alone.disp[0], depth.disp[0], rtol=1e-5, atol=1e-5)
    assert torch.equal(classes.logits, alone.logits) and classes.depth is None


def test_depth_in_use_is_inverse_within_the_range_of_the_network():
    torch.manual_seed(4)
    model = SGDepth(disparity_bias=0, depth_range=(0.5, 20.0)).eval()
    image = torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        found, disp = model.predict(image), model.outputs(image).disp[0]
        half = model.double().predict(image.double(), ("depth",))
    assert found.depth.inverse and found.depth.known == "up to scale" and found.logits.shape == (2, 20, 64, 96)
    assert torch.equal(found.depth.values, scale_disparity(disp, 0.5, 20.0))
    assert torch.equal(found.depth.depth(), disp_to_depth(disp, 0.5, 20.0))
    assert 0.5 < found.depth.depth().min() < found.depth.depth().max() < 20
    assert half.depth.values.dtype == torch.float32 and half.logits is None
    assert "depth_range" not in model.state_dict()


def test_split_scales_gradients_like_the_published_layer():
    meta, want = golden.load("sgdepth_scaled_split")
    inputs = meta["inputs"]
    x = [torch.from_numpy(golden.uniform(inputs[f"x{i}"][0], *inputs[f"x{i}"][1])).requires_grad_() for i in (0, 1)]
    first, second = split_with_scales(x, (0.9, 0.1))
    for copy, original in zip((*first, *second), (*x, *x), strict=True):
        assert torch.equal(copy, original)
    loss = 0
    for names, copies, power in (("wa0,wa1", first, 2), ("wb0,wb1", second, 3)):
        for seed, copy in zip(inputs[names], copies, strict=True):
            loss = loss + (torch.from_numpy(golden.uniform(seed, *copy.shape)) * copy**power).sum()
    loss.backward()
    for i in (0, 1):
        np.testing.assert_allclose(x[i].grad, want[f"grad_x{i}"], rtol=1e-6, atol=1e-7)
    x[0].grad = None
    ((single,),) = split_with_scales(x[:1], (0.3,))
    (single**2).sum().backward()
    np.testing.assert_allclose(x[0].grad, want["grad_single"], rtol=1e-6, atol=1e-7)


@pytest.fixture(scope="module")
def small() -> SGDepth:
    torch.manual_seed(0)
    return SGDepth(resolutions=2, split_pos=2)


def test_grad_scales_reach_the_shared_part_only(small):
    image = torch.rand(1, 3, 64, 64)
    small.eval()

    def gradients(scales: tuple[float, float]) -> dict[str, torch.Tensor]:
        small.grad_scales = scales
        small.zero_grad()
        (prediction,) = small([{0: image}], ["depth"])
        prediction.disp[0].sum().backward()
        return {name: p.grad.clone() for name, p in small.named_parameters() if p.grad is not None}

    full, tenth = gradients((1.0, 0.0)), gradients((0.1, 0.0))
    for name, gradient in full.items():
        factor = 0.1 if name.startswith("common.") else 1.0
        golden.assert_close_to_max(tenth[name].numpy(), (gradient * factor).numpy(), 1e-4)
    assert not any(name.startswith("seg.") for name in full)


def test_segment_leaves_buffers_and_mode_as_they_were(small):
    small.train()
    before = {name: b.clone() for name, b in small.named_buffers()}
    ids = small.segment(torch.rand(2, 3, 64, 64))
    assert ids.shape == (2, 64, 64) and ids.dtype == torch.int64 and small.training
    assert all(torch.equal(before[name], b) for name, b in small.named_buffers())


def test_pose_statistics_are_updated_once_per_pair(small):
    small.train()
    small.pose.encoder.encoder.bn1.num_batches_tracked.zero_()
    frame = torch.rand(2, 3, 64, 64)
    small([{0: frame, -1: frame, 1: frame}], ["depth"])
    assert small.pose.encoder.encoder.bn1.num_batches_tracked.item() == 2


def test_training_starts_near_disparity_one_with_small_motion():
    torch.manual_seed(1)
    model = SGDepth().eval()
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        (prediction,) = model([{0: image, 1: image}], ["depth"])
    assert 0.98 < prediction.disp[0].mean() < 0.999
    assert prediction.motion[1][:, :3, 3].abs().max() < 0.05


def test_equal_frames_see_the_tiled_first_convolution_as_one_image():
    torch.manual_seed(2)
    model = SGDepth()
    weight = model.pose.encoder.encoder.conv1.weight
    assert weight.shape == (64, 6, 7, 7) and torch.equal(weight[:, :3], weight[:, 3:])


def test_normalisation_is_that_of_imagenet(small):
    image = torch.rand(1, 3, 64, 64)
    expected = (image - torch.tensor(IMAGENET_MEAN).view(3, 1, 1)) / torch.tensor(IMAGENET_STD).view(3, 1, 1)
    assert_close(small.normalise(image), expected)


def test_data_sets_of_different_size_are_refused(small):
    with pytest.raises(UserError, match="network sizes"):
        small([{0: torch.rand(1, 3, 64, 64)}, {0: torch.rand(1, 3, 64, 96)}], ["depth", "segmentation"])


def test_pretrained_weights_that_cannot_be_fetched_are_one_sentence(monkeypatch, tmp_path):
    from urllib.error import URLError

    def offline(*_: object, **__: object) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("storage.download.urlopen", offline)
    monkeypatch.setattr("time.sleep", lambda _: None)
    with pytest.raises(UserError, match=r"resnet18.*\.pth into .*--train-weights-init scratch"):
        SGDepth(pretrained=True)


def test_pretrained_weights_in_the_cache_are_used_by_both_encoders(monkeypatch, tmp_path):
    import torchvision

    torch.manual_seed(3)
    source = torchvision.models.resnet18().state_dict()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    path = place("resnet18-f37072fd.pth")
    path.parent.mkdir(parents=True)
    torch.save(source, path)
    with pytest.raises(UserError, match="resnet18-f37072fd.pth: damaged or not the published file.*; put resnet18"):
        SGDepth(pretrained=True)
    monkeypatch.setattr("storage.published.hash_in", lambda file: sha256(path))
    model = SGDepth(pretrained=True)
    assert torch.equal(model.common.encoder.encoder.layer4[1].conv2.weight, source["layer4.1.conv2.weight"])
    assert_close(model.pose.encoder.encoder.conv1.weight[:, 3:], source["conv1.weight"] / 2)
