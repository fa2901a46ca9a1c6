"""A network with the interface of the real ones, of which a step takes milliseconds."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from models.prediction import Outputs, Prediction
from perspective_resample.depth import DepthMap, scale_disparity
from perspective_resample.pose import transformation


class Network(nn.Module):
    """The least that can be trained with all losses: one layer with normalisation, and an output for everything.

    Parts that are set to zero say what those of the real networks do: `depth` disparity, `motion` the camera's.
    """

    depth_range = (0.1, 100.0)

    def __init__(self) -> None:
        super().__init__()
        self.common = nn.Sequential(nn.Conv2d(3, 20, 3, padding=1), nn.BatchNorm2d(20))
        self.depth = nn.Conv2d(20, 1, 3, padding=1)
        self.motion = nn.Conv2d(20, 6, 1)

    def forward(self, inputs: list[dict[int, Tensor]], purposes: list[str], classify: bool = False) -> list[Outputs]:
        found = []
        for images, purpose in zip(inputs, purposes, strict=True):
            state, depth = self.common(images[0]), purpose == "depth"
            motion = 0.01 * self.motion(state).float().mean((2, 3))
            found.append(
                Outputs(
                    disp={0: self.depth(state).float().sigmoid()} if depth else {},
                    logits=None if depth else state.float(),
                    ids=state.argmax(1) if depth and classify else None,
                    motion={f: transformation(motion[:, :3], f * motion[:, 3:]) for f in images if f and depth},
                )
            )
        return found

    def predict(self, image: Tensor, tasks: Sequence[str]) -> Prediction:
        (found,) = self.forward([{0: image}], ["depth"])
        depth = DepthMap(scale_disparity(found.disp[0], *self.depth_range), inverse=True, known="up to scale")
        return Prediction(depth, self.common(image).float() if "segmentation" in tasks else None)

    def predict_motion(self, first: Tensor, second: Tensor) -> Tensor:
        return self.forward([{0: first, 1: second}], ["depth"])[0].motion[1]

    def segment(self, image: Tensor) -> Tensor:
        return (20 * image.mean(1)).nan_to_num(0).long()

    def depth_branch(self) -> nn.Module:
        return nn.Sequential(self.common, self.depth, nn.Sigmoid())
