"""The pose network: motion between two frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from perspective_resample.pose import transformation

from .attention import StripAttention
from .decoders import OutputConv2d, exact
from .encoders import ResnetEncoder


def regress(features: Tensor, convolutions: Iterable[nn.Module], last: nn.Module) -> Tensor:
    """Convolutions with a ReLU each, then the last one without: (B, C, h, w) -> (B, out, h, w)."""
    for convolution in convolutions:
        features = F.relu(convolution(features))
    return last(features)


def motion_matrix(axisangle: Tensor, translation: Tensor, invert: bool) -> Tensor:
    """`transformation` outside autocast: (B, 3) each, of any precision -> (B, 4, 4), at least float32."""
    with torch.autocast(axisangle.device.type, enabled=False):
        return transformation(exact(axisangle), exact(translation), invert)


def neighbour_motion(pair: Callable[..., Tensor], images: dict[int, Tensor]) -> dict[int, Tensor]:
    """Points of the target camera -> the cameras of its neighbours.

    Args:
        pair: motion of (earlier, later) images, (B, 4, 4), from the earlier camera to the later one; with
            ``invert=True`` the other way round.
        images: frame offset -> (B, 3, H, W); frame 0, and -1 and 1 where their motion is wanted.
    """
    # Two passes on purpose: batch normalisation sees each pair by itself, as in the published training.
    motion = {}
    if -1 in images:
        motion[-1] = pair(images[-1], images[0], invert=True)
    if 1 in images:
        motion[1] = pair(images[0], images[1])
    return motion


class PoseDecoder(nn.Module):
    """Last encoder map (B, C, h, w) -> axis-angle and translation, (B, 3) each.

    Starts with small motions: weight and bias of the last convolution are multiplied by 0.01 once.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.squeeze = nn.Conv2d(channels, 256, 1)
        self.conv_1 = nn.Conv2d(256, 256, 3, padding=1)
        self.conv_2 = nn.Conv2d(256, 256, 3, padding=1)
        self.conv_3 = OutputConv2d(256, 6, 1)
        with torch.no_grad():
            self.conv_3.weight.mul_(0.01)
            self.conv_3.bias.mul_(0.01)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Radians, and metres up to scale, at least float32."""
        values = regress(features, (self.squeeze, self.conv_1, self.conv_2), self.conv_3)
        return values.mean((2, 3)).split(3, 1)


class PoseNetwork(nn.Module):
    """Motion between two normalised images in temporal order.  Source: SGDepth, after Monodepth2.

    attended: attend to the last map in one piece, as the released SGDEM code does.
    """

    def __init__(self, layers: int, pretrained: bool = False, attended: bool = False):
        super().__init__()
        self.attention = StripAttention(1) if attended else nn.Identity()
        self.encoder = ResnetEncoder(layers, images=2, pretrained=pretrained)
        self.decoder = PoseDecoder(self.encoder.widths[-1])

    def forward(self, earlier: Tensor, later: Tensor, invert: bool = False) -> Tensor:
        """Points of the earlier camera -> the later one; `invert`: the other way round.

        Shapes:  earlier, later (B, 3, H, W) ImageNet-normalised.    Returns: (B, 4, 4), at least float32.
        """
        axisangle, translation = self.decoder(self.attention(self.encoder(torch.cat((earlier, later), 1))[-1]))
        return motion_matrix(axisangle, translation, invert)
