"""How this process was started; costs no torch."""

from __future__ import annotations

import os


def started_by_torchrun() -> bool:
    """Whether ``torchrun`` started this process as one of several ranks."""
    return int(os.environ.get("WORLD_SIZE", 1)) > 1 and {"RANK", "LOCAL_RANK", "MASTER_ADDR"} <= {*os.environ}
