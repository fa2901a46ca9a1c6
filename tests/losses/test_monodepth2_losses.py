"""The loss of Monodepth2 against the published one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from losses.depth import DepthLoss
from losses.photometric import Reference, dssim, photometric_error, pooled_mean
from losses.smoothness import edge_aware_smoothness
from perspective_resample.pose import transformation
from perspective_resample.views import Views, synthesise
from tests import golden

NAME = "monodepth2_photometric"
BATCH, HEIGHT, WIDTH = 2, 64, 96
SCALES = range(4)
DEPTH_RANGE = (0.1, 100.0)


def uniform(seed: int, *shape: int) -> Tensor:
    return torch.from_numpy(golden.uniform(seed, BATCH, *shape))


def smooth(seed: int, channels: int, height: int, width: int, step: int) -> Tensor:
    coarse = uniform(seed, channels, height // step, width // step)
    return F.interpolate(coarse, (height, width), mode="bilinear", align_corners=False)


def pooled(image: Tensor, sizes: list[tuple[int, int]]) -> list[Tensor]:
    """The images of the golden file: means of whole blocks."""
    return [F.avg_pool2d(image, image.shape[-1] // width) for _, width in sizes]


def intrinsics(height: int, width: int) -> Tensor:
    K = torch.eye(4)
    K[0, 0], K[0, 2], K[1, 1], K[1, 2] = 0.58 * width, 0.5 * width, 1.92 * height, 0.5 * height
    return K.double().expand(BATCH, 4, 4)


@dataclass
class Scene:
    """Inputs of the golden file; disparity and motion ask for gradients."""

    images: dict[int, Tensor]
    disp: dict[int, Tensor]
    axisangle: dict[int, Tensor]
    translation: dict[int, Tensor]

    def motion(self) -> dict[int, Tensor]:
        return {f: transformation(self.axisangle[f], self.translation[f], invert=f < 0) for f in (-1, 1)}

    def views(self) -> Views:
        K = intrinsics(HEIGHT, WIDTH)
        return synthesise(self.disp, self.motion(), self.images, K, torch.linalg.pinv(K), *DEPTH_RANGE)

    def loss(self, **options) -> tuple[Tensor, list[Tensor]]:
        total, terms = DepthLoss(pyramid=pooled, **options)(self.images[0], self.images, self.views().color, self.disp)
        return total, [terms[f"loss/{s}"] for s in SCALES]

    def loss_at_own_sizes(self, **options) -> tuple[Tensor, list[Tensor]]:
        """Monodepth's way: every disparity warps images of its own size."""
        losses = []
        for s, disp in self.disp.items():
            images = {f: F.avg_pool2d(image, 2**s) for f, image in self.images.items()}
            K = intrinsics(HEIGHT >> s, WIDTH >> s)
            views = synthesise({0: disp}, self.motion(), images, K, torch.linalg.pinv(K), *DEPTH_RANGE)
            losses.append(DepthLoss(smoothness=1e-3 / 2**s, **options)(images[0], images, views.color, {0: disp})[0])
        return torch.stack(losses).mean(), losses


@pytest.fixture
def scene() -> Scene:
    # The recipes are evaluated in float32 and cast up afterwards, so that only the published numbers are rounded.
    golden.load(NAME)
    sizes = {601: 0.02, 602: 0.1, 603: 0.02, 604: 0.1}
    vectors = {
        seed: ((uniform(seed, 1, 1, 3) * 2 - 1) * size).flatten(1).double().requires_grad_()
        for seed, size in sizes.items()
    }
    return Scene(
        {f: smooth(401 + j, 3, HEIGHT, WIDTH, 8).double() for j, f in enumerate((0, -1, 1))},
        {s: (0.05 + 0.4 * smooth(501 + s, 1, HEIGHT >> s, WIDTH >> s, 4)).double().requires_grad_() for s in SCALES},
        {-1: vectors[601], 1: vectors[603]},
        {-1: vectors[602], 1: vectors[604]},
    )


def assert_same_gradient(found: Tensor, expected: np.ndarray) -> None:
    """Up to 0.5 % of the pixels may choose another neighbour: their errors are equal up to rounding."""
    close = np.isclose(found.numpy(), expected, rtol=1e-3, atol=1e-7)
    assert (~close).mean() <= 0.005, (
        f"{(~close).mean():.2%} differ, at most {np.abs(found.numpy() - expected).max():.1e}"
    )


def test_losses_and_gradients_match_the_published_ones(scene):
    _, want = golden.load(NAME)
    loss, per_scale = scene.loss()
    loss.backward()
    np.testing.assert_allclose(loss.item(), want["loss/loss"], rtol=1e-5)
    np.testing.assert_allclose([x.item() for x in per_scale], [want[f"loss/{s}"] for s in SCALES], rtol=1e-5)
    for s in SCALES:
        assert_same_gradient(scene.disp[s].grad, want[f"grad_disp_{s}"])
    for f in (-1, 1):  # sums over all pixels, those that choose another neighbour among them
        golden.assert_close_to_max(scene.axisangle[f].grad, want[f"grad_axisangle_{f}"][:, 0, 0], 1e-3)
        golden.assert_close_to_max(scene.translation[f].grad, want[f"grad_translation_{f}"][:, 0, 0], 1e-3)


@pytest.mark.parametrize(
    ("variant", "options"),
    [("no_automask", {"automasking": False}), ("avg_reprojection", {"average": True}), ("no_ssim", {"ssim": False})],
)
def test_variants_match_the_published_ones(scene, variant, options):
    assert_variant(variant, *scene.loss(**options))


@pytest.mark.parametrize(
    ("variant", "options"), [("v1_multiscale", {}), ("baseline", {"automasking": False, "average": True})]
)
def test_losses_at_the_size_of_each_disparity_match_the_published_ones(scene, variant, options):
    assert_variant(variant, *scene.loss_at_own_sizes(**options))


def assert_variant(variant: str, loss: Tensor, per_scale: list[Tensor]) -> None:
    _, want = golden.load(NAME)
    np.testing.assert_allclose(loss.item(), want[f"{variant}/loss"], rtol=1e-5)
    expected = [want[f"{variant}/loss_{s}"] for s in SCALES]
    np.testing.assert_allclose([x.item() for x in per_scale], expected, rtol=1e-5)


@torch.no_grad()
def test_views_match_the_published_ones(scene):
    _, want = golden.load(NAME)
    views = scene.views()
    for f in (-1, 1):
        np.testing.assert_allclose(views.color[f][:BATCH, :, ::4, ::4], want[f"warp_{f}_scale0"], rtol=1e-5, atol=1e-5)
    grid = views.grid[-1][2 * BATCH : 3 * BATCH, ::8, ::8]
    np.testing.assert_allclose(grid, want["sample_-1_scale2"], rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_the_same_pixels_count_as_moved(scene):
    _, want = golden.load(NAME)
    reference, views = Reference.of(scene.images[0]), scene.views()
    moved = torch.stack([photometric_error(views.color[f], reference) for f in (-1, 1)]).amin(0)
    unmoved = torch.stack([photometric_error(scene.images[f], reference) for f in (-1, 1)]).amin(0)
    for s in SCALES:
        assert ((moved[s] < unmoved[0]).numpy() == want[f"not_identity_{s}"]).mean() > 0.999


def test_components_match_the_published_ones(scene):
    _, want = golden.load(NAME)
    # Where the images hardly vary, the published numbers are those of float32 sums in their order.
    image = scene.images[0].float().requires_grad_()
    other = Reference.of(scene.images[-1].float(), pooled_mean)
    dissimilarity, error = dssim(image, other)[0], photometric_error(image, other)[0]
    np.testing.assert_allclose(dissimilarity.detach()[..., ::4, ::4], want["ssim_dissimilarity"], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(dissimilarity.mean().item(), want["ssim_mean"], rtol=1e-5)
    np.testing.assert_allclose(error.detach()[:, None, ::2, ::2], want["reprojection"], rtol=1e-5, atol=1e-5)
    error.mean().backward()
    np.testing.assert_allclose(error.mean().item(), want["reprojection_mean"], rtol=1e-5)
    assert_same_gradient(image.grad[..., ::4, ::4], want["grad_reprojection_mean_wrt_pred"])
    smoothness = edge_aware_smoothness(scene.disp[0], scene.images[0])
    smoothness.backward()
    np.testing.assert_allclose(smoothness.item(), want["smooth_loss"], rtol=1e-5)
    assert_same_gradient(scene.disp[0].grad[..., ::2, ::2], want["grad_smooth"])
