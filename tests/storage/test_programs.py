"""Programs as files: names, precision, metadata, and what they compute, with a network of two layers."""

from __future__ import annotations

import io

import pytest
import torch
from torch import nn

from storage import programs

IMAGES = [torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(number)) for number in (0, 1)]
WORDS = {"method": "none", "unit": "metres"}
NAMES = ["depth", "labels"]


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.last = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 1, 1)

    def forward(self, image):
        depth = 1 + self.last(self.conv(image).relu()).sigmoid()
        return {"depth": depth, "labels": (depth[:, 0] > 1.5).to(torch.uint8)}


@pytest.fixture(scope="module")
def program():
    return torch.export.export(Small().eval(), (IMAGES[0],))


def test_a_pt2_file_notes_what_it_says(program):
    made = programs.pt2_of(program, NAMES, WORDS, "fp32", IMAGES)
    noted = {programs.NOTES: ""}
    again = torch.export.load(io.BytesIO(made.content), extra_files=noted).module()
    assert '"unit": "metres"' in noted[programs.NOTES]
    for found in (made(IMAGES[1]), again(IMAGES[1])):
        assert torch.equal(found["depth"], Small()(IMAGES[1])["depth"])


def test_onnx_files_of_every_precision(program):
    if missing := programs.missing_packages():
        pytest.skip(f"needs {', '.join(missing)}")
    import onnxruntime

    wanted, off, sizes = Small()(IMAGES[1]), {}, {}
    for precision in ("fp32", "fp16", "int8"):
        made = programs.onnx_of(program, NAMES, WORDS, precision, IMAGES)
        found = made(IMAGES[1])
        assert [*found] == NAMES and found["labels"].dtype == torch.uint8 and found["depth"].dtype == torch.float32
        off[precision] = ((found["depth"] - wanted["depth"]).abs() / wanted["depth"]).max().item()
        session = onnxruntime.InferenceSession(made.content, providers=["CPUExecutionProvider"])
        assert session.get_modelmeta().custom_metadata_map.items() >= WORDS.items()
        assert [each.name for each in session.get_inputs()] == ["image"]
        sizes[precision] = len(made.content)
    assert off["fp32"] < 1e-6 < off["fp16"] < 1e-2 and off["fp16"] < off["int8"] < 0.05
    assert sizes["fp16"] < sizes["fp32"]
