"""What a run says while it runs, and when it warns."""

from __future__ import annotations

import time
from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from engine.outcome import Outcome
from visual.report import DOUBT_FROM_STEP, Report


def report(folder: Path, step: int = 1, **more: object) -> Report:
    args = Namespace(train_batches_per_epoch=10, train_num_epochs=2, train_tb_frequency=1000, train_print_frequency=5)
    return Report(folder, args, SimpleNamespace(epoch=0, batch=step, step=step), **more)


class Look:
    """What is asked on logging steps."""

    def __init__(self, doubt: str):
        self.said = doubt

    def measures(self) -> dict[str, torch.Tensor]:
        return {"depth_mean": torch.tensor(3.0)}

    def pictures(self) -> dict[str, torch.Tensor]:
        return {}

    def doubt(self) -> str:
        return self.said


def outcome(doubt: str = "", **terms: float) -> Outcome:
    values = {name: torch.tensor(value) for name, value in terms.items()}
    return Outcome("street_depth", torch.tensor(0.5), values, [], Look(doubt), raw=range(2))


@pytest.mark.parametrize("doubt", ["", "it looks collapsed"])
def test_a_doubt_is_told_once(tmp_path, capsys, doubt):
    run = report(tmp_path, step=DOUBT_FROM_STEP + 1)
    for _ in range(2):
        run.after_step([outcome(doubt)])
    assert capsys.readouterr().out.count("warning: it looks collapsed") == int(bool(doubt))


def test_the_first_steps_are_not_judged(tmp_path, capsys):
    run = report(tmp_path, step=6)
    run.after_step([outcome("it looks collapsed")])
    assert "collapsed" not in capsys.readouterr().out


def test_losses_terms_and_measures_are_written(tmp_path, monkeypatch):
    run, written = report(tmp_path), {}
    vars(run.args).update(train_tb_frequency=1)
    run.state.batch = 4
    monkeypatch.setattr(run, "scalars", lambda writer, domain, values: written.update({domain: values}))
    run.after_step([outcome(loss_patch=0.25)])
    assert written == {"street_depth": {"loss": 0.5, "loss_patch": 0.25, "depth_mean": 3.0}}


def test_learning_rates_are_written_under_their_own_names(tmp_path, monkeypatch):
    run, written = report(tmp_path, step=4, rates=lambda: {"learning_rate": 1e-4, "learning_rate/1": 2e-4}), []
    vars(run.args).update(train_tb_frequency=1)
    monkeypatch.setattr(run._board, "scalar", lambda *what: written.append(what))
    run.after_step([outcome()])
    assert written[-2:] == [("train", "learning_rate", 1e-4, 4), ("train", "learning_rate/1", 2e-4, 4)]


def test_ten_seconds_without_a_word_give_a_short_line(tmp_path, capsys, monkeypatch):
    run = report(tmp_path, step=7)
    run.memory = lambda: 3 * 2**30
    run.after_step([outcome()])
    assert not capsys.readouterr().out
    now = time.perf_counter()
    monkeypatch.setattr("time.perf_counter", lambda: now + 10)
    run.after_step([outcome()])
    run.after_step([outcome()])
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("epoch 1/2 batch 7/10 | street_depth_loss 0.5000 | 0.4 images/s | memory 3.0 GiB | ETA 0:0")


def test_in_a_terminal_it_stands_behind_the_bar(tmp_path, capsys, monkeypatch):
    run = report(tmp_path, step=7)
    run._bar = SimpleNamespace(disable=False, set_postfix_str=print)
    now = time.perf_counter()
    monkeypatch.setattr("time.perf_counter", lambda: now + 10)
    for _ in range(2):
        run.after_step([outcome()])
    assert capsys.readouterr().out == "street_depth_loss 0.5000 | 0.2 images/s\n"


def test_batches_pass_through_whole(tmp_path):
    assert list(report(tmp_path).watch(range(5))) == [0, 1, 2, 3, 4]
