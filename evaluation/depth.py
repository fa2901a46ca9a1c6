"""Depth metrics of Eigen et al. (arXiv 1406.2283) with the per-image median scaling customary since Zhou et al."""

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from errors import UserError
from perspective_resample.depth import scale_disparity

from .interface import Batch, Batches, Everywhere, Loader, Predict, Truth, alone, ignore, joined_names, require_numbers
from .protocols import CLAMPS, MASKS
from .rows import Rows

METRICS = ("abs_rel", "sq_rel", "rmse", "rmse_log", "a1", "a2", "a3")
OnDepth = Callable[[int, Truth, Tensor], None]
Counts = Callable[[Truth, Loader], np.ndarray]
TENSORBOARD_NAMES = {"a1": "delta1", "a2": "delta2", "a3": "delta3"}


@dataclass(frozen=True)
class DepthResult:
    """Scores of one loader: `values` (N, 7) in the order of METRICS and `ratios` (N,), both float64."""

    domain: str
    names: tuple[str, ...]
    values: np.ndarray
    ratios: np.ndarray
    skipped: int

    @property
    def metrics(self) -> dict[str, float]:
        """The plain mean over images of every metric."""
        return dict(zip(METRICS, self.values.mean(axis=0).tolist(), strict=True))

    @property
    def rows(self) -> list[dict[str, object]]:
        """One row per image: name, metrics, scaling ratio."""
        return [
            {"name": name, **dict(zip(METRICS, values, strict=True)), "ratio": ratio}
            for name, values, ratio in zip(self.names, self.values.tolist(), self.ratios.tolist(), strict=True)
        ]

    def scaling(self, first_quarter: bool = False) -> tuple[float, float]:
        """Median of the scaling ratios and the population std of ratio/median, as the console prints them.

        first_quarter: only the first quarter of the images enters (one image at least).
        """
        ratios = self.ratios[: max(1, len(self.ratios) // 4)] if first_quarter else self.ratios
        median = float(np.median(ratios))
        return median, float(np.std(ratios / median))

    def scalars(self) -> dict[str, float]:
        """Metrics under their TensorBoard names.

        There the median is the lower of two middle ratios and the std has Bessel's correction (0 for one image).
        """
        ratios = torch.from_numpy(self.ratios)
        median = ratios.median()
        spread = (ratios / median).std().item() if len(ratios) > 1 else 0.0
        scores = {TENSORBOARD_NAMES.get(name, name): value for name, value in self.metrics.items()}
        return scores | {"ratio_median": median.item(), "ratio_norm_std": spread}


def depth_metrics(truth: Tensor, prediction: Tensor) -> Tensor:
    """The seven errors of one image.

        abs_rel = mean(|g-p|/g)    sq_rel = mean((g-p)^2/g)    rmse = sqrt(mean((g-p)^2))
        rmse_log = sqrt(mean((ln g - ln p)^2))    a_k = share of max(g/p, p/g) < 1.25^k

    Shapes:  truth, prediction (N,) metres, > 0
    Returns: (7,) float64, in the order of METRICS; rmse in metres, sq_rel too, the others without unit.
    """
    truth, prediction = truth.double(), prediction.double()
    error = truth - prediction
    factor = torch.maximum(truth / prediction, prediction / truth)
    return torch.stack(
        [
            (error.abs() / truth).mean(),
            (error.square() / truth).mean(),
            error.square().mean().sqrt(),
            (truth.log() - prediction.log()).square().mean().sqrt(),
            *((factor < 1.25**k).double().mean() for k in (1, 2, 3)),
        ]
    )


def median(values: Tensor) -> Tensor:
    """NumPy's median, the mean of the two middle values.  (N,) -> scalar of the same dtype."""
    ordered = values.sort().values
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2


def native_depth(disp: Tensor, size: tuple[int, int], depth_min: float, depth_max: float) -> Tensor:
    """Network disparity of one image -> depth at (height, width) `size`, up to scale.

    The scaled disparity is resized and then inverted; the other order blurs edges towards the far side.

    Shapes:  disp (1, 1, h, w) in (0, 1)
    Returns: (height, width) float32
    """
    scaled = scale_disparity(disp.float(), depth_min, depth_max)
    return 1 / interpolate(scaled, size, mode="bilinear", align_corners=False)[0, 0]


def constant_depth(images: Tensor) -> SimpleNamespace:
    """A prediction that knows nothing: the same disparity everywhere, the yardstick of every depth network."""
    batch, _, height, width = images.shape
    return SimpleNamespace(disp={0: images.new_full((batch, 1, height, width), 0.5)}, logits=None)


def evaluate_depth(
    predict: Predict,
    batches: Batches,
    *,
    depth_min: float,
    depth_max: float,
    fixed_scaling: float = 0.0,
    on_image: OnDepth = ignore,
    everywhere: Everywhere = alone,
) -> DepthResult:
    """Judges every image of one loader by the mask and the clamp that the loader names.

    predict:       images -> object whose `.disp[0]` is the network disparity (B, 1, h, w)
    depth_min/max: metres, what disparity 1 and 0 stand for
    fixed_scaling: multiplies all predictions; 0 scales every image by its median ratio
    on_image:      gets the position among `batches`, the truth and the unscaled, unclamped depth (H, W) of every image
    everywhere:    takes in what other processes found in their batches

    Images without a valid pixel are skipped and counted.  Raises: UserError when none is left.
    """

    def depths(batch: Batch) -> list[Tensor]:
        disp = predict(batch.inputs[0]).disp[0]
        return [
            native_depth(disp[sample : sample + 1], truth.depth.shape, depth_min, depth_max)
            for sample, truth in enumerate(batch.truth)
        ]

    return judge(depths, batches, fixed_scaling=fixed_scaling, on_image=on_image, everywhere=everywhere)


def inside_mask(truth: Truth, spec: Loader) -> np.ndarray:
    """Pixels (H, W) that count by the mask of the loader."""
    return MASKS[spec.mask].valid(truth.depth)


@torch.inference_mode()
def judge(
    depths: Callable[[Batch], list[Tensor]],
    batches: Batches,
    *,
    fixed_scaling: float = 0.0,
    on_image: OnDepth = ignore,
    counts: Counts = inside_mask,
    everywhere: Everywhere = alone,
) -> DepthResult:
    """As `evaluate_depth`, for anything that knows depth.

    depths: batch -> depth (H, W) of every image, at the size of its truth
    counts: which of its pixels count
    """

    def share() -> DepthResult:
        names: list[str] = []
        scores = Rows()
        position = 0
        domain = ""
        for batch in batches:
            domain = batch.spec.domain
            for truth, depth in zip(batch.truth, depths(batch), strict=True):
                on_image(position, truth, depth)
                position += 1
                score = _score(truth, depth, batch.spec, fixed_scaling, counts)
                if score is not None:
                    names.append(truth.name)
                    scores.append(score)
        table = scores.table().numpy() if scores else np.zeros((0, 1 + len(METRICS)))
        return DepthResult(domain, tuple(names), table[:, 1:], table[:, 0], position - len(names))

    parts = everywhere(share)
    domain, names = joined_names(parts)
    skipped = sum(part.skipped for part in parts)
    if not names:
        raise UserError(
            f"{domain or 'depth evaluation'}: none of {skipped} images has a valid ground-truth pixel; "
            "check the ground truth with python -m dataloader.check"
        )
    values, ratios = (np.concatenate([getattr(part, name) for part in parts]) for name in ("values", "ratios"))
    require_numbers(domain, names, ~np.isnan(values).any(axis=1))
    return DepthResult(domain, names, values, ratios, skipped)


def _score(truth: Truth, depth: Tensor, spec: Loader, fixed_scaling: float, counts: Counts) -> Tensor | None:
    """Ratio and metrics (8,) of one image, on the device; None where nothing is valid.

    Valid pixels are found on the host, where the ground truth is: their number is then known without asking
    the device, and only they travel.
    """
    index = np.flatnonzero(counts(truth, spec))
    if not len(index):
        return None
    target = torch.from_numpy(truth.depth.reshape(-1)[index]).to(depth.device, non_blocking=True)
    found = depth.reshape(-1)[torch.from_numpy(index).to(depth.device, non_blocking=True)]
    ratio = depth.new_tensor(fixed_scaling) if fixed_scaling else median(target) / median(found)
    found = (found * ratio).clamp(*CLAMPS[spec.clamp])
    return torch.cat([ratio.double()[None], depth_metrics(target, found)])
