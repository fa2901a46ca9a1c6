"""A run small enough to be saved hundreds of times: the step is in every number, so a mixture would show."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import torch
from torch import nn

from engine.optimizer import Rule, Schedule
from engine.run_state import RunState
from state_manager import start
from storage.checkpoint_folder import checkpoints, verify

DEFAULTS = {"method": "sgdepth", "train_num_epochs": 10**6}


def small_state(step: int = 0, epoch: int = 0, batch: int = 0, **noted: object) -> RunState:
    """A run after so many steps, with these options; a checkpoint of it has all four files, some kilobytes in all."""
    model = nn.Linear(16, 16)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    for parameter in model.parameters():
        nn.init.constant_(parameter, step)
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    schedule = Schedule(optimizer, Rule(step_size=2))
    return RunState(
        model, optimizer, schedule, method="sgdepth", options=DEFAULTS | noted, epoch=epoch, batch=batch, step=step
    )


def options(folder: Path, **changes: object) -> Namespace:
    """Options of a run in `folder`."""
    values = {
        "method": "sgdepth",
        "checkpoint_dir": str(folder),
        "model_load": "",
        "model_decoder_path": "",
        "resume": "auto",
        "said": [],
        "overwrite": False,
        "model_disable_lr_loading": False,
        "config": [],
        "train_num_epochs": 10**6,
        "train_batches_per_epoch": 10**6,
        "train_weights_init": "scratch",
    }
    return Namespace(**{**values, **changes})


def resumed(run_folder: Path) -> RunState:
    """What the next start goes on with, after a look at every checkpoint and at what lies about."""
    state = small_state()
    start(state, run_folder, options(run_folder))
    assert all(bool((parameter - state.step).abs().max() < 0.1) for parameter in state.model.parameters())
    for folder in checkpoints(run_folder):
        verify(folder, noted=True)
    assert not [path.name for path in run_folder.rglob("*") if path.name.endswith(".tmp")]
    return state
