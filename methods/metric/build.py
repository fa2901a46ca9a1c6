"""What methods check in common that learn from measured depth. Imports no torch."""

from __future__ import annotations

from argparse import Namespace

from errors import UserError


def check_crop(args: Namespace, multiple: int) -> None:
    """Refuse a crop of training images whose sides the network cannot halve as often as it does.

    multiple: that sides must be; 0, all of the image, is not looked at

    Raises:
        UserError: naming the option.
    """
    for side, length in (("height", args.depth_crop_height), ("width", args.depth_crop_width)):
        if length % multiple:
            lower = length - length % multiple
            near = f"nearest are {lower} and {lower + multiple}" if lower else f"the nearest is {multiple}"
            raise UserError(f"--depth-crop-{side} {length}: not a multiple of {multiple}; {near}")
