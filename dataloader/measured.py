"""Items of images with their measured depth, for methods that are trained with it.

Source: LapDepth (TCSVT 2021) and Spatial-KD (JVCIR 2022), augmentation.
"""

from __future__ import annotations

import itertools
import math
from argparse import Namespace
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image

from errors import UserError

from .augment import AS_IT_IS
from .batch import camera_matrix
from .camera import Size
from .files import open_rgb, read_depth
from .items import Item
from .pictures import Pictures
from .samples import DepthSource, Sample
from .transforms import FILTERS, Filter, turn_window
from .truth import misfit
from .window import PixelWindow

LOW = "low"
"""Name of the view with the same image at a lower resolution."""
SWAPS = [*itertools.permutations(range(3))][1:5]
"""Orders that channels are brought into: neither the usual one nor its reverse."""


@dataclass(frozen=True, kw_only=True)
class Colours:
    """How far colours may change, see `augment.recolour`.

    gamma:      exponents and factors of single channels are drawn from 1 - this to 1 + this
    brightness: likewise the factor of all channels
    share:      of the samples that change so
    swap:       share of the samples whose channels change places
    """

    gamma: float = 0.0
    brightness: float = 0.0
    share: float = 1.0
    swap: float = 0.0

    def draw(self, rng: np.random.Generator) -> tuple[float, ...]:
        """Row of `RawBatch.colours`; eight numbers are drawn whatever changes."""
        gamma, brightness, *factors = rng.uniform(-1.0, 1.0, 5)
        changed, swapped, order = rng.random(3)
        row, usual = AS_IT_IS[:5], AS_IT_IS[5:]
        if changed < self.share:
            row = (
                1.0 + self.gamma * gamma,
                1.0 + self.brightness * brightness,
                *(1.0 + self.gamma * each for each in factors),
            )
        return (*map(float, row), *map(float, SWAPS[int(order * len(SWAPS))] if swapped < self.swap else usual))


class _Draw(NamedTuple):
    """`angle` in degrees, counter-clockwise; `row` and `column` in [0, 1) say where the crop lies."""

    angle: float
    row: float
    column: float
    flip: bool
    colours: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """An image and what was measured of it: turned, cropped and mirrored alike.

    Image and depth are turned about the centre of the image, with black where nothing is; the window of the loader is
    cut out; then the crop, anywhere in it. Depth takes the nearest neighbour throughout. Where images are resized, so
    is depth, but not where the window of the loader gives all of them one size: losses resize it, once.

    Draws, whatever is switched on: the angle, row and column of the crop, a coin for mirroring, `Colours.draw`.

    crop:      (height, width); 0 for all of a side
    resize:    (height, width) that crops are brought to; () for none
    rotation:  degrees in either direction
    mirror:    share of the samples that are mirrored
    colours:   of what the network sees
    depth_max: metres; what was measured farther counts as that far
    dense_max: likewise of `Item.dense` and `Item.base`
    dense:     whether `Item.dense` is wanted, truth with its gaps filled; zeros where a sample has none
    base:      likewise `Item.base`, a smooth version of it
    low:       share of the size of the image that a view `LOW` of it has, resized from the same crop; 0 for none
    filter:    what crops are resampled with
    """

    crop: Size = (0, 0)
    resize: tuple[int, ...] = ()
    rotation: float = 0.0
    mirror: float = 0.5
    colours: Colours = Colours()
    depth_max: float = math.inf
    dense_max: float = math.inf
    dense: bool = False
    base: bool = False
    low: float = 0.0
    filter: Filter = "bilinear"
    frames: tuple[int, ...] = (0,)

    @property
    def size(self) -> tuple[int, ...]:
        """(height, width) of images, as far as it is known before they are read."""
        return self.resize or self.crop

    def __call__(self, sample: Sample, rng: np.random.Generator, pictures: Pictures) -> Item:
        """As `ItemMaker`; images are read at their own size, which no cache has."""
        draw = self._draw(rng)
        image = open_rgb(sample.images[0])
        whole = image.size[::-1]
        window = self.window(sample, whole, draw.row, draw.column)
        image = turn_window(image, draw.angle, window.box(whole))
        size = self.resize or image.size[::-1]
        height, width = truth = self._truth_size(sample, size)
        intrinsics = window.intrinsics(sample.intrinsics, whole)

        def item(height: int, width: int, **more: object) -> Item:
            pixels = image if image.size == (width, height) else image.resize((width, height), FILTERS[self.filter])
            return Item(
                name=sample.name,
                images={0: np.asarray(pixels).transpose(2, 0, 1)},
                K=camera_matrix(intrinsics, height, width),
                flip=draw.flip,
                measured=sample.measured,
                colours=draw.colours,
                **more,
            )

        def metres(source: DepthSource | None, farthest: float, filter: Image.Resampling) -> np.ndarray:
            if source is None:
                return np.zeros((1, *truth), np.float32)
            depth = self._read(source, sample, whole, farthest).rotate(draw.angle, Image.Resampling.NEAREST)
            depth = depth.crop(window.box(whole))
            return np.asarray(depth if depth.size == (width, height) else depth.resize((width, height), filter))[None]

        return item(
            *size,
            depth=metres(sample.depth, self.depth_max, Image.Resampling.NEAREST),
            dense=metres(sample.dense, self.dense_max, Image.Resampling.BILINEAR) if self.dense else None,
            base=metres(sample.base, self.dense_max, Image.Resampling.BILINEAR) if self.base else None,
            views={LOW: item(*(int(side * self.low) for side in size))} if self.low else {},
        )

    def _truth_size(self, sample: Sample, size: Size) -> Size:
        """(height, width) of depth for that of images."""
        if not self.resize or not isinstance(sample.window, PixelWindow):
            return size
        sides = zip(self.crop, (sample.window.rows, sample.window.columns), strict=True)
        height, width = (wanted or last - first for wanted, (first, last) in sides)
        return height, width

    def _draw(self, rng: np.random.Generator) -> _Draw:
        angle = float(rng.uniform(-1.0, 1.0)) * self.rotation
        row, column, coin = map(float, rng.random(3))
        return _Draw(angle, row, column, coin < self.mirror, self.colours.draw(rng))

    def window(self, sample: Sample, whole: Size, row: float = 0.0, column: float = 0.0) -> PixelWindow:
        """Where the crop lies in an image of (height, width) `whole`; row and column in [0, 1).

        Raises:
            UserError: when the image has no room for it.
        """
        sides = sample.window.slices(whole) if sample.window else [slice(0, side) for side in whole]
        found = []
        for side, wanted, place in zip(sides, self.crop, (row, column), strict=True):
            room = side.stop - side.start - (wanted or side.stop - side.start)
            if room < 0:
                there = " x ".join(str(each.stop - each.start) for each in sides)
                raise UserError(
                    f"--depth-crop-height/-width {self.crop[0]} x {self.crop[1]}: larger than what training has of "
                    f"{sample.images[0]}, {there} (height x width); give less, or 0 for all of it"
                )
            first = side.start + int(place * (room + 1))
            found.append((first, first + (wanted or side.stop - side.start)))
        return PixelWindow(rows=found[0], columns=found[1], of=whole)

    def _read(self, source: DepthSource, sample: Sample, whole: Size, farthest: float) -> Image.Image:
        """A depth map with a pixel for each of its image; metres beyond `farthest` count as that far."""
        depth = read_depth(source)
        if depth.shape != whole:
            raise UserError(misfit(source.path, depth.shape, sample.images[0], whole))
        return Image.fromarray(np.minimum(depth, np.float32(farthest)))


def measured_items(
    args: Namespace,
    *,
    resize: tuple[int, ...] = (),
    dense: bool = False,
    dense_max: float | None = None,
    base: bool = False,
    low: float = 0.0,
) -> Measured:
    """Images of --depth-training-loaders with their depth, as the options of `presets.measured` say.

    resize, dense, base, low: as in `Measured`, and `dense_max`; None: as far as measured depth

    Raises:
        UserError: when --data-cache is given, which holds pictures of one size.
    """
    if args.data_cache:
        raise UserError(
            f"--data-cache {args.data_cache}: holds pictures of one size, and --method {args.method} turns and crops "
            "images at their own; leave it out"
        )
    colours = Colours(
        gamma=args.train_color_range,
        brightness=args.train_brightness_range,
        share=args.train_color_share,
        swap=args.train_channel_swap,
    )
    return Measured(
        crop=(args.depth_crop_height, args.depth_crop_width),
        resize=resize,
        rotation=args.train_rotation,
        colours=colours if args.train_color_jitter == "on" else Colours(),
        depth_max=args.model_depth_max,
        dense_max=args.model_depth_max if dense_max is None else dense_max,
        dense=dense,
        base=base,
        low=low,
    )
