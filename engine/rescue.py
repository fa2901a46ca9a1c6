"""What is kept of a run that an error ends between two checkpoints."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from errors import UserError

from . import ranks
from .run_state import RunState


@contextlib.contextmanager
def saved_on_error(
    state: RunState,
    drop_unfinished: Callable[[], None],
    folder: Path,
    stopped: Callable[[Path], None],
    end_loaders: Callable[[], None],
) -> Iterator[None]:
    """Save the run when an error ends it between two checkpoints, such as a damaged image or a library that fails.

    Of several ranks only a `UserError` is known to all, so that they can save together.

    Args:
        state: of the run.
        drop_unfinished: takes it back to its latest step; raises where what is left is not worth a checkpoint.
        folder: of the run.
        stopped: is told of the checkpoint.
        end_loaders: ends the processes that load data, and frees what they hold.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, UserError) or not ranks.active():
            _release(error)
            end_loaders()
            with contextlib.suppress(Exception):  # the error is what counts
                drop_unfinished()
                if state.step > state.saved_step:
                    stopped(state.save(folder))
        raise


def _release(error: BaseException | None) -> None:
    """Let go of what the steps that failed still hold: memory, open files."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
