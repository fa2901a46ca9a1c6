"""Published split lists: where each is found, where it belongs, and how to tell that it is the right one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

RAW = "https://raw.githubusercontent.com"  # HEAD below is the default branch, whatever its name
MONODEPTH2 = f"{RAW}/nianticlabs/monodepth2/HEAD/splits"
MANYDEPTH = f"{RAW}/nianticlabs/manydepth/HEAD/splits"
SFMLEARNER = f"{RAW}/tinghuiz/SfMLearner/HEAD/data/kitti"
BTS = f"{RAW}/cleinc/bts/HEAD"
BDEDEPTH = f"{RAW}/LiuJF1226/BDEdepth/HEAD/splits"

EXTRA = "split_lists"  # home of the lists that no loader reads by itself


@dataclass(frozen=True)
class SplitList:
    """One published text list.

    Attributes:
        name: path in the repository it comes from; told on the command line, searched for by ``--from``.
        url: address of the file, "" where none is known and the file must be at hand.
        items: lines.
        sha256: of the text with LF line ends and one final newline; of the bytes for ``.npy`` files.
        targets: where it goes, below the data set folder.
    """

    name: str
    url: str
    items: int
    sha256: str
    targets: tuple[str, ...]

    @property
    def binary(self) -> bool:
        """Whether bytes are compared, not lines."""
        return self.name.endswith(".npy")


def _extra(project: str, base: str, path: str, items: int, sha256: str, where: str = "", *more: str) -> SplitList:
    name = path.rsplit("/", 1)[-1] if not where else where
    return SplitList(path, f"{base}/{path}" if base else "", items, sha256, (f"{EXTRA}/{project}/{name}", *more))


def _kitti(path: str, items: int, sha256: str, *targets: str) -> SplitList:
    return SplitList(path, f"{MONODEPTH2}/{path}", items, sha256, targets)


LISTS: tuple[SplitList, ...] = (
    _kitti(
        "eigen_zhou/train_files.txt",
        39810,
        "00173a231642151c4693274e701ddd4cae7916520a757c7a94eae8e1173f7b0c",
        "kitti_zhou_split/train_files.txt",
    ),
    _kitti(
        "eigen_zhou/val_files.txt",
        4424,
        "64a868b8d2c66c3979a2d74c22ea2e9146850d5b9f5786ed8e5f92201ba1ad04",
        "kitti_zhou_split/val_files.txt",
    ),
    _kitti(
        "eigen/test_files.txt",
        697,
        "e226d4ca16e0e6e9695435014347dcf973588531330536fd8a68d298ef091a6b",
        "kitti_zhou_split/test_files.txt",
        "kitti_eigen_split/test_files.txt",
    ),
    _kitti(
        "eigen_full/train_files.txt",
        45200,
        "1b491141d87b7af9e6706609b7ce858c198c3a4ca61d180c7dc90815d5f2a986",
        "kitti_eigen_split/train_files.txt",
        "kitti_eigen_full_split/train_files.txt",
    ),
    _kitti(
        "eigen_full/val_files.txt",
        1776,
        "9c4446772ec58aaa60acbeef0fa6d1e8ef1b346ad4f78272d056d10cf1993af9",
        "kitti_eigen_split/val_files.txt",
    ),
    _kitti(
        "benchmark/train_files.txt",
        72084,
        "060fdce26c5cd0681b6cc7620a856c697caa78fd23ab7a9ba41fb39c70ae3860",
        "kitti_benchmark_split/train_files.txt",
    ),
    _kitti(
        "benchmark/val_files.txt",
        6060,
        "5c65577de234037bec0c792d7bf44c60b7fb367449266054eb4612a5e92bfa08",
        "kitti_benchmark_split/val_files.txt",
    ),
    _kitti(
        "odom/train_files.txt",
        36671,
        "ced6c5fd1b0b76e2a28d68e046421c1f0df08de8fb713ca305684d263af6d0e2",
        "kitti_odom09_split/train_files.txt",
        "kitti_odom10_split/train_files.txt",
    ),
    _kitti(
        "odom/val_files.txt",
        4075,
        "9cf46e1b873d6f9883015b1f77fcace51db424a1f0a765324957f46399b6db99",
        "kitti_odom09_split/val_files.txt",
        "kitti_odom10_split/val_files.txt",
    ),
    _kitti(
        "odom/test_files_09.txt",
        1590,
        "8b999b6f974041663ba2f8aa6456ea338089a272119b7edd702f352278f43d26",
        "kitti_odom09_split/test_files.txt",
    ),
    _kitti(
        "odom/test_files_10.txt",
        1200,
        "f39c47e0c21f65d4503476375f2a786def34f54bd5d1cabf28c7e68f002986a1",
        "kitti_odom10_split/test_files.txt",
    ),
    # Everything below is fetched only when it is named.
    _extra(
        "monodepth2",
        MONODEPTH2,
        "eigen_benchmark/test_files.txt",
        652,
        "d56e5e509e6960a01fb93795f85028ac6e4a82ad40e64b6e968988e4db95b9be",
        "eigen_benchmark_test_files.txt",
        "kitti_eigen_benchmark_split/test_files.txt",
    ),
    _extra(
        "monodepth2",
        MONODEPTH2,
        "benchmark/test_files.txt",
        500,  # image numbers of the benchmark, no drives
        "b9b0746d2e5263d975fd082d6e82d592971adc9e6a2fdf370a8cf78519161d28",
        "benchmark_test_files.txt",
    ),
    _extra(
        "monodepth2",
        MONODEPTH2,
        "benchmark/eigen_to_benchmark_ids.npy",
        652,
        "1c1ac4ea84c938622f228a4438661fdb66ec07a2380a54bd21cd28b6eeb1a4e8",
    ),
    _extra(
        "monodepth2",
        MONODEPTH2,
        "kitti_archives_to_download.txt",
        66,
        "9899630a856ea2661a06d223440561395792e15538ebe97f3b719a04b91e4386",
    ),
    _extra(
        "manydepth",
        MANYDEPTH,
        "eigen_full/all_files.txt",
        46976,
        "a840b8c1da2949fa280026f412735c04da98393d21b5a73c8dd305009e087522",
        "eigen_full_all_files.txt",
    ),
    _extra(
        "manydepth",
        MANYDEPTH,
        "cityscapes_preprocessed/train_files.txt",
        69731,
        "03f66cd9ba79964a5295008e5b2fc73e8451f902785d8386a580c512ab5ae4d3",
        "cityscapes_train_files.txt",
        "cityscapes/train_files.txt",  # read by cityscapes_train for depth
    ),
    _extra(
        "manydepth",
        MANYDEPTH,
        "cityscapes_preprocessed/val_files.txt",
        7621,
        "6e640c591d886e0faa7c7f96587b1d72ae8b0778b018f6c95e6942e65e46a6ce",
        "cityscapes_val_files.txt",
    ),
    _extra(
        "manydepth",
        MANYDEPTH,
        "cityscapes/test_files.txt",
        1525,
        "e70c04ba9d091d11b4dc25de78ec8d33212081c72e641ce3c42aab1a07331daa",
        "cityscapes_test_files.txt",
        "cityscapes/test_files.txt",  # read by cityscapes_test
    ),
    _extra(
        "sfmlearner",
        SFMLEARNER,
        "test_files_eigen.txt",
        697,
        "0d9d0dc4ba492bef41d449ee7a8a1751b55f46042e0f8d278c09f16cef462fda",
    ),
    _extra(
        "sfmlearner",
        SFMLEARNER,
        "static_frames.txt",
        8044,
        "268ef2acb91035acca2db9631d23af5a4c1a9a95af31c9099a000fba82c88e11",
    ),
    _extra(
        "bts",
        BTS,
        "train_test_inputs/eigen_train_files_with_gt.txt",
        23158,
        "93ae5e70b3a2824ee2658abd393a049a7924efae1b6911a93853338bb4faad9e",
        "eigen_train_files_with_gt.txt",
        "kitti_annotated_split/train_files.txt",
    ),
    _extra(
        "bts",
        BTS,
        "train_test_inputs/eigen_test_files_with_gt.txt",
        697,
        "22bc01266c08dbb1275e0b9e6a824e89ea2dab0b9021341ebb39573d7addceac",
        "eigen_test_files_with_gt.txt",
        "kitti_annotated_split/test_files.txt",
    ),
    _extra(
        "bts",
        BTS,
        "train_test_inputs/nyudepthv2_train_files_with_gt.txt",
        24231,
        "66e2beb718a58c5c946c169f6e70cc6ae166ddd19f5618266fff52ff7443e0e9",
        "nyudepthv2_train_files_with_gt.txt",
        "nyu_v2/train_files.txt",
    ),
    _extra(
        "bts",
        BTS,
        "train_test_inputs/nyudepthv2_test_files_with_gt.txt",
        654,
        "4b46c9ab4c953166e6fdbb1a6542ba3311885e24ed4afafff1b6c5993b784966",
        "nyudepthv2_test_files_with_gt.txt",
        "nyu_v2/test_files.txt",
    ),
    _extra(
        "bts", BTS, "utils/train_scenes.txt", 284, "db717bbdf6fea36e88aa9e43cda03a3ff280c3d279b62cc84b0fec67b230b52f"
    ),
    _extra(
        "lapdepth",
        "",
        "eigen_test_files_with_gt_dense.txt",
        697,
        "f98ed4fbc2fe30038354c61ded11da13a21806a2e603a61cc4816c5e9a63a0f0",
    ),
    _extra(
        "lapdepth",
        "",
        "nyudepthv2_train_files_with_gt_dense.txt",
        36253,
        "4e882fe419911c27d0e3f7cdc1010d695497c1183fcd1eaafa7d735b871faf6d",
    ),
    _extra(
        "lapdepth",
        "",
        "nyudepthv2_test_files_with_gt_dense.txt",
        654,
        "d7eba96faeb6f92a4116bf7520778cd3b23a664d8f99ba727a3427ea1f124d6c",
    ),
    _extra(
        "bdedepth",
        BDEDEPTH,
        "nyuv2/test_files.txt",
        654,
        "049c0e3bb5355d86b068f055fb0599e77f4c1cc711d6c82b4e0e4d4ea85340c6",
        "nyuv2_test_files.txt",
    ),
    _extra(
        "bdedepth",
        BDEDEPTH,
        "make3d/test_files.txt",
        134,
        "1a78fe5095a886ef0e45e5969400240273b8f6a305dde8c78a325e9a2e321eb3",
        "make3d_test_files.txt",
    ),
)


def normalised(data: bytes) -> bytes:
    """Text with LF line ends and exactly one final newline, as the checksums expect it."""
    text = data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return text.rstrip(b"\n") + b"\n"


def content_of(entry: SplitList, data: bytes) -> tuple[bytes, int, str]:
    """What would be kept of a file: its content, its number of items and its checksum."""
    content = data if entry.binary else normalised(data)
    items = entry.items if entry.binary else len(content.splitlines())
    return content, items, hashlib.sha256(content).hexdigest()
