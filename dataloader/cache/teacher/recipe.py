"""How the maps of a cache folder were made, and the file in it that says so."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from errors import UserError

from .maps import SUFFIXES

META = "teacher_cache.json"
FORMAT = 1
RESIZE = "bilinear, antialiased"
COMMAND = "python -m dataloader.prepare teacher-cache"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How all maps of a folder were made.

    layout:         `image`: answers to whole images, at training resolution; `grid`: answers to the candidate patches
    height, width:  training resolution, pixels
    teacher:        published name, `hf:<id>`, or file name
    sha256:         of the teacher's file; empty for `hf:`
    patch_size, patch_stride, patches:  side, distance and number of the candidates; 0 for whole images
    patch_automatic: whether that side is the one `--patch-size 0` gives at this height
    mirrored:       whether maps of whole images are two: the second is the answer to the mirrored image, mirrored back
    """

    layout: str
    height: int
    width: int
    teacher: str
    sha256: str = ""
    patch_size: int = 0
    patch_stride: int = 0
    patches: int = 0
    patch_automatic: bool = False
    mirrored: bool = False

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of a map."""
        whole = (1 + self.mirrored, self.height, self.width)
        return whole if self.layout == "image" else (self.patches, self.patch_size, self.patch_size)

    @property
    def bytes_per_map(self) -> int:
        """About how long the file of a map is."""
        first, second, third = self.shape
        return round(first * second * third * (1.6 if self.layout == "image" else 2))

    def encode(self) -> bytes:
        """Content of the file that describes a cache folder."""
        return json.dumps({"format": FORMAT, "resize": RESIZE, **asdict(self)}, indent=1).encode() + b"\n"


def read_recipe(folder: str | Path) -> Recipe:
    """Description of a cache folder.

    Raises:
        UserError: when it is not a recipe, or of another format.
    """
    path = Path(folder) / META
    try:
        content = json.loads(path.read_bytes())
        version = content.pop("format")
        resize = content.pop("resize")
        if (version, resize) != (FORMAT, RESIZE):
            raise UserError(
                f"{path}: format {version!r} with resizing {resize!r}, this version reads {FORMAT} with "
                f"{RESIZE!r}; make a new cache with {COMMAND}"
            )
        return _checked(Recipe(**content))
    except OSError as fault:
        raise UserError(f"{folder}: not a teacher cache, it has no readable {META}; make one with {COMMAND}") from fault
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as fault:
        raise UserError(f"{path}: damaged ({fault}); make a new cache with {COMMAND}") from fault


def noted_maps(options: Mapping[str, Any]) -> dict[str, str]:
    """What the notes of a training say of its teacher's maps, by name; a folder may be made anew under its name."""
    folders = {
        "teacher_maps": options.get("patch_distill") and options.get("patch_teacher_cache"),
        "guiding_maps": options.get("teacher_loss_weight") and options.get("teacher_cache"),
    }
    return {name: _layout(folder) if folder else "none" for name, folder in folders.items()}


def _layout(folder: str) -> str:
    try:
        return read_recipe(folder).layout
    except UserError:
        return "unknown"


def _checked(recipe: Recipe) -> Recipe:
    for field in fields(Recipe):
        value = getattr(recipe, field.name)
        if type(value).__name__ != field.type:
            raise ValueError(f"{field.name} is {value!r}")
    if recipe.layout not in SUFFIXES or min(recipe.height, recipe.width, *recipe.shape) < 1:
        raise ValueError(f"layout {recipe.layout!r} of shape {recipe.shape}")
    return recipe


def check_same(folder: str | Path, recipe: Recipe) -> None:
    """Refuse to mix: compare the description of a folder with a recipe.

    Raises:
        UserError: with the first thing that differs.
    """
    there = asdict(read_recipe(folder))
    for name, value in asdict(recipe).items():
        if there[name] != value:
            raise UserError(
                f"{folder}: holds maps made with {name.replace('_', ' ')} {there[name]!r}, not {value!r}; "
                "choose another folder, or the same options as before"
            )
