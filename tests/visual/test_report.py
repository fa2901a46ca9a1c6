"""What a run says while it runs, and when it warns."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from visual.report import COLLAPSE_FROM_STEP, Report


def report(folder: Path, step: int = 1) -> Report:
    args = Namespace(train_batches_per_epoch=10, train_num_epochs=2, train_tb_frequency=1000, train_print_frequency=5)
    return Report(folder, args, SimpleNamespace(epoch=0, batch=step, step=step))


def outcome(disp: torch.Tensor, loss: float = 0.5) -> SimpleNamespace:
    return SimpleNamespace(
        batch=SimpleNamespace(images={0: torch.zeros(2, 3, 4, 4)}, spec=SimpleNamespace(domain="street_depth")),
        prediction=SimpleNamespace(disp={0: disp}, motion={}, logits=None),
        views=None,
        refined=None,
        classes=None,
        terms={},
        total=torch.tensor(loss),
    )


@pytest.mark.parametrize(
    ("disp", "warned"),
    [
        (torch.full((2, 1, 4, 4), 0.99), True),
        (torch.full((2, 1, 4, 4), 0.001), True),
        (torch.full((2, 1, 4, 4), 0.3), True),
        (torch.linspace(0.1, 0.6, 32).view(2, 1, 4, 4), False),
    ],
)
def test_a_collapsed_disparity_is_told_once_with_what_helps(tmp_path, capsys, disp, warned):
    run = report(tmp_path, step=COLLAPSE_FROM_STEP + 1)
    for _ in range(2):
        run.after_step([outcome(disp)])
    assert capsys.readouterr().out.count("--model-disparity-bias -2") == int(warned)


def test_the_first_steps_are_not_judged(tmp_path, capsys):
    run = report(tmp_path, step=6)
    run.after_step([outcome(torch.full((2, 1, 4, 4), 0.99))])
    assert "collapsed" not in capsys.readouterr().out


@pytest.mark.parametrize(("epoch", "names"), [(0, ["loss", "loss_patch"]), (1, ["loss"])])
def test_a_step_between_two_with_patches_has_no_patch_loss(tmp_path, monkeypatch, epoch, names):
    run, written = report(tmp_path), {}
    vars(run.args).update(train_tb_frequency=1, patch_from_epoch=1, patch_until_epoch=2)
    run.state.epoch, run.state.batch = epoch, 4
    monkeypatch.setattr(run, "scalars", lambda writer, domain, values: written.update(values))
    found = outcome(torch.rand(2, 1, 4, 4))
    found.terms["loss_patch"] = torch.zeros(())
    run.after_step([found])
    assert list(written) == names


def test_batches_pass_through_whole(tmp_path):
    assert list(report(tmp_path).watch(range(5))) == [0, 1, 2, 3, 4]
