"""Names of loaders and what they stand for."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from dataloader.catalog import LOADERS, find_loader
from errors import UserError

PUBLISHED = {
    ("depth", "kitti_zhou_train"): "kitti_zhou_train_depth",
    ("depth", "kitti_kitti_train"): "kitti_kitti_train_depth",
    ("depth", "kitti_odom09_train"): "kitti_odom09_train_depth",
    ("depth", "kitti_benchmark_train"): "kitti_benchmark_train_depth",
    ("depth", "kitti_zhou_validation"): "kitti_zhou_val_depth",
    ("depth", "kitti_zhou_test"): "kitti_zhou_test_depth",
    ("depth", "kitti_kitti_validation"): "kitti_kitti_val_depth",
    ("depth", "kitti_2015_train"): "kitti_2015_train_depth",
    ("depth", "nyu_v2_test"): "nyu_v2_test_depth",
    ("depth", "nyu_v2_struct_test"): "nyu_v2_struct_test_depth",
    ("depth", "make3d_test"): "make3d_test_depth",
    ("segmentation", "cityscapes_train"): "cityscapes_train_seg",
    ("segmentation", "cityscapes_validation"): "cityscapes_val_seg",
    ("segmentation", "kitti_2015_train"): "kitti_2015_val_seg",
    ("pose", "kitti_odom09_validation"): "kitti_odom09_val_pose",
    ("pose", "kitti_odom10_validation"): "kitti_odom10_val_pose",
}
SEQUENCES = {("pose", f"kitti_odom0{number}_validation") for number in range(9)}


def test_every_published_loader_exists_with_its_domain_name():
    domains = {key: spec.domain for key, spec in LOADERS.items()}
    assert PUBLISHED.items() <= domains.items() and len(set(domains.values())) == len(domains)


def test_every_sequence_with_poses_has_a_loader():
    assert SEQUENCES <= set(LOADERS)


def test_further_sets_are_called_by_the_names_of_their_loaders():
    others = {spec for key, spec in LOADERS.items() if key not in {*PUBLISHED, *SEQUENCES}}
    assert others and all(spec.domain == f"{spec.name}_{spec.purpose}" for spec in others)


def test_training_on_kitti_uses_both_cameras_and_both_neighbours():
    for name in ("zhou", "kitti", "odom09", "benchmark", "eigen_full"):
        spec = find_loader("depth", f"kitti_{name}_train", training=True)
        assert spec.cameras == ("color", "color_right")
        assert spec.frames == (0, -1, 1)


def test_only_the_zhou_loaders_judge_inside_the_garg_crop():
    protocols = {spec.name: spec.protocol for spec in LOADERS.values() if spec.purpose == "depth" and not spec.training}
    cropped = [name for name, protocol in protocols.items() if protocol == "kitti_zhou"]
    assert cropped == ["kitti_zhou_validation", "kitti_zhou_test"]


def test_only_videos_and_a_server_go_without_ground_truth():
    without = [spec for spec in LOADERS.values() if not spec.needs_truth]
    assert all(spec.purpose == "depth" and spec.video for spec in without if spec.training)
    judged = [spec.name for spec in without if not spec.training]
    assert judged == ["kitti_benchmark_test", "folder_video_validation"]
    supervised = replace(find_loader("depth", "kitti_zhou_validation"), training=True)
    assert supervised.needs_truth


def test_pose_loaders_read_the_test_part_as_pairs():
    spec = find_loader("pose", "kitti_odom10_validation")
    assert (spec.part, spec.frames) == ("test", (0, 1))


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(UserError, match=r"kitti_zhou_tran: no such loader \(closest: kitti_zhou_train"):
        find_loader("depth", "kitti_zhou_tran", training=True)


def test_a_loader_for_another_use_says_what_it_is_for():
    with pytest.raises(UserError, match="this loader is for depth training"):
        find_loader("depth", "kitti_zhou_train")
    with pytest.raises(UserError, match="kitti_2015_train: this loader is for depth evaluation and segment"):
        find_loader("segmentation", "kitti_2015_train", training=True)


def test_the_catalog_needs_neither_torch_nor_what_few_data_sets_need():
    late = "{'torch', 'h5py', 'scipy'}"
    code = (
        f"import sys, dataloader.catalog, dataloader.splits, dataloader.files; sys.exit(len({late} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False).returncode == 0
