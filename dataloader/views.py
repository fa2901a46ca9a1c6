"""Items of video with further views of each sample: a window of the enlarged frames, and the frame with swapped blocks.

Source: BDEdepth (arXiv 2309.05254): "resizing-cropping" and "splitting-permuting".
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from perspective_resample.crop import Crop, crop_of

from .batch import APPLY
from .items import Item, Video, draw_jitter, video_items
from .pictures import Pictures
from .samples import Sample
from .transforms import Filter, Window

LOCAL, RESHUFFLED = "local", "reshuffled"
"""Names of the views in items and batches."""


@dataclass(frozen=True, kw_only=True)
class VideoViews(Video):
    """`Video`, and further views of its samples.

    Draws: those of `Video`; five numbers for `random_crop` and `random_split`, whichever views there are; then, with
    `each`, colours of every image of every view.

    Both views are drawn in the mirrored image where the sample is mirrored: pixels are cut so that they are right once
    the batch has mirrored them.

    local: a window of the enlarged frames, from the files themselves
    reshuffled: the predicted frame with its blocks swapped
    each: colours of their own for every frame and view
    """

    local: bool = True
    reshuffled: bool = True
    each: bool = False

    def __call__(self, sample: Sample, rng: np.random.Generator, pictures: Pictures) -> Item:
        """As `ItemMaker`; the place of a view is a `Crop`, or row and column of the first pixel of the original."""
        flip, jitter = self.draw(rng)
        draws = rng.random(5)
        window, crop = random_crop(draws[:3], self.size)
        split = random_split(draws[3:], self.size)
        frames, windows = {}, {}
        for frame in self.frames:
            if self.local:
                part = _mirrored(window) if flip else window
                frames[frame], windows[frame] = pictures.image_and_window(sample.images[frame], part)
            else:
                frames[frame] = pictures.image(sample.images[frame])

        def item(images: dict[int, np.ndarray], place: Sequence[float] = (), **views: Item) -> Item:
            colours = jitter
            if self.each:
                colours = tuple(draw_jitter(rng, min(jitter[APPLY], 1), self.any_order) for _ in images)
            return Item(
                name=sample.name,
                images=images,
                K=self.camera(sample),
                flip=flip,
                measured=sample.measured,
                jitter=colours,
                place=tuple(place),
                views=views,
            )

        views = {}
        if self.local:
            views[LOCAL] = item(windows, crop)
        if self.reshuffled:
            height, width = self.size
            views[RESHUFFLED] = item({0: swapped(frames[0], split, flip)}, (height - split[0], width - split[1]))
        return item(frames, **views)


def random_crop(draws: Sequence[float], size: tuple[int, int]) -> tuple[Window, Crop]:
    """A window of (height, width) `size` in an image enlarged by 1.2 to 2, and where it lies in the image.

    draws: ratio, place along the rows, place along the columns, in [0, 1)
    """
    ratio = 0.8 * draws[0] + 1.2
    height, width = (int(side * ratio) for side in size)
    left, top = int((width - size[1]) * draws[1]), int((height - size[0]) * draws[2])
    return Window((height, width), top, left, *size), crop_of(size, ratio, (height, width), (top, left))


def random_split(draws: Sequence[float], size: tuple[int, int]) -> tuple[int, int]:
    """Row and column at which an image of (height, width) is split; draws: column, row, in [0, 1)."""
    return int(size[0] * (0.8 * draws[1] + 0.1)), int(size[1] * (0.8 * draws[0] + 0.1))


def swapped(image: np.ndarray, split: tuple[int, int], flip: bool = False) -> np.ndarray:
    """Blocks left and right of a column, above and below a row change their places: (3, H, W) -> (3, H, W).

    flip: the result will be mirrored, and be right then
    """
    return np.roll(image, (-split[0], split[1] if flip else -split[1]), (1, 2))


def _mirrored(window: Window) -> Window:
    """The same window of the mirrored image."""
    return Window(window.size, window.top, window.size[1] - window.width - window.left, window.height, window.width)


def view_items(args: Namespace, filter: Filter = "bilinear") -> Video:
    """`video_items` with jitter in any order, and the views that the options ask for."""
    plain = replace(video_items(args, filter), any_order=True)
    if not (args.local_crop or args.patch_reshuffle or args.jitter_per_image):
        return plain
    return VideoViews(**vars(plain), local=args.local_crop, reshuffled=args.patch_reshuffle, each=args.jitter_per_image)
