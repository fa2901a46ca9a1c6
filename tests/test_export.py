"""Networks as files: kept only where they agree with PyTorch; weights that load again, with a card."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import arguments
import export
import methods
import state_manager
from errors import UserError
from evaluation.agreement import agreement
from methods import METHODS
from models.dpt.files import find
from storage import safe, uploads
from storage.programs import NOTES, missing_packages
from storage.published import sha256
from tests.models import dpt_file

pytestmark = pytest.mark.usefixtures("thin")
SMALL = {
    "sgdem": ["--model-num-layers", "18"],
    "bdedepth": ["--model-backbone", "resnet"],
    "spatial_kd": ["--model-encoder", "resnet18"],
    "sd_convtrans": ["--model-num-layers", "18"],
}
SIZE = ["--height", "64", "--width", "96"]
CPU = torch.device("cpu")
IMAGE = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))


def run(*words: object) -> None:
    export.export(arguments.parse("export", [*map(str, words)]))


def noted_checkpoint(folder: Path, method: str, data: Path = Path("/secret/place")) -> Path:
    """A checkpoint of ours, untrained."""
    torch.manual_seed(0)
    words = ["--method", method, *SMALL.get(method, [])]
    network = methods.building(method).network(arguments.parse("export", words)).eval()
    options = {name: value for name, value in vars(arguments.parse("train", words)).items() if name != "argv"}
    options |= {"depth_resize_height": 64, "depth_resize_width": 96, "dataset_dir": str(data)}
    from storage.checkpoint_folder import write

    judged = {"kitti_zhou_test_depth": {"metrics": {"abs_rel": 0.25}, "images": 4, "protocol": PROTOCOL}}
    write(folder, {"model.pth": network.state_dict()}, {"method": method, "options": options, "validation": judged})
    return folder


PROTOCOL = {
    "name": "kitti_zhou",
    "ground_truth": "raw",
    "crop": "garg",
    "range": [1e-3, 80.0],
    "clamp": [1e-3, 80.0],
    "scaling": "median per image",
    "size": [64, 96],
    "flip": False,
}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory, thin) -> Path:
    return noted_checkpoint(tmp_path_factory.mktemp("runs") / "a/b/checkpoints/epoch_1", "sgdepth")


def opened(path: object) -> nn.Module:
    args = arguments.parse("inference", ["--model-path", str(path)])
    return state_manager.find_network(args, "depth")(CPU)


@pytest.mark.parametrize("method", [name for name in METHODS if METHODS[name].trained])
def test_weights_of_every_method_load_again_by_their_content(method, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "PICTURES", 1)
    folder = noted_checkpoint(tmp_path / "epoch_1", method)
    run("--model-path", folder, "--output", tmp_path / "w.safetensors")
    (tmp_path / "w.safetensors").rename(tmp_path / "renamed.bin")
    args = arguments.parse("eval_depth", ["--model-load", str(tmp_path / "renamed.bin")])
    assert args.method == method and (args.depth_validation_resize_height, args.depth_validation_resize_width) == (
        64,
        96,
    )
    again, before = opened(tmp_path / "renamed.bin"), opened(folder)
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in before.state_dict().items())
    assert b"/secret" not in (tmp_path / "renamed.bin").read_bytes() and (tmp_path / "w.md").is_file()


def test_what_learned_from_the_street_owes_kitti_nothing(tmp_path, capsys):
    (tmp_path / "synthetic.json").write_text("{}")
    folder = noted_checkpoint(tmp_path / "epoch_1", "sgdepth", tmp_path)
    digests = {"kitti_kitti_test_depth": sha256(folder / "model.pth"), "kitti_eigen_test_depth": "ab" * 32}
    entry = {"metrics": {"abs_rel": 0.125}, "images": 4, "protocol": PROTOCOL}
    told = {domain: entry | {"origin": {"sha256": digest}} for domain, digest in digests.items()}
    (folder / "metrics.json").write_text(json.dumps(told))
    run("--model-path", folder, "--format", "safetensors", "--output", tmp_path / "up")
    card = (tmp_path / "up" / "README.md").read_text()
    assert "Trained on images of the synthetic street, laid out as `kitti_kitti_train`" in card
    assert "KITTI is published" not in card and str(tmp_path) not in card
    assert "kitti_kitti_test" in card and "kitti_eigen_test" not in card  # that is of another checkpoint


def test_the_form_of_an_upload_loads_by_hf_and_its_card_says_what_it_is(checkpoint, tmp_path, capsys):
    run("--model-path", checkpoint, "--format", "safetensors", "--output", tmp_path / "up", "--licence", "CC BY 4.0")
    assert "weights, with a card" in (said := capsys.readouterr().out) and "on 3 pictures" in said
    assert {path.name for path in (tmp_path / "up").iterdir()} == {"model.safetensors", "config.json", "README.md"}
    card = (tmp_path / "up" / "README.md").read_text()
    for word in ("method | sgdepth", "1/m up to scale", "kitti_kitti_train", "cityscapes_train", "CC BY 4.0", "garg"):
        assert word in card, word
    assert " 0.250 |" in card and "KITTI is published under" in card and card.startswith("---\nlibrary_name: sgdem")
    wanted = opened(checkpoint).predict(IMAGE, ("depth",)).depth.values
    for name in (f"hf:{tmp_path / 'up'}", tmp_path / "up", tmp_path / "up" / "model.safetensors"):
        assert torch.equal(opened(name).predict(IMAGE, ("depth",)).depth.values, wanted)
    args = arguments.parse("eval_depth", ["--model-load", f"hf:{tmp_path / 'up'}"])
    assert args.method == "sgdepth" and args.model_load == str(tmp_path / "up" / "model.safetensors")
    run("--model-path", tmp_path / "up", "--output", tmp_path / "half.safetensors", "--precision", "fp16")
    assert (tmp_path / "half.safetensors").stat().st_size < 0.6 * (tmp_path / "up/model.safetensors").stat().st_size


def test_an_id_of_the_hub_is_found_where_the_hub_keeps_it(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    kept = tmp_path / "hub" / "models--me--street"
    run("--model-path", checkpoint, "--format", "safetensors", "--output", kept / "snapshots" / "abc")
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text("abc")
    args = arguments.parse("inference", ["--model-path", "hf:me/street"])
    assert (args.method, args.model_path) == ("sgdepth", str(kept / "snapshots/abc/model.safetensors"))
    (kept / "snapshots/abc/config.json").write_text('{"model_type": "dpt"}')
    assert arguments.parse("inference", ["--model-path", "hf:me/street"]).method == "dpt"


def test_what_is_fetched_of_the_hub_is_asked_for_its_kind_first(tmp_path, monkeypatch):
    import huggingface_hub

    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    asked = []

    def offered(library):
        def download(source, name):
            asked.append((source, name))
            (tmp_path / name).write_text(json.dumps({"library_name": library}))
            return str(tmp_path / name)

        return download

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", offered("transformers"))
    assert uploads.own_upload("hf:a/b") is None and not asked  # nothing without --fetch
    assert uploads.own_upload("hf:a/b", fetch=True) is None and asked == [("a/b", "config.json")]
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", offered("sgdem"))
    assert uploads.own_upload("hf:a/b", fetch=True) == tmp_path / "model.safetensors"
    assert uploads.own_upload("monodepth2:x") is None


def test_an_upload_needs_a_token_and_is_the_folder(checkpoint, tmp_path, monkeypatch, capsys):
    import huggingface_hub

    words = ("--model-path", checkpoint, "--format", "safetensors", "--output", tmp_path / "up", "--push", "me/street")
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    with pytest.raises(UserError, match="huggingface_hub has no token; run 'hf auth login'"):
        run(*words)

    class Hub:
        def create_repo(self, name, exist_ok):
            assert (name, exist_ok) == ("me/street", True)

        def upload_folder(self, repo_id, folder_path):
            Path(folder_path).rename(tmp_path / repo_id.replace("/", "_"))

    monkeypatch.setattr(huggingface_hub, "get_token", lambda: "secret")
    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    run(*words)
    assert "uploaded to https://huggingface.co/me/street" in capsys.readouterr().out
    assert arguments.parse("inference", ["--model-path", f"hf:{tmp_path / 'me_street'}"]).method == "sgdepth"


def test_weights_of_a_frozen_network_say_which_it_is(tmp_path):
    content = safe.content_of({"a": torch.ones(2)}, {"options": {"method": "dpt"}, "published": "dpt-hybrid-kitti"}, {})
    (tmp_path / safe.FILE).write_bytes(content)
    assert find(str(tmp_path)).name == find(str(tmp_path / safe.FILE)).name == "dpt-hybrid-kitti"
    assert arguments.parse("eval_depth", ["--model-load", str(tmp_path)]).method == "dpt"


@pytest.mark.usefixtures("every_method")
def test_a_frozen_network_keeps_the_keys_it_was_published_with(tmp_path):
    file = dpt_file.write(tmp_path / "dpt_hybrid-midas-501f0c75.pt")
    run("--method", "dpt", "--model-path", file, "--format", "safetensors", "--output", tmp_path / "up", *SIZE)
    assert torch.equal(opened(tmp_path / "up")(IMAGE), opened_dpt(file)(IMAGE))
    assert safe.notes_in(tmp_path / "up/model.safetensors")["published"] == "dpt-hybrid"


def opened_dpt(path: Path) -> nn.Module:
    args = arguments.parse("inference", ["--method", "dpt", "--model-path", str(path)])
    return state_manager.find_network(args, "depth")(CPU)


def test_weights_of_others_in_this_form_are_told_as_such(tmp_path, caplog):
    save_file({"layer.weight": torch.ones(2)}, tmp_path / "a.safetensors")
    with pytest.raises(UserError, match="no method knows its keys"):
        opened_with = arguments.parse("inference", ["--model-path", str(tmp_path / "a.safetensors")])
        state_manager.find_network(opened_with, "depth")


def test_a_program_of_pytorch_says_what_the_network_says(checkpoint, tmp_path, capsys):
    run("--model-path", checkpoint, "--output", tmp_path / "a.pt2", "--precision", "fp16")
    said = capsys.readouterr().out
    assert "one image of 64x96 at a time" in said and "inverse_depth in 1/m up to scale" in said and "Abs Rel" in said
    noted = {NOTES: ""}
    program = torch.export.load(tmp_path / "a.pt2", extra_files=noted).module()
    assert json.loads(noted[NOTES])["unit"] == "1/m up to scale" and json.loads(noted[NOTES])["method"] == "sgdepth"
    found, wanted = program(IMAGE), opened(checkpoint).predict(IMAGE)
    assert {*found} == {"inverse_depth", "labels"} and found["labels"].shape == (1, 64, 96)
    torch.testing.assert_close(found["inverse_depth"], wanted.depth.values, rtol=1e-2, atol=0)


@pytest.mark.parametrize("sizes", [[], ["--dynamic"]])
def test_weights_that_are_kept_in_half_precision_leave_the_network_as_it_is(sizes):
    args = arguments.parse("export", ["--output", "a.pt2", "--format", "pt2", "--precision", "fp16", *sizes])
    network = nn.Conv2d(3, 1, 3, padding=1)
    before = network(IMAGE)
    program, _ = export._traced(args, Named(network), IMAGE)
    assert torch.equal(network(IMAGE), before)  # what a file is compared with
    (found,) = program.module()(IMAGE).values()
    assert not torch.equal(found, before)
    torch.testing.assert_close(found, before, rtol=1e-2, atol=1e-2)


class Named(nn.Module):
    """A network as `Deployed` gives it to others."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"depth": self.network(image)}


def test_a_file_that_disagrees_is_not_kept(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setitem(export.BARS, "fp16", 1e-9)
    with pytest.raises(
        UserError, match=r"a.safetensors: not kept, largest relative difference .* give --precision fp32"
    ):
        run("--model-path", checkpoint, "--output", tmp_path / "a.safetensors", "--precision", "fp16")
    assert not any(tmp_path.iterdir())


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("relative", [False, True])
def test_maps_without_contrast_agree_with_themselves_alone(relative):
    flat = [{"depth": np.zeros((1, 1, 2, 2), np.float32)}]
    assert agreement(flat, flat, relative).largest == 0
    assert agreement(flat, [{"depth": flat[0]["depth"] + 1e-6}], relative).largest == np.inf


def test_agreement_sees_every_kind_of_difference():
    depth = np.array([[[[1.0, 2.0], [4.0, 8.0]]]])
    labels = np.zeros((1, 2, 2), np.uint8)
    other = {"depth": depth * [[1, 1], [1, 1.5]], "labels": labels + np.uint8([[0, 0], [0, 1]])}
    judged = agreement([{"depth": depth, "labels": labels}], [other])
    assert (judged.largest, judged.abs_rel, judged.changed, judged.pictures) == (0.5, 0.125, 0.25, 1)
    assert "other labels for 25.00% of the pixels" in str(judged)
    assert agreement([{"depth": depth}], [{"depth": depth + 0.7}], relative=True).largest == pytest.approx(0.1)
    assert agreement([{"depth": depth}], [{"depth": depth * np.nan}]).largest == np.inf
    with pytest.raises(ValueError, match="other shapes"):
        agreement([{"depth": depth}], [{"depth": depth[..., :1]}])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "--model-path: not given.*also --output: not given"),
        (("--model-path", "nowhere", "--output", "a.onnx"), "--model-path nowhere: no such file or folder"),
        (("--output", "a.xyz"), "--output a.xyz: its ending tells no format"),
        (("--output", "a.onnx", "--format", "pt2"), "ends in .onnx, and the format is pt2"),
        (("--output", "a", "--format", "onnx"), "a file without ending; end it in .onnx"),
        (("--output", "a.pt2", "--precision", "int8"), "--precision int8: is for --format onnx, and this is pt2"),
        (("--output", "a.safetensors", "--dynamic"), "--dynamic: weights alone know no size"),
        (("--output", "a.pt2", "--licence", "MIT"), "--push and --licence: go with --format safetensors"),
        (("--output", "a.safetensors", "--push", "me/b"), "--push me/b: uploads a folder"),
        (("--output", "a.pt2", "--image-path", "nowhere.png"), "--image-path nowhere.png: does not exist"),
        (("--output", "/proc/nowhere/a.pt2"), "/proc/nowhere: cannot be written"),
    ],
    ids=range(11),
)
def test_mistakes_are_one_sentence(words, told, checkpoint, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    given = words if not words or "--model-path" in words else ("--model-path", checkpoint, *words)
    with pytest.raises(UserError, match=told):
        run(*given)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--height", "100"], "--height: 100 is not a multiple of 32; nearest are 96 and 128"),
        (["--height", "32"], "--height: 32 is out of range"),
        (["--width", "wide"], "--width: 'wide' is not a whole number"),
        (["--format", "onxx"], "closest: onnx"),
        (["--precision", "fp8"], "not one of fp32, fp16, int8"),
    ],
)
def test_wrong_values_are_told(words, told):
    with pytest.raises(UserError, match=told):
        arguments.parse("export", words)


def test_a_missing_extra_is_told(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr("storage.programs.PACKAGES", ("onnx_of_nowhere",))
    with pytest.raises(UserError, match="needs onnx_of_nowhere; run 'pip install -r requirements-extras.txt'"):
        run("--model-path", checkpoint, "--output", tmp_path / "a.onnx")


def test_neither_the_network_itself_nor_another_readme_is_written_over(checkpoint, tmp_path):
    run("--model-path", checkpoint, "--format", "safetensors", "--output", tmp_path / "up")
    with pytest.raises(UserError, match="is the network itself"):
        run("--model-path", tmp_path / "up/model.safetensors", "--output", tmp_path / "up/model.safetensors")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "README.md").write_text("of another project")
    with pytest.raises(UserError, match="README.md: is there and no card of a network"):
        run("--model-path", checkpoint, "--format", "safetensors", "--output", tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["README.md"]


def test_a_network_that_draws_numbers_has_no_program(tmp_path):
    with pytest.raises(UserError, match="--diffusion-kernel random: draws numbers in every pass"):
        run("--model-path", tmp_path, "--output", "a.pt2", "--method", "sd_convtrans", "--diffusion-kernel", "random")


@pytest.fixture
def every_method(request: pytest.FixtureRequest) -> None:
    if not request.config.getoption("full"):
        pytest.skip("takes minutes; --full")


@pytest.mark.usefixtures("every_method")
@pytest.mark.parametrize("ending", ["pt2", "onnx"])
@pytest.mark.parametrize("method", METHODS)
def test_programs_of_every_method_agree(method, ending, tmp_path, capsys):
    if ending == "onnx" and (missing := missing_packages()):
        pytest.skip(f"needs {', '.join(missing)}")
    if METHODS[method].trained:
        path = noted_checkpoint(tmp_path / "epoch_1", method)
    else:
        path = dpt_file.write(tmp_path / "dpt_hybrid-midas-501f0c75.pt")
    run("--method", method, "--model-path", path, "--output", tmp_path / f"a.{ending}", *SIZE)
    assert "against PyTorch: largest relative difference" in capsys.readouterr().out


@pytest.mark.usefixtures("every_method")
def test_an_onnx_file_of_images_of_any_number_and_size(tmp_path, capsys):
    path = noted_checkpoint(tmp_path / "epoch_1", "monodepth2")
    run("--model-path", path, "--output", tmp_path / "a.onnx", "--dynamic")
    assert "number and size of images vary" in capsys.readouterr().out


@pytest.mark.usefixtures("every_method")
def test_a_program_of_pytorch_takes_images_of_any_number_and_size(tmp_path, capsys):
    path = noted_checkpoint(tmp_path / "epoch_1", "spatial_kd")
    run("--model-path", path, "--output", tmp_path / "a.pt2", "--dynamic", "--height", "128", "--width", "160")
    assert "number and size of images vary" in capsys.readouterr().out
    images = torch.rand(3, 3, 160, 128)
    found = torch.export.load(tmp_path / "a.pt2").module()(images)["depth"]
    torch.testing.assert_close(found, opened(path).predict(images, ("depth",)).depth.values)


def test_an_onnx_file_says_what_the_network_says(tmp_path, capsys):
    if missing := missing_packages():
        pytest.skip(f"needs {', '.join(missing)}")
    import onnxruntime

    path = noted_checkpoint(tmp_path / "epoch_1", "spatial_kd")
    run("--model-path", path, "--output", tmp_path / "a.onnx")
    assert "one image of 64x96 at a time" in capsys.readouterr().out
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx", providers=["CPUExecutionProvider"])
    words = session.get_modelmeta().custom_metadata_map
    assert words["unit"] == "metres" and words["method"] == "spatial_kd" and words["output"] == "depth"
    (found,) = session.run(["depth"], {"image": IMAGE.numpy()})
    wanted = opened(path).predict(IMAGE, ("depth",)).depth.values.detach()
    np.testing.assert_allclose(found, wanted, rtol=1e-4)
