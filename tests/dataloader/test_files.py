"""Reading pictures, labels and depth, sound and damaged."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from dataloader.files import (
    counts_to_metres,
    image_size,
    metres_to_counts,
    open_rgb,
    read_counts,
    read_depth,
    read_image,
    read_labels,
)
from dataloader.samples import DepthSource
from errors import UserError
from tests import golden
from tests.dataloader import tiny

GREY = tiny.picture(1)[..., 0]


def stored(image: Image.Image, kind: str, **options: object) -> bytes:
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


@pytest.mark.parametrize(("array", "mode"), [(GREY, "L"), (tiny.picture(1), "RGB")])
def test_8_bit_pictures_come_back_as_stored(tmp_path, array, mode):
    path = tiny.save(tmp_path / "a.png", array)
    rgb = read_image(path)
    assert rgb.dtype == np.uint8
    assert np.array_equal(rgb, np.dstack([array] * 3) if mode == "L" else array)


def test_16_bit_grey_is_divided_by_256(tmp_path):
    wide = (GREY.astype(np.uint16) << 8) + 77
    assert np.array_equal(read_image(tiny.save(tmp_path / "a.png", wide)), np.dstack([GREY] * 3))


@pytest.mark.parametrize("channels", [3, 4])
def test_16_bit_colour_is_divided_by_256(tmp_path, channels):
    wide = np.random.default_rng(0).integers(0, 1 << 16, (*tiny.SIZE, channels), dtype=np.uint16)
    cv2.imwrite(str(tmp_path / "a.png"), wide)
    assert np.array_equal(read_image(tmp_path / "a.png"), (wide[..., 2::-1] >> 8).astype(np.uint8))


def test_dark_16_bit_pictures_of_a_format_that_has_no_other_stay_dark(tmp_path):
    (tmp_path / "a.pgm").write_bytes(b"P5\n2 1\n65535\n" + bytes([0, 200, 0, 0]))
    assert not read_image(tmp_path / "a.pgm").any()


@pytest.mark.parametrize("scale", [1 / 255, 1])
def test_floating_point_pictures_are_brightness_to_1_or_255(tmp_path, scale):
    Image.fromarray(GREY.astype(np.float32) * np.float32(scale)).save(tmp_path / "a.tiff")
    assert np.array_equal(read_image(tmp_path / "a.tiff"), np.dstack([GREY] * 3))


def test_whole_numbers_of_32_bits_are_those_of_16_where_that_is_certain(tmp_path):
    Image.fromarray(GREY.astype(np.int32) << 8).save(tmp_path / "a.tiff")
    assert np.array_equal(read_image(tmp_path / "a.tiff"), np.dstack([GREY] * 3))
    Image.fromarray(np.zeros((2, 3), np.int32)).save(tmp_path / "a.tiff")
    assert not read_image(tmp_path / "a.tiff").any()


@pytest.mark.parametrize(
    "values",
    [
        GREY.astype(np.int32),
        GREY.astype(np.int32) << 16,
        GREY * np.float32(9),
        GREY - np.float32(300),
        GREY * np.float32("nan"),
    ],
    ids=range(5),
)
def test_numbers_that_do_not_say_what_is_white_are_refused(tmp_path, values):
    Image.fromarray(values).save(tmp_path / "a.tiff")
    with pytest.raises(UserError, match=r"a.tiff: (int32|float32) values from .* save it as 8-bit RGB"):
        read_image(tmp_path / "a.tiff")


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "1"])
def test_transparency_and_palettes_become_rgb(tmp_path, mode):
    image = Image.fromarray(tiny.picture(1)).convert(mode)
    image.save(tmp_path / "a.png")
    expected = np.asarray(image.convert("RGB"))
    assert np.array_equal(read_image(tmp_path / "a.png"), expected)


def test_a_transparent_palette_keeps_its_colours(tmp_path, recwarn):
    image = Image.fromarray(tiny.picture(1)).quantize(16)
    image.save(tmp_path / "a.png", transparency=bytes([0] * 8))
    assert np.array_equal(read_image(tmp_path / "a.png"), np.asarray(image.convert("RGB")))
    assert not recwarn.list


def test_a_printers_jpeg_becomes_rgb(tmp_path):
    Image.fromarray(tiny.picture(1)).convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    assert np.abs(read_image(tmp_path / "a.jpg").astype(int) - tiny.picture(1)).mean() < 6


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_upright_and_so_is_their_size(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "a.jpg"
    Image.fromarray(tiny.picture(1)).save(path, exif=exif, quality=95)
    upright = read_image(path)
    assert image_size(path) == upright.shape[:2] == (tiny.SIZE if orientation < 5 else tiny.SIZE[::-1])
    corner = {1: (0, 0), 2: (0, -1), 3: (-1, -1), 4: (-1, 0), 5: (0, 0), 6: (0, -1), 7: (-1, -1), 8: (-1, 0)}
    assert np.abs(upright[corner[orientation]].astype(int) - tiny.picture(1)[0, 0]).max() < 12


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_damaged_exif_data_do_not_hide_the_picture(tmp_path):
    path = tmp_path / "a.jpg"
    Image.fromarray(tiny.picture(1)).save(path, exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff")
    assert read_image(path).shape == (*tiny.SIZE, 3)
    assert image_size(path) == tiny.SIZE


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9, 0.97])
def test_a_picture_that_was_cut_off_is_named(tmp_path, kind, share):
    content = stored(Image.fromarray(tiny.picture(1, (96, 320))), kind)
    path = tmp_path / "cut.png"
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(UserError, match=r"cut\.png: "):
        read_image(path)


def test_a_jpeg_that_lacks_its_last_bytes_is_named(tmp_path):
    content = stored(Image.fromarray(tiny.picture(1, (96, 320))), "JPEG")
    for missing in (2, 3, 20, 200):
        (tmp_path / "cut.jpg").write_bytes(content[:-missing])
        with pytest.raises(UserError, match=r"cut\.jpg: "):
            read_image(tmp_path / "cut.jpg")


def test_flipped_bits_in_the_pixels_of_a_png_are_noticed(tmp_path):
    content = stored(Image.fromarray(tiny.picture(1, (96, 320))), "PNG")
    rng = np.random.default_rng(0)
    path = tmp_path / "bad.png"
    for place in rng.integers(8, len(content), 300):
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"bad\.png: cannot decode"):
            read_image(path)


@pytest.mark.parametrize("content", [b"", b"<!DOCTYPE html><html></html>", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"])
def test_a_file_that_is_no_picture_is_named(tmp_path, content):
    path = tmp_path / "page.png"
    path.write_bytes(content)
    for read in (read_image, read_labels, read_counts, open_rgb):
        with pytest.raises(UserError, match=r"page\.png: "):
            read(path)


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        read_image(tmp_path / "none.png")
    with pytest.raises(UserError, match="cannot be read"):
        read_image(tmp_path)
    with pytest.raises(UserError, match="image size"):
        image_size(tmp_path / "none.png")


def test_label_files_hold_ids(tmp_path):
    ids = np.array([[7, 26, 0, 33], [34, 255, 11, 4]], np.uint8)
    assert read_labels(tiny.save(tmp_path / "a.png", ids)).tolist() == [[0, 13, 255, 18], [255, 255, 2, 255]]


def test_a_palette_label_file_gives_its_indices(tmp_path):
    image = Image.fromarray(np.array([[7, 8], [11, 26]], np.uint8))
    image.putpalette([0, 0, 0] * 256)
    image.save(tmp_path / "a.png")
    assert read_labels(tmp_path / "a.png").tolist() == [[0, 1], [2, 13]]


@pytest.mark.parametrize("array", [np.zeros((4, 4), np.uint16), np.zeros((4, 4, 3), np.uint8)])
def test_labels_of_the_wrong_kind_are_refused(tmp_path, array):
    with pytest.raises(UserError, match=r"a\.png: "):
        read_labels(tiny.save(tmp_path / "a.png", array))


@pytest.mark.parametrize("mode", ["uint_16", "uint_16_subtract_one", "normalized_100"])
def test_depth_modes_match_the_published_code(mode):
    _, want = golden.load("sgdepth_data")
    found = counts_to_metres(want["in_depth_raw"], mode)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, want[f"depth_{mode}"], rtol=1e-6)


def test_depth_modes_in_numbers():
    counts = np.array([[0, 1, 2, 513]], np.uint16)
    assert counts_to_metres(counts, "uint_16").tolist() == [[0, 1 / 256, 2 / 256, 513 / 256]]
    metres = counts_to_metres(counts, "uint_16_subtract_one")
    np.testing.assert_allclose(metres, [[0, 1, 121235.16, 236.7874]], rtol=1e-6)
    with pytest.raises(UserError, match="'float' is unknown"):
        counts_to_metres(counts, "float")


def test_counts_are_cut_to_a_256th_and_what_does_not_fit_is_no_measurement():
    depth = np.array([0.0, 0.999 / 256, 1.999 / 256, 255.999, 256.0, 1e9, -1.0])
    assert metres_to_counts(depth).tolist() == [0, 0, 1, 65535, 0, 0, 0]


def test_a_depth_map_must_have_16_bits(tmp_path):
    with pytest.raises(UserError, match=r"a\.png: uint8 .* is not a 16-bit grey PNG"):
        read_depth(DepthSource("map", str(tiny.save(tmp_path / "a.png", GREY))))


def test_float_arrays_are_depth_in_metres(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.array([[1.5, np.nan], [np.inf, -2.0]]))
    assert read_depth(DepthSource("array", str(path))).tolist() == [[1.5, 0], [0, 0]]


@pytest.mark.parametrize("array", [np.zeros(3), np.zeros((2, 2), complex), np.array([[None]])])
def test_other_arrays_are_refused(tmp_path, array):
    path = tmp_path / "a.npy"
    np.save(path, array, allow_pickle=True)
    with pytest.raises(UserError, match=r"a\.npy: "):
        read_depth(DepthSource("array", str(path)))


def test_disparity_becomes_depth_with_the_rectified_focal_length(tmp_path):
    tiny.kitti_calibration(tmp_path)
    counts = np.array([[0, 256, 512, 1]], np.uint16)
    path = tiny.save(tmp_path / "d.png", counts)
    source = DepthSource("disparity", str(path), calibration=str(tmp_path / "calib_cam_to_cam.txt"))
    expected = [0, 0.54 * 40, 0.54 * 40 / 2, 0]  # disparity 1/256 would be 5.5 km, which does not fit
    np.testing.assert_allclose(read_depth(source)[0], expected, atol=1 / 256)
    released = DepthSource("disparity", str(path), "released", calibration=source.calibration)
    np.testing.assert_allclose(read_depth(released)[0, 1], 0.54 * 50, atol=1 / 256)
