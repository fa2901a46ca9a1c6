"""A trained network as a file that others run, or as weights to pass on; see ``python export.py --help``."""

from __future__ import annotations

import contextlib
import copy
import json
import logging
import os
import tempfile
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import arguments
import harness
from errors import UserError, reason_of
from methods import METHODS

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.export import ExportedProgram

    from evaluation.agreement import Agreement, Maps
    from perspective_resample.depth import DepthMap

log = logging.getLogger(__name__)
BARS = {"fp32": 1e-4, "fp16": 1e-2}
"""Largest relative difference to PyTorch with which a file is kept."""
MOST_LOST = 0.1
"""Abs Rel against fp32 with which an int8 file is kept, and share of other labels with which any is."""
ENDINGS = {".onnx": "onnx", ".pt2": "pt2", ".safetensors": "safetensors"}
LEAST = 128  # side of images whose size may vary, pixels; less where the file is made for less
PICTURES = 3  # of the synthetic street, where none are given
LEARNED = ("depth_training_loaders", "segmentation_training_loaders", "train_num_epochs")
"""Options of training that weights are passed on with, besides those of the network and its size."""

Run = Callable[["Tensor"], "Maps"]
"""Images (N, 3, H, W) -> arrays by the names of outputs."""


def export(args: Namespace) -> None:
    """Write the file that is asked for, once it agrees with the network on pictures."""
    target = _check(args)
    import torch

    import state_manager
    from models.deployed import Deployed
    from storage.programs import onnx_of, pt2_of

    build = state_manager.find_network(args, "depth")
    network = build(torch.device("cpu"))
    network = network.to(memory_format=torch.contiguous_format).requires_grad_(False).eval()
    inputs = _pictures(args, network)
    with torch.inference_mode():
        depth = network.predict(inputs[0], ("depth",)).depth
    words = _words(args, depth)
    deployed = Deployed(network).eval()
    plain = _arrays(deployed)
    wanted = [plain(image) for image in inputs]
    if args.format == "safetensors":
        content, again = _weights(args, network, words)
        run = _arrays(again)
    else:
        program, varies = _traced(args, deployed, inputs[0])
        words["dynamic"] = varies
        made = {"onnx": onnx_of, "pt2": pt2_of}[args.format](program, [*wanted[0]], words, args.precision, inputs)
        content, run = made.content, _arrays(made)
        if varies.startswith("number"):
            inputs += _others(inputs, sizes="size" in varies)
            wanted = [plain(image) for image in inputs]
    judged = _agreed(args, wanted, [run(image) for image in inputs], depth, target)
    _write(args, target, content, words, _digest(network, build.files))
    print(f"{target}: {len(content) / 1e6:.1f} MB of {args.precision}; {words.get('dynamic', 'weights, with a card')}")
    print(f"{words['input']} -> {', '.join(wanted[0])}; {words['output']} in {words['unit']}")
    print(f"against PyTorch: {judged}" + (f"; Abs Rel {judged.abs_rel:.1e}" if args.precision != "fp32" else ""))


def _check(args: Namespace) -> Path:
    """File to write, when everything that is needed is there; `args.format` is then settled.

    Raises:
        UserError: with all that is wrong at once.
    """
    from storage import safe
    from storage.atomic import make_writable
    from storage.programs import missing_packages
    from storage.wanted import fault_of_path

    target, ending = Path(args.output), Path(args.output).suffix.lower()
    args.format = args.format or ENDINGS.get(ending, "")
    faults = []
    if not args.model_path:
        faults.append("--model-path: not given; name the network to export")
    elif fault := fault_of_path(args.model_path, args.fetch):
        faults.append(fault)
    if not args.output:
        faults.append("--output: not given; name the file to write, such as network.onnx")
    elif not args.format:
        faults.append(f"--output {target}: its ending tells no format; give --format or end it in {', '.join(ENDINGS)}")
    elif ENDINGS.get(ending, args.format if not ending else "") != args.format:
        faults.append(f"--output {target}: ends in {ending}, and the format is {args.format}; give one or the other")
    elif not ending and args.format != "safetensors":
        faults.append(f"--output {target}: a file without ending; end it in .{args.format}")
    elif ending and target.is_dir():
        faults.append(f"--output {target}: a folder; name a file in it")
    faults += _impossible(args)
    missing = missing_packages() if args.format == "onnx" else []
    if missing:
        faults.append(f"--format onnx: needs {' and '.join(missing)}; run 'pip install -r requirements-extras.txt'")
    if faults:
        raise UserError("; also ".join(faults))
    target = target / safe.FILE if not ending else target
    make_writable(target.parent, "name another --output")
    if os.path.exists(target) and os.path.exists(args.model_path) and os.path.samefile(target, args.model_path):
        raise UserError(f"--output {target}: is the network itself; name another file")
    return target


def _impossible(args: Namespace) -> Iterator[str]:
    """Options that do not go together."""
    weights = args.format == "safetensors"
    if weights and args.dynamic:
        yield "--dynamic: weights alone know no size; leave it out"
    if args.precision == "int8" and args.format in ("pt2", "safetensors"):
        yield f"--precision int8: is for --format onnx, and this is {args.format}; give fp32 or fp16"
    if (args.push or args.licence) and not weights:
        yield "--push and --licence: go with --format safetensors, whose card says them; leave them out"
    if args.push and Path(args.output).suffix:
        yield f"--push {args.push}: uploads a folder; give --output without an ending"
    if not weights and getattr(args, "diffusion_kernel", "") == "random":
        yield "--diffusion-kernel random: draws numbers in every pass, which no file can agree with; leave it out"
    if weights and args.model_path.startswith("hf:"):
        yield f"--model-path {args.model_path}: is passed on by the hub already; name a checkpoint or a file"


def _pictures(args: Namespace, network: nn.Module) -> list[Tensor]:
    """Images (1, 3, H, W) in [0, 1] on which the file is compared with the network."""
    import torch

    from dataloader.files import read_image
    from street import pictures
    from visual.fit import network_input
    from visual.inputs import find_inputs

    size = (args.inference_resize_height, args.inference_resize_width)
    if args.image_path:
        found = find_inputs(args.image_path, recursive=False)
        if found.missing or not found.images:
            raise UserError(f"--image-path: {'; '.join(found.missing) or 'names no image'}; give images to compare on")
        chosen = getattr(network, "input_filter", "bilinear")
        shown = [network_input(read_image(path), size, chosen) for path in found.images]
    else:
        shown = pictures(PICTURES, *size)
    return [torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255 for image in shown]


def _others(inputs: Sequence[Tensor], sizes: bool) -> list[Tensor]:
    """Two images at once, where `sizes` may vary at another size."""
    import torch
    from torch.nn.functional import interpolate

    pair = torch.cat([inputs[0], inputs[-1].flip(-1)])
    if not sizes:
        return [pair]
    return [interpolate(pair, (pair.shape[2] + 32, pair.shape[3] + 64), mode="bilinear", align_corners=False)]


def _words(args: Namespace, depth: DepthMap) -> dict[str, str]:
    """What a file says of itself, for people."""
    import numpy as np

    from models.deployed import name_of
    from storage.catalogue import MODELS
    from visual.results import Found

    found = Found(np.ones((1, 1), np.float32), depth.inverse, None, depth.known)
    known = MODELS[args.model_path].licence if args.model_path in MODELS else ""
    return {
        "method": args.method,
        "output": name_of(depth),
        "unit": found.inverse_unit if depth.inverse else found.unit,
        "input": "RGB in [0, 1], (N, 3, H, W); normalised inside",
        "size": f"{args.inference_resize_height}x{args.inference_resize_width}",
        "precision": args.precision,
        "licence": args.licence or known or "not stated",
    }


def _arrays(module: Callable[[Tensor], Mapping[str, Tensor]]) -> Run:
    """A module as what is compared."""
    import torch

    def run(image: Tensor) -> Maps:
        with torch.inference_mode():
            return {name: value.numpy() for name, value in module(image).items()}

    return run


def _traced(args: Namespace, deployed: nn.Module, image: Tensor) -> tuple[ExportedProgram, str]:
    """The network as a program of PyTorch, and what may vary of its input, in words.

    Raises:
        UserError: when PyTorch cannot follow it.
    """
    import torch
    from torch.export import Dim

    fixed = f"{image.shape[2]}x{image.shape[3]}"
    if args.precision == "fp16" and args.format == "pt2":
        deployed = _kept_half(deployed)
    # The least size is LEAST, so that no map inside has a side of 1 there, which PyTorch takes for fixed.
    least = [min(LEAST, side) // 32 for side in image.shape[2:]]
    number, rows, columns = Dim("number"), Dim("rows", min=least[0]), Dim("columns", min=least[1])
    tries: dict[str, Any] = {f"one image of {fixed} at a time": None}
    if args.dynamic:
        image = torch.cat([image, image.flip(-1)])
        tries = {
            "number and size of images vary (multiples of 32)": {"image": {0: number, 2: 32 * rows, 3: 32 * columns}},
            f"number of images varies, each of {fixed}": {"image": {0: number}},
        }
    for varies, shapes in tries.items():
        try:
            program = torch.export.export(deployed, (image,), dynamic_shapes=shapes)
            for other in _others([image[:1]], sizes="size" in varies) if shapes else ():
                program.module()(other)  # what was taken for fixed shows here
            return program, varies
        except Exception as error:  # of any kind, where the network computes with what should vary
            log.debug("%s: %s", varies, error)
            reason = reason_of(error)
    remedy = "leave --dynamic out" if args.dynamic else "take --format safetensors, or another version of PyTorch"
    raise UserError(f"--format {args.format}: PyTorch cannot follow this network ({reason}); {remedy}")


def _kept_half(module: nn.Module) -> nn.Module:
    """A copy whose weights are kept in half precision and widened where they are used.

    The module itself stays as it is: the file is compared with what it says.
    """
    from torch.nn.utils import parametrize

    from models.deployed import Widened

    module = copy.deepcopy(module)
    for part in [*module.modules()]:
        for name, weight in [*part.named_parameters(recurse=False)]:
            weight.data = weight.data.half()
            parametrize.register_parametrization(part, name, Widened(), unsafe=True)
    return module


def _weights(args: Namespace, network: nn.Module, words: dict[str, str]) -> tuple[bytes, nn.Module]:
    """A file of safetensors, and the network that every command makes of it."""
    import torch

    import state_manager
    from models.deployed import Deployed
    from storage import safe

    state, notes = network.state_dict(), _notes(args, network)
    if not METHODS[args.method].trained:
        from models.dpt.files import find
        from storage.weights import read_state_dict

        file = find(args.model_path)
        state, notes["published"] = read_state_dict(file.path), file.name
    if args.precision == "fp16":
        state = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
    content = safe.content_of(state, notes, words)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, safe.FILE)
        file.write_bytes(content)
        again = arguments.parse("export", ["--model-path", str(file)])
        loaded = state_manager.find_network(again, "depth")(torch.device("cpu"))
    return content, Deployed(loaded).eval()


def _notes(args: Namespace, network: nn.Module) -> dict[str, Any]:
    """Method, options of the network, and what is noted of its training; no paths of this machine."""
    trained = arguments.trained_with(vars(args))[1]
    options = {"method": args.method}
    options |= {name: getattr(args, name) for name in arguments.network_options(args.method) if hasattr(args, name)}
    options |= {name: trained[name] for name in LEARNED if name in trained}
    for side in ("height", "width"):
        name = f"depth_resize_{side}"
        if name in trained or getattr(network, "input_fit", "squash") != "multiple":
            options[name] = trained.get(name, getattr(args, f"inference_resize_{side}"))
    return {"method": args.method, "options": options}


def _agreed(args: Namespace, wanted: list[Maps], found: list[Maps], depth: DepthMap, target: Path) -> Agreement:
    """How far the file is from PyTorch.

    Raises:
        UserError: when that is farther than it may be.
    """
    from evaluation.agreement import agreement

    judged = agreement(wanted, found, relative=depth.known == "up to scale and shift")
    lost, bar = judged.largest, BARS.get(args.precision)
    if bar is None:
        lost, bar = judged.abs_rel, MOST_LOST
    if not (lost <= bar and judged.changed <= MOST_LOST):
        what = "Abs Rel against fp32" if args.precision == "int8" else "bar"
        remedy = "give --precision fp32" if args.precision != "fp32" else "please report it"
        raise UserError(f"{target}: not kept, {judged}; {what} may be {bar:g}; {remedy}")
    return judged


def _digest(network: nn.Module, files: Sequence[Path]) -> str:
    """SHA-256 of a network's files, as metrics.json notes it; "" where none is known."""
    from storage.published import digest_of

    return getattr(network, "identity", {}).get("sha256", "") or (digest_of(files) if files else "")


def _write(args: Namespace, target: Path, content: bytes, words: dict[str, str], digest: str) -> None:
    """The file, with a card beside weights; a folder gets what an upload has, and goes to the hub if that is asked.

    digest: of the network that was exported, by which its evaluations are found
    """
    from storage.atomic import write_whole

    files = {target: content}
    if args.format == "safetensors":
        whole = not Path(args.output).suffix
        title = target.parent.absolute().name if whole else target.stem
        beside = target.with_name("README.md") if whole else target.with_suffix(".md")
        if beside.exists() and "library_name: sgdem" not in beside.read_text(encoding="utf-8", errors="replace"):
            raise UserError(f"{beside}: is there and no card of a network; name another --output")
        files[beside] = _card(args, title, words, digest).encode()
        if whole:
            from storage.uploads import CONFIG, LIBRARY

            config = {"library_name": LIBRARY, **words}
            files[target.with_name(CONFIG)] = (json.dumps(config, indent=2) + "\n").encode()
    for path, each in files.items():
        write_whole(path, each)
    if args.push:
        from storage.uploads import push

        print(f"uploaded to {push(target.parent, args.push)}")


def _card(args: Namespace, title: str, words: dict[str, str], digest: str) -> str:
    """README.md of weights; `digest` as of `_write`."""
    from evaluation.card import card
    from evaluation.remembered import evaluations
    from methods.stored import located
    from storage.notes import Damaged, notes_of, read
    from street.dataset import SUMMARY

    trained = arguments.trained_with(vars(args))[1]
    data = trained.get("dataset_dir", "")
    loaders = [name for option in LEARNED[:2] for name in trained.get(option, ())]
    source = located(args.model_path, "")
    judged: dict[str, Any] = {}
    with contextlib.suppress(Damaged):
        if source and (notes := notes_of(source)):
            judged |= read(notes).get("validation", {})
    named = "" if source else args.model_path
    runs = args.checkpoint_dir or os.environ.get("IFN_DIR_CHECKPOINT", "")
    judged |= dict(evaluations(source, digest, named, runs))
    shown = {name: value for name, value in words.items() if name != "licence"}
    licence = args.licence or ("" if words["licence"] == "not stated" else words["licence"])
    about = METHODS[args.method].about
    return card(
        title=title,
        about=f"{about}.",
        words=shown,
        loaders=loaders,
        rendered=bool(data) and Path(data, SUMMARY).is_file(),
        judged=judged,
        licence=licence,
    )


if __name__ == "__main__":
    harness.main("export", export)
