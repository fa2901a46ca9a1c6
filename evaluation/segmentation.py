"""Segmentation scores from one confusion matrix over the whole set, as SGDepth counts them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from errors import UserError

from .interface import Batches, Everywhere, Predict, Truth, alone, ignore, joined_names, require_finite
from .rows import Rows

VOID = 19
"""The channel behind Cityscapes' 19 train ids; no ground truth ever names it."""
NOT_FINITE = -1
"""Instead of the counts of an image whose logits are NaN or infinite: its most likely class means nothing."""


@dataclass(frozen=True)
class SegmentationResult:
    """Confusion matrices (N, C, C) int64 of N images, rows = ground truth."""

    domain: str
    names: tuple[str, ...]
    confusions: np.ndarray
    skipped: int

    @property
    def scores(self) -> dict[str, np.ndarray | float]:
        """All scores over the whole set, see `segmentation_scores`."""
        return segmentation_scores(self.confusions.sum(axis=0))

    @property
    def metrics(self) -> dict[str, float]:
        """The two published numbers; accuracy is the mean over classes."""
        return _published(self.scores)

    @property
    def rows(self) -> list[dict[str, object]]:
        """One row per image: name and the scores of this image alone."""
        scores = (segmentation_scores(confusion) for confusion in self.confusions)
        return [{"name": name} | _published(score) for name, score in zip(self.names, scores, strict=True)]

    @property
    def void_share(self) -> float:
        """Share of judged pixels that were predicted as the void channel.

        Above 0 its IoU is 0 instead of undefined, and the mean is over 20 classes instead of 19. Only the usual 20
        outputs have such a channel; for others this is 0.
        """
        total = self.confusions.sum(axis=0)
        return float(total[:, VOID].sum() / total.sum()) if len(total) == VOID + 1 else 0.0

    def scalars(self) -> dict[str, float]:
        """The five scalar scores under their TensorBoard names."""
        return {name: float(value) for name, value in self.scores.items() if np.ndim(value) == 0}


def confusion_matrix(labels: Tensor, ids: Tensor, classes: int) -> Tensor:
    """Counts pairs of (truth, prediction); truth outside [0, classes) is ignored.

    Shapes:  labels, ids: equal, integer; ids in [0, classes)
    Returns: (classes, classes) int64, rows = ground truth
    """
    labels, ids = labels.reshape(-1).long(), ids.reshape(-1).long()
    # What is ignored goes to one bin behind the others: selecting by a mask would cost another pass.
    pairs = torch.where((labels >= 0) & (labels < classes), labels * classes + ids, classes**2)
    # `bincount` would ask the device for the largest pair first.
    counts = torch.zeros(classes**2 + 1, dtype=torch.int64, device=pairs.device)
    return counts.scatter_add_(0, pairs, torch.ones_like(pairs))[:-1].view(classes, classes)


def segmentation_scores(confusion: np.ndarray) -> dict[str, np.ndarray | float]:
    """Scores of a confusion matrix (C, C), rows = ground truth.

        iou = diag/(row+col-diag)    acc = diag/row    prec = diag/col    mean* = mean over the defined classes
        totalacc = trace/sum         freqwacc = sum of iou weighted by the share of ground truth

    Returns: iou, acc, prec (C,) with NaN where undefined; meaniou, totalacc, meanacc, meanprec, freqwacc.
    """
    confusion = confusion.astype(np.float64)
    hit, row, column = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        iou, acc, prec = hit / (row + column - hit), hit / row, hit / column
        share, totalacc = row / row.sum(), hit.sum() / row.sum()
    present = row > 0
    return {
        "iou": iou,
        "acc": acc,
        "prec": prec,
        "meaniou": _nanmean(iou),
        "totalacc": float(totalacc),
        "meanacc": _nanmean(acc),
        "meanprec": _nanmean(prec),
        "freqwacc": float((share[present] * iou[present]).sum()),
    }


def native_ids(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Most likely class at (height, width) `size`, nearest.

    Nearest resizing only repeats pixels, so choosing the class first gives the same ids for a fraction of the work.

    Shapes:  logits (1, C, h, w)
    Returns: (height, width) uint8
    """
    ids = logits.argmax(1, keepdim=True).to(torch.uint8)
    return interpolate(ids, size, mode="nearest")[0, 0]


@torch.inference_mode()
def evaluate_segmentation(
    predict: Predict,
    batches: Batches,
    *,
    on_image: Callable[[int, Truth, Tensor], None] = ignore,
    everywhere: Everywhere = alone,
) -> SegmentationResult:
    """Judges every image of one loader at its own size.

    predict:    images -> object with `.logits` (B, C, h, w)
    on_image:   gets the position among `batches`, the truth and the predicted ids (H, W) of every image
    everywhere: gathers what all ranks found in their batches

    Images without a labelled pixel are skipped and counted.  Raises: UserError when none is left.
    """

    def share() -> SegmentationResult:
        names: list[str] = []
        confusions = Rows()
        domain = ""
        for batch in batches:
            domain = batch.spec.domain
            logits = predict(batch.inputs[0]).logits
            for sample, truth in enumerate(batch.truth):
                ids = native_ids(logits[sample : sample + 1], truth.labels.shape)
                on_image(len(names), truth, ids)
                labels = torch.from_numpy(truth.labels).to(ids.device, non_blocking=True)
                confusion = confusion_matrix(labels, ids, logits.shape[1])
                confusions.append(torch.where(logits[sample].isfinite().all(), confusion, NOT_FINITE))
                names.append(truth.name)
        table = confusions.table().numpy() if confusions else np.zeros((0, 0, 0), np.int64)
        judged = table.any(axis=(1, 2))
        kept = tuple(name for name, keep in zip(names, judged, strict=True) if keep)
        return SegmentationResult(domain, kept, table[judged], int((~judged).sum()))

    parts = everywhere(share)
    domain, names = joined_names(parts)
    skipped = sum(part.skipped for part in parts)
    if not names:
        raise UserError(
            f"{domain or 'segmentation evaluation'}: none of {skipped} images has a labelled pixel; "
            "check the labels with python -m dataloader.check"
        )
    confusions = np.concatenate([part.confusions for part in parts if part.names])
    require_finite(domain, names, (confusions != NOT_FINITE).all(axis=(1, 2)))
    return SegmentationResult(domain, names, confusions, skipped)


def _nanmean(values: np.ndarray) -> float:
    """Mean over the defined values; NaN without a warning where there is none."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")


def _published(scores: dict[str, np.ndarray | float]) -> dict[str, float]:
    return {"miou": float(scores["meaniou"]), "accuracy": float(scores["meanacc"])}
