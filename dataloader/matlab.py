"""Numbers in MATLAB files of version 5, which SciPy reads: none is believed to be what its name says."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import numpy as np

from errors import UserError, reason_of

MOST_BYTES = 1 << 22  # of a file; what is packed may be a thousand times as large
NUMBERS = ("double", "single", "logical", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)))


def read_numbers(path: str | Path, name: str, dimensions: int, most: int = 1 << 20) -> np.ndarray:
    """The variable `name` of a .mat file.

    Args:
        path: of the file
        name: of the variable
        dimensions: that it has
        most: numbers that it may have

    Raises:
        UserError: when the file is missing or damaged, has another version, or the variable is something else.
    """
    from scipy import io  # late: takes long, and few data sets need it

    if not os.path.isfile(path):
        raise UserError(f"{path}: no such file; check the data folder with python -m dataloader.check")
    if os.path.getsize(path) > MOST_BYTES:
        raise UserError(f"{path}: {os.path.getsize(path)} bytes are more than {name} needs; check the file")
    faults = (Exception, MemoryError)  # the parser raises whatever a damaged file leads it to
    try:
        found = {each: (shape, kind) for each, shape, kind in io.whosmat(path, appendmat=False)}
    except NotImplementedError as fault:
        raise UserError(f"{path}: a MATLAB file of version 7.3, {name} is kept in one of version 5") from fault
    except faults as fault:
        raise UserError(f"{path}: no MATLAB file of version 5 ({_reason(fault)}); fetch it again") from fault
    if name not in found:
        raise UserError(f"{path}: no variable {name} among {', '.join(sorted(found)) or 'none'}; fetch it again")
    shape, kind = found[name]
    if kind not in NUMBERS or len(shape) != dimensions or np.prod(shape, dtype=object) > most:
        raise UserError(f"{path}: {name} is {kind} of shape {tuple(shape)}, which it cannot be; fetch the file again")
    try:
        values = io.loadmat(path, appendmat=False, variable_names=[name])[name]
    except faults as fault:
        raise UserError(f"{path}: cannot read {name} ({_reason(fault)}); fetch the file again") from fault
    if values.shape != tuple(shape) or values.dtype.kind not in "iufb":
        raise UserError(f"{path}: {name} is not the array that the file announces; fetch it again")
    return values


def _reason(fault: BaseException) -> str:
    if isinstance(fault, zlib.error):
        return "its packed parts are damaged"
    return reason_of(fault)
