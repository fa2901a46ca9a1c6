"""SGDepth: one encoder, two decoders that part at a cut, and a pose network; with attention it is that of SGDEM.

Source: Klingner et al., Self-Supervised Monocular Depth Estimation: Solving the Dynamic Object Problem by Semantic
Guidance, ECCV 2020 (arXiv 2007.06936). Names of modules give the keys of the published checkpoints; attention has
no weights, so SGDEM shares them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from errors import UserError

from .attention import Attended
from .decoders import STEPS, Decoder, MultiResolution, OutputConv2d, exact
from .encoders import IMAGENET_MEAN, IMAGENET_STD, ResnetEncoder
from .gradients import scale_gradient
from .pose import PoseNetwork, neighbour_motion
from .prediction import Outputs, Prediction


class Shared(nn.Module):
    """Encoder, attention, and the decoder steps both tasks use."""

    def __init__(self, layers: int, cut: int, pretrained: bool, attention: Mapping[str, Any]):
        super().__init__()
        self.encoder = ResnetEncoder(layers, pretrained=pretrained)
        self.attended = Attended(self.encoder.widths, **attention)
        self.decoder = Decoder(self.encoder.widths, 0, cut)

    def forward(self, image: Tensor) -> list[Tensor]:
        """State at the cut, the four skip maps, then the finished maps, coarsest first."""
        *skips, y = self.attended(self.encoder(image))
        y, finished = self.decoder(y, skips)
        return [y, *skips, *finished]


class Tail(nn.Module):
    """Decoder steps after the cut and the outputs of one task, convolutions of a `kind`."""

    def __init__(self, widths: Sequence[int], cut: int, out: int, resolutions: int, kind: type[nn.Conv2d]):
        super().__init__()
        self.decoder = Decoder(widths, cut, STEPS)
        self.multires = MultiResolution(out, resolutions, kind)

    def forward(self, shared: Sequence[Tensor]) -> dict[int, Tensor]:
        """Outputs without activation, {r: (B, out, H/2^r, W/2^r)}."""
        y, skips, finished = shared[0], shared[1:5], shared[5:]
        _, more = self.decoder(y, skips)
        return self.multires([*finished, *more])


class DepthBranch(nn.Module):
    """The part of the network that predicts disparity; shares its weights unless it is copied."""

    def __init__(self, network: SGDepth):
        super().__init__()
        self.common, self.depth = network.common, network.depth
        self.register_buffer("mean", network.mean, persistent=False)
        self.register_buffer("std", network.std, persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """Finest disparity: (B, 3, H, W) RGB in [0, 1] -> (B, 1, H, W) in (0, 1)."""
        return self.depth(self.common(_normal(image, self.mean, self.std)))[0].sigmoid()


class SGDepth(nn.Module):
    """Depth, segmentation and camera motion.

    Args:
        layers, pose_layers: 18, 34, 50, 101 or 152.
        split_pos: 0 to 4, number of decoder stages both tasks share.
        resolutions: number of disparity outputs, 1 to 4.
        num_classes: segmentation channels; the last one of the usual 20 is background.
        disparity_bias: added to the biases of the disparity outputs.
        depth_range: depth of disparity 1 and of disparity 0, metres up to scale.
        grad_scales: weights of the depth and the segmentation gradient in the shared part.
        pretrained: start the encoders from ImageNet.
        attention: options of `attention.Attended`, which belongs to SGDEM; {} for plain SGDepth.

    All images are RGB in [0, 1]; the network normalises them itself.
    """

    def __init__(
        self,
        layers: int = 18,
        pose_layers: int = 18,
        split_pos: int = 1,
        resolutions: int = 4,
        num_classes: int = 20,
        disparity_bias: float = 5.0,
        depth_range: tuple[float, float] = (0.1, 100.0),
        grad_scales: tuple[float, float] = (0.9, 0.1),
        pretrained: bool = False,
        attention: Mapping[str, Any] = MappingProxyType({}),
    ):
        super().__init__()
        cut = max(2 * split_pos - 1, 0)
        self.common = Shared(layers, cut, pretrained, attention)
        widths = self.common.encoder.widths
        self.depth = Tail(widths, cut, 1, resolutions, OutputConv2d)
        self.seg = Tail(widths, cut, num_classes, 1, nn.Conv2d)  # classes are compared, not measured
        self.pose = PoseNetwork(pose_layers, pretrained, attended=attention.get("variant") == "released")
        self.depth_range, self.grad_scales = depth_range, grad_scales
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(3, 1, 1), persistent=False)
        with torch.no_grad():
            for conv in self.depth.multires.convs:
                conv.bias.add_(disparity_bias)

    def forward(
        self, inputs: Sequence[dict[int, Tensor]], purposes: Sequence[str], classify: bool = False, weigh: bool = False
    ) -> tuple[Outputs, ...]:
        """Predict for several data sets with one pass through the shared part.

        Args:
            inputs: per data set, frame offset -> (B, 3, H, W); frame 0 always, -1 and 1 where motion is wanted.
            purposes: per data set, ``depth`` or ``segmentation``.
            classify: also say the classes of the images of depth data sets, without gradient.
            weigh: and how sure they are.

        Raises:
            UserError: when the data sets differ in size.
        """
        sizes = {tuple(images[0].shape[-2:]) for images in inputs}
        if len(sizes) > 1:
            raise UserError(
                f"data sets of different network sizes {sorted(sizes)} cannot share one pass; "
                "make --depth-resize-* and --segmentation-crop-* equal"
            )
        normal = [{frame: self.normalise(image) for frame, image in images.items()} for images in inputs]
        shared = self.common(torch.cat([images[0] for images in normal]))
        # Cut before it is weighed: so a map has one gradient, and no zeros for the images of other data sets.
        parts = zip(*(x.split([len(images[0]) for images in normal]) for x in shared), strict=True)
        scales = dict(zip(("depth", "segmentation"), self.grad_scales, strict=True))
        predictions = []
        for images, purpose, part in zip(normal, purposes, parts, strict=True):
            mine = [scale_gradient(x, scales[purpose]) for x in part]
            ids, sure = self._classes(mine, weigh) if classify and purpose == "depth" else (None, None)
            predictions.append(
                Outputs(
                    disp=self._disparity(mine) if purpose == "depth" else {},
                    logits=self._logits(mine) if purpose == "segmentation" else None,
                    ids=ids,
                    sure=sure,
                    motion=neighbour_motion(self.pose, images),
                )
            )
        return tuple(predictions)

    def normalise(self, image: Tensor) -> Tensor:
        """RGB in [0, 1] -> ImageNet-normalised, in the memory layout convolutions like best; any (B, 3, H, W)."""
        return _normal(image, self.mean, self.std)

    def predict(self, image: Tensor, tasks: Sequence[str] = ("depth", "segmentation")) -> Prediction:
        """Depth up to scale and class scores of images (B, 3, H, W), as far as the tasks need them."""
        return self.outputs(image, tasks).prediction(self.depth_range)

    def outputs(self, image: Tensor, tasks: Sequence[str] = ("depth", "segmentation")) -> Outputs:
        """What `predict` is made of, with the disparity itself; no motion."""
        shared = self.common(self.normalise(image))
        return Outputs(
            disp=self._disparity(shared) if "depth" in tasks else {},
            logits=self._logits(shared) if "segmentation" in tasks else None,
        )

    def segment(self, image: Tensor) -> Tensor:
        """Most likely class of each pixel, (B, 3, H, W) -> (B, H, W) int64, without gradient, as in evaluation.

        Running statistics of batch normalisation are used and left as they are; the mode is restored.
        """
        was_training = self.training
        self.eval()
        try:
            with torch.no_grad():
                return self.seg(self.common(self.normalise(image)))[0].argmax(1)
        finally:
            self.train(was_training)
            _forget_casts()

    def depth_branch(self) -> DepthBranch:
        """What says disparity, without segmentation and motion; the weights are shared."""
        return DepthBranch(self)

    def predict_motion(self, first: Tensor, second: Tensor) -> Tensor:
        """Points of the first camera -> the second one: images (B, 3, H, W) in temporal order -> (B, 4, 4)."""
        return self.pose(self.normalise(first), self.normalise(second))

    def _disparity(self, shared: Sequence[Tensor]) -> dict[int, Tensor]:
        return {r: out.sigmoid() for r, out in self.depth(shared).items()}

    def _logits(self, shared: Sequence[Tensor]) -> Tensor:
        return exact(self.seg(shared)[0])

    @torch.no_grad()
    def _classes(self, shared: Sequence[Tensor], weigh: bool) -> tuple[Tensor, Tensor | None]:
        scores = self.seg(shared)[0]
        _forget_casts()
        return scores.argmax(1), _margin(exact(scores)) if weigh else None


def _forget_casts() -> None:
    """Let autocast cast weights again: older versions of PyTorch go on with those that were cast without gradient."""
    if not torch.compiler.is_compiling():  # what is compiled keeps none, and would fall in two here
        torch.clear_autocast_cache()


def _normal(image: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    return ((image - mean) / std).contiguous(memory_format=torch.channels_last)


def _margin(scores: Tensor) -> Tensor:
    """How much more probable the most likely class is than the next one: (B, C, H, W) -> (B, H, W) in [0, 1]."""
    first, second = scores.softmax(1).topk(2, 1).values.unbind(1)
    return first - second
