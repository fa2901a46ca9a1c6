"""Networks. `build_model` is the only place where options become one."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from errors import UserError

if TYPE_CHECKING:
    from torch import nn

    from .teacher import Teacher

METHODS = ("sgdem", "sgdepth")


def build_model(args: Namespace, pretrained: bool = False) -> nn.Module:
    """Network of ``args.method``; `pretrained` starts both encoders from ImageNet weights.

    Raises:
        UserError: when the method is unknown or the ImageNet weights cannot be fetched.
    """
    match args.method:
        case "sgdem" | "sgdepth":
            from .sgdepth import SGDepth

            return SGDepth(
                layers=args.model_num_layers,
                pose_layers=args.model_num_layers_pose,
                split_pos=args.model_split_pos,
                resolutions=args.model_depth_resolutions,
                num_classes=args.model_num_classes,
                disparity_bias=args.model_disparity_bias,
                grad_scales=(
                    getattr(args, "train_depth_grad_scale", 1.0),
                    getattr(args, "train_segmentation_grad_scale", 1.0),
                ),
                pretrained=pretrained,
                attention={
                    "variant": args.model_attention,
                    "strips": args.model_attention_strips,
                    "gain": args.model_attention_gain,
                    "aspp": args.model_aspp,
                },
            )
    raise UserError(f"--method {args.method!r}: unknown; choose one of {', '.join(METHODS)}")


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


def teacher_identity(name: str) -> dict[str, str]:
    """``name`` and ``sha256`` as in ``build_teacher(name).identity``, without loading the weights.

    Of a published file the hash has its first eight digits only, and the file need not be there. Of hub models it is
    empty.

    Raises:
        UserError: when there is no such file.
    """
    if name.startswith("hf:"):
        return {"name": name, "sha256": ""}
    from .dpt import files

    return files.identity(name)
