"""The device a command computes on, and how: seeds, precision, choice of kernels."""

from __future__ import annotations

import logging
import os
import random
import sys
from argparse import Namespace
from collections.abc import Callable
from contextlib import AbstractContextManager

import numpy as np
import torch

from errors import UserError, reason_of
from storage.allocator import keep_freed_memory

from .launch import started_by_torchrun

log = logging.getLogger(__name__)
HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}


def prepare_torch(args: Namespace, training: bool = False) -> torch.device:
    """Device to compute on; seeds and kernel choice set, ``--train-precision auto`` replaced by what it means there.

    `args` needs ``sys_cpu``, ``sys_device``, ``sys_seed``, ``sys_best_effort_determinism`` and ``train_precision``;
    ``auto`` is bf16 for training on CUDA GPUs that have it, and fp32 elsewhere: a published table is checked with all
    its digits. Under ``torchrun`` each rank has a GPU of its own.

    Raises:
        UserError: when the device that was asked for is not there, or there are fewer GPUs than processes.
    """
    kind = device_type(args)
    random.seed(args.sys_seed)
    np.random.seed(args.sys_seed)
    torch.manual_seed(args.sys_seed)
    device = _own_device(kind) if started_by_torchrun() else torch.device(kind)
    if training and kind == "cpu":
        keep_freed_memory()
    if args.train_precision == "auto":
        half = training and kind == "cuda" and has_bf16(kind)
        args.train_precision = "bf16" if half else "fp32"
        if training and kind == "cpu" and has_bf16(kind):
            log.info(
                "--train-precision auto is fp32 on a CPU; this one has bf16 instructions, with which a step took about "
                "two thirds of the time where it was measured: --train-precision bf16"
            )
    elif args.train_precision == "bf16" and kind == "cpu" and _capabilities() and not has_bf16(kind):
        log.warning(
            "--train-precision bf16: this processor has no bf16 instructions and takes several times as long as in fp32"
        )
    elif args.train_precision == "fp16" and kind == "cpu":
        log.warning("--train-precision fp16: it is for GPUs; a CPU took several times as long as in fp32")
    # Published tables are checked with all their digits; products of matrices, as in projection, stay exact always.
    torch.backends.cudnn.allow_tf32 = training
    torch.backends.cudnn.benchmark = not args.sys_best_effort_determinism
    if args.sys_best_effort_determinism:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
    return device


def memory_in_use(device: torch.device) -> int:
    """Most bytes that tensors took on a GPU so far, or that the process took; 0 where nobody knows."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # Windows
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def device_type(args: Namespace) -> str:
    """``cpu``, ``cuda`` or ``mps``, as ``--sys-device`` and ``--sys-cpu`` ask for it.

    ``auto`` is CUDA where PyTorch finds it and the CPU elsewhere: the GPU of a Mac is used only when it is asked for.

    Raises:
        UserError: when the two options contradict each other, or the device is not there.
    """
    asked = args.sys_device
    if args.sys_cpu:
        if asked not in ("auto", "cpu"):
            raise UserError(f"--sys-cpu: contradicts --sys-device {asked}; leave one of them out")
        return "cpu"
    if asked == "mps" and args.command != "inference":
        raise UserError("--sys-device mps: knows no float64, which training and evaluation need; inference.py takes it")
    found = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if asked == "auto":
        return "cuda" if found["cuda"] else "cpu"
    if not found[asked]:
        gpu = {"cuda": "CUDA GPU", "mps": "GPU of a Mac"}[asked]
        raise UserError(
            f"--sys-device {asked}: PyTorch finds no {gpu} here; leave the option out, or pass --sys-device cpu"
        )
    return asked


def has_bf16(kind: str) -> bool:
    """Whether a device of this type (``cpu``, ``cuda``, ``mps``) computes in bfloat16 by itself.

    Others do so as well, several times as slowly as in float32.
    """
    if kind == "cpu":
        return any(found is True and "bf16" in name for name, found in _capabilities().items())
    return kind == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def _capabilities() -> dict[str, bool | int | str]:
    """What PyTorch tells of the processor; {} where its version does not."""
    return getattr(torch.cpu, "get_capabilities", dict)()


def compile_parts(network: torch.nn.Module, device: torch.device) -> None:
    """Compile the modules a network is made of, each where it is called; what surrounds them stays as it is.

    Raises:
        UserError: when torch.compile does not work here.
    """
    require_compiler("--sys-compile", device)
    for part in network.children():
        part.compile()


def require_compiler(flag: str, device: torch.device) -> None:
    """Check that torch.compile works on a device.

    flag: the option that asks for it

    Raises:
        UserError: with what it lacks, a compiler of C++ most often.
    """
    try:
        torch.compile(lambda x: -x)(torch.ones(2, device=device))
    except Exception as error:  # of any of its parts
        raise UserError(
            f"{flag}: torch.compile does not work here ({reason_of(error)}); leave the option out"
        ) from None


def uses_gpu(args: Namespace) -> bool:
    """Whether the command computes on a CUDA GPU; errors as in `device_type`."""
    return device_type(args) == "cuda"


def _own_device(kind: str) -> torch.device:
    """Device of this rank under ``torchrun``."""
    if kind == "mps":
        raise UserError("--sys-device mps: works in one process; start it with python instead of torchrun")
    if kind == "cpu":
        return torch.device(kind)
    number, found = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if number >= found:
        raise UserError(
            f"torchrun --nproc-per-node: starts more processes than there are GPUs ({found}); give at most "
            f"{found}, or pass --sys-cpu"
        )
    torch.cuda.set_device(number)
    return torch.device(kind, number)


def autocast(args: Namespace, device: torch.device) -> Callable[[], AbstractContextManager]:
    """Maker of contexts in which networks compute with the precision of ``--train-precision``."""
    return autocast_of(args.train_precision, device)


def autocast_of(precision: str, device: torch.device) -> Callable[[], AbstractContextManager]:
    """Maker of contexts in which networks compute in ``fp32``, ``bf16`` or ``fp16``."""
    half = HALF.get(precision)
    return lambda: torch.autocast(device.type, dtype=half, enabled=half is not None)


def gradient_scaler(args: Namespace, device: torch.device) -> torch.amp.GradScaler:
    """Keeps small gradients above what float16 can hold; does nothing with another ``--train-precision``."""
    return torch.amp.GradScaler(device.type, enabled=args.train_precision == "fp16")
