"""Files that want to run code, fill the memory or reach other places: refused in one sentence, nothing done."""

from __future__ import annotations

import json
import os
import pickle
import random
import subprocess
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

import arguments
import harness
from errors import UserError
from evaluation.tables import read_metrics
from models.sgdepth import SGDepth
from state_manager import find_network, start
from storage.catalogue import place
from storage.checkpoint_folder import checkpoints, described
from storage.notes import METADATA, Damaged, as_text, read
from storage.weights import load_file, read_state_dict
from tests.test_state_manager import options as of_network

from .saving import options, resumed, small_state

pytestmark = pytest.mark.usefixtures("thin")

FILES = ("model.pth", "optim.pth", "scheduler.pth", "train.pth")
CONTAINERS = pytest.mark.parametrize("zipped", [True, False])
HUGE = 1 << 30


class Call:
    """Asks its reader to call something."""

    def __init__(self, what: Callable, *words: object):
        self.what, self.words = what, words

    def __reduce__(self) -> tuple:
        return self.what, self.words


class Hiding(OrderedDict):
    """Is written as an OrderedDict whose attributes hide its methods."""

    def __reduce__(self) -> tuple:
        return OrderedDict, (), dict.fromkeys(("items", "get", "keys", "values"), 1), None, iter([*self.items()])


def rewritten(
    source: Path, target: Path, change: Callable[[str, bytes], bytes], packing: int = zipfile.ZIP_STORED
) -> Path:
    """A file of torch.save with other entries."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", packing) as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return target


@contextmanager
def little_memory() -> Iterator[None]:
    """Fails where the work inside takes half of HUGE."""
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak
    before = _peak()
    yield
    assert _peak() - before < HUGE // 2


def _peak() -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return 1024 * int(line.split()[1])


@CONTAINERS
@pytest.mark.parametrize("what", ["exec", "open", "system", "popen", "pickle", "hub"])
def test_code_in_a_file_is_refused_and_not_run(tmp_path, zipped, what):
    mark = tmp_path / "mark"
    call = {
        "exec": Call(exec, f"open({str(mark)!r}, 'w')"),
        "open": Call(open, str(mark), "w"),
        "system": Call(os.system, f"touch {mark}"),
        "popen": Call(subprocess.Popen, ["touch", str(mark)]),
        "pickle": Call(pickle.loads, pickle.dumps(Call(open, str(mark), "w"))),
        "hub": Call(torch.load, str(mark), None, None),
    }[what]
    path = tmp_path / "model.pth"
    torch.save({"weight": torch.zeros(2), "more": [call]}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(UserError, match=r"model.pth: .* \(it calls .*\); "):
        read_state_dict(path)
    assert not mark.exists()


def test_code_in_the_place_of_published_weights_is_refused_and_not_run(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    place("").mkdir(parents=True)
    torch.save(Call(open, str(tmp_path / "mark"), "w"), place("resnet18-f37072fd.pth"))
    with pytest.raises(UserError, match="resnet18-f37072fd.pth: damaged or not the published file"):
        SGDepth(pretrained=True)
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("name", FILES)
def test_code_in_any_file_of_a_checkpoint_is_refused_though_its_notes_agree(tmp_path, name):
    run_folder, mark = tmp_path / "run", tmp_path / "mark"
    folder = small_state(1, 1).save(run_folder)
    torch.save(Call(open, str(mark), "w"), folder / name)
    seal(folder)
    with pytest.raises(UserError, match=f"{name}: .*it calls .*open"):
        resumed(run_folder)
    assert not mark.exists()


def seal(folder: Path, **changes: object) -> None:
    """Let the notes of a checkpoint agree with its files, or say something else."""
    notes = read(folder / METADATA) | {"files": {name: described(folder / name) for name in FILES}} | changes
    (folder / METADATA).write_text(as_text(notes))


@CONTAINERS
def test_what_fills_the_memory_is_not_called(tmp_path, zipped):
    torch.save({"a": Call(bytearray, HUGE)}, tmp_path / "model.pth", _use_new_zipfile_serialization=zipped)
    with little_memory(), pytest.raises(UserError, match="calls .*bytearray"):
        load_file(tmp_path / "model.pth")


def test_a_name_in_capitals_hides_no_pickle(tmp_path):
    torch.save({"a": Call(bytearray, HUGE)}, tmp_path / "plain")
    with zipfile.ZipFile(tmp_path / "plain") as plain, zipfile.ZipFile(tmp_path / "model.pth", "w") as other:
        for entry in plain.infolist():
            other.writestr(entry.filename.replace("data.pkl", "DATA.PKL"), plain.read(entry))
    with little_memory(), pytest.raises(UserError, match="calls .*bytearray"):
        load_file(tmp_path / "model.pth")


def test_a_file_with_two_lists_of_parts_is_refused(tmp_path):
    """Python reads the last list and allows for what is written before it; torch reads where it is told to."""
    for name, value in (("evil", Call(bytearray, HUGE)), ("good", torch.zeros(3))):
        torch.save({"a": value}, tmp_path / name)
    evil, good = ((tmp_path / name).read_bytes() for name in ("evil", "good"))
    (tmp_path / "model.pth").write_bytes(evil[:-22] + good[:-22] + evil[-22:])
    with little_memory(), pytest.raises(UserError, match="not where it belongs"):
        load_file(tmp_path / "model.pth")
    assert load_file(tmp_path / "good")["a"].shape == (3,)


def test_a_file_that_unpacks_to_more_is_not_unpacked(tmp_path):
    torch.save({"a": torch.zeros(HUGE // 32)}, tmp_path / "large")
    bomb = rewritten(tmp_path / "large", tmp_path / "model.pth", lambda _, data: data, zipfile.ZIP_DEFLATED)
    (tmp_path / "large").unlink()
    assert bomb.stat().st_size < HUGE // 100
    with pytest.raises(UserError, match="unpacks to more than it holds"):
        load_file(bomb)


def test_a_tensor_that_claims_more_than_is_stored_is_refused(tmp_path):
    torch.save({"a": torch.arange(4.0)}, tmp_path / "small")
    count = b"J" + HUGE.to_bytes(4, "little")
    bomb = rewritten(
        tmp_path / "small",
        tmp_path / "model.pth",
        lambda _, data: data.replace(b"K\x04t", count + b"t").replace(b"K\x04\x85", count + b"\x85"),
    )
    with little_memory(), pytest.raises(UserError, match="damaged"):
        load_file(bomb)
    torch.save({"state": {0: {"step": torch.zeros(1).expand(HUGE, HUGE)}}}, tmp_path / "optim.pth")
    with little_memory(), pytest.raises(UserError, match="not stored in full"):
        load_file(tmp_path / "optim.pth")


def test_sizes_of_a_network_are_not_taken_from_a_hostile_file(tmp_path):
    state = SGDepth().state_dict()
    many = {"seg.multires.convs.0.weight": torch.zeros(1).expand(HUGE, 16, 3, 3)}
    odd = {key: value for key, value in state.items() if "layer4" not in key}
    flat = {"seg.multires.convs.0.weight": torch.tensor(1.0)}
    for changed, fault in (
        (state | many, "model_num_classes: 1073741824 is out of range"),
        (odd, "model_num_layers: 14 is not one of 18"),
        (state | flat, "model_num_classes: 0"),
    ):
        torch.save(changed, tmp_path / "model.pth")
        with little_memory(), pytest.raises(UserError, match=fault):
            find_network(of_network(model_path=str(tmp_path / "model.pth")), "depth")


def test_hidden_methods_and_deep_or_shared_content_do_no_harm(tmp_path):
    path = tmp_path / "model.pth"
    torch.save(Hiding(a=torch.zeros(2)), path)
    assert list(read_state_dict(path)) == ["a"]
    shared: list = []
    for _ in range(100):
        shared = [shared, shared]
    torch.save(shared, path)
    with pytest.raises(UserError, match="holds no state dict"):
        read_state_dict(path)
    deep = b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b"."
    rewritten(path, tmp_path / "deep.pth", lambda name, data: deep if name.endswith(".pkl") else data)
    with pytest.raises(UserError, match="holds no state dict"):
        read_state_dict(tmp_path / "deep.pth")


@pytest.mark.parametrize(
    "changes",
    [
        {"files": {"../../secret": {"bytes": 1, "sha256": ""}}},
        {"files": {"/etc/passwd": {}}},
        {"files": ["model.pth"]},
        {"files": {}},
        {"options": [1]},
        {"options": None},
    ],
)
def test_notes_that_name_files_elsewhere_or_nothing_are_refused(tmp_path, changes):
    folder = small_state(1, 1).save(tmp_path)
    seal(folder, **changes)
    with pytest.raises(UserError, match="none of its 1 checkpoints is valid"):
        resumed(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "{}",
        "[]",
        "null",
        "1" * 5000,
        '{"digest": 5}',
        '{"digest": ""}',
        '{"digest": [], "options": {}, "files": {}}',
        "\0",
        "\ud800",
    ],
)
def test_notes_of_any_other_kind_are_damaged(tmp_path, text):
    (tmp_path / METADATA).write_bytes(text.encode(errors="surrogatepass"))
    with pytest.raises(Damaged):
        read(tmp_path / METADATA)


@pytest.mark.parametrize("text", ["[" * 100_000, "1" * 5000, "[1]", "\0", "{"])
def test_results_of_any_other_kind_are_not_written_over(tmp_path, text):
    (tmp_path / "metrics.json").write_text(text)
    with pytest.raises(UserError, match="metrics.json: .*move it away"):
        read_metrics(tmp_path)


def test_what_links_point_at_is_neither_written_nor_removed(tmp_path):
    other = tmp_path / "other"
    kept = small_state(9, 2).save(other)
    before = {path: path.stat().st_mtime_ns for path in sorted(other.rglob("*"))}
    run_folder = tmp_path / "run"
    folder = small_state(1, 1).save(run_folder).parent
    for name in (".epoch_7.1.tmp", ".epoch_1.2.old.tmp", "epoch_0_batch_1", "epoch_2"):
        (folder / name).symlink_to(kept)
    (run_folder / ".checkpoints.3.tmp").symlink_to(other)
    (run_folder / "opt.json").symlink_to(kept / METADATA)
    assert resumed(run_folder).step == 9, "a link to a checkpoint is read"
    small_state(3, 2).save(run_folder)
    harness.write_file(run_folder / "opt.json", b"{}")
    assert [path.name for path in checkpoints(run_folder)] == ["epoch_1", "epoch_2"]
    assert not any(path.is_symlink() for path in run_folder.rglob("*"))
    start(small_state(), run_folder, options(run_folder, resume="never", overwrite=True))
    (run_folder / "checkpoints").symlink_to(other / "checkpoints")
    with pytest.raises(UserError, match="checkpoints: a link, .* instead of --overwrite"):
        start(small_state(), run_folder, options(run_folder, resume="never", overwrite=True))
    assert {path: path.stat().st_mtime_ns for path in sorted(other.rglob("*"))} == before


@pytest.mark.parametrize("name", ["../x", "/tmp/x", "a/../../b", "..", ".", "", "a\0b"])
@pytest.mark.parametrize("option", ["--model-name", "--experiment-class"])
def test_a_run_stays_below_the_checkpoint_folder(option, name):
    with pytest.raises(UserError, match=f"{option} .*not a folder name below the checkpoint folder|{option}: "):
        arguments.parse("train", [f"{option}={name}"])


@pytest.mark.parametrize(
    ("suffix", "text"),
    [
        (".toml", "a = " + "[" * 100_000),
        (".json", "[" * 100_000),
        (".json", '{"a":' * 100_000),
        (".toml", "sys-seed = 0x" + "f" * 5000),
        (".json", '{"sys_seed": ' + "9" * 5000 + "}"),
        (".json", '{"sys_seed": ' + "9" * 4000 + "}"),
        (".json", '{"depth_resize_width": ' + "9" * 4000 + "}"),
        (".toml", "train-learning-rate = nan"),
        (".toml", "train-learning-rate = 1e999"),
        (".json", '{"train_learning_rate": NaN}'),
        (".toml", "sys-seed = true"),
        (".toml", "sys-cpu = 1"),
        (".toml", "sys-seed = [1]"),
        (".toml", "sys-seed = {a = 1}"),
        (".toml", "sys-seed = 1.5"),
        (".toml", "model-name = ['a', 'b']"),
        (".toml", "model-name.x = 1"),
        (".toml", "model-name = 1979-05-27"),
        (".json", '{"model_name": "\\ud800"}'),
        (".json", '{"model_name": "a\\u0000b"}'),
        (".json", '{"sys_seed": null}'),
        (".json", '{"model_name": "../x"}'),
        (".json", '{"depth_training_loaders": [["a"]]}'),
        (".json", '"text"'),
        (".json", '{"%s": 1}' % ("a" * 500_000)),
        (".json", '{"method": "%s"}' % ("a" * 500_000)),
        (".json", "[]"),
        (".json", "{\"method\": \"__import__('os').system('true')\"}"),
        (".toml", "\0"),
        (".toml", "# " + "x" * (1 << 20)),
    ],
)
def test_a_hostile_preset_is_one_short_sentence(tmp_path, suffix, text):
    path = tmp_path / f"preset{suffix}"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        arguments.parse("train", ["--config", str(path)])
    assert len(str(caught.value)) < 600


def test_presets_include_no_other_files_and_devices_are_not_read_to_their_end(tmp_path):
    (tmp_path / "other.toml").write_text("sys-seed = 77\n")
    (tmp_path / "a.toml").write_text('config = "other.toml"\n')
    assert arguments.parse("train", ["--config", str(tmp_path / "a.toml")]).sys_seed == 1
    with pytest.raises(UserError, match="/dev/zero: not a valid preset"):
        arguments.parse("train", ["--config", "/dev/zero"])


def test_any_value_of_any_option_is_taken_or_refused(tmp_path, rounds):
    chance = random.Random(12)
    names = [option.name for option in arguments.options_of("train", "sgdem")]
    values = [
        0,
        -1,
        1 << 70,
        1.5,
        -0.0,
        1e308,
        True,
        None,
        "",
        "a",
        "auto",
        "1,2",
        "é\n",
        "-",
        [],
        [1],
        ["a", "b"],
        {},
        [None],
        {"a": []},
        "../..",
        "x" * 300,
    ]
    refused = 0
    for number in range(rounds(150, 3000)):
        path = tmp_path / f"{number % 10}.json"
        path.write_text(json.dumps({name: chance.choice(values) for name in chance.sample(names, 1 + number % 2)}))
        try:
            arguments.parse("train", ["--config", str(path)])
        except UserError as error:
            refused += 1
            assert len(str(error)) < 600
    assert refused
