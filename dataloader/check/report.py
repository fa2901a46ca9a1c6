"""What was found out about one loader, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

SHOWN = 5
"""Files named when many are wrong."""


@dataclass
class Report:
    """Lines in their order; `warnings` do not keep a loader from working, `faults` do."""

    title: str
    lines: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def tell(self, label: str, text: str) -> None:
        """Add one finding."""
        self.lines.append((label, text))

    def warn(self, text: str) -> None:
        """Add something that looks wrong."""
        self.warnings.append(text)

    def fault(self, text: str) -> None:
        """Add a reason why the loader cannot be used."""
        self.faults.append(text)

    def __str__(self) -> str:
        rows = [*self.lines, *(("WARNING", text) for text in self.warnings), *(("FAULT", text) for text in self.faults)]
        verdict = "not usable" if self.faults else "usable"
        body = [f"  {label:13} {text}" for label, text in [*rows, ("verdict", verdict)]]
        return "\n".join([self.title, *body])


def first_of(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    rest = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def counted(count: int, noun: str) -> str:
    """A count with its noun: 1 file, 2 files."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def share(count: int, total: int) -> str:
    """A count with its percentage."""
    return f"{count} of {total} ({100 * count / max(total, 1):.0f} %)"
