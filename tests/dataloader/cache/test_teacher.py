"""Teacher caches: what is kept, what training gets, and what it refuses."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch

from dataloader.batch import to_device
from dataloader.cache.teacher import CacheWriter, Recipe, TeacherCache, cached_image, image_root, open_cache
from dataloader.catalog import find_loader
from dataloader.dataset import Key
from dataloader.splits import resolve
from errors import UserError
from losses.patches.refine import CachedMaps
from losses.patches.selection import Grid, select
from tests.commands import error_of
from tests.conftest import tiny_options
from tests.dataloader import tiny
from tests.dataloader.tiny import build_training

pytestmark = pytest.mark.usefixtures("thin")

SPEC = find_loader("depth", "kitti_zhou_train", training=True)
SIZE = (96, 128)
GRID = Grid.of(*SIZE)
LAYOUTS = ("image", "grid")
DISTIL = {
    "segmentation_training_loaders": (),
    "depth_resize_height": SIZE[0],
    "depth_resize_width": SIZE[1],
    "patch_distill": True,
    "patch_from_epoch": 1,
    "patch_until_epoch": 3,
    "train_num_epochs": 9,
    "patch_size": 0,
    "patch_enlarge": False,
    "patch_teacher": "dpt-hybrid",
}


def recipe(layout: str, teacher: str = "dpt-hybrid", sha256: str = "501f0c75" + 56 * "0", size=SIZE) -> Recipe:
    grid = Grid.of(*size)
    patches = {"patch_size": grid.size, "patch_stride": grid.stride, "patches": len(grid), "patch_automatic": True}
    return Recipe(
        layout=layout,
        height=size[0],
        width=size[1],
        teacher=teacher,
        sha256=sha256,
        **(patches if layout == "grid" else {}),
    )


def answer(rgb: torch.Tensor) -> torch.Tensor:
    """A stand-in for a teacher that says the same of mirrored images: (B, 3, h, w) -> (B, h, w)."""
    return 40 * rgb[:, 0] + 9 * rgb[:, 1] ** 2 + rgb[:, 2]


def fill(folder: Path, root: Path, layout: str, spec=SPEC, **options) -> list:
    """Write the answers to the images as training resizes them."""
    writer = CacheWriter(folder, recipe(layout))
    data = build_training(tiny.options(root, **DISTIL | {"patch_distill": False} | options)).datasets[0]
    base = image_root(spec, root, options.get("data_folder", ""))
    images = [cached_image(spec, base, sample.images[0]) for sample in data.samples]
    for index, image in enumerate(images):
        levels = data.__getitems__([Key(0, 0, index)]).images[:, 0]
        rgb = levels / 255
        if layout == "image":
            writer.write(image, answer(rgb)[0].numpy())
        else:
            windows = rgb.unfold(2, GRID.size, GRID.stride).unfold(3, GRID.size, GRID.stride)
            patches = windows[0, :, : GRID.rows, : GRID.columns].permute(1, 2, 0, 3, 4).flatten(0, 1)
            writer.write(image, answer(patches).numpy())
    return images


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return tiny.cityscapes(tiny.kitti(tmp_path_factory.mktemp("data")))


@pytest.fixture(scope="module")
def caches(root, tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("cache")
    for layout in LAYOUTS:
        fill(folder / layout, root, layout)
    return {layout: folder / layout for layout in LAYOUTS}


def training(root: Path, cache: Path, **changes: object) -> Namespace:
    return tiny.options(root, **DISTIL | {"patch_teacher_cache": str(cache)} | changes)


def steps(args: Namespace, epoch: int) -> list:
    return [batch for step in build_training(args).epoch(epoch) for batch in step]


def one_image(folder: Path, name: str = "frame 1.png"):
    path = tiny.save(folder / name, tiny.picture(1))
    return cached_image(find_loader("depth", "folder_train", training=True), folder, str(path))


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-3, 1e-3), (2000, 41000), (7, 7)])
def test_maps_of_images_keep_their_values_to_a_65000th_of_their_range(tmp_path, low, high):
    values = np.random.default_rng(0).uniform(low, high, SIZE).astype(np.float32)
    writer = CacheWriter(tmp_path / "cache", recipe("image"))
    image = one_image(tmp_path)
    writer.write(image, values)
    back = writer.read(image)
    assert back.shape == (1, *SIZE) and back.dtype == np.float32
    assert np.abs(back[0].astype(np.float64) - values).max() <= (high - low) / 65000
    assert np.argmax(back) == np.argmax(values) if high > low else (back == low).all()


@pytest.mark.parametrize("factor", [1e-6, 1, 1e7])
def test_maps_of_patches_keep_half_precision_at_any_scale(tmp_path, factor):
    shape = recipe("grid").shape
    values = (np.random.default_rng(0).uniform(0.1, 1, shape) * factor).astype(np.float32)
    writer = CacheWriter(tmp_path / "cache", recipe("grid"))
    image = one_image(tmp_path)
    writer.write(image, values)
    np.testing.assert_allclose(writer.read(image), values, rtol=2**-11)


def test_a_map_of_another_shape_or_without_finite_values_is_not_kept(tmp_path):
    writer, image = CacheWriter(tmp_path / "cache", recipe("image")), one_image(tmp_path)
    with pytest.raises(ValueError, match=r"shape \(1, 95, 128\), expected \(1, 96, 128\)"):
        writer.write(image, np.zeros((95, 128), np.float32))
    with pytest.raises(UserError, match="frame 1.png: the teacher's answer has values that are not finite"):
        writer.write(image, np.full(SIZE, np.nan, np.float32))
    assert not writer.path(image).exists()


def test_strange_names_stay_apart_and_inside_the_cache(tmp_path):
    names = [
        "a.png",
        "../a.png",
        "../../a.png",
        "%2E%2E/a.png",
        "x/../../a.png",
        "b/a.png",
        "b%2Fa.png",
        "new\nline.png",
        "*?|:.png",
        "ä.png",
        os.fsdecode(b"\xff.png"),
        "-rf.png",
        ".hidden.png",
        240 * "x" + ".png",
        240 * "x" + "y.png",
        80 * "ß" + ".png",
    ]
    cache = TeacherCache(tmp_path / "cache", recipe("image"))
    spec = find_loader("depth", "folder_train", training=True)
    images = [cached_image(spec, "/data/own", f"/data/own/{name}") for name in names]
    found = [cache.path(image) for image in images]
    # The same file gets the same map, whatever way leads to it.
    assert len({os.path.normpath(f"/data/own/{name}") for name in names}) == len(set(found))
    for path in found:
        assert path.is_relative_to(cache.folder / "folder") and ".." not in path.parts
        assert all(len(part.encode()) < 255 for part in path.parts)
    values = np.zeros(SIZE, np.float32)
    source = tiny.save(tmp_path / "a.png", tiny.picture(0))
    for image in images:
        image = image._replace(path=str(source))
        CacheWriter(cache.folder, cache.recipe).write(image, values)
        assert (cache.read(image) == values).all()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_batches_hold_the_maps_of_their_clean_images_mirrored_alike(root, caches, layout):
    flips = set()
    for raw in steps(training(root, caches[layout], depth_training_batch_size=4, train_batches_per_epoch=4), 1):
        batch = to_device(raw, "cpu")
        flips |= set(batch.flip.tolist())
        assert not torch.equal(batch.inputs[0], batch.images[0])  # somebody is jittered
        lookup = CachedMaps(batch.teacher, *SIZE)
        assert lookup.whole == (layout == "image")
        (patches,) = select(batch.images[0], mirrored=None if lookup.whole else batch.flip)
        assert len(patches) > 0
        direct = answer(patches.cut(batch.images[0]))
        torch.testing.assert_close(lookup(patches), direct, atol=50 / 65000 if lookup.whole else 0.02, rtol=0)
        if lookup.whole:
            torch.testing.assert_close(batch.teacher[:, 0], answer(batch.images[0]), atol=50 / 65000, rtol=0)
    assert flips == {True, False}


def test_maps_are_read_in_the_epochs_that_need_them_and_change_nothing_else(root, caches):
    args = training(root, caches["image"])
    plain = tiny.options(root, **DISTIL | {"patch_distill": False})
    for epoch, present in ((0, False), (1, True), (2, True), (3, False)):
        for with_maps, without in zip(steps(args, epoch), steps(plain, epoch), strict=True):
            assert (with_maps.teacher is not None) == present and without.teacher is None
            assert torch.equal(with_maps.images, without.images) and torch.equal(with_maps.jitter, without.jitter)


def test_workers_hand_over_the_same_maps_and_segmentation_has_none(root, caches):
    both = {
        "segmentation_training_loaders": ("cityscapes_train",),
        "segmentation_resize_height": 144,
        "segmentation_resize_width": 192,
        "segmentation_crop_height": 96,
        "segmentation_crop_width": 128,
        "train_batches_per_epoch": 2,
    }
    alone = steps(training(root, caches["grid"], **both), 1)
    working = steps(training(root, caches["grid"], sys_num_workers=1, **both), 1)
    for first, second in zip(alone, working, strict=True):
        if first.spec.purpose == "depth":
            assert torch.equal(first.teacher, second.teacher)
        else:
            assert first.teacher is second.teacher is None


@pytest.mark.parametrize("changes", [{"patch_distill": False}, {"patch_from_epoch": 9}, {"patch_teacher_cache": ""}])
def test_a_cache_is_not_looked_up_where_it_is_not_needed(root, changes):
    assert build_training(training(root, "/nowhere/at/all", **changes)).datasets[0].maps is None


def test_own_data_with_strange_names_and_jpeg_drives(tmp_path):
    own = tmp_path / "own data"
    for sequence in ("säquenz #1", "%2E%2E"):
        for index in range(4):
            tiny.save(own / sequence / f"imäge {index} (copy).JPG", tiny.picture(index))
    tiny.kitti_images(tmp_path / "kitti", kind=".jpg", cameras=(2, 3))
    tiny.drive_list(tmp_path, "zhou", "train_files.txt", range(1, 5))
    names = {
        "folder_train": {"data_folder": str(own), "data_intrinsics": (40.0, 40.0, 40.0, 12.0)},
        "kitti_zhou_train": {},
    }
    for name, options in names.items():
        options["depth_training_loaders"] = (name,)
        images = fill(tmp_path / "cache", tmp_path, "image", find_loader("depth", name, training=True), **options)
        assert len({image.key for image in images}) == 4
        for raw in steps(training(tmp_path, tmp_path / "cache", **options), 1):
            batch = to_device(raw, "cpu")
            torch.testing.assert_close(batch.teacher[:, 0], answer(batch.images[0]), atol=50 / 65000, rtol=0)


@pytest.mark.parametrize(
    ("layout", "changes", "message"),
    [
        (
            "image",
            {"depth_resize_width": 160},
            r"made for 96 x 128 \(height x width\) images, training has 96 x 160; make",
        ),
        (
            "grid",
            {"patch_size": 128},
            "holds patches of 64 pixels, --patch-size 128 needs others; pass --patch-size 64",
        ),
        ("grid", {"patch_enlarge": True}, "--patch-enlarge needs others; leave that out"),
        (
            "image",
            {"patch_teacher": "dpt-large"},
            r"made by dpt-hybrid \(SHA-256 501f0c75...\), --patch-teacher is dpt-la",
        ),
        (
            "image",
            {"patch_teacher": "hf:Intel/dpt-hybrid"},
            "--patch-teacher is hf:Intel/dpt-hybrid; name the teacher of",
        ),
        ("image", {"patch_teacher": "none"}, "contradicts --patch-teacher none; name the teacher that made it"),
    ],
)
def test_a_cache_for_another_training_is_refused(root, caches, layout, changes, message):
    with pytest.raises(UserError, match=message) as caught:
        build_training(training(root, caches[layout], **changes))
    assert str(caught.value).startswith(f"--patch-teacher-cache {caches[layout]}: ") and "\n" not in str(caught.value)


def test_caches_of_images_fit_any_patches_and_those_of_patches_their_size(root, caches):
    for layout, changes in (("image", {"patch_size": 128, "patch_enlarge": True}), ("grid", {"patch_size": 64})):
        assert build_training(training(root, caches[layout], **changes)).datasets[0].maps


def test_teachers_are_told_apart_by_content_then_by_hash_or_name(tmp_path):
    weights = tmp_path / "mine.pt"
    weights.write_bytes(b"weights")
    CacheWriter(tmp_path / "own", recipe("image", "mine.pt", hashlib.sha256(b"weights").hexdigest()))
    CacheWriter(tmp_path / "published", recipe("image"))
    for folder, teacher in (
        ("own", str(weights)),
        ("own", "/gone/mine.pt"),
        ("published", "dpt-hybrid"),
        ("published", "/gone/dpt_hybrid-midas-501f0c75.pt"),
    ):
        assert open_cache(tmp_path / folder, size=SIZE, teacher=teacher)
    weights.write_bytes(b"other weights")
    for folder, teacher in (
        ("own", str(weights)),
        ("own", "/gone/other.pt"),
        ("published", str(weights)),
        ("published", "/gone/dpt_large-midas-2f21e586.pt"),
    ):
        with pytest.raises(UserError, match="name the teacher of the cache, or make another"):
            open_cache(tmp_path / folder, size=SIZE, teacher=teacher)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            None,
            "not a teacher cache, it has no readable teacher_cache.json; make one with python -m dataloader.prepare",
        ),
        ("{", "teacher_cache.json: damaged"),
        ("[]", "teacher_cache.json: damaged"),
        ({"height": "96"}, "damaged .height is '96'"),
        ({"layout": "cube"}, "damaged .layout 'cube'"),
        ({"width": 0}, "damaged .layout 'image' of shape"),
        ({"colour": 1}, "damaged"),
        ({"format": 2}, "format 2 with .*, this version reads 1"),
        ({"resize": "nearest"}, "resizing 'nearest'"),
    ],
)
def test_a_folder_that_does_not_say_what_it_holds_is_refused(tmp_path, content, message):
    folder = tmp_path / "cache"
    CacheWriter(folder, recipe("image"))
    path = folder / "teacher_cache.json"
    if isinstance(content, dict):
        path.write_text(json.dumps(json.loads(path.read_text()) | content))
    elif content:
        path.write_text(content)
    else:
        path.unlink()
    with pytest.raises(UserError, match=message):
        open_cache(folder, size=SIZE, teacher="dpt-hybrid")


def test_writers_do_not_mix_recipes_nor_fill_other_folders(tmp_path, root):
    CacheWriter(tmp_path / "cache", recipe("image"))
    CacheWriter(tmp_path / "cache", recipe("image"))
    with pytest.raises(UserError, match="made with layout 'image', not 'grid'; choose another folder"):
        CacheWriter(tmp_path / "cache", recipe("grid"))
    with pytest.raises(UserError, match="made with teacher 'dpt-hybrid', not 'dpt-large'"):
        CacheWriter(tmp_path / "cache", recipe("image", "dpt-large"))
    with pytest.raises(UserError, match=r"holds other things \(.*\) and is no teacher cache"):
        CacheWriter(root / "kitti", recipe("image"))
    assert not (root / "kitti/.lock").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write there"):
        CacheWriter(tmp_path / "file", recipe("image"))


@pytest.fixture
def own(root, caches, tmp_path) -> Namespace:
    """Data and both caches to be spoilt, and the map of the third image."""
    shutil.copytree(root / "kitti", tmp_path / "data/kitti")
    shutil.copytree(root / "kitti_zhou_split", tmp_path / "data/kitti_zhou_split")
    for layout, folder in caches.items():
        shutil.copytree(folder, tmp_path / layout)
    sample = resolve(SPEC, tmp_path / "data")[2]
    image = cached_image(SPEC, tmp_path / "data/kitti", sample.images[0])
    maps = {layout: TeacherCache(tmp_path / layout, recipe(layout)).path(image) for layout in LAYOUTS}
    return Namespace(
        root=tmp_path / "data",
        caches={layout: tmp_path / layout for layout in LAYOUTS},
        maps=maps,
        image=Path(image.path),
    )


def test_moved_and_copied_data_keep_their_cache(own):
    os.utime(own.image, (0, 0))
    moved = own.root.rename(own.root.with_name("elsewhere"))
    assert steps(training(moved, own.caches["image"]), 1)[0].teacher is not None


@pytest.mark.parametrize("layout", LAYOUTS)
def test_missing_and_truncated_maps_and_changed_images_are_told_before_training(own, layout):
    args, path = training(own.root, own.caches[layout]), own.maps[layout]
    path.write_bytes(path.read_bytes()[:-30])
    message = rf"{layout}: 1 of 8 images of kitti_zhou_train have .* cut off, first {own.image} with {path}; run python"
    with pytest.raises(UserError, match=message):
        build_training(args)
    path.unlink()
    with pytest.raises(UserError, match=message):
        build_training(args)
    shutil.rmtree(path.parent)
    with pytest.raises(UserError, match=": 4 of 8 images"):
        build_training(args)


def test_a_changed_image_is_told_at_once_or_when_it_is_read(own):
    args = training(own.root, own.caches["image"])
    content = own.image.read_bytes()
    own.image.write_bytes(content + b"more")
    with pytest.raises(UserError, match=f"1 of 8 images .* have changed since.*{own.image}"):
        build_training(args)
    own.image.write_bytes(content[:-40] + bytes(40))  # of the same length
    cache = open_cache(own.caches["image"], size=SIZE, teacher="dpt-hybrid")
    image = cached_image(SPEC, own.root / "kitti", str(own.image))
    assert not cache.lacks([image]) and cache.lacks([image], thorough=True) == [image]
    with pytest.raises(UserError, match=f"^{own.image}: has changed since its teacher map was made; run python -m"):
        cache.read(image)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_damaged_map_stops_training_with_its_name(own, layout):
    content = bytearray(own.maps[layout].read_bytes())
    content[len(content) // 2] ^= 4
    own.maps[layout].write_bytes(content)
    data = build_training(training(own.root, own.caches[layout]))
    with pytest.raises(UserError, match=f"^{own.maps[layout]}: damaged teacher map .*; delete it and run python -m"):
        list(data.epoch(1))


def test_nothing_in_a_map_is_executed(own):
    array = np.empty(1, object)
    array[0] = Path
    np.savez(own.maps["grid"], values=array, note=np.array("{}"))
    cache = TeacherCache(own.caches["grid"], recipe("grid"))
    with pytest.raises(UserError, match="damaged teacher map"):
        cache.read(cached_image(SPEC, own.root / "kitti", str(own.image)))


def test_training_with_a_cache_never_loads_the_teacher(root, tmp_path, run):
    weights = tmp_path / "teacher.pt"
    weights.write_bytes(b"no network at all")
    sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
    writer = CacheWriter(tmp_path / "cache", recipe("image", "teacher.pt", sha256))
    images = [cached_image(SPEC, root / "kitti", sample.images[0]) for sample in resolve(SPEC, root)]
    ramp = np.linspace(0, 30, SIZE[0] * SIZE[1], dtype=np.float32).reshape(SIZE)
    for image in images[1:]:
        writer.write(image, ramp)
    sizes = [
        word
        for side, value in zip(("height", "width"), SIZE, strict=True)
        for word in (f"--depth-resize-{side}", value)
    ]
    words = [
        "train.py",
        *tiny_options(root, tmp_path / "runs"),
        *sizes,
        "--segmentation-training-loaders",
        "",
        "--method",
        "sgdem",
        "--model-num-layers",
        18,
        "--no-masking-enable",
        "--sd-consistency-weight",
        0,
        "--train-batches-per-epoch",
        1,
        "--depth-training-batch-size",
        1,
        "--patch-distill",
        "--patch-from-epoch",
        0,
        "--patch-until-epoch",
        2,
        "--patch-gate",
        "none",
        "--patch-teacher-cache",
        tmp_path / "cache",
        "--patch-teacher",
        weights,
    ]
    assert f"1 of {len(images)} images of kitti_zhou_train" in error_of(run(*words))
    writer.write(images[0], ramp)
    result = run(*words)
    assert result.returncode == 0, result.stderr
    assert any(b"patch_count" in path.read_bytes() for path in (tmp_path / "runs").rglob("events*"))
