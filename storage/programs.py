"""Programs of torch.export as files that run without this one: .pt2 and ONNX. Imports no torch before it is used."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor
    from torch.export import ExportedProgram

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
"""What ONNX needs; requirements-extras.txt has them."""
NOTES = "sgdem.json"
"""What .pt2 files note of themselves: ``torch.export.load(file, extra_files={NOTES: ""})``."""


@dataclass(frozen=True)
class Program:
    """A file, and what it computes: images (N, 3, H, W) -> tensors by the names of outputs."""

    content: bytes
    run: Callable[[Tensor], Mapping[str, Tensor]]

    def __call__(self, image: Tensor) -> Mapping[str, Tensor]:
        """Outputs of the file as it was written."""
        return self.run(image)


def missing_packages() -> list[str]:
    """What ONNX needs and is not there."""
    return [name for name in PACKAGES if importlib.util.find_spec(name) is None]


def pt2_of(
    program: ExportedProgram, names: Sequence[str], words: Mapping[str, str], precision: str, inputs: Sequence[Tensor]
) -> Program:
    """A file of torch.export, which has names and precision already; arguments as of `onnx_of`."""
    import torch

    file = io.BytesIO()
    torch.export.save(program, file, extra_files={NOTES: json.dumps(words)})
    return Program(file.getvalue(), torch.export.load(io.BytesIO(file.getvalue())).module())


def onnx_of(
    program: ExportedProgram, names: Sequence[str], words: Mapping[str, str], precision: str, inputs: Sequence[Tensor]
) -> Program:
    """A file of ONNX, whose input is called ``image``.

    names:     of the outputs
    words:     put among its metadata
    precision: ``fp32``; ``fp16``: of weights and of what is computed; ``int8``: of convolutions and products
    inputs:    pictures that int8 takes its ranges from
    """
    import onnxruntime
    import torch

    with _quiet():
        model = torch.onnx.export(
            program, input_names=["image"], output_names=[*names], dynamo=True, verbose=False
        ).model_proto
        if precision == "fp16":
            from onnxruntime.transformers.float16 import convert_float_to_float16

            model = convert_float_to_float16(model, keep_io_types=True)
        if precision == "int8":
            model = _in_8_bits(model, inputs)
    for key, value in words.items():
        model.metadata_props.add(key=key, value=value)
    content = model.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])

    def run(image: Tensor) -> Mapping[str, Tensor]:
        found = session.run([*names], {"image": image.numpy()})
        return {name: torch.from_numpy(each) for name, each in zip(names, found, strict=True)}

    return Program(content, run)


def _in_8_bits(model: Any, inputs: Sequence[Tensor]) -> Any:
    """An ONNX model whose convolutions and products compute in 8 bits, with the ranges that pictures have in them."""
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.left = iter(inputs)

        def get_next(self) -> dict[str, Any] | None:
            image = next(self.left, None)
            return None if image is None else {"image": image.numpy()}

    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder, "before.onnx"), Path(folder, "after.onnx")
        onnx.save(model, before)
        quantize_static(before, after, Reader(), per_channel=True, op_types_to_quantize=["Conv", "MatMul", "Gemm"])
        return onnx.load(after)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Inside, converters keep what they notice on the way to themselves."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
