"""Published networks by name, as evaluation and inference ask for them."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import arguments
import inference
import state_manager
from errors import UserError
from models.monodepth2 import Monodepth2
from storage.catalogue import MODELS
from storage.shelf import FIRST
from tests.commands import error_of
from tests.file_server import serve
from tests.methods.monodepth2.test_published_files import SIZE, published
from tests.models import dpt_file
from tests.storage.test_published import zipped

pytestmark = pytest.mark.usefixtures("thin")


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> bytes:
    torch.manual_seed(3)
    folder = published(tmp_path_factory.mktemp("published") / "mono", Monodepth2(resolutions=2).eval())
    return zipped({path.name: path.read_bytes() for path in folder.iterdir()})


@pytest.fixture
def offered(archive, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    with serve({"mono.zip": archive}) as (base, faults):
        md5 = hashlib.md5(archive).hexdigest()
        monkeypatch.setitem(MODELS, FIRST, replace(MODELS[FIRST], address=f"{base}/mono.zip", md5=md5))
        yield faults


@pytest.mark.parametrize("command, flag", [("inference", "--model-path"), ("eval_depth", "--model-load")])
def test_a_name_tells_the_method_and_the_files_tell_the_size(command, flag, offered):
    args = arguments.parse(command, [flag, FIRST, "--fetch"])
    assert args.method == "monodepth2"
    network = state_manager.find_network(args, "depth")(torch.device("cpu"))
    assert isinstance(network, Monodepth2)
    prefix = "inference" if command == "inference" else "depth_validation"
    assert getattr(args, f"{prefix}_resize_height") == SIZE[0]
    arguments.parse(command, [flag, FIRST])
    assert sum(method == "GET" for method, *_ in offered.asked) == 1


def test_a_name_tells_what_its_files_do_not(offered):
    args = arguments.parse("inference", ["--model-path", "spatial_kd:resnet18_nyu"])
    assert (args.method, args.model_depth_max) == ("spatial_kd", 10.0) and "model_depth_max" in args.said
    args = arguments.parse("inference", ["--model-path", "lapdepth:nyu", "--model-depth-max", "12"])
    assert (args.method, args.model_depth_max) == ("lapdepth", 12.0)


def test_training_begins_with_a_network_by_its_name(offered):
    args = arguments.parse("train", ["--method", "monodepth2", "--model-load", FIRST, "--fetch"])
    place = MODELS[FIRST].place
    assert not state_manager.needs_pretrained(place, args, state_manager.settle_network(place, args))


def test_a_command_that_does_not_take_the_method_says_so_before_it_fetches(offered):
    for command, flag, name in (
        ("eval_segmentation", "--model-load", FIRST),
        ("eval_pose", "--model-load", "dpt-hybrid"),
    ):
        with pytest.raises(
            UserError, match=f"{flag} {name}: a network of --method .*, which {command}.py does not take"
        ):
            arguments.parse(command, [flag, name, "--fetch"])
    args = arguments.parse("train", ["--model-load", "dpt-hybrid", "--fetch"])
    with pytest.raises(UserError, match="dpt-hybrid: a frozen teacher; eval_depth.py --method dpt"):
        state_manager.settle_network(MODELS[FIRST].place, args)
    assert not offered.asked


def test_a_frozen_network_shows_images_at_their_own_size(tmp_path, monkeypatch):
    source, target, weights = tmp_path / "in", tmp_path / "out", dpt_file.write(tmp_path / "mine.pt")
    source.mkdir()
    sizes = {"a": (40, 72), "b": (40, 72), "c": (64, 48)}
    for name, (height, width) in sizes.items():
        Image.fromarray(np.random.RandomState(0).randint(0, 256, (height, width, 3), np.uint8)).save(
            source / f"{name}.png"
        )
    words = ["--method", "dpt", "--model-path", weights, "--image-path", source, "--output-path", target]
    monkeypatch.setattr(inference, "BATCH", {"cpu": 3})
    assert inference.infer(arguments.parse("inference", [*map(str, words), "--sys-cpu", "--save-arrays"])) == 0
    for name, (height, width) in sizes.items():
        assert np.load(target / f"{name}_disp.npy").shape == (height, width)
        assert Image.open(target / f"{name}.jpg").size == (width, 2 * height)
    assert not [*target.glob("*_depth.npy")]  # inverse depth up to scale and shift


def test_refinement_fetches_its_teacher_where_that_is_asked(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    asked = []
    monkeypatch.setattr("methods.refinement.build_teacher", lambda *words: asked.append(words))
    from methods.refinement import open_refinement

    words = ["--method", "sgdepth", "--patch-refine", "--patch-teacher", "dpt-large"]
    open_refinement(arguments.parse("inference", words), "inference")
    open_refinement(arguments.parse("inference", [*words, "--fetch"]), "inference")
    assert asked == [("dpt-large", True, False), ("dpt-large", True, True)]


def test_networks_are_listed_without_anything_else(run, tmp_path):
    done = run("inference.py", "--list-models", env={"TORCH_HOME": str(tmp_path)})
    assert done.returncode == 0 and all(name in done.stdout for name in MODELS)


def test_everything_that_is_missing_is_told_at_once_with_a_line_to_type(run, tmp_path):
    told = error_of(run("inference.py", "--image-path", "x.png", env={"TORCH_HOME": str(tmp_path)}))
    assert f"python inference.py --model-path {FIRST} --fetch --image-path x.png --output-path out" in told
    assert "--image-path x.png: does not exist" in told and "--output-path: not given" in told
    told = error_of(run("inference.py", "--model-path", "dpt-hybird", "--image-path", "x.png"))
    assert "--model-path dpt-hybird: no such file or folder (closest: dpt-hybrid" in told


def test_what_is_fetched_is_told_with_its_licence(offered, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    Image.new("RGB", (90, 50)).save(tmp_path / "a.png")
    words = ["--model-path", FIRST, "--fetch", "--image-path", tmp_path / "a.png", "--output-path", tmp_path / "out"]
    assert inference.infer(arguments.parse("inference", [*map(str, words), "--sys-cpu"])) == 0
    assert "non-commercial use only" in caplog.text and (tmp_path / "out" / "a.jpg").is_file()
