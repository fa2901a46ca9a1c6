"""The network: depth of one image, motion between two as in Monodepth2."""

from __future__ import annotations

from ..encoders import ResnetEncoder
from ..monodepth2 import DepthAndMotion, PoseDecoder
from .decoder import GridDecoder
from .encoders import ContextHrnet, ContextResnet


class BDEdepth(DepthAndMotion):
    """Depth and camera motion; names of modules give the keys of the published files, `<part>.<key>`.

    Args:
        backbone: of the depth encoder, ``hrnet`` or ``resnet``.
        layers: of the ResNet, 18, 34, 50, 101 or 152; HRNet-W18 has one form.
        pose_layers: of the pose ResNet.
        resolutions: number of disparity outputs, 1 to 4.
        depth_range: depth of disparity 1 and of disparity 0, metres up to scale.
        pretrained: start the encoders from ImageNet.
        weights: file with ImageNet weights of HRNet; "" for those of timm.
    """

    def __init__(
        self,
        backbone: str = "hrnet",
        layers: int = 18,
        pose_layers: int = 18,
        resolutions: int = 1,
        depth_range: tuple[float, float] = (0.1, 100.0),
        pretrained: bool = False,
        weights: str = "",
    ):
        encoder = ContextHrnet(pretrained, weights) if backbone == "hrnet" else ContextResnet(layers, pretrained)
        pose_encoder = ResnetEncoder(pose_layers, images=2, pretrained=pretrained, tiled=pretrained)
        super().__init__(
            encoder,
            GridDecoder(encoder.widths, resolutions),
            pose_encoder,
            PoseDecoder(pose_encoder.widths[-1]),
            depth_range,
        )
