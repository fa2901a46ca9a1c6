"""Teachers through `transformers`, with tiny random networks in a folder; without the package, one sentence."""

from __future__ import annotations

import logging
import math
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from errors import UserError
from models import build_teacher, hf
from models.decoders import OutputConv2d
from models.hf import HubNetwork
from models.teacher import Habits, Teacher


def test_without_the_package_one_sentence_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UserError, match="^hf:some/model: needs the package transformers; .*pip install transformers"):
        build_teacher("hf:some/model")


def test_a_cache_folder_that_cannot_be_written_is_named_with_its_variable(monkeypatch):
    monkeypatch.setenv("HF_HOME", "/proc/nothing")
    with pytest.raises(UserError, match="^/proc/nothing: cannot be written .*; let the variable HF_HOME name a folder"):
        build_teacher("hf:some/model", fetch=True)


def test_importing_the_module_does_not_import_the_package():
    assert "transformers" not in vars(hf)


@pytest.fixture(scope="module")
def transformers():
    return pytest.importorskip("transformers")


def save(folder, network, processor) -> str:
    network.save_pretrained(folder)
    processor.save_pretrained(folder)
    return f"hf:{folder}"


@pytest.fixture(scope="module")
def depth_anything(transformers, tmp_path_factory):
    """Function: kind of estimate, folder name -> name of a saved network."""

    def make(kind: str = "relative", name: str = "tiny") -> str:
        torch.manual_seed(0)
        stages = [f"stage{number}" for number in (1, 2, 3, 4)]
        backbone = transformers.Dinov2Config(
            hidden_size=32,
            num_hidden_layers=4,
            num_attention_heads=2,
            mlp_ratio=2,
            image_size=56,
            patch_size=14,
            out_features=stages,
            reshape_hidden_states=False,
            apply_layernorm=True,
        )
        config = transformers.DepthAnythingConfig(
            backbone_config=backbone,
            reassemble_hidden_size=32,
            patch_size=14,
            neck_hidden_sizes=[8, 16, 32, 32],
            fusion_hidden_size=16,
            head_hidden_size=8,
            depth_estimation_type=kind,
            max_depth=20,
        )
        processor = transformers.DPTImageProcessor(
            size={"height": 56, "width": 56},
            keep_aspect_ratio=True,
            ensure_multiple_of=14,
            image_mean=[0.485, 0.456, 0.406],
            image_std=[0.229, 0.224, 0.225],
        )
        folder = tmp_path_factory.mktemp("hub") / name
        return save(folder, transformers.DepthAnythingForDepthEstimation(config), processor)

    return make


def test_depth_anything_sees_multiples_of_fourteen_and_answers_at_the_size_of_the_image(depth_anything):
    name = depth_anything()
    teacher = build_teacher(name, native=True)
    assert teacher.identity == {"name": name, "sha256": ""}
    assert teacher.input_size(128, 70) == (126, 70)
    assert build_teacher(name).input_size(100, 300) == (56, 168)
    seen = []
    teacher.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    rgb = torch.rand(2, 3, 70, 70)
    found = teacher(rgb)
    assert found.shape == (2, 70, 70) and found.dtype == torch.float32 and (found >= 0).all()
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    torch.testing.assert_close(seen[0], (rgb - mean) / std)
    assert not teacher.habits.metric and teacher(torch.rand(1, 3, 128, 60)).shape == (1, 128, 60)


def test_the_last_convolution_of_a_hub_network_leaves_autocast():
    hub = nn.Module()
    hub.head = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 1, 1), nn.ReLU())
    HubNetwork(hub)
    assert [type(layer) for layer in hub.head] == [nn.Conv2d, OutputConv2d, nn.ReLU]


@pytest.mark.parametrize("kind, name", [("metric", "tiny"), ("relative", "Tiny-Metric-hf")])
def test_networks_that_know_metres_are_inverted(depth_anything, kind, name):
    teacher = build_teacher(depth_anything(kind, name), native=True)
    rgb = torch.rand(1, 3, 56, 56)
    with torch.no_grad():
        depth = teacher.network.network(pixel_values=(rgb - teacher.mean) / teacher.std).predicted_depth
    torch.testing.assert_close(teacher(rgb), 1 / depth.clamp_min(1e-3))
    assert teacher.habits.metric and teacher.farthest == (20 if kind == "metric" else math.inf)
    large = torch.rand(1, 3, 84, 84)
    small = torch.nn.functional.interpolate(large, (56, 56), mode="bicubic")
    with torch.no_grad():
        depth = teacher.network.network(pixel_values=(small - teacher.mean) / teacher.std).predicted_depth
    enlarged = torch.nn.functional.interpolate(depth[:, None], (84, 84), mode="bilinear")[:, 0]
    found = Teacher(teacher.network, replace(teacher.habits, fixed=True), {})
    torch.testing.assert_close(found(large), 1 / enlarged.clamp_min(1e-3))
    assert found.predict(rgb).depth.known == "metres"


@pytest.fixture(scope="module", params=[1, 2])
def zoedepth(request, transformers, tmp_path_factory) -> str:
    """Name of a saved ZoeDepth with bins of one or of two data sets."""
    torch.manual_seed(0)
    backbone = transformers.Dinov2Config(
        hidden_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        mlp_ratio=2,
        image_size=64,
        patch_size=16,
        out_features=["stage1", "stage2", "stage3", "stage4"],
        reshape_hidden_states=False,
    )
    bins = [{"n_bins": 8, "min_depth": 0.001, "max_depth": far, "name": name} for name, far in (("a", 10), ("b", 80))]
    config = transformers.ZoeDepthConfig(
        backbone_config=backbone,
        neck_hidden_sizes=[8, 8, 16, 16],
        fusion_hidden_size=16,
        bottleneck_features=16,
        num_relative_features=8,
        bin_embedding_dim=16,
        num_attractors=[2, 2, 2, 2],
        bin_configurations=bins[: request.param],
        num_patch_transformer_layers=4,
        patch_transformer_hidden_size=128,
        patch_transformer_intermediate_size=32,
        patch_transformer_num_attention_heads=2,
    )
    processor = transformers.ZoeDepthImageProcessor(size={"height": 64, "width": 96}, ensure_multiple_of=32)
    folder = tmp_path_factory.mktemp("hub") / "zoe"
    return save(folder, transformers.ZoeDepthForDepthEstimation(config), processor)


def test_zoedepth_says_metres_as_its_own_processor_has_them(transformers, zoedepth):
    teacher = build_teacher(zoedepth)
    assert teacher.habits.metric and teacher.farthest in (10, 80)
    image = torch.from_numpy(np.random.RandomState(0).randint(0, 256, (3, 90, 130), np.uint8))
    processor = transformers.AutoImageProcessor.from_pretrained(zoedepth.removeprefix("hf:"))
    with torch.no_grad():
        answer = teacher.network.network(**processor(images=image, return_tensors="pt"))
    (want,) = processor.post_process_depth_estimation(answer, source_sizes=[(90, 130)])
    found = teacher.predict(image[None].float() / 255).depth
    assert found.known == "metres"
    torch.testing.assert_close(found.depth()[0, 0], want["predicted_depth"], rtol=1e-4, atol=1e-4)


def test_images_smaller_than_their_margins_are_mirrored_as_far_as_they_go():
    habits = Habits(mirrored=3.0)
    assert habits.margins(90, 130) == (20, 24) and habits.margins(8, 1) == (6, 0)
    assert Habits().margins(90, 130) == (0, 0)


def test_dpt_sees_images_at_the_size_it_was_trained_at(transformers, tmp_path):
    torch.manual_seed(0)
    config = transformers.DPTConfig(
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=64,
        image_size=64,
        patch_size=16,
        backbone_out_indices=[0, 1, 2, 3],
        neck_hidden_sizes=[8, 16, 32, 32],
        fusion_hidden_size=16,
        reassemble_factors=[4, 2, 1, 0.5],
        is_hybrid=False,
    )
    processor = transformers.DPTImageProcessor(size={"height": 64, "width": 64})
    teacher = build_teacher(save(tmp_path / "dpt", transformers.DPTForDepthEstimation(config), processor), native=True)
    assert teacher.input_size(32, 96) == (64, 64)
    assert teacher(torch.rand(1, 3, 32, 96)).shape == (1, 32, 96)


def test_a_network_of_another_kind_is_refused(transformers, tmp_path):
    config = transformers.GLPNConfig(
        depths=[1] * 4, hidden_sizes=[8, 8, 8, 8], num_attention_heads=[1] * 4, decoder_hidden_size=8
    )
    name = save(tmp_path / "glpn", transformers.GLPNForDepthEstimation(config), transformers.GLPNImageProcessor())
    with pytest.raises(UserError, match="kind 'glpn', whose output is not known"):
        build_teacher(name)


def test_a_model_that_is_not_there_is_told(transformers, tmp_path):
    with pytest.raises(UserError, match="^hf:nobody/nothing: cannot be loaded .*; check the id"):
        build_teacher("hf:nobody/nothing")
    with pytest.raises(UserError, match="cannot be loaded"):
        build_teacher(f"hf:{tmp_path}")


def test_a_non_commercial_licence_is_told_once(caplog):
    for model in ("Large", "Base"):
        assert hf.NON_COMMERCIAL.search(f"depth-anything/Depth-Anything-V2-{model}-hf")
    assert not hf.NON_COMMERCIAL.search("depth-anything/Depth-Anything-V2-Small-hf")
    with caplog.at_level(logging.WARNING):
        hf._tell_licence("a/b")
        hf._tell_licence("a/b")
    assert [record.getMessage() for record in caplog.records] == [
        "a/b: licence CC-BY-NC-4.0, for non-commercial use only"
    ]
