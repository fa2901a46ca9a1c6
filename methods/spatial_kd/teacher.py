"""What the file of a teacher tells before any network is built."""

from __future__ import annotations

from typing import Any

from errors import UserError
from methods.stored import located, read_network, resemblance
from storage.notes import Damaged, notes_of, read

from .keys import adopt


def told_of(teacher: str, decoder: str, runs: str) -> dict[str, Any]:
    """Options of the decoder of a teacher, which are those of its student: norm, and largest depth where it is noted.

    runs: the folder of all runs

    Raises:
        UserError: when it is missing, damaged or no network of this method.
    """
    flags = {"--kd-teacher": teacher, "--kd-teacher-decoder": decoder}
    paths = {flag: located(name, runs) for flag, name in flags.items() if name}
    for flag, path in paths.items():
        if path is None:
            raise UserError(
                f"{flag} {flags[flag]}: neither there nor below {runs}; name a checkpoint, or encoder and decoder of a "
                "published pair with --kd-teacher and --kd-teacher-decoder"
            )
    stored = read_network(paths["--kd-teacher"], decoder=paths.get("--kd-teacher-decoder"))
    adopted = adopt(stored.state)
    if adopted is None:
        raise UserError(
            f"--kd-teacher {teacher}: holds no network of --method spatial_kd, whose features a student is compared "
            f"with; {resemblance(stored, '--kd-teacher-decoder')}"
        )
    told = {"model_norm": adopted.options["model_norm"]}
    notes = notes_of(stored.path)
    if notes is None:
        return told
    try:
        return told | {"model_depth_max": float(read(notes)["options"]["model_depth_max"])}
    except (Damaged, KeyError) as error:
        raise UserError(f"{notes}: damaged ({error}); name another --kd-teacher") from None
