"""The device a command computes on, and how: seeds, precision, choice of kernels."""

from __future__ import annotations

import os
import random
from argparse import Namespace
from collections.abc import Callable
from contextlib import AbstractContextManager

import numpy as np
import torch

from errors import UserError

from .launch import started_by_torchrun

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
    if args.train_precision == "auto":
        half = training and kind == "cuda" and torch.cuda.is_bf16_supported()
        args.train_precision = "bf16" if half else "fp32"
    # Published tables are checked with all their digits; products of matrices, as in projection, stay exact always.
    torch.backends.cudnn.allow_tf32 = training
    torch.backends.cudnn.benchmark = not args.sys_best_effort_determinism
    if args.sys_best_effort_determinism:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
    return device


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

    A processor without such instructions does so as well, several times as slowly as in float32.
    """
    if kind == "cpu":
        known = getattr(torch.cpu, "get_capabilities", dict)()  # older versions do not tell
        return any(found is True and "bf16" in name for name, found in known.items())
    return kind == "cuda" and torch.cuda.is_bf16_supported()


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
    half = HALF.get(args.train_precision)
    return lambda: torch.autocast(device.type, dtype=half, enabled=half is not None)


def gradient_scaler(args: Namespace, device: torch.device) -> torch.amp.GradScaler:
    """Keeps small gradients above what float16 can hold; does nothing with another ``--train-precision``."""
    return torch.amp.GradScaler(device.type, enabled=args.train_precision == "fp16")
