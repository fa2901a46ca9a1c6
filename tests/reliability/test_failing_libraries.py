"""An error of a library or of the system ends a training after it is saved."""

from __future__ import annotations

import pytest

from engine import ranks
from engine.rescue import saved_on_error
from errors import UserError
from storage.checkpoint_folder import checkpoints

from .saving import small_state


@pytest.mark.parametrize("error", [RuntimeError("of a library"), OSError(24, "Too many open files"), UserError("mine")])
def test_the_run_is_saved_before_any_error_is_shown(tmp_path, error):
    state, said, freed = small_state(3, 0, 3), [], []
    with (
        pytest.raises(type(error)) as raised,
        saved_on_error(state, lambda: freed.append("steps"), tmp_path, said.append, lambda: freed.append("loaders")),
    ):
        raise error
    assert raised.value is error
    assert checkpoints(tmp_path) == said == [tmp_path / "checkpoints" / "epoch_0_batch_3"]
    assert freed == ["loaders", "steps"]


@pytest.mark.parametrize("fault", ["not worth saving", "saving fails"])
def test_what_goes_wrong_while_saving_does_not_hide_the_error(tmp_path, fault, monkeypatch):
    def broken(*_: object) -> None:
        raise RuntimeError(fault)

    state = small_state(3, 0, 3)
    monkeypatch.setattr(type(state), "save", broken)
    unfinished = broken if fault == "not worth saving" else lambda: None
    with pytest.raises(ZeroDivisionError), saved_on_error(state, unfinished, tmp_path, print, lambda: None):
        raise ZeroDivisionError


def test_one_of_several_processes_does_not_wait_for_the_others_to_save(tmp_path, monkeypatch):
    monkeypatch.setattr(ranks, "active", lambda: True)
    state = small_state(3, 0, 3)
    with pytest.raises(RuntimeError), saved_on_error(state, print, tmp_path, print, lambda: None):
        raise RuntimeError("of a library")
    assert not checkpoints(tmp_path)
