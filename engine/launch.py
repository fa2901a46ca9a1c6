"""How this process was started, and what may stop it; costs no torch."""

from __future__ import annotations

import os
import signal

STOPPING = tuple(getattr(signal, name) for name in ("SIGHUP", "SIGINT", "SIGTERM") if hasattr(signal, name))
"""Signals that ask a command to stop; the first comes where a terminal is closed."""


def is_ignored(number: int) -> bool:
    """Whether a signal stays ignored because ``nohup`` started the command; ``torchrun`` passes on all it gets."""
    hang_up = number == getattr(signal, "SIGHUP", None) and not started_by_torchrun()
    return hang_up and signal.getsignal(number) == signal.SIG_IGN


def started_by_torchrun() -> bool:
    """Whether ``torchrun`` started this process as one of several ranks."""
    return int(os.environ.get("WORLD_SIZE", 1)) > 1 and {"RANK", "LOCAL_RANK", "MASTER_ADDR"} <= {*os.environ}
