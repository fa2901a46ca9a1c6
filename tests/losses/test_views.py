"""The losses of further views against the published ones, and by their properties."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from losses.depth import DepthLoss
from losses.views import Compared, ViewsLoss, scale_invariant_log
from perspective_resample.crop import crop_of, cropped_camera, enlarged_motion
from perspective_resample.pose import transformation
from perspective_resample.rearrange import permuted_back
from perspective_resample.views import synthesise
from tests import golden
from tests.losses.test_monodepth2_losses import assert_same_gradient, intrinsics, smooth

NAME = "bdedepth_losses"
SIZE = (64, 96)
DEPTH_RANGE = (0.1, 100.0)
VIEWS = ("ori", "local", "reshuffle")


def drawn(draws: list[float]) -> tuple[tuple[float, ...], tuple[int, int]]:
    """The crop and the first pixel of the reshuffled view, from the published draws."""
    u = draws
    ratio = 0.8 * u[0] + 1.2
    enlarged = tuple(int(side * ratio) for side in SIZE)
    corner = (int((enlarged[0] - SIZE[0]) * u[2]), int((enlarged[1] - SIZE[1]) * u[1]))
    split_x, split_y = (SIZE[1] - int(SIZE[1] * (0.8 * u[3] + 0.1)), SIZE[0] - int(SIZE[0] * (0.8 * u[4] + 0.1)))
    return crop_of(SIZE, ratio, enlarged, corner), (split_y, split_x)


@dataclass
class Scene:
    """Inputs of the golden file; disparity and motion ask for gradients."""

    images: dict[int, Tensor]
    local: dict[int, Tensor]
    disp: dict[str, Tensor]
    vectors: dict[int, tuple[Tensor, Tensor]]
    crops: Tensor
    first: Tensor

    def motion(self) -> dict[int, Tensor]:
        return {f: transformation(*self.vectors[f], invert=f < 0) for f in (-1, 1)}

    def restored(self) -> Tensor:
        return permuted_back(self.disp["reshuffle"], self.first)

    def compared(self, reshuffled: bool = True) -> tuple[Compared, Compared]:
        K = intrinsics(*SIZE)
        inv_K, motion = torch.linalg.inv(K), self.motion()
        disps = [self.disp["ori"], *([self.restored()] if reshuffled else [])]
        views = synthesise({0: torch.cat(disps)}, motion, self.images, K, inv_K, *DEPTH_RANGE)
        moved = {f: enlarged_motion(T, self.crops) for f, T in motion.items()}
        near = synthesise(
            {0: self.disp["local"]}, moved, self.local, *cropped_camera(K, inv_K, self.crops), *DEPTH_RANGE
        )
        return (
            Compared(self.images, views.color, {0: torch.cat(disps)}),
            Compared(self.local, near.color, {0: self.disp["local"]}),
        )

    def loss(self, local: bool = True, reshuffled: bool = True, **options) -> tuple[Tensor, dict[str, Tensor]]:
        image, near = self.compared(reshuffled)
        more = (near, self.crops) if local else ()
        loss = ViewsLoss(DepthLoss(**options), DEPTH_RANGE)
        return loss(image, *more)


@pytest.fixture
def scene() -> Scene:
    meta, _ = golden.load(NAME)

    def vector(seed: int, size: float) -> Tensor:
        values = torch.from_numpy(golden.uniform(seed, 2, 1, 1, 3)) * 2 - 1
        return (values * size).flatten(1).double().requires_grad_()

    crops, first = zip(*map(drawn, meta["draws"]), strict=True)
    return Scene(
        {f: smooth(501 + j, 3, *SIZE, 8).double() for j, f in enumerate((0, -1, 1))},
        {f: smooth(511 + j, 3, *SIZE, 8).double() for j, f in enumerate((0, -1, 1))},
        {
            view: (0.05 + 0.4 * smooth(601 + 10 * i, 1, *SIZE, 4)).double().requires_grad_()
            for i, view in enumerate(VIEWS)
        },
        {-1: (vector(701, 0.02), vector(702, 0.1)), 1: (vector(703, 0.02), vector(704, 0.1))},
        torch.tensor(crops, dtype=torch.float64),
        torch.tensor(first),
    )


def test_losses_and_gradients_match_the_published_ones(scene):
    _, want = golden.load(NAME)
    loss, terms = scene.loss()
    loss.backward()
    found = {
        "loss": loss,
        "loss_base": terms["loss_depth"],
        "loss_base_ori": terms["loss_depth/image"],
        "loss_base_local": terms["loss_depth/local"],
        "loss_base_reshuffle": terms["loss_depth/reshuffled"],
        "loss_dc": terms["loss_consistency"] / 0.07,
    }
    for name, value in found.items():
        np.testing.assert_allclose(value.item(), want[f"loss/{name}"], rtol=1e-5, err_msg=name)
    for view in VIEWS:
        assert_same_gradient(scene.disp[view].grad, want[f"grad_disp_{view}_0"])
    for f, vectors in scene.vectors.items():
        for vector, name in zip(vectors, ("axisangle", "translation"), strict=True):
            golden.assert_close_to_max(vector.grad, want[f"grad_{name}_{f}"][:, 0, 0], 1e-3)


def test_both_sides_of_a_difference_learn_unless_told_otherwise(scene):
    _, want = golden.load(NAME)
    image, local = scene.compared()
    only = ViewsLoss(DepthLoss(), DEPTH_RANGE, reprojection=0.0, weight=1.0)
    only(image, local, scene.crops)[0].backward(retain_graph=True)
    for view in VIEWS:
        assert_same_gradient(scene.disp[view].grad[..., ::2, ::2], want[f"grad_dc_only_{view}_0"])
        scene.disp[view].grad = None
    only.detach = True
    only(image, local, scene.crops)[0].backward()
    assert not scene.disp["ori"].grad.any() and scene.disp["local"].grad.any() and scene.disp["reshuffle"].grad.any()


@pytest.mark.parametrize(
    ("variant", "options"),
    [
        ("no_automask", {"automasking": False}),
        ("avg_reprojection", {"average": True}),
        ("no_ssim", {"ssim": False}),
        ("only_local", {"reshuffled": False}),
        ("only_reshuffle", {"local": False}),
        ("baseline", {"local": False, "reshuffled": False}),
    ],
)
def test_variants_match_the_published_ones(scene, variant, options):
    _, want = golden.load(NAME)
    with torch.no_grad():
        loss, terms = scene.loss(**options)
    np.testing.assert_allclose(loss.item(), want[f"{variant}/loss"], rtol=1e-5)
    np.testing.assert_allclose(terms["loss_depth"].item(), want[f"{variant}/loss_base"], rtol=1e-5)
    np.testing.assert_allclose(terms["loss_consistency"].item() / 0.07, want[f"{variant}/loss_dc"], rtol=1e-5)


def test_warps_and_restored_disparity_match_the_published_ones(scene):
    _, want = golden.load(NAME)
    with torch.no_grad():
        image, local = scene.compared()
        restored = scene.restored()
    for found, name in (
        (image.warped[-1][:2], "warp_ori_-1"),
        (image.warped[-1][2:], "warp_reshuffle_-1"),
        (local.warped[-1], "warp_local_-1"),
        (restored, "restored_reshuffle_0"),
    ):
        np.testing.assert_allclose(found[..., ::4, ::4], want[name], rtol=1e-5, atol=1e-5)


def test_differences_are_left_out_at_weight_0(scene):
    image, local = scene.compared()
    loss, terms = ViewsLoss(DepthLoss(), DEPTH_RANGE, weight=0.0)(image, local, scene.crops)
    assert "loss_consistency" not in terms and loss.item() == terms["loss_depth"].item()


def test_every_resolution_counts_alike():
    rng = torch.Generator().manual_seed(0)
    images = {f: torch.rand(2, 3, 32, 64, generator=rng) for f in (0, -1, 1)}
    disp = {r: torch.rand(2, 1, 32 >> r, 64 >> r, generator=rng) for r in range(2)}
    warped = {f: torch.rand(8, 3, 32, 64, generator=rng) for f in (-1, 1)}
    restored = {r: torch.rand_like(one) for r, one in disp.items()}
    loss = ViewsLoss(DepthLoss(), DEPTH_RANGE, weight=0.0)
    total, terms = loss(Compared(images, warped, {r: torch.cat((one, restored[r])) for r, one in disp.items()}))
    own = {
        p: DepthLoss()(
            images[0], images, {f: w.view(2, 2, 2, 3, 32, 64)[:, p].flatten(0, 1) for f, w in warped.items()}, d
        )
        for p, d in enumerate((disp, restored))
    }
    np.testing.assert_allclose(terms["loss_depth/image"].item(), own[0][0].item(), rtol=1e-6)
    np.testing.assert_allclose(terms["loss_depth/reshuffled"].item(), own[1][0].item(), rtol=1e-6)
    np.testing.assert_allclose(total.item(), (own[0][0] + own[1][0]).item() / 2, rtol=1e-6)


def test_a_factor_counts_by_half():
    a = torch.rand(2, 1, 8, 8) + 0.5
    np.testing.assert_allclose(scale_invariant_log(3 * a, a).item(), 0.5 * np.log(3) ** 2, rtol=1e-4)
    valid = torch.zeros(2, 1, 8, 8, dtype=torch.bool)
    valid[..., :4, :4] = True
    odd = a + 100 * ~valid
    np.testing.assert_allclose(
        scale_invariant_log(odd, 2 * a, valid).item(),
        scale_invariant_log(a[..., :4, :4], 2 * a[..., :4, :4]).item(),
        rtol=1e-5,
    )


def test_an_ideal_network_pays_nothing():
    """What is seen in a window is nearer by the ratio, so the depth of a flat wall agrees."""
    crops = torch.tensor([crop_of((64, 96), 1.5, (96, 144), (10, 20))])
    wall = torch.full((1, 1, 64, 96), 0.2)
    near = (1.5 * (0.01 + 9.99 * wall) - 0.01) / 9.99
    loss = ViewsLoss(DepthLoss(), DEPTH_RANGE)
    found = loss._within(near, wall, crops)
    assert abs(found.item()) < 1e-10
    assert loss._within(wall, wall, crops).item() > 0.05


def test_images_of_a_batch_do_not_mix(scene):
    image, local = scene.compared(reshuffled=False)
    whole = ViewsLoss(DepthLoss(), DEPTH_RANGE)._within(local.disp[0], image.disp[0], scene.crops)
    single = [
        ViewsLoss(DepthLoss(), DEPTH_RANGE)._within(view[None], disp[None], crop[None])
        for view, disp, crop in zip(local.disp[0], image.disp[0], scene.crops, strict=True)
    ]
    np.testing.assert_allclose(whole.item(), torch.stack(single).mean().item(), rtol=1e-9)
