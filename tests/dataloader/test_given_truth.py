"""Ground truth from one file: ours, and the pickled one of Monodepth2, of which nothing is executed."""

import io
import os
import pickle
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

import arguments
from dataloader import map_files, pickled_maps
from dataloader.catalog import find_loader
from dataloader.check.__main__ import main as check
from dataloader.files import read_depth
from dataloader.prepare.__main__ import main
from dataloader.splits import resolve, truth_kind
from dataloader.truth import size_doubts
from errors import UserError
from tests.dataloader import indoor, tiny

KITTI, MAKE3D = find_loader("depth", "kitti_zhou_test"), find_loader("depth", "make3d_test")
SIZES = ((5, 7), (4, 7), (5, 6))


def maps(dtype: str = "<f4") -> list[np.ndarray]:
    """Depth maps of several sizes, as exports of KITTI have them."""
    made = []
    for seed, size in enumerate(SIZES):
        rng = np.random.default_rng(seed)
        made.append(np.where(rng.random(size) < 0.4, rng.uniform(1, 80, size), 0).astype(dtype))
    return made


def ragged(found: list[np.ndarray]) -> np.ndarray:
    array = np.empty(len(found), object)
    array[:] = found
    return array


def pickled(path: Path, content: object, protocol: int = 4, count: int = len(SIZES)) -> Path:
    """What numpy.savez_compressed makes of an array of arrays, or of something else in its place."""
    member = io.BytesIO()
    np.lib.format.write_array_header_1_0(member, {"descr": "|O", "fortran_order": False, "shape": (count,)})
    member.write(content if isinstance(content, bytes) else pickle.dumps(content, protocol))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data.npy", member.getvalue())
    return path


@pytest.fixture
def kitti(tmp_path: Path) -> Path:
    """Three frames with a list, without any truth of their own."""
    tiny.kitti_images(tmp_path / "kitti", frames=range(3), cameras=(2,))
    tiny.kitti_list(tmp_path / "kitti_zhou_split", "test_files.txt", [f"{tiny.DRIVE} {frame} l" for frame in (2, 0, 1)])
    return tmp_path


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("dtype", ["<f4", "<f8", ">f4", "<u2"])
def test_the_file_of_monodepth2_gives_its_maps(tmp_path, protocol, dtype):
    found = map_files.open_maps(str(pickled(tmp_path / "gt_depths.npz", ragged(maps(dtype)), protocol)))
    assert len(found) == 3 and not found.names
    for number, wanted in enumerate(maps(dtype)):
        assert found.shape(number) == wanted.shape
        assert (found.read(number) == wanted.astype(np.float32)).all()


def test_the_file_that_numpy_writes_is_read_whatever_the_order_in_memory(tmp_path):
    turned = [np.asfortranarray(each) for each in maps()]
    np.savez_compressed(tmp_path / "a.npz", data=ragged(turned))
    found = map_files.open_maps(str(tmp_path / "a.npz"))
    assert all((found.read(number) == each).all() for number, each in enumerate(maps()))
    equal = np.stack([maps()[0]] * 3)  # maps of one size become one array
    np.savez_compressed(tmp_path / "b.npz", data=equal)
    found = map_files.open_maps(str(tmp_path / "b.npz"))
    assert len(found) == 3 and (found.read(2) == equal[2]).all()


class Evil:
    """Makes a folder when it is unpickled."""

    place = ""

    def __reduce__(self):
        return os.mkdir, (self.place,)


STATE_OF_A_FUNCTION = b"cnumpy.core.multiarray\n_reconstruct\n}(X\x01\x00\x00\x00aK\x01ub."


@pytest.mark.parametrize(
    "content, said",
    [
        (Evil(), "it calls (posix|nt).mkdir"),
        (ragged([Evil()] * 3), "it calls (posix|nt).mkdir"),
        (b"cbuiltins\neval\n(X\x03\x00\x00\x001+1tR.", "it calls builtins.eval"),
        (b"cnumpy\nload\n(tR.", "it calls numpy.load"),
        (b"\x80\x04\x96\x00\x00\x00\x00\x00\x00\x00\x10.", "pickle"),  # a bytearray of 2**60
        (b"\x80\x04\x8e\x00\x00\x00\x00\x00\x00\x00\x10.", "larger than any depth map"),
        (b"\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x10.", "larger than any depth map"),
        (STATE_OF_A_FUNCTION, "pickle"),
        (b"(((((.", "not a list|pickle"),
        (b"", "ends early"),
        (3, "not a list of depth maps"),
        (ragged(maps()[:2]), "not a list of depth maps"),
        (ragged([each[0] for each in maps()]), "pickle"),
        (ragged([np.array(["a", "b"], object)] * 3), "not a list of depth maps|pickle"),
        (pickle.dumps(ragged(maps()), 4)[:-40], "ends early|pickle"),
    ],
)
def test_nothing_in_a_pickle_is_executed_or_believed(tmp_path, content, said):
    Evil.place = str(tmp_path / "never")
    path = pickled(tmp_path / "gt.npz", content)
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=said) as caught:
            map_files.open_maps(str(path))
        assert tracemalloc.get_traced_memory()[1] < 1 << 24
    finally:
        tracemalloc.stop()
    assert "export" in str(caught.value) and "\n" not in str(caught.value)
    assert not Path(Evil.place).exists()
    assert not vars(pickled_maps._new_array)


def test_dense_maps_are_never_in_memory_together(tmp_path):
    depth = np.zeros((400, 1000), np.float32)
    depth[::20, ::20] = 5
    path = pickled(tmp_path / "gt.npz", ragged([depth.copy() for _ in range(24)]), count=24)
    tracemalloc.start()
    try:
        assert len(map_files.open_maps(str(path))) == 24
        assert tracemalloc.get_traced_memory()[1] < 8 * depth.nbytes
    finally:
        tracemalloc.stop()


def test_exported_maps_are_plain_arrays_and_come_back_by_name(tmp_path, capsys):
    indoor.make3d(tmp_path / "make3d")
    out = tmp_path / "kept/make3d.npz"
    words = ["export-gt", "make3d_test", "--dataset-dir", str(tmp_path), "--out", str(out)]
    assert main(words) == 0
    assert "2 maps of make3d_test" in capsys.readouterr().out
    assert [path.name for path in out.parent.iterdir()] == ["make3d.npz"]
    before = resolve(MAKE3D, tmp_path)
    with np.load(out, allow_pickle=False) as stored:
        assert {"offsets", "rows", "cols", "values", "shapes"} <= set(stored.files)
        assert (
            stored["names"].tolist() == [sample.name for sample in before] and str(stored["ground_truth"]) == "make3d"
        )
        first = np.zeros(stored["shapes"][0], np.float32)
        part = slice(*stored["offsets"][:2])
        first[stored["rows"][part], stored["cols"][part]] = stored["values"][part]
        assert (first == read_depth(before[0].depth)).all()
    (tmp_path / "make3d/test_files.txt").write_text(before[1].name.removeprefix("img-") + "\n")
    (after,) = resolve(MAKE3D, tmp_path, depth_gt=str(out))
    assert after.name == before[1].name and (read_depth(after.depth) == read_depth(before[1].depth)).all()
    assert truth_kind(MAKE3D, [after], depth_gt=str(out)) == "make3d (--depth-gt FILE)"
    assert main(words) == 2 and "is there already" in capsys.readouterr().err
    assert main([*words, "--overwrite"]) == 0


def test_the_order_of_a_list_gives_names_to_maps_that_have_none(kitti):
    path, out = kitti / "gt_depths.npz", kitti / "new.npz"
    pickled(path, ragged([np.full(tiny.SIZE, metres, "<f4") for metres in (3, 5, 7)]))
    words = ["export-gt", KITTI.name, "--dataset-dir", str(kitti), "--depth-gt", str(path), "--out", str(out)]
    assert main(words) == 0
    for source in (path, out):
        samples = resolve(KITTI, kitti, depth_gt=str(source))
        assert {sample.name[-2:]: read_depth(sample.depth).max() for sample in samples} == {"02": 3, "00": 5, "01": 7}
    tiny.kitti_images(kitti / "kitti", frames=range(3), cameras=(3,))
    with pytest.raises(UserError, match="--depth-camera right: the maps of --depth-gt"):
        resolve(KITTI, kitti, depth_gt=str(path), depth_camera="right")
    with pytest.raises(UserError, match="none of the 3 images"):
        resolve(KITTI, kitti, depth_gt=str(out), depth_camera="right")
    tiny.kitti_list(kitti / "kitti_zhou_split", "test_files.txt", [f"{tiny.DRIVE} {frame} l" for frame in (0, 1)])
    assert [read_depth(sample.depth).max() for sample in resolve(KITTI, kitti, depth_gt=str(out))] == [5, 7]
    with pytest.raises(UserError, match=r"3 maps, but .*test_files\.txt has 2 images"):
        resolve(KITTI, kitti, depth_gt=str(path))


def test_commands_take_the_file_where_they_take_the_kind(kitti, capsys):
    path = kitti / "gt.NPZ"
    pickled(path, ragged([np.full(tiny.SIZE, 5, "<f4")] * 3))
    assert arguments.parse("eval_depth", ["--depth-gt", str(path)]).depth_gt == str(path)
    with pytest.raises(UserError, match="--depth-gt: 'improvd' is not raw, improved or an .npz file of depth maps"):
        arguments.parse("eval_depth", ["--depth-gt", "improvd"])
    assert check([KITTI.name, "--dataset-dir", str(kitti), "--depth-gt", str(path)]) == 0
    assert "kind: given" in capsys.readouterr().out
    assert check([KITTI.name, "--dataset-dir", str(kitti), "--depth-gt", "other"]) == 2


def test_a_file_of_other_images_is_refused(kitti):
    path = kitti / "other.npz"
    map_files.write_maps(path, [("elsewhere", maps()[0])], "raw")
    with pytest.raises(UserError, match="none of the 3 images of kitti_zhou_test, its first is of elsewhere"):
        resolve(KITTI, kitti, depth_gt=str(path))
    indoor.make3d(kitti / "make3d")
    pickled(kitti / "gt.npz", ragged(maps()))
    with pytest.raises(UserError, match="which make3d_test does not read"):
        resolve(MAKE3D, kitti, depth_gt=str(kitti / "gt.npz"))
    with pytest.raises(UserError, match=r"absent\.npz: No such file"):
        resolve(KITTI, kitti, depth_gt=str(kitti / "absent.npz"))


def test_images_without_a_map_have_no_truth(kitti):
    path, name = kitti / "some.npz", resolve(KITTI, kitti)[1].name
    map_files.write_maps(path, [(name, np.ones(tiny.SIZE, np.float32))], "raw")
    samples = resolve(KITTI, kitti, depth_gt=str(path))
    assert [sample.depth is None for sample in samples] == [True, False, True]
    assert not size_doubts(samples)


def changed(path: Path, **arrays: np.ndarray) -> Path:
    with np.load(path) as stored:
        kept = {name: stored[name] for name in stored.files}
    np.savez(path, **(kept | arrays))
    return path


@pytest.mark.parametrize(
    "arrays, said",
    [
        ({"offsets": np.array([0, 9, 3, 30])}, "do not rise"),
        ({"offsets": np.array([0, 1])}, "different numbers"),
        ({"rows": np.zeros(3, np.int64)}, "rows is int64"),
        ({"shapes": np.full((3, 2), 1 << 20)}, "impossible size"),
        ({"values": np.zeros(2, np.float32)}, "values is float32 of shape"),
        ({"names": np.zeros(3)}, "names is float64"),
        ({"shapes": np.ones((3, 2), np.int32)}, "pixels outside 1 x 1"),
    ],
)
def test_a_damaged_file_ends_in_a_sentence(tmp_path, arrays, said):
    path = tmp_path / "a.npz"
    map_files.write_maps(path, [(str(number), each) for number, each in enumerate(maps())], "raw")
    with pytest.raises(UserError, match=said):
        map_files.open_maps(str(changed(path, **arrays))).read(0)


def test_a_file_that_is_cut_off_packed_or_no_archive_ends_in_a_sentence(tmp_path):
    path = tmp_path / "a.npz"
    map_files.write_maps(path, [(str(number), each) for number, each in enumerate(maps())], "raw")
    whole = path.read_bytes()
    with np.load(path) as stored:
        np.savez_compressed(tmp_path / "packed.npz", **stored)
    (tmp_path / "cut.npz").write_bytes(whole[:-30])
    (tmp_path / "text.npz").write_text("no archive")
    for name in ("packed", "cut", "text"):
        with pytest.raises(UserError, match=rf"{name}\.npz: no file of depth maps"):
            map_files.open_maps(str(tmp_path / f"{name}.npz"))
