"""The device and the precision of a command: what is asked for, what there is, and what is told where they differ."""

from __future__ import annotations

import re
from argparse import Namespace

import pytest
import torch

from engine.device import (
    autocast,
    compile_parts,
    device_type,
    gradient_scaler,
    has_bf16,
    prepare_torch,
    require_compiler,
    uses_gpu,
)
from errors import UserError


def options(**given: object) -> Namespace:
    defaults = {
        "sys_cpu": False,
        "command": "inference",
        "sys_device": "auto",
        "sys_seed": 1,
        "sys_best_effort_determinism": False,
        "train_precision": "auto",
    }
    return Namespace(**defaults | given)


@pytest.fixture
def machine(monkeypatch):
    """Makes PyTorch find these kinds of GPUs."""

    def with_gpus(*kinds: str) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: "cuda" in kinds)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: "cuda" in kinds)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: "mps" in kinds)

    return with_gpus


@pytest.mark.parametrize(
    ("gpus", "asked", "used"),
    [
        ((), {}, "cpu"),
        (("cuda",), {}, "cuda"),
        (("mps",), {}, "cpu"),
        (("cuda",), {"sys_cpu": True}, "cpu"),
        (("cuda",), {"sys_device": "cpu"}, "cpu"),
        (("cuda",), {"sys_device": "cuda"}, "cuda"),
        (("mps",), {"sys_device": "mps"}, "mps"),
        (("cuda",), {"sys_cpu": True, "sys_device": "cpu"}, "cpu"),
    ],
)
def test_auto_takes_cuda_and_a_mac_is_used_when_asked_for(machine, gpus, asked, used):
    machine(*gpus)
    assert device_type(options(**asked)) == used == prepare_torch(options(**asked)).type
    assert uses_gpu(options(**asked)) == (used == "cuda")


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"sys_device": "cuda"}, "--sys-device cuda: PyTorch finds no CUDA GPU here; .* --sys-device cpu"),
        ({"sys_device": "mps"}, "--sys-device mps: PyTorch finds no GPU of a Mac here; .* --sys-device cpu"),
        ({"sys_device": "cuda", "sys_cpu": True}, "--sys-cpu: contradicts --sys-device cuda; leave one of them out"),
        ({"sys_device": "mps", "sys_cpu": True}, "--sys-cpu: contradicts --sys-device mps"),
    ],
)
def test_a_device_that_is_not_there_is_one_sentence(machine, asked, sentence):
    machine()
    with pytest.raises(UserError, match=sentence):
        prepare_torch(options(**asked))


def test_several_processes_do_not_share_the_gpu_of_a_mac(machine, monkeypatch):
    machine("mps")
    for name, value in {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match="--sys-device mps: works in one process"):
        prepare_torch(options(sys_device="mps"))


@pytest.mark.parametrize(
    ("device", "training", "precision"),
    [("cuda", True, "bf16"), ("cuda", False, "fp32"), ("cpu", True, "fp32"), ("mps", False, "fp32")],
)
def test_half_precision_is_chosen_for_training_on_cuda_alone(machine, device, training, precision):
    machine("cuda", "mps")
    args = options(sys_device=device)
    prepare_torch(args, training)
    assert args.train_precision == precision


@pytest.mark.parametrize(("asked", "used"), [("auto", "fp32"), ("bf16", "bf16"), ("fp32", "fp32")])
def test_precision_is_settled_before_it_is_written_down(asked, used):
    args = options(sys_cpu=True, train_precision=asked)
    device = prepare_torch(args)
    assert args.train_precision == used
    with autocast(args, device)():
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == (torch.bfloat16 if used == "bf16" else torch.float32)


def test_fp32_on_a_mac_neither_casts_nor_scales():
    args = options(train_precision="fp32")
    with autocast(args, torch.device("mps"))():
        assert not torch.is_autocast_enabled("mps")
    assert not gradient_scaler(args, torch.device("mps")).is_enabled()


@pytest.mark.parametrize("command", ["train", "eval_depth"])
def test_a_mac_computes_inference_alone(machine, command):
    machine("mps")
    with pytest.raises(UserError, match="--sys-device mps: knows no float64, .*; inference.py takes it"):
        device_type(options(sys_device="mps", command=command))


@pytest.mark.parametrize(
    ("knows", "native", "asked", "level", "told"),
    [
        ({"avx512_bf16": True}, True, "auto", "INFO", "auto is fp32 on a CPU; .* --train-precision bf16"),
        ({"avx512_bf16": False}, False, "auto", "", ""),
        ({"avx512_bf16": True}, True, "bf16", "", ""),
        ({"avx512_bf16": False, "cpu_name": "bf16"}, False, "bf16", "WARNING", "no bf16 instructions"),
        ({}, False, "bf16", "", ""),
    ],
)
def test_what_a_processor_does_in_bf16_is_told(monkeypatch, caplog, knows, native, asked, level, told):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: knows, raising=False)
    assert has_bf16("cpu") == native
    with caplog.at_level("INFO"):
        args = options(sys_cpu=True, train_precision=asked)
        prepare_torch(args, training=True)
    assert args.train_precision == ("fp32" if asked == "auto" else "bf16")
    assert [record.levelname for record in caplog.records] == ([level] if level else [])
    assert re.search(told, caplog.text)


def test_a_gpu_that_emulates_bf16_trains_in_fp32(machine, monkeypatch):
    machine("cuda")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: including_emulation)
    args = options()
    prepare_torch(args, training=True)
    assert args.train_precision == "fp32"


def test_a_compiler_that_does_not_work_is_one_sentence(monkeypatch):
    def broken(_: object) -> None:
        raise RuntimeError("No working C++ compiler found.\nmore")

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.raises(
        UserError, match=r"--train-compile: .* \(No working C\+\+ compiler found\); leave the option out"
    ):
        require_compiler("--train-compile", torch.device("cpu"))


def test_the_parts_of_a_network_are_compiled_and_it_stays_what_it_was(monkeypatch):
    monkeypatch.setattr("engine.device.require_compiler", lambda *_: None)
    network = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU())
    called = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self: called.append(self))
    compile_parts(network, torch.device("cpu"))
    assert called == list(network)
