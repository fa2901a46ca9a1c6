"""Networks by name: fetched where that is asked for, verified, unpacked, or told how to get."""

from __future__ import annotations

import hashlib
import io
import logging
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from arguments import network_options
from errors import UserError
from methods import METHODS
from storage.catalogue import HUB, MODELS, is_name, method_of, place
from storage.published import identity_of, locate
from storage.shelf import FIRST, at_hand, listing, offer
from tests.file_server import serve

PARTS = {f"{part}.pth": part.encode() * 500 for part in ("encoder", "depth", "pose_encoder", "pose")}


def zipped(files: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return content.getvalue()


@pytest.fixture(autouse=True)
def hub(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    return tmp_path / "hub" / "checkpoints"


@pytest.fixture
def offered(monkeypatch):
    """The first network of Monodepth2 behind an address of this machine: its zip archive, and what goes wrong."""
    content = zipped(
        {f"mono/{name}": data for name, data in PARTS.items()} | {"mono/README.txt": b"x", "../evil": b"x"}
    )
    with serve({"mono.zip": content}) as (base, faults):
        md5 = hashlib.md5(content).hexdigest()
        monkeypatch.setitem(MODELS, FIRST, replace(MODELS[FIRST], address=f"{base}/mono.zip", md5=md5))
        yield content, faults


def test_without_fetch_a_sentence_says_where_from_where_to_and_under_which_licence(hub, offered):
    _, faults = offered
    told = rf"^{FIRST}: {hub}/monodepth2/mono_640x192.zip is not there; pass --fetch to download http://.*/mono.zip "
    with pytest.raises(UserError, match=told + r"\(licence: .*non-commercial.*\), or put it there"):
        locate(FIRST)
    assert not faults.asked and not MODELS[FIRST].is_at_hand


def test_an_archive_is_fetched_once_resumed_compared_and_unpacked(hub, offered, caplog, tmp_path):
    caplog.set_level(logging.INFO)
    content, faults = offered
    faults.cut_after, faults.cuts = len(content) // 2, 1
    folder = locate(FIRST, fetch=True)
    assert folder == hub / "monodepth2" / "mono_640x192" == MODELS[FIRST].place
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == PARTS
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    assert faults.asked[1][2] == f"bytes={len(content) // 2}-" and len(faults.asked) == 2
    assert "licence: Monodepth v2 licence, non-commercial use only" in caplog.text
    assert locate(FIRST) == locate(FIRST, fetch=True) == folder and len(faults.asked) == 2
    assert not [*tmp_path.rglob("evil")]


def test_an_archive_put_there_by_hand_is_compared_and_unpacked(hub, offered):
    content, faults = offered
    archive = hub / "monodepth2" / "mono_640x192.zip"
    archive.parent.mkdir(parents=True)
    archive.write_bytes(content[:-1])
    with pytest.raises(UserError, match=r"mono_640x192.zip: damaged or not .* \(its MD5 is .*delete it"):
        locate(FIRST)
    assert archive.is_file()
    archive.write_bytes(content)
    assert locate(FIRST).is_dir() and not faults.asked


def test_another_file_behind_the_address_is_refused_and_leaves_nothing(hub, offered, monkeypatch):
    monkeypatch.setitem(MODELS, FIRST, replace(MODELS[FIRST], md5="0" * 32))
    with pytest.raises(UserError, match=r"its MD5 is .*, not 000.*run again to fetch it anew"):
        locate(FIRST, fetch=True)
    assert not [*(hub / "monodepth2").iterdir()]


def test_an_archive_without_the_parts_is_refused(monkeypatch):
    content = zipped({"pose.pth": b"x"})
    with serve({"mono.zip": content}) as (base, _):
        md5 = hashlib.md5(content).hexdigest()
        monkeypatch.setitem(MODELS, FIRST, replace(MODELS[FIRST], address=f"{base}/mono.zip", md5=md5))
        with pytest.raises(UserError, match=r"holds no encoder.pth and depth.pth"):
            locate(FIRST, fetch=True)


def test_what_only_a_browser_can_fetch_is_told_with_page_and_place(hub):
    with pytest.raises(UserError, match=rf"{hub}/sgdepth/full/model.pth is not there; get it with a browser"):
        locate("sgdepth:full", fetch=True)
    with pytest.raises(UserError, match=r"resnet18_nyu with ResNet18_.*pkl and decoder.*pkl is not there"):
        locate("spatial_kd:resnet18_nyu")
    MODELS["sgdepth:full"].place.parent.mkdir(parents=True)
    MODELS["sgdepth:full"].place.touch()
    assert locate("sgdepth:full") == hub / "sgdepth" / "full" / "model.pth"


def test_an_unknown_name_is_answered_with_those_that_look_like_it():
    with pytest.raises(UserError, match=r"monodepth2:mono_640x19: .*closest: monodepth2:mono_640x192"):
        locate("monodepth2:mono_640x19", fetch=True)


@pytest.mark.parametrize(
    "text, named, method",
    [
        (FIRST, True, "monodepth2"),
        ("dpt-large", True, "dpt"),
        ("hf:somebody/some-model", True, "dpt"),
        ("sgdepth:full", True, "sgdepth"),
        ("monodepth2:other", True, ""),
        ("runs/epoch_20/model.pth", False, ""),
        ("C:\\runs\\model.pth", False, ""),
        ("", False, ""),
    ],
)
def test_names_are_told_from_paths(text, named, method):
    assert is_name(text) == named and method_of(text) == method


def test_a_path_that_exists_is_no_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("dpt-large").touch()
    assert method_of("dpt-large") == "" and method_of("dpt-hybrid") == "dpt"


def test_every_row_says_what_it_must():
    for entry in MODELS.values():
        assert entry.licence and entry.about and bool(entry.address) != bool(entry.page), entry.name
        assert entry.name.startswith(HUB) != bool(entry.file)
        assert not entry.address or entry.md5 or place(entry.file).name == entry.address.rpartition("/")[2]
        assert not entry.is_archive or (len(entry.md5) == 32 and entry.files)
        assert entry.method in METHODS and entry.options.keys() <= network_options(entry.method).keys(), entry.name
    assert sum(name.startswith("monodepth2:") for name in MODELS) == 9


def test_networks_at_hand_are_listed_and_offered(tmp_path):
    runs = tmp_path / "runs"
    assert "--fetch" in offer(str(runs), "a.png") and FIRST in offer("", "")
    for epoch in (9, 10):
        (runs / "class" / "name" / "checkpoints" / f"epoch_{epoch}").mkdir(parents=True)
        (runs / "class" / "name" / "checkpoints" / f"epoch_{epoch}" / "model.pth").touch()
    MODELS["dpt-large"].place.parent.mkdir(parents=True)
    MODELS["dpt-large"].place.touch()
    model = MODELS["hf:Intel/dpt-large"].place / "snapshots" / "abc"
    model.mkdir(parents=True)
    (model / "config.json").touch()
    newest = str(runs / "class" / "name" / "checkpoints" / "epoch_10")
    assert at_hand(str(runs)) == ["dpt-large", "hf:Intel/dpt-large", newest]
    assert "python inference.py --model-path dpt-large --image-path a.png --output-path out" in offer(
        str(runs), "a.png"
    )
    table = {line.split()[0]: line.split()[1] for line in listing(str(runs)).splitlines() if len(line.split()) > 1}
    assert table["dpt-large"] == "yes" and table["dpt-hybrid"] == "--fetch" and table["sgdepth:full"] == "browser"
    assert newest in listing(str(runs)) and "epoch_9\n" not in listing(str(runs))


def test_a_network_is_known_by_its_weights_wherever_it_lies(tmp_path):
    folder = tmp_path / "runs/group/run/checkpoints/epoch_3"
    folder.mkdir(parents=True)
    (folder / "model.pth").write_bytes(b"weights")
    (folder / "train.pth").write_bytes(b"progress")
    known = hashlib.sha256(b"weights").hexdigest()
    for path in (folder, folder / "model.pth"):
        assert identity_of(path) == {"name": "run/checkpoints/epoch_3", "sha256": known}
    (folder / "model.pth").rename(tmp_path / "mine.pth")
    assert identity_of(tmp_path / "mine.pth") == {"name": "mine.pth", "sha256": known}
    (folder / "train.pth").rename(folder / "encoder.pth")
    one = identity_of(folder)["sha256"]
    (folder / "depth.pth").write_bytes(b"decoder")
    assert one == hashlib.sha256(b"progress").hexdigest() != identity_of(folder)["sha256"]
    (tmp_path / "empty").mkdir()
    assert identity_of(tmp_path / "empty")["sha256"] == ""
