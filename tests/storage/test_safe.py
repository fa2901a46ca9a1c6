"""Weights in files of safetensors: known by their content, with notes, damaged ones refused."""

from __future__ import annotations

import json
import struct

import pytest
import torch
from safetensors.torch import save_file

from errors import UserError
from storage import safe
from storage.notes import Damaged, notes_of, read
from storage.weights import read_state

STATE = {"a.weight": torch.arange(6.0).view(2, 3).T, "a.count": torch.tensor(3)}
NOTED = {"method": "sgdepth", "options": {"method": "sgdepth", "model_num_layers": 18}}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "weights.bin"  # whatever it is called
    path.write_bytes(safe.content_of(STATE, NOTED, {"unit": "metres"}))
    return path


def test_tensors_and_notes_come_back(file):
    state = read_state(file)
    assert {*state} == {*STATE} and all((state[key] == value).all() for key, value in STATE.items())
    assert notes_of(file) == file and read(file)["options"]["model_num_layers"] == 18
    assert safe.metadata(file)["unit"] == "metres" and safe.metadata(file)["format"] == "pt"
    (file.parent / safe.FILE).write_bytes(file.read_bytes())
    assert notes_of(file.parent) == file.parent / safe.FILE


def test_files_of_others_load_without_notes(tmp_path):
    save_file({key: value.contiguous() for key, value in STATE.items()}, tmp_path / "b.safetensors")
    assert {*read_state(tmp_path / "b.safetensors")} == {*STATE} and notes_of(tmp_path / "b.safetensors") is None
    torch.save(STATE, tmp_path / "model.pth")
    assert not safe.is_one(tmp_path / "model.pth") and not safe.is_one(tmp_path / "none")


def test_every_flipped_bit_of_the_tensors_and_every_cut_is_told(file):
    content = file.read_bytes()
    start = 8 + struct.unpack("<Q", content[:8])[0]
    for place in range(start, len(content)):
        file.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(UserError, match="not those that were written"):
            read_state(file)
    for length in range(9, len(content), 7):
        file.write_bytes(content[:length])
        with pytest.raises(UserError, match="damaged"):
            read_state(file)


def with_header(header: bytes, path):
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    return path


@pytest.mark.parametrize(
    "header",
    [
        b"{",
        b"{" + b"[" * 100000,
        json.dumps({"__metadata__": 3}).encode(),
        json.dumps({"a": {"dtype": "F32", "shape": [9], "data_offsets": [0, 36]}}).encode(),
        json.dumps({"a": {"dtype": "F99", "shape": [0], "data_offsets": [0, 0]}}).encode(),
    ],
    ids=range(5),
)
def test_hostile_headers_are_refused(header, tmp_path):
    with pytest.raises(UserError, match="not a checkpoint, damaged"):
        read_state(with_header(header, tmp_path / "a"))


@pytest.mark.parametrize("notes", ["{", "3", '{"options": 3}'])
def test_notes_that_are_not_as_written_are_told(notes, tmp_path):
    path = with_header(json.dumps({"__metadata__": {safe.NOTES: notes}}).encode(), tmp_path / "a")
    assert notes_of(path) == path
    with pytest.raises(Damaged, match="not as it was written"):
        read(path)
