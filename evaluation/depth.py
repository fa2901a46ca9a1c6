"""Depth metrics of Eigen et al. (arXiv 1406.2283), for every network that predicts depth and by any protocol."""

import logging
import math
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import pad

from errors import UserError
from perspective_resample.depth import DepthMap, Known

from .alignment import Alignment, alignment_of, fitted, median
from .boundaries import BOUNDARIES, boundary_errors
from .interface import Batch, Batches, Everywhere, Predict, Truth, alone, ignore, joined_names, require_finite
from .mirroring import with_mirror_image
from .protocols import DepthProtocol, describe_depth
from .rows import Rows

log = logging.getLogger(__name__)
METRICS = ("abs_rel", "sq_rel", "rmse", "rmse_log", "a1", "a2", "a3")
FURTHER = ("abs_diff", "log10", "rmse_log10")
POOLED = ("rmse", "rmse_log")
METRIC = ("abs_diff", "log10")  # which supervised methods report, whose depth is in metres
OnDepth = Callable[[int, Truth, Tensor, Tensor | None], None]
TENSORBOARD_NAMES = {"a1": "delta1", "a2": "delta2", "a3": "delta3"}


@dataclass(frozen=True)
class DepthResult:
    """Scores of one loader: `values` (N, M) in the order of `measures` and `ratios` (N,), both float64.

    `measures` are METRICS, and behind them what the protocol or a prediction in metres adds. Those of BOUNDARIES are
    NaN for an image whose truth has no edge, and then their means are over the other images.

    `known` and `alignment` say what the network knew and how it was aligned; "" where it was not asked. `pooled`: see
    `DepthProtocol`. `protocol` describes the evaluation, where its caller said so; see `protocols.describe_depth`.
    """

    domain: str
    names: tuple[str, ...]
    values: np.ndarray
    ratios: np.ndarray
    skipped: int
    known: Known | str
    alignment: Alignment | str
    measures: tuple[str, ...] = METRICS
    pooled: bool = False
    protocol: Mapping[str, Any] = field(default_factory=dict)

    @property
    def scaled(self) -> bool:
        """Whether the ratios tell something: the scale was taken from the truth, or said for want of one."""
        return self.alignment == "median" or (self.alignment == "fixed" and self.known == "up to scale")

    @property
    def metrics(self) -> dict[str, float]:
        """The plain mean over images of every metric, and roots of the mean square over all of them where pooled."""
        means = dict(zip(self.measures, self.values.mean(axis=0).tolist(), strict=True))
        means |= {name: _mean_of_known(self._column(name)) for name in BOUNDARIES if name in means}
        if not self.pooled:
            return means
        squares = dict(zip(self.measures, np.square(self.values).mean(axis=0).tolist(), strict=True))
        return means | {f"{name}_pooled": math.sqrt(squares[name]) for name in POOLED}

    @property
    def without_edges(self) -> int:
        """Number of images that have no boundary errors, though they were asked for."""
        return int(np.isnan(self._column(BOUNDARIES[0])).sum()) if BOUNDARIES[0] in self.measures else 0

    def _column(self, name: str) -> np.ndarray:
        return self.values[:, self.measures.index(name)]

    @property
    def rows(self) -> list[dict[str, object]]:
        """One row per image: name, metrics, scaling ratio."""
        return [
            {"name": name, **dict(zip(self.measures, values, strict=True)), "ratio": ratio}
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
        """Metrics under their TensorBoard names, and the ratios where they tell something.

        There the median is the lower of two middle ratios and the std has Bessel's correction (0 for one image).
        """
        scores = {TENSORBOARD_NAMES.get(name, name): value for name, value in self.metrics.items()}
        if not self.scaled:
            return scores
        ratios = torch.from_numpy(self.ratios)
        median = ratios.median()
        std = (ratios / median).std().item() if len(ratios) > 1 else 0.0
        return scores | {"ratio_median": median.item(), "ratio_norm_std": std}


def measures_of(protocol: DepthProtocol, known: Known | str) -> tuple[str, ...]:
    """Names of what is computed for an image: METRICS first, BOUNDARIES last."""
    return (*METRICS, *_further(protocol, known), *(BOUNDARIES if protocol.boundaries else ()))


def _further(protocol: DepthProtocol, known: Known | str) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*protocol.further, *(METRIC if known == "metres" else ()))))


def _mean_of_known(values: np.ndarray) -> float:
    """Mean of what is not NaN; NaN where nothing else is there."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else math.nan


def depth_metrics(
    truth: Tensor, prediction: Tensor, further: Sequence[str] = (), offsets: tuple[float, float] = (0.0, 0.0)
) -> Tensor:
    """The seven errors of one image, and some of FURTHER.

        abs_rel = mean(|g-p|/g)    sq_rel = mean((g-p)^2/g)    rmse = sqrt(mean((g-p)^2))
        rmse_log = sqrt(mean((ln g - ln p)^2))    a_k = share of max(g/p, p/g) < 1.25^k
        abs_diff = mean(|g-p|)    log10 = mean(|lg g - lg p|)    rmse_log10 = sqrt(mean((lg g - lg p)^2))

    offsets: metres added to every divisor, and to both depths before their logarithms are taken

    Shapes:  truth, prediction (N,) metres, > 0
    Returns: (7 + further,) float64, in the order of METRICS and `further`; rmse, sq_rel and abs_diff in metres, the
             others without unit.
    """
    truth, prediction = truth.double(), prediction.double()
    error = truth - prediction
    beside, inside = offsets
    factor = torch.maximum(truth / (prediction + beside), prediction / (truth + beside))
    logarithms = (truth + inside).log() - (prediction + inside).log()
    rmse_log = logarithms.square().mean().sqrt()
    more = {
        "abs_diff": lambda: error.abs().mean(),
        "log10": lambda: logarithms.abs().mean() / math.log(10),
        "rmse_log10": lambda: rmse_log / math.log(10),
    }
    return torch.stack(
        [
            (error.abs() / (truth + beside)).mean(),
            (error.square() / (truth + beside)).mean(),
            error.square().mean().sqrt(),
            rmse_log,
            *((factor < 1.25**k).double().mean() for k in (1, 2, 3)),
            *(more[name]() for name in further),
        ]
    )


def constant_depth(images: Tensor) -> SimpleNamespace:
    """The baseline of every depth network: the same depth everywhere."""
    return SimpleNamespace(depth=DepthMap(torch.ones_like(images[:, :1]), inverse=True, known="up to scale"))


def predicted(predict: Predict, batch: Batch, protocol: DepthProtocol) -> Iterator[DepthMap]:
    """Depth of every image of a batch, (1, 1, h, w), of the size of the network's input or of the image.

    What a network does not see of an image is as far away as predictions may be.
    """
    if protocol.view.resized:
        found = predict(batch.inputs[0]).depth
        yield from (replace(found, values=values[None]) for values in found.values)
        return
    for truth in batch.truth:
        height, width = truth.image.shape[:2]
        rows, columns = protocol.view.window((height, width))
        part = truth.image[rows, columns]
        image = torch.from_numpy(_resized(part, protocol.view.input_size(part.shape[:2]))).to(batch.inputs[0].device)
        found = predict(image.permute(2, 0, 1)[None].float() / 255).depth.at(part.shape[:2])
        farthest = 1 / protocol.clamp[1] if found.inverse else protocol.clamp[1]
        margins = (columns.start, width - columns.stop, rows.start, height - rows.stop)
        yield replace(found, values=pad(found.values, margins, value=farthest))


def _resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Pillow's bilinear resizing of an image (H, W, 3) uint8 to (height, width)."""
    if image.shape[:2] == size:
        return image.copy()
    return np.array(Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR))


def native_depth(
    found: DepthMap, target: Tensor, index: Tensor, alignment: Alignment, protocol: DepthProtocol
) -> Tensor:
    """Depth (H, W) of one image, with its shift fitted where that is not known.

    Shapes:  found (1, 1, H, W); target (N,) metres, what was measured at `index` (N,) of the flattened map
    """
    if alignment != "least squares":
        return found.depth()[0, 0]
    inverse = fitted(found.inverse_depth()[0, 0], target, index)
    return 1 / inverse.clamp_min(1 / protocol.clamp[1])


@torch.inference_mode()
def evaluate_depth(
    predict: Predict,
    batches: Batches,
    protocol: DepthProtocol,
    *,
    fixed_scaling: float = 0.0,
    on_image: OnDepth = ignore,
    everywhere: Everywhere = alone,
) -> DepthResult:
    """Judges every image of one loader.

    predict:       images (B, 3, h, w) in [0, 1], as the view of the protocol wants them -> object whose `.depth` is
                   their `DepthMap`
    fixed_scaling: multiplies all predictions; 0 aligns them as the protocol says
    on_image:      gets the position among `batches`, the truth and the depth (H, W) of every image, shift fitted where
                   needed, but neither scaled nor clamped; and what it is scaled by, None where no pixel counts
    everywhere:    gathers what all ranks found in their batches

    Images without a valid pixel are skipped and counted.
    Raises: UserError when none is left, or a fixed scaling does not fit what the network knows.
    """
    if protocol.flip:
        predict = with_mirror_image(predict, blend=protocol.blend)

    def share() -> DepthResult:
        names: list[str] = []
        scores = Rows()
        position, domain, known, alignment = 0, "", "", ""
        for batch in batches:
            domain = batch.spec.domain
            for truth, found in zip(batch.truth, predicted(predict, batch, protocol), strict=True):
                known = found.known
                alignment = alignment_of(known, protocol.alignment, fixed_scaling)
                # Found on the host, where the ground truth is: their number is then known without asking the device,
                # and only they travel.
                counted = protocol.counted(truth.depth, truth.image.shape[:2])
                index = torch.from_numpy(counted).to(found.values.device, non_blocking=True)
                target = torch.from_numpy(truth.depth.reshape(-1)[counted]).to(index.device, non_blocking=True)
                depth = native_depth(found.at(truth.depth.shape, protocol.resize), target, index, alignment, protocol)
                found_there, ratio = depth.reshape(-1)[index], None
                if len(counted):
                    ratio = _ratio(target, found_there, protocol, alignment, fixed_scaling)
                    names.append(truth.name)
                    judged = (found_there * ratio).clamp(*protocol.clamp)
                    score = depth_metrics(target, judged, _further(protocol, known), protocol.offsets)
                    scores.append(torch.cat([ratio.double()[None], score, *_edges(protocol, truth, counted, judged)]))
                on_image(position, truth, depth, ratio)
                position += 1
        measures = measures_of(protocol, known)
        table = scores.table().numpy() if scores else np.zeros((0, 1 + len(measures)))
        skipped = position - len(names)
        return DepthResult(domain, tuple(names), table[:, 1:], table[:, 0], skipped, known, alignment, measures)

    parts = everywhere(share)
    domain, names = joined_names(parts)
    skipped = sum(part.skipped for part in parts)
    if not names:
        raise UserError(
            f"{domain or 'depth evaluation'}: none of {skipped} images has a valid ground-truth pixel; "
            "check the ground truth with python -m dataloader.check"
        )
    full = [part for part in parts if part.names]  # a share without images does not know all measures
    values, ratios = (np.concatenate([getattr(part, name) for part in full]) for name in ("values", "ratios"))
    require_finite(domain, names, ~np.isnan(values[:, : len(METRICS)]).any(axis=1))
    known, alignment = (max(getattr(part, name) for part in parts) for name in ("known", "alignment"))
    result = DepthResult(domain, names, values, ratios, skipped, known, alignment, full[0].measures, protocol.pooled)
    if result.without_edges:
        log.warning(
            "%s: the truth of %d of %d images has no depth edge; %s leave them out",
            *(domain, result.without_edges, len(names), " and ".join(BOUNDARIES)),
        )
    return result


def judge_depth(
    args: Namespace,
    predict: Predict,
    batches: Batches,
    protocol: DepthProtocol,
    *,
    ground_truth: str,
    network: Mapping[str, Any],
    **how: Any,
) -> DepthResult:
    """Judges one loader as options say; the result tells how, for metrics.json.

    predict, batches, protocol: as for `evaluate_depth`, and so what is in `how`
    ground_truth: what it is
    network: description of what predicts
    """
    fixed_scaling = args.depth_validation_fixed_scaling
    result = evaluate_depth(predict, batches, protocol, fixed_scaling=fixed_scaling, **how)
    told = describe_depth(
        protocol,
        ground_truth=ground_truth,
        alignment=result.alignment,
        fixed_scaling=fixed_scaling,
        size=(args.depth_validation_resize_height, args.depth_validation_resize_width),
        network=network,
    )
    return replace(result, protocol=told)


def _ratio(
    target: Tensor, found: Tensor, protocol: DepthProtocol, alignment: Alignment, fixed_scaling: float
) -> Tensor:
    """What the prediction of one image is multiplied with, from its pixels (N,) that count."""
    if alignment == "median":
        return median(target, protocol.lower_median) / median(found, protocol.lower_median)
    return found.new_tensor(fixed_scaling if alignment == "fixed" else 1.0)


def _edges(protocol: DepthProtocol, truth: Truth, counted: np.ndarray, found: Tensor) -> tuple[Tensor, ...]:
    """Boundary errors (2,) of one image where they are asked for.

    found (N,) metres: predictions for the pixels `counted` of the flattened truth, aligned and clamped
    """
    if not protocol.boundaries:
        return ()
    known, depth = np.zeros(truth.depth.size, bool), np.zeros(truth.depth.size)
    known[counted], depth[counted] = True, found.double().cpu().numpy()
    maps = (truth.depth, depth.reshape(truth.depth.shape), known.reshape(truth.depth.shape))
    return (torch.from_numpy(boundary_errors(*(each[None] for each in maps))[0]).to(found.device),)
