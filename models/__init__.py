"""Networks: tensors in, tensors out."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .teacher import Teacher


def build_teacher(name: str, native: bool = False, fetch: bool = False) -> Teacher:
    """Frozen depth network on the CPU: ``teacher(rgb (N, 3, h, w) in [0, 1]) -> inverse depth (N, h, w)``.

    name:   dpt-hybrid, dpt-large, dpt-hybrid-kitti, dpt-hybrid-nyu, the path of such a file, or hf:<id>
    native: keep the size of patches instead of bringing images to the size it was trained at
    fetch:  download what is missing

    Raises:
        UserError: when weights are missing, damaged or of another network, or `transformers` is missing.
    """
    if name.startswith("hf:"):
        from . import hf

        return hf.build(name, native, fetch)
    from . import dpt

    return dpt.build(name, native, fetch)
