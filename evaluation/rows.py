"""Small results of many images, kept until the last one."""

from __future__ import annotations

import torch
from torch import Tensor

PAGE = 256  # rows


class Rows:
    """Tensors of one shape, stacked; on their device until asked for, so that nothing waits for it in between.

    They are copied into pages: thousands of small tensors of their own would lie scattered among the large ones that
    come and go with every image, whose memory the allocator of glibc could then not use again.
    """

    def __init__(self) -> None:
        self._pages: list[Tensor] = []
        self._count = 0

    def append(self, row: Tensor) -> None:
        """Add one."""
        place = self._count % PAGE
        if place == 0:
            self._pages.append(row.new_empty((PAGE, *row.shape)))
        self._pages[-1][place] = row
        self._count += 1

    def __len__(self) -> int:
        return self._count

    def table(self) -> Tensor:
        """All of them, (N, ...) on the CPU; N > 0."""
        return torch.cat(self._pages)[: self._count].cpu()
