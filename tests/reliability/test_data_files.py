"""Lists, index files and ground truth with faults in them: an error that names the file, or what is really there."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import os
import pickle
import random
import resource
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from dataloader.cache.data.shards import RGB, Content, read_index, write_shard
from dataloader.cache.data.shards import Made as MadePicture
from dataloader.cache.teacher import CacheWriter, Recipe, TeacherCache, cached_image, read_recipe
from dataloader.cache.teacher.maps import FileState
from dataloader.catalog import LoaderSpec, find_loader
from dataloader.files import read_depth, read_labels
from dataloader.lists import parse_image_path
from dataloader.loaders import build_evaluation
from dataloader.prepare.__main__ import main as prepare
from dataloader.samples import DepthSource, Sample
from dataloader.splits import resolve
from dataloader.velodyne import CAMERA_FILE, SCANNER_FILE
from errors import UserError
from tests.dataloader import tiny
from tests.dataloader.tiny import build_training

pytestmark = pytest.mark.usefixtures("thin")

TRAIN = find_loader("depth", "kitti_zhou_train", training=True)
TEST = find_loader("depth", "kitti_zhou_test")
POSES = find_loader("pose", "kitti_odom09_validation")
CITIES = find_loader("segmentation", "cityscapes_train", training=True)
WORDS = ["..", "../..", "/etc/passwd", "\0", "999999999999", "-1", "l", "r", "x" * 5000, "９", "nan", "1e999", "1 l\n2"]
JUNK = [
    None,
    True,
    -1,
    10**9,
    2**80,
    0.5,
    float("nan"),
    float("inf"),
    "",
    "x",
    "../secret.png",
    "/etc/passwd",
    "a\0b",
    [],
    {},
    [[]],
    [1, 2],
    {"files": 1},
]


@pytest.fixture(scope="module")
def home(street: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the street whose files may be replaced (they are shared with the original, not to be written into)."""
    copied = tmp_path_factory.mktemp("home") / "data"
    shutil.copytree(street, copied, copy_function=os.link)
    return copied


@pytest.fixture(scope="module")
def indexed(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another one with index files."""
    copied = tmp_path_factory.mktemp("indexed") / "data"
    shutil.copytree(home, copied, copy_function=os.link)
    with contextlib.redirect_stdout(io.StringIO()):
        assert prepare(["index", "kitti", "cityscapes", "--dataset-dir", str(copied)]) == 0
    return copied


@contextlib.contextmanager
def replaced(path: Path, content: bytes) -> Iterator[None]:
    """The file holds something else inside."""
    kept = path.with_name(f".kept.{path.name}")
    path.rename(kept)
    try:
        path.write_bytes(content)
        yield
    finally:
        kept.replace(path)


def check_samples(spec: LoaderSpec, root: Path, samples: list[Sample]) -> None:
    """They are frames of one drive in a row, all there, all inside."""
    assert samples
    for sample in samples:
        for path in (*sample.images.values(), *filter(None, [sample.labels, sample.depth and sample.depth.path])):
            assert os.path.realpath(path).startswith(f"{root}/") and os.path.isfile(path)
        if spec.dataset == "kitti":
            frames = {offset: parse_image_path(os.path.relpath(path, root)) for offset, path in sample.images.items()}
            for offset, frame in frames.items():
                first = frames[0]
                assert (frame.drive, frame.camera, frame.number) == (first.drive, first.camera, first.number + offset)


def outcome(spec: LoaderSpec, root: Path, path: Path) -> str:
    """The sentence of an error, which names the file or one that it lists; empty for a list that is as it should be."""
    try:
        check_samples(spec, root, resolve(spec, root))
    except UserError as fault:
        assert str(path) in str(fault) or "basic_files.json" in str(fault) or "missing file" in str(fault), fault
        return str(fault)
    return ""


def mutated_text(rng: random.Random, text: str) -> bytes:
    """A list with something wrong in one place."""
    lines = text.splitlines()
    number = rng.randrange(len(lines))
    fields = lines[number].split()
    match rng.randrange(7):
        case 0:
            fields[rng.randrange(len(fields))] = rng.choice(WORDS)
        case 1:
            fields.insert(rng.randrange(len(fields)), rng.choice(WORDS))
        case 2:
            fields[0] = rng.choice(WORDS) + fields[0]
        case 3:
            fields.pop()
        case 4:
            fields = [f"{rng.choice(WORDS)}/{fields[0]}/image_02/data/0000000001.png"]
        case 5:
            content = bytearray(text.encode())
            for _ in range(rng.randint(1, 3)):
                content[rng.randrange(len(content))] = rng.randrange(256)
            return bytes(content)
        case 6:
            return text.encode()[: rng.randrange(len(text))]
    lines[number] = " ".join(fields)
    return rng.choice(["\n", "\r\n"]).join(lines).encode(*rng.choice([("utf-8",), ("utf-8-sig",), ("utf-16",)]))


@pytest.mark.parametrize("spec", [TRAIN, TEST, POSES], ids=lambda spec: spec.name)
def test_a_list_with_a_fault_is_named_with_its_line_or_still_a_list(home, spec, rounds):
    name = {"train": "train_files.txt", "test": "test_files.txt"}[spec.part]
    path = home / f"kitti_{spec.split}_split" / name
    text, rng, seen = path.read_text(), random.Random(9), []
    assert outcome(spec, home, path) == ""
    for _ in range(rounds(40, 300)):
        with replaced(path, mutated_text(rng, text)):
            said = outcome(spec, home, path)
        about_lines = any(
            word in said
            for word in (f"{path}, line ", "missing file", "unreadable", "is empty", "poses", "folder image_03")
        )
        assert about_lines or not said, said
        seen.append(bool(said))
    assert True in seen


def mutated_json(rng: random.Random, text: str) -> bytes:
    """An index file with junk in place of one of its values, or damaged as a file."""
    if rng.random() < 0.2:
        content = bytearray(text.encode())
        content[rng.randrange(len(content))] = rng.randrange(256)
        return bytes(content) if rng.random() < 0.5 else text.encode()[: rng.randrange(len(text))]
    whole = json.loads(text)
    place, key = {"root": whole}, "root"
    while isinstance(place[key], dict | list) and place[key] and rng.random() < 0.9:
        place = place[key]
        key = rng.choice(list(place)) if isinstance(place, dict) else rng.randrange(len(place))
    old, junk = place[key], copy.deepcopy(rng.choice(JUNK))
    if isinstance(old, int) and rng.random() < 0.5:
        junk = old + rng.choice([-1, 1])
    if isinstance(old, list) and rng.random() < 0.5:
        junk = old[1:]
    place[key] = junk
    return json.dumps(whole if key != "root" else junk).encode()


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        (TRAIN, "kitti_zhou_split/train.json"),
        (TRAIN, "kitti/basic_files.json"),
        (TEST, "kitti_zhou_split/test.json"),
        (POSES, "kitti_odom09_split/test.json"),
        (CITIES, "cityscapes/train.json"),
        (TRAIN, "kitti/parameters.json"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_an_index_file_with_a_fault_is_named_or_still_an_index(indexed, spec, name, rounds):
    path, rng, seen = indexed / name, random.Random(9), []
    text = path.read_text()
    assert outcome(spec, indexed, path) == ""
    for _ in range(rounds(40, 300)):
        with replaced(path, mutated_json(rng, text)):
            seen.append(bool(outcome(spec, indexed, path)))
    assert True in seen


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"names": ' * 50_000, b"1" * 6000, b"", b"\xff\xfe{}", b"null"])
def test_json_that_is_no_index_is_refused(indexed, content):
    for name in ("kitti_zhou_split/train.json", "kitti/basic_files.json", "kitti/parameters.json"):
        with replaced(indexed / name, content):
            assert str(indexed / name) in outcome(TRAIN, indexed, indexed / name)


@pytest.mark.parametrize(
    "line", ["../outside 1 l", "2011_09_26/../../outside 1 l", "kitti/../../outside/image_02/data/0000000001.png"]
)
def test_a_list_cannot_lead_out_of_the_data_set(tmp_path, line):
    root = tiny.kitti(tmp_path / "data")
    shutil.copytree(root / "kitti" / tiny.DRIVE, tmp_path / "outside")
    shutil.copytree(root / "kitti" / tiny.DRIVE, root / "outside")
    tiny.kitti_list(root / "kitti_zhou_split", "test_files.txt", [f"{tiny.DRIVE} 1 l", line])
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match=r"test_files\.txt, line 2: .* leads out of the data set folder"):
        list(build_evaluation(tiny.options(root, depth_validation_loaders=("kitti_zhou_test",)), "depth")[0])
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("item", ["../../outside/image_02/data/0000000001.png", "/etc/passwd", "a/../../b.png"])
def test_an_index_cannot_lead_out_of_the_data_set(tmp_path, item):
    root = tiny.kitti(tmp_path / "data")
    column = [f"{tiny.DRIVE}/image_02/data/{frame:010d}.png" for frame in range(6)]
    tiny.index_files(root, {"color": column}, [1, 2, 3])
    assert len(resolve(TRAIN, root)) == 3
    for name in ("kitti/basic_files.json", "kitti_zhou_split/train.json"):
        path = root / name
        with replaced(path, path.read_bytes().replace(column[2].encode(), item.encode())):
            with pytest.raises(UserError, match=f"{path}: damaged index file .* leads out of the data set folder"):
                resolve(TRAIN, root)


def test_an_index_of_other_files_is_noticed(tmp_path):
    """Neighbours are found by their place in the whole data set: one that has changed since would give other images."""
    root = tiny.kitti(tmp_path)
    columns = [f"{tiny.DRIVE}/image_02/data/{frame:010d}.png" for frame in range(6)]
    tiny.index_files(root, {"color": columns[::-1]}, [1, 2, 3])
    basic = (root / "kitti/basic_files.json").read_bytes()
    tiny.index_files(root, {"color": columns}, [1, 2, 3])
    with replaced(root / "kitti/basic_files.json", basic), pytest.raises(UserError, match="index files made together"):
        resolve(TRAIN, root)


# Ground truth and calibration


def scan_source(folder: Path) -> DepthSource:
    tiny.kitti_calibration(folder)
    return DepthSource(
        "velodyne", str(tiny.scan(folder / "scan.bin", [(10, 0.5, 0.2), (20, -3, 1)])), calibration=str(folder)
    )


@pytest.mark.parametrize(
    "content", [b"", b"x" * 15, b"x" * 33, np.full(8, np.nan, "<f4").tobytes()], ids=["empty", "short", "odd", "nan"]
)
def test_a_scan_that_is_none_is_refused(tmp_path, content):
    source = scan_source(tmp_path)
    Path(source.path).write_bytes(content)
    with pytest.raises(UserError, match=r"scan\.bin: "):
        read_depth(source)


@pytest.mark.filterwarnings("error")
def test_points_that_are_not_finite_are_left_out(tmp_path):
    source = scan_source(tmp_path)
    known = read_depth(source)
    bad = np.array([[np.nan, 0, 0, 0], [5, np.inf, 0, 0], [-np.inf, 0, 0, 0], [9, 0, 0, np.nan]], "<f4")
    Path(source.path).write_bytes(bad.tobytes() + Path(source.path).read_bytes())
    assert np.array_equal(read_depth(source), known) and known.any()


@pytest.mark.parametrize(
    ("name", "old", "new", "line"),
    [
        (CAMERA_FILE, "P_rect_02: 40.0", "P_rect_02: nan", 5),
        (CAMERA_FILE, "P_rect_02: 40.0", "P_rect_02: -4", 5),
        (CAMERA_FILE, "P_rect_02: 40.0", "P_rect_02:", 5),
        (CAMERA_FILE, "P_rect_02: 40.0", "P_rect_02: x", 0),
        (CAMERA_FILE, "P_rect_02: 40.0", "P_rect_02: 0", 5),
        (CAMERA_FILE, "S_rect_02: 80", "S_rect_02: 1e9", 0),
        (CAMERA_FILE, "S_rect_02: 80", "S_rect_02: -80", 0),
        (CAMERA_FILE, "S_rect_02", "S_rect_20", 0),
        (CAMERA_FILE, "R_rect_00: 1 0", "R_rect_00: 0 0", 3),
        (CAMERA_FILE, "R_rect_00: 1 0", "R_rect_00: 1 0 0", 3),
        (SCANNER_FILE, "T: 0 0 0", "T: 0 0", 3),
        (SCANNER_FILE, "T: 0 0 0", "T: 0 0 inf", 3),
        (SCANNER_FILE, "R: 0 -1", "R: 0 -2", 2),
        (SCANNER_FILE, "R: 0", "\ufeff", 0),
    ],
)
def test_a_calibration_with_a_fault_is_named_with_its_line(tmp_path, name, old, new, line):
    source = scan_source(tmp_path)
    path = tmp_path / name
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new), encoding="utf-16" if "\ufeff" in new else "utf-8")
    with pytest.raises(UserError, match=f"{path}{f', line {line}' if line else ''}: "):
        read_depth(source)


def test_any_calibration_is_refused_or_read(tmp_path, rounds):
    source, rng = scan_source(tmp_path), random.Random(4)
    texts = {name: (tmp_path / name).read_text() for name in (CAMERA_FILE, SCANNER_FILE)}
    for number in range(rounds(40, 300)):
        folder = tmp_path / str(number)
        folder.mkdir()
        for name, text in texts.items():
            (folder / name).write_bytes(mutated_text(rng, text))
        try:
            depth = read_depth(DepthSource("velodyne", source.path, calibration=str(folder)))
        except UserError as fault:
            assert str(folder) in str(fault)
        else:
            assert depth.dtype == np.float32 and np.isfinite(depth).all()
        shutil.rmtree(folder)


def test_a_pose_file_with_a_fault_is_named_with_its_line(home):
    path = home / "kitti/poses/09.txt"
    lines = path.read_text().splitlines()
    for line in ("x", "1 2 3", "nan " * 12, "1 " * 13, "1e999 " * 12):
        with replaced(path, "\n".join(["", lines[0], line]).encode()):
            assert f"{path}, line 3: not 12 numbers" in outcome(POSES, home, path)
    with replaced(path, lines[0].encode()):
        assert f"{path}: 1 poses, none for" in outcome(POSES, home, path)


class _Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path):
        self.folder = str(folder)

    def __reduce__(self) -> tuple[Callable, tuple]:
        return os.mkdir, (self.folder,)


def bytes_of(save: Callable[[io.BytesIO], object]) -> bytes:
    content = io.BytesIO()
    save(content)
    return content.getvalue()


def npy_saying(shape: tuple[int, ...], dtype: str = "<f4", body: bytes = b"\0" * 64) -> bytes:
    """An array that says it is larger than it is."""
    said = {"descr": dtype, "fortran_order": False, "shape": shape}
    return bytes_of(lambda file: np.lib.format.write_array_header_1_0(file, said)) + body


def hostile_arrays(trap: Path) -> dict[str, bytes]:
    return {
        "pickle": pickle.dumps(_Trap(trap)),
        "objects": bytes_of(lambda file: np.save(file, np.array([[_Trap(trap)]]), allow_pickle=True)),
        "huge": npy_saying((10**6, 10**6)),
        "larger": npy_saying((2**62, 2**62)),
        "negative": npy_saying((-1, 4)),
        "brackets": npy_saying((4, 4)).replace(b"(4, 4)", b"(" * 6),
        "code": npy_saying((4, 4)).replace(b"(4, 4)", b"exit()"),
        "archive": bytes_of(lambda file: np.savez(file, depth=np.ones((4, 4)))),
        "text": b"\x93NUMPY hello",
        "cut": npy_saying((4, 4))[:-5],
        "four-dimensional": npy_saying((1, 1, 4, 4)),
        "words": npy_saying((4, 4), "<U1"),
        "nothing": b"",
    }


@pytest.mark.parametrize("kind", hostile_arrays(Path()))
def test_arrays_execute_nothing_and_take_no_more_memory_than_they_have_bytes(tmp_path, kind):
    path = tmp_path / "depth.npy"
    path.write_bytes(hostile_arrays(tmp_path / "executed")[kind])
    with _little_memory(), pytest.raises(UserError, match=r"depth\.npy: "):
        read_depth(DepthSource("array", str(path)))
    assert not (tmp_path / "executed").exists()


@contextlib.contextmanager
def _little_memory() -> Iterator[None]:
    """Room for another hundred megabytes."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + 100 * 2**20, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def test_truth_of_another_shape_than_its_image_is_refused(tmp_path):
    for number in range(2):
        tiny.save(tmp_path / f"walk/{number}.png", tiny.picture(number, (24, 80)))
    options = tiny.options(
        tmp_path,
        dataset_dir="",
        depth_validation_loaders=("folder_test",),
        data_folder=str(tmp_path),
        data_intrinsics=(40.0, 42.0, 38.0, 13.0),
    )
    for size, fits in (((24, 80), True), ((12, 40), True), ((80, 24), False), ((1, 1), False)):
        (tmp_path / "walk/depth").mkdir(exist_ok=True)
        np.save(tmp_path / "walk/depth/0.npy", np.ones(size))
        (data,) = build_evaluation(options, "depth")
        if fits:
            assert len(list(data)) == 1
            continue
        with pytest.raises(UserError, match=rf"0\.npy: {size[0]} x {size[1]} .*image .* of 24 x 80"):
            list(data)


@pytest.mark.parametrize("cached", [False, True])
def test_labels_of_another_shape_than_their_image_are_refused_in_training(tmp_path, cached):
    root = tiny.cityscapes(tmp_path / "data")
    options = tiny.options(root, depth_training_loaders=(), data_cache=str(tmp_path / "cache") if cached else "")
    name = "cityscapes/gtFine/train/ahrendorf/ahrendorf_000001_000019_gtFine_labelIds.png"
    for size, fits in (((16, 32), True), ((32, 32), False)):
        tiny.save(root / name, np.full(size, 7, np.uint8))
        data = build_training(options)
        if fits:
            assert len(list(data.epoch(0))) == 5
            continue
        with pytest.raises(UserError, match=rf"{name}: 32 x 32 .*image .* of 32 x 64"):
            list(data.epoch(0))


# Caches


RECIPE = Recipe(layout="grid", height=64, width=128, teacher="x", patches=2, patch_size=4)


def grid_cache(folder: Path) -> tuple[TeacherCache, Path, Path]:
    image = tiny.save(folder / "data/kitti/a.png", tiny.picture(1))
    cached = cached_image(TRAIN, folder / "data/kitti", str(image))
    writer = CacheWriter(folder / "cache", RECIPE)
    writer.write(cached, np.ones((2, 4, 4), np.float32))
    assert writer.read(cached).shape == (2, 4, 4)
    return writer, cached, writer.path(cached)


def zipped(values: bytes, note: object = None, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    def save(file: io.BytesIO) -> None:
        with zipfile.ZipFile(file, "w", compression) as archive:
            archive.writestr("values.npy", values)
            archive.writestr("note.npy", bytes_of(lambda content: np.save(content, np.array(json.dumps(note)))))

    return bytes_of(save)


def hostile_maps(trap: Path, note: dict) -> dict[str, bytes]:
    sound = bytes_of(lambda file: np.save(file, np.ones((2, 4, 4), np.float16)))
    found = {name: zipped(content, note) for name, content in hostile_arrays(trap).items()}
    return found | {
        "plain pickle": pickle.dumps(_Trap(trap)),
        "bomb": zipped(npy_saying((2**26,), "<f2", bytes(2**27)), note),
        "infinite": zipped(sound, note | {"divisor": 1e39}),
        "not a number": zipped(sound, note | {"divisor": "nan"}),
        "no note": zipped(sound),
        "no source": zipped(sound, {"divisor": 1.0}),
        "long note": zipped(sound, {"divisor": "1" * 20000}),
        "foreign note": zipped(sound, note | {"source": {"size": 1, "mtime": float("inf"), "crc": "x"}}),
    }


def test_teacher_maps_execute_nothing_and_stay_in_bounds(tmp_path):
    cache, image, path = grid_cache(tmp_path)
    state = FileState.of(image.path)
    note = {"divisor": 1.0, "source": {"size": state.size, "mtime": state.mtime, "crc": state.crc}}
    for content in hostile_maps(tmp_path / "executed", note).values():
        path.write_bytes(content)
        with _little_memory():
            cache.lacks([image])
            with pytest.raises(UserError, match=f"{path}: damaged teacher map"):
                cache.read(image)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 100_000,
        b"null",
        b"{}",
        b'{"format": 1}',
        RECIPE.encode().replace(b"64", b'"64"'),
        RECIPE.encode().replace(b"64", b"-64"),
        RECIPE.encode().replace(b'"grid"', b'["grid"]'),
        pickle.dumps(RECIPE),
    ],
)
def test_descriptions_of_caches_are_checked(tmp_path, content):
    (tmp_path / "teacher_cache.json").write_bytes(content)
    with pytest.raises(UserError, match=r"teacher_cache\.json: "):
        read_recipe(tmp_path)


def test_a_shard_with_a_fault_is_named(tmp_path, rounds):
    content = Content(RGB, 4, 6)
    made = [
        MadePicture(f"k{number}", f"/p{number}", FileState(1, 2, 3), np.full((3, 4, 6), number, np.uint8))
        for number in range(3)
    ]
    write_shard(tmp_path, content, made)
    (path,) = tmp_path.glob("*.shard")
    sound, rng = path.read_bytes(), random.Random(5)
    start = sound.rindex(b'{"kind"')
    written = sound[start : sound.rindex(b"}") + 1].decode()
    mutants = [mutated_json(rng, written) for _ in range(rounds(40, 300))]
    for index in [*mutants, b"[" * 100_000, written.replace(", 2, ", ', "2", ').encode()]:
        path.write_bytes(_sealed(sound[:start], index))
        try:
            found, entries = read_index(path)
        except UserError as fault:
            assert str(path) in str(fault) and "\n" not in str(fault)
            continue
        assert found.bytes * 3 == start or not entries
        assert all(isinstance(entry.place.number, int) and entry.place.number >= 0 for entry in entries)


def _sealed(pixels: bytes, index: bytes) -> bytes:
    """A shard whose end agrees with its index."""
    return pixels + index + struct.pack("<QI8s", len(index), zlib.crc32(index), b"pictures")


def test_images_that_carry_code_are_no_images(tmp_path):
    for name in ("a.png", "a.jpg"):
        (tmp_path / name).write_bytes(pickle.dumps(_Trap(tmp_path / "executed")))
        for read in (read_labels, lambda path: read_depth(DepthSource("map", str(path)))):
            with pytest.raises(UserError, match="not an image"):
                read(tmp_path / name)
    assert not (tmp_path / "executed").exists()
