"""Weight files of DPT: found, fetched, recognised, or refused in one sentence."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from errors import UserError
from models import build_teacher
from models.dpt.files import OFFICIAL
from models.dpt.network import DPT
from models.dpt.weights import network_of, our_name
from storage.catalogue import MODELS
from tests import golden
from tests.file_server import serve
from tests.models import dpt_file

pytestmark = pytest.mark.usefixtures("thin")

KITTI = OFFICIAL["dpt-hybrid-kitti"]


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    return dpt_file.write(tmp_path_factory.mktemp("weights") / "mine.pt")


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Path:
    """An empty folder of torch's downloads."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return tmp_path / "hub" / "checkpoints"


@pytest.fixture
def offered(file, monkeypatch):
    """The file under the name of the published hybrid, behind an address of this machine."""
    content = file.read_bytes()
    name = f"dpt_hybrid-midas-{hashlib.sha256(content).hexdigest()[:8]}.pt"
    contents = {name: content}
    with serve(contents) as (base, faults):
        offer = replace(MODELS["dpt-hybrid"], file=name, address=f"{base}/{name}")
        monkeypatch.setitem(MODELS, "dpt-hybrid", offer)
        yield name, contents, faults


def test_keys_of_published_files_are_those_of_the_test_files():
    meta, _ = golden.load("dpt_state_dict_keys")
    for variant in ("hybrid", "large"):
        published = {key: tuple(shape) for key, shape in meta[f"dpt_{variant}"]}
        ours = dpt_file.published_state(variant)
        assert {our_name(key) for key in ours} <= {our_name(key) for key in published}
        with torch.device("meta"):
            wanted = DPT(variant).state_dict()
        assert set(wanted) <= {our_name(key) for key in ours}


def test_a_file_becomes_a_teacher_whatever_it_is_wrapped_in(file, tmp_path):
    rgb = torch.rand(1, 3, 40, 72)
    teacher = build_teacher(str(file))
    found = teacher(rgb)
    assert found.shape == (1, 40, 72) and torch.isfinite(found).all() and found.std() > 0
    assert teacher.identity == {"name": "mine.pt", "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    wrapped = {
        "optimizer": {"state": {}, "param_groups": []},
        "model": {f"module.{key}": value for key, value in dpt_file.published_state().items()},
    }
    path = dpt_file.write(tmp_path / "wrapped.pt", wrapped)
    torch.testing.assert_close(build_teacher(str(path))(rgb), found)


def test_large_is_told_by_its_keys(tmp_path):
    network = network_of(dpt_file.published_state("large"), "large.pt").eval()
    with torch.no_grad():
        assert network(torch.rand(1, 3, 32, 64)).shape == (1, 32, 64)


def test_names_of_metric_files_bring_scale_and_shift(file, tmp_path):
    names = (KITTI.file, "dpt_hybrid_nyu.pt", "other.pt")
    teachers = []
    for name in names:
        (tmp_path / name).symlink_to(file)
        teachers.append(build_teacher(str(tmp_path / name)))
    assert [teacher.habits.metric for teacher in teachers] == [True, True, False]
    assert [teacher.habits.crop for teacher in teachers] == [(352, 1216), (), ()]
    assert [teacher.network.shift for teacher in teachers] == [0.00579, 0.1378, 0.0]
    rgb = torch.rand(1, 3, 64, 64)
    for teacher in teachers:
        teacher.native = True
    torch.testing.assert_close(teachers[0](rgb), teachers[2](rgb) * 0.00006016 + 0.00579)
    assert [teacher.identity["name"] for teacher in teachers] == ["dpt-hybrid-kitti", "dpt-hybrid-nyu", "other.pt"]


def test_a_published_file_is_fetched_once_checked_and_found_again(hub, offered):
    name, _, faults = offered
    faults.cut_after, faults.cuts = 5000, 1
    teacher = build_teacher("dpt-hybrid", fetch=True)
    asked = len(faults.asked)
    assert asked == 2 and faults.asked[1][2] == "bytes=5000-"
    assert [path.name for path in hub.iterdir()] == [name]
    again = build_teacher("dpt-hybrid")
    assert len(faults.asked) == asked and again.identity == teacher.identity
    assert teacher.identity["name"] == "dpt-hybrid"
    assert len(OFFICIAL["dpt-hybrid"].hash) == 8 and teacher.identity["sha256"].startswith(OFFICIAL["dpt-hybrid"].hash)
    assert build_teacher(str(hub / name)).identity == teacher.identity


def test_a_published_file_keeps_its_name_whatever_it_is_called(offered, file):
    assert build_teacher(str(file)).identity["name"] == "dpt-hybrid"


def test_nothing_is_fetched_unasked(hub, offered):
    name, _, faults = offered
    told = (
        rf"^dpt-hybrid: {hub}/{name} is not there; pass --fetch to download http://.*/{name} \(490 MB, licence: MIT\)"
    )
    with pytest.raises(UserError, match=told):
        build_teacher("dpt-hybrid")
    assert not faults.asked


def test_a_file_that_cannot_be_fetched_is_named_with_its_place(hub, monkeypatch):
    with serve({}) as (base, _):
        large = MODELS["dpt-large"]
        monkeypatch.setitem(MODELS, "dpt-large", replace(large, address=f"{base}/{large.file}"))
        with pytest.raises(
            UserError,
            match=rf"^dpt-large: http://.*{OFFICIAL['dpt-large'].file}: the server answers "
            rf"404.*; download .* put it there as {hub}",
        ):
            build_teacher("dpt-large", fetch=True)


def test_other_content_than_the_name_promises_is_refused(hub, offered, monkeypatch):
    name, contents, _ = offered
    good, contents[name] = contents[name], b"something else"
    with pytest.raises(UserError, match=f"{name}: damaged .* run again"):
        build_teacher("dpt-hybrid", fetch=True)
    assert not (hub / name).exists()
    contents[name] = good
    build_teacher("dpt-hybrid", fetch=True)
    (hub / name).write_bytes(good + b"more")
    with pytest.raises(UserError, match=f"{name}: damaged .* delete it and download http"):
        build_teacher("dpt-hybrid", fetch=True)
    assert (hub / name).exists()


def test_a_file_of_another_size_than_its_name_says_is_refused(file, tmp_path):
    path = tmp_path / OFFICIAL["dpt-large"].file
    path.symlink_to(file)
    with pytest.raises(UserError, match="holds DPT-Hybrid, its name says DPT-Large"):
        build_teacher(str(path))


def test_damaged_and_incomplete_files_are_refused(file, tmp_path):
    path, whole = tmp_path / "cut.pt", file.read_bytes()
    for size in (0, 20000, len(whole) // 2, len(whole) - 100):
        path.write_bytes(whole[:size])
        with pytest.raises(UserError, match="cut.pt: not a checkpoint, damaged"):
            build_teacher(str(path))
    state = dpt_file.published_state()
    del state["scratch.layer1_rn.weight"]
    with pytest.raises(UserError, match=r"few.pt: 1 of \d+ tensors missing \(first: narrow.1.weight\)"):
        build_teacher(str(dpt_file.write(tmp_path / "few.pt", state)))
    state = dpt_file.published_state() | {"scratch.output_conv.4.weight": torch.zeros(19, 32, 1, 1)}
    with pytest.raises(UserError, match="have another shape"):
        build_teacher(str(dpt_file.write(tmp_path / "classes.pt", state)))


def test_code_in_a_file_is_not_run(tmp_path):
    torch.save({"a": Path("x")}, tmp_path / "code.pt")
    with pytest.raises(UserError, match="code instead of tensors"):
        build_teacher(str(tmp_path / "code.pt"))


def test_an_unknown_name_is_told_with_the_known_ones():
    with pytest.raises(UserError, match=r"^dpt-hybird: neither a weight file nor a known .*\(closest: dpt-hybrid"):
        build_teacher("dpt-hybird")
