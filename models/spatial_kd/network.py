"""The network: half the size of the image inside, metres at the size of the image outside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from perspective_resample.input_view import NYU_OF_SPATIAL_KD

from ..metric import MetricNetwork, in_metres
from ..prediction import Prediction
from .decoder import BasicDecoder, Replacement
from .encoders import build_encoder


@dataclass(frozen=True)
class Decoded:
    """What a student says of images in training.

    depth:  (B, 1, H, W) metres, float32
    maps:   results of the five steps of the decoder, after replacement, coarsest first
    before: the maps that were replaced, as they were: the deepest of the encoder, then those of the first steps
    """

    depth: Tensor
    maps: Sequence[Tensor]
    before: Sequence[Tensor]


class SpatialKD(MetricNetwork):
    """Depth in metres by an encoder, its converters and the basic decoder.

    Args:
        encoder: ``resnext101`` (the published teacher), ``resnet50``, ``resnet18`` or ``mobilenetv2``.
        residuals: whether MobileNetV2 has all of its skip connections, see `encoders.ConvertedMobilenet`.
        norm: normalisation in the decoder, ``GN`` or ``BN``.
        max_depth: metres.
        pretrained: start the encoder from ImageNet.
    """

    views = {"nyu_v2": NYU_OF_SPATIAL_KD}

    def __init__(
        self,
        encoder: str = "mobilenetv2",
        residuals: bool = True,
        norm: str = "GN",
        max_depth: float = 80.0,
        pretrained: bool = False,
    ):
        super().__init__(max_depth)
        self.encoder = build_encoder(encoder, residuals, pretrained)
        self.decoder = BasicDecoder(norm)
        self.student = False
        self.register_load_state_dict_pre_hook(_keep_decoder)

    def take_decoder(self, teacher: SpatialKD) -> None:
        """Go on as a student: with the decoder of the teacher, which neither learns nor is loaded from elsewhere."""
        self.decoder.load_state_dict(teacher.decoder.state_dict())
        self.decoder.requires_grad_(False)
        self.student = True
        self.train(self.training)

    def train(self, mode: bool = True) -> SpatialKD:
        """The decoder of a student stays in evaluation mode."""
        super().train(mode)
        if self.student:
            self.decoder.eval()
        return self

    def maps(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """What a teacher is asked for: the deepest map of the encoder and the five of the decoder, coarsest first."""
        half = self._half(image)
        features = self.encoder(half)
        return features[-1], self.decoder(features, tuple(half.shape[-2:]))[0]

    def forward(
        self, images: Sequence[Tensor], replacements: Sequence[Sequence[Replacement]] = ()
    ) -> tuple[Decoded, ...]:
        """Depth of several data sets, one after the other: batch normalisation sees each by itself.

        images:       RGB in [0, 1], (B, 3, H, W), sides multiples of 32
        replacements: of each data set, see `BasicDecoder.forward`
        """
        return tuple(
            self._decoded(image, replacements[number] if replacements else ()) for number, image in enumerate(images)
        )

    def depth(self, image: Tensor) -> Tensor:
        """Images (B, 3, H, W) in [0, 1], sides multiples of 32 -> metres (B, 1, H, W)."""
        return self._decoded(image, ()).depth

    def predict(self, image: Tensor, tasks: Sequence[str] = ("depth",)) -> Prediction:
        """Depth in metres of images as `depth` takes them; it knows no other task."""
        return Prediction(in_metres(self.depth(image))) if "depth" in tasks else Prediction()

    def _decoded(self, image: Tensor, replacements: Sequence[Replacement]) -> Decoded:
        half = self._half(image)
        maps, before = self.decoder(self.encoder(half), tuple(half.shape[-2:]), replacements)
        depth = self.max_depth * self.decoder.output(maps[-1]).sigmoid()
        return Decoded(F.interpolate(depth, image.shape[-2:], mode="bilinear", align_corners=False), maps, before)

    def _half(self, image: Tensor) -> Tensor:
        return F.interpolate(self.normalise(image), scale_factor=0.5, mode="bilinear", align_corners=False)


def _keep_decoder(network: SpatialKD, state: dict[str, Tensor], prefix: str, *_: object) -> None:
    """Let a student, which may begin from any network, keep the decoder that the features of its teacher are of."""
    if network.student:
        state.update(network.decoder.state_dict(prefix=f"{prefix}decoder."))
