"""Monodepth2: a depth network and a pose network.

Source: Godard et al., Digging Into Self-Supervised Monocular Depth Estimation, ICCV 2019 (arXiv 1806.01260). Names of
modules give the keys of the published files: `<file>.<key>`, without the classifiers of the encoders.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .decoders import CHANNELS, STEPS, OutputConv2d, PaddedConv, decode, step_channels
from .encoders import ResnetEncoder
from .pose import motion_matrix, neighbour_motion, regress
from .prediction import Outputs, Prediction

MEAN, STD = 0.45, 0.225  # of all channels


class ConvBlock(nn.Module):
    """A convolution of the decoder under the name it has in published files."""

    def __init__(self, channels: int, out: int):
        super().__init__()
        self.conv = PaddedConv(channels, out)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve, without activation: (B, C, H, W) -> (B, out, H, W)."""
        return self.conv(x)


class DepthDecoder(nn.Module):
    """The ten steps of `decoders.decode`, then one output convolution per resolution."""

    def __init__(self, widths: Sequence[int], resolutions: int):
        super().__init__()
        steps = [ConvBlock(*step_channels(widths, step)) for step in range(STEPS)]
        heads = [PaddedConv(CHANNELS[4 - r], 1, OutputConv2d) for r in range(resolutions)]
        self.decoder = nn.ModuleList([*steps, *heads])

    def forward(self, features: Sequence[Tensor]) -> dict[int, Tensor]:
        """Five encoder maps, finest first -> {r: (B, 1, H/2^r, W/2^r)} sigmoid disparity, float32."""
        *skips, deepest = features
        _, finished = decode(self.decoder[:STEPS], 0, deepest, skips)
        return {r: head(finished[4 - r]).sigmoid() for r, head in enumerate(self.decoder[STEPS:])}


class PoseDecoder(nn.Module):
    """Last encoder map (B, C, h, w) -> axis-angle and translation, (B, 2, 3) each; the first of the two is used."""

    def __init__(self, channels: int):
        super().__init__()
        self.net = nn.ModuleList(
            [
                nn.Conv2d(channels, 256, 1),
                nn.Conv2d(256, 256, 3, padding=1),
                nn.Conv2d(256, 256, 3, padding=1),
                OutputConv2d(256, 12, 1),
            ]
        )

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Radians, and metres up to scale, at least float32."""
        values = regress(features, self.net[:-1], self.net[-1]).mean(3).mean(2)
        return (0.01 * values).view(-1, 2, 6).split(3, 2)


class DepthBranch(nn.Module):
    """The part of the network that predicts disparity; shares its weights unless it is copied."""

    def __init__(self, network: DepthAndMotion):
        super().__init__()
        self.encoder, self.depth = network.encoder, network.depth

    def forward(self, image: Tensor) -> Tensor:
        """Finest disparity: (B, 3, H, W) RGB in [0, 1] -> (B, 1, H, W) in (0, 1)."""
        return self.depth(self.encoder(normalise(image)))[0]


class DepthAndMotion(nn.Module):
    """A depth network and a pose network, as Monodepth2 and BDEdepth have them.

    Args:
        encoder, depth: (B, 3, H, W) normalised -> maps -> {r: (B, 1, H/2^r, W/2^r)} sigmoid disparity, float32.
        pose_encoder, pose: (B, 6, H, W) normalised -> maps, of which the last one -> axis-angle and translation.
        depth_range: depth of disparity 1 and of disparity 0, metres up to scale.

    All images are RGB in [0, 1], height and width multiples of 32; the network normalises them itself.
    """

    input_filter = "lanczos"

    def __init__(
        self,
        encoder: nn.Module,
        depth: nn.Module,
        pose_encoder: nn.Module,
        pose: nn.Module,
        depth_range: tuple[float, float],
    ):
        super().__init__()
        self.depth_range = depth_range
        self.encoder, self.depth, self.pose_encoder, self.pose = encoder, depth, pose_encoder, pose

    def forward(
        self, inputs: Sequence[dict[int, Tensor]], purposes: Sequence[str], classify: bool = False
    ) -> tuple[Outputs, ...]:
        """Predict for several data sets, one after the other: batch normalisation sees each by itself.

        Args:
            inputs: per data set, frame offset -> (B, 3, H, W); frame 0 always, -1 and 1 where motion is wanted.
            purposes: per data set, ``depth``.
            classify: must be False: this network knows no classes.

        Raises:
            ValueError: when asked for anything but depth and motion.
        """
        if classify or set(purposes) - {"depth"}:
            name = type(self).__name__
            raise ValueError(f"{name} knows depth and motion alone, got purposes {tuple(purposes)}, {classify=}")
        outputs = []
        for images in inputs:
            normal = {frame: normalise(image) for frame, image in images.items()}
            disp = self.depth(self.encoder(normal[0]))
            outputs.append(Outputs(disp=disp, motion=neighbour_motion(self._pair, normal)))
        return tuple(outputs)

    def predict(self, image: Tensor, tasks: Sequence[str] = ("depth",)) -> Prediction:
        """Depth up to scale of images (B, 3, H, W), where the tasks need it; it knows no other."""
        return self.outputs(image, tasks).prediction(self.depth_range)

    def outputs(self, image: Tensor, tasks: Sequence[str] = ("depth",)) -> Outputs:
        """What `predict` is made of, with the disparity itself; no motion."""
        return Outputs(disp=self.depth(self.encoder(normalise(image))) if "depth" in tasks else {})

    def depth_branch(self) -> DepthBranch:
        """What says disparity, without motion; the weights are shared."""
        return DepthBranch(self)

    def predict_motion(self, first: Tensor, second: Tensor) -> Tensor:
        """Points of the first camera -> the second one: images (B, 3, H, W) in temporal order -> (B, 4, 4)."""
        return self._pair(normalise(first), normalise(second))

    def _pair(self, earlier: Tensor, later: Tensor, invert: bool = False) -> Tensor:
        axisangle, translation = self.pose(self.pose_encoder(torch.cat((earlier, later), 1))[-1])
        return motion_matrix(axisangle[:, 0], translation[:, 0], invert)


class Monodepth2(DepthAndMotion):
    """The networks of Monodepth2.

    Args:
        layers, pose_layers: 18, 34, 50, 101 or 152.
        resolutions: number of disparity outputs, 1 to 4.
        depth_range: depth of disparity 1 and of disparity 0, metres up to scale.
        pretrained: start the encoders from ImageNet.
    """

    def __init__(
        self,
        layers: int = 18,
        pose_layers: int = 18,
        resolutions: int = 4,
        depth_range: tuple[float, float] = (0.1, 100.0),
        pretrained: bool = False,
    ):
        encoder = ResnetEncoder(layers, pretrained=pretrained)
        depth = DepthDecoder(encoder.widths, resolutions)
        pose_encoder = ResnetEncoder(pose_layers, images=2, pretrained=pretrained, tiled=pretrained)
        super().__init__(encoder, depth, pose_encoder, PoseDecoder(pose_encoder.widths[-1]), depth_range)


def normalise(image: Tensor) -> Tensor:
    """RGB in [0, 1] -> the range of the encoders, in the memory layout convolutions like best; any (B, 3, H, W)."""
    return ((image - MEAN) / STD).contiguous(memory_format=torch.channels_last)
