"""What inference saves of an image, beside pictures and arrays in the published form."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from errors import UserError
from visual.fit import Fit
from visual.inputs import Inputs
from visual.lens import Lens
from visual.pictures import Look, inference_picture
from visual.plan import without_done
from visual.results import ENDINGS, Found, Job, ResultFolder, clashes, depth_png
from visual.scale import CameraHeight, FixedScale

LENS = (40.0, 40.0, 31.5, 8.0)


def job(kind: str = "squash") -> Job:
    photo = np.random.RandomState(0).randint(0, 256, (48, 64, 3)).astype(np.uint8)
    return Job("a", (48, 64), Fit(kind, (64, 128))(photo))


def road() -> Found:
    """Inverse depth (64, 128) of ground 0.1 below a camera with `LENS`, up to scale."""
    rows = (np.arange(64) + 0.5) * 48 / 64 - 0.5
    inverse = np.maximum((rows - LENS[3]) / LENS[1] / 0.1, 0.05)
    return Found(np.repeat(inverse[:, None], 128, axis=1).astype(np.float32), True, None)


def test_every_kind_is_written_under_its_name(tmp_path):
    found = replace(road(), ids=np.zeros((64, 128), np.uint8))
    outputs = ResultFolder(tmp_path, ".png", ("picture", *ENDINGS), camera=(LENS, 0.0))
    outputs.write(job(), found)
    written = {path.name for path in tmp_path.iterdir()}
    assert (
        written == {"a.png", *(f"a{ending}" for ending in ENDINGS.values())} == {t.name for t in outputs.targets("a")}
    )
    assert outputs.said["depth in metres up to scale"] == outputs.said["picture"] == 1
    assert outputs.report().startswith("1 picture, ") and outputs.said["disparity in 1/m up to scale"] == 1
    depth = np.load(tmp_path / "a_depth.npy")
    np.testing.assert_allclose(depth, 1 / np.repeat(_half(found.values)[:, None], 64, 1), rtol=1e-4)
    with Image.open(tmp_path / "a_depth.png") as image:
        assert image.mode == "I;16" and image.text["unit"] == "1/256 m" and image.text["depth"] == "metres up to scale"
        np.testing.assert_allclose(np.asarray(image) / 256, depth, atol=0.5 / 256)
    with np.load(tmp_path / "a.npz") as told:
        assert (told["depth"] == depth).all() and str(told["unit"]) == "metres up to scale"
        assert tuple(told["intrinsics"]) == LENS and str(told["intrinsics_source"]) == "--intrinsics"
        assert str(told["scaled"]) == "not scaled" and told["seg"].shape == (48, 64)


def _half(values: np.ndarray) -> np.ndarray:
    """One column at 48 rows, as OpenCV resizes."""
    place = (np.arange(48) + 0.5) * 64 / 48 - 0.5
    return np.interp(place, np.arange(64), values[:, 0])


def test_metres_go_into_millimetres_where_they_fit(tmp_path):
    metres = Found(np.full((64, 128), 3.25, np.float32), False, None, "metres")
    for most, counts, unit in ((10.0, 3250, "mm"), (65.535, 3250, "mm"), (80.0, 832, "1/256 m")):
        outputs = ResultFolder(None, ".png", most=most)
        with Image.open(
            io.BytesIO(depth_png(metres.depth((2, 2)), outputs._counts_per_metre(metres), "metres"))
        ) as image:
            assert np.asarray(image)[0, 0] == counts and image.text["unit"] == unit


@pytest.mark.parametrize("known", ["up to scale", "metres"])
def test_depth_that_was_scaled_reaches_farther_than_millimetres_do(tmp_path, known):
    found = Found(np.full((64, 128), 4.0, np.float32), False, None, known)
    outputs = ResultFolder(tmp_path, ".png", ("depth16",), most=10.0, scale=FixedScale(30.0, "as given"))
    outputs.write(job(), found)
    with Image.open(tmp_path / "a_depth.png") as image:
        assert np.asarray(image)[0, 0] == 120 * 256 and image.text["unit"] == "1/256 m"


def test_what_does_not_fit_into_16_bits_is_no_measurement():
    with Image.open(io.BytesIO(depth_png(np.float32([[255.99, 300.0, 0.001, 1.0]]), 256, "metres"))) as image:
        assert np.asarray(image).tolist() == [[65533, 0, 0, 256]]
        assert image.text["zero"].startswith("beyond 256.00")


def test_networks_that_know_metres_also_leave_16_bit_depth_and_layers(tmp_path):
    layers = {"base": np.full((8, 16), 2.0, np.float32), "detail": np.full((64, 128), -0.5, np.float32)}
    found = Found(np.full((64, 128), 3.0, np.float32), False, None, "metres", layers)
    ResultFolder(tmp_path, ".png", (), arrays=True).write(job(), found)
    assert {path.name for path in tmp_path.iterdir()} == {"a_depth.npy", "a_depth.png", "a_base.npy", "a_detail.npy"}
    assert np.load(tmp_path / "a_base.npy").shape == (48, 64) and np.load(tmp_path / "a_detail.npy").min() == -0.5


def test_detail_is_what_depth_has_over_its_base_at_the_size_of_the_image(tmp_path):
    rng = np.random.default_rng(0)
    found = Found(rng.random((16, 32), np.float32), False, None, "metres", {"base": rng.random((12, 24), np.float32)})
    ResultFolder(tmp_path, ".png", (), arrays=True).write(job(), found)
    depth, base, detail = (np.load(tmp_path / f"a_{name}.npy") for name in ("depth", "base", "detail"))
    assert depth.shape == base.shape == detail.shape == (48, 64) and np.array_equal(detail, depth - base)


def test_of_maps_smaller_than_the_input_the_same_part_is_shown():
    across = np.linspace(0, 1, 32, dtype=np.float32)[None].repeat(16, 0)
    found = Found(across, False, None, "metres", {"base": across[:8, ::2].copy()})
    cut = found.cut((slice(0, 64), slice(32, 96)), (64, 128))
    assert cut.values.shape == cut.layers["base"].shape == (64, 64)
    assert abs(cut.values[0, 0] - 0.25) < 0.02 and abs(cut.layers["base"][0, -1] - 0.75) < 0.05


def test_a_factor_turns_all_into_metres_and_is_told(tmp_path):
    outputs = ResultFolder(tmp_path, ".png", ("npz", "disparity"), scale=FixedScale(20.0, "as given"))
    outputs.write(job(), road())
    with np.load(tmp_path / "a.npz") as told:
        assert str(told["known"]) == "metres" and str(told["scaled"]) == "times 20, as given"
        np.testing.assert_allclose(told["depth"], 20 * road().depth((48, 64)), rtol=1e-5)
    np.testing.assert_allclose(np.load(tmp_path / "a_disp.npy"), road().values / 20, rtol=1e-6)
    outputs.write(job(), road())
    told = "2 disparity in 1/m (times 20, as given)"
    assert told in outputs.report() and outputs.scale.report() == "Depth was multiplied by 20, as given"


def test_the_camera_comes_to_stand_where_it_was_said(tmp_path):
    lens = Lens(*LENS, "--intrinsics")
    scale = CameraHeight(1.5, lambda _: lens)
    found = scale(job(), road())
    np.testing.assert_allclose(found.values, road().values / 15, rtol=1e-3)
    assert found.unit == "metres (camera 1.5 m above the ground)"
    assert (
        "multiplied by 15 (median; 15 to 15 in 1 image)" in scale.report() and "100 % of the pixels" in scale.report()
    )
    with pytest.raises(UserError, match="no ground plane"):
        scale(job(), Found(np.ones((64, 128), np.float32), True, None))


@pytest.mark.parametrize("change", [{"save": ("depth",)}, {"look": Look(range=(1, 2))}, {"scale": FixedScale(2, "")}])
def test_what_no_distance_follows_from_is_refused(tmp_path, change):
    found = replace(road(), known="up to scale and shift")
    with pytest.raises(UserError, match="says inverse depth up to scale and shift"):
        ResultFolder(tmp_path, ".png", **change).require(found)
    outputs = ResultFolder(tmp_path, ".png", ("picture", "npz", "disparity"), arrays=True)
    outputs.require(found)
    outputs.write(job(), found)
    with np.load(tmp_path / "a.npz") as told:
        assert "depth" not in told and told["inverse_depth"].shape == (48, 64)
    outputs.write(job(), found)
    told = {"2 pictures", "2 disparity up to scale and shift", "2 npz up to scale and shift"}
    assert {*outputs.report().split(", ")} == told
    with pytest.raises(UserError, match="--save seg: this network knows no classes"):
        ResultFolder(tmp_path, ".png", ("seg",)).require(road())


def test_outputs_show_the_part_of_the_image_that_the_network_saw(tmp_path):
    for kind, size in (("crop", (32, 64)), ("pad", (48, 64))):
        one = job(kind)
        found = road().cut(one.view.inside, one.view.pixels.shape[:2])
        outputs = ResultFolder(tmp_path, ".png", ("depth", "npz"), camera=(LENS, 0.0))
        outputs.write(one, found)
        assert np.load(tmp_path / "a_depth.npy").shape == size
        with np.load(tmp_path / "a.npz") as told:
            assert told["intrinsics"][3] == LENS[3] - (48 - size[0]) // 2


def test_files_that_would_be_written_twice_are_found(tmp_path):
    outputs = ResultFolder(tmp_path, ".png", ("picture", "depth16"))
    assert clashes(outputs, ["a", "a_depth", "b"]) == {tmp_path / "a_depth.png": ["a", "a_depth"]}


def test_files_that_arrays_may_be_are_not_written_over_pictures_either(tmp_path):
    outputs = ResultFolder(tmp_path, ".png", arrays=True)
    assert clashes(outputs, ["a", "a_depth", "b"]) == {tmp_path / "a_depth.png": ["a", "a_depth"]}
    outputs.write(job(), Found(np.full((64, 128), 3.0, np.float32), False, np.zeros((64, 128), np.uint8), "metres"))
    assert {*tmp_path.iterdir()} < {*outputs.possible("a")}


@pytest.mark.parametrize("found", [road(), Found(road().values, True, None, "up to scale and shift")])
def test_an_image_is_done_when_its_arrays_are_there_too(tmp_path, monkeypatch, found):
    picture, both = ResultFolder(tmp_path, ".png"), ResultFolder(tmp_path, ".png", arrays=True)
    picture.write(job(), found)
    assert picture.is_done("a") and not both.is_done("a")
    both.write(job(), found)
    assert both.is_done("a")
    for path in tmp_path.iterdir():
        path.unlink()

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("visual.results.encode", stopped)
    with pytest.raises(KeyboardInterrupt):
        both.write(job(), found)
    assert any(tmp_path.iterdir()) and not both.is_done("a")  # arrays first: the picture tells that they are there


def test_a_film_is_done_when_its_frames_have_what_is_asked_for(tmp_path):
    inputs = Inputs({}, {Path("a.mp4"): "a", Path("camera:0"): "camera_0"})
    for name in ("a.mp4", "camera_0.mp4"):
        (tmp_path / name).touch()
    both = ResultFolder(tmp_path, ".png", arrays=True)
    assert [*without_done(inputs, ResultFolder(tmp_path, ".png"), ".mp4").videos.values()] == ["camera_0"]
    assert without_done(inputs, both, ".mp4").videos == inputs.videos
    np.save(tmp_path / "a_000000_disp.npy", np.ones(1))
    assert [*without_done(inputs, both, ".mp4").videos.values()] == ["camera_0"]


def test_pictures_have_the_layout_colours_and_range_asked_for():
    photo, inverse = job().view.image, road().values
    ids = np.zeros(inverse.shape, np.uint8)
    assert inference_picture(photo, inverse, ids).shape == (144, 64, 3)
    assert inference_picture(photo, inverse, ids, look=Look("side")).shape == (48, 192, 3)
    alone = inference_picture(photo, inverse, ids, look=Look("only", "gray"))
    assert alone.shape == (48, 64, 3) and (alone[..., 0] == alone[..., 2]).all()
    ranged = inference_picture(photo, inverse, None, look=Look("only", "gray", range=(0.2, 1.0)))
    for value, level in ((1 / 0.2, 255), (1.0, 0), (3.0, 127)):  # 1/m
        row = np.abs(_half(inverse) - value).argmin()
        assert abs(int(ranged[row, 30, 0]) - level) <= 8
    assert (inference_picture(photo, inverse, None, look=Look("only", "viridis")) != alone).any()


@pytest.mark.parametrize("width", [40, 64, 640])
def test_a_bar_explains_the_colours_below_the_picture(width):
    photo = np.zeros((48, width, 3), np.uint8)
    plain = inference_picture(photo, road().values, None, look=Look("only"))
    for unit in ("m", "m up to scale", ""):
        barred = inference_picture(photo, road().values, None, look=Look("only", bar=True, unit=unit))
        assert (barred[:48] == plain).all() and 48 < len(barred) <= 48 + 90 and barred.shape[1] == width
        assert (barred[48:] == 255).all(2).any() and len(np.unique(barred[49], axis=0)) > min(width, 256) // 4
