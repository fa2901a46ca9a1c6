"""Trajectory errors over windows of five frames."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from errors import UserError
from evaluation.pose import evaluate_pose, local_motions, trajectory_errors, window_positions
from tests import golden


def drive(count: int, seed: int = 0) -> np.ndarray:
    """Camera-to-world poses of a car that turns a little."""
    random = np.random.RandomState(seed)
    poses = [np.eye(4)]
    for _ in range(count - 1):
        angle = random.uniform(-0.05, 0.05)
        step = np.eye(4)
        step[:3, :3] = [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
        step[:3, 3] = random.uniform([-0.1, -0.02, 0.5], [0.1, 0.02, 1.5])
        poses.append(poses[-1] @ step)
    return np.stack(poses)


def scaled(motions: np.ndarray, factor: float) -> np.ndarray:
    result = motions.copy()
    result[:, :3, 3] *= factor
    return result


def make_batches(poses: np.ndarray, size: int) -> list[SimpleNamespace]:
    spec = SimpleNamespace(domain="test_pose")
    truth = [SimpleNamespace(name=f"frame {i}", pose=pose) for i, pose in enumerate(poses)]
    groups = [tuple(truth[i : i + size]) for i in range(0, len(truth), size)]
    return [
        SimpleNamespace(spec=spec, truth=group, inputs={f: torch.zeros(len(group), 3, 4, 8) for f in (-1, 0, 1)})
        for group in groups
    ]


def test_error_matches_the_published_code():
    _, want = golden.load("sgdepth_pose_metric")
    poses = np.tile(np.eye(4), (len(want["in_gt"]), 1, 1))
    poses[:, :3] = want["in_gt"]
    errors = trajectory_errors(poses, want["in_pred"])
    np.testing.assert_allclose([errors.mean(), errors.std()], want["mean_std"], rtol=1e-6)


def test_whole_windows_score_as_in_monodepth2_whose_last_ones_are_shorter():
    _, want = golden.load("odometry_ate")
    poses = np.tile(np.eye(4), (len(want["gt_poses_f64"]), 1, 1))
    poses[:, :3] = want["gt_poses_f64"].reshape(-1, 3, 4)
    np.testing.assert_allclose(trajectory_errors(poses, want["pred_poses"]), want["ates_f64"][:8], rtol=1e-6)
    found = trajectory_errors(poses, want["pred_poses"], tails=True)
    np.testing.assert_allclose(found, want["ates_f64"], rtol=1e-6)
    np.testing.assert_allclose([found.mean(), found.std()], want["mean_std_f64"], rtol=1e-6)


@pytest.mark.parametrize("factor", [1e-3, 1.0, 50.0])
def test_the_true_motion_is_perfect_at_every_scale(factor):
    poses = drive(12)
    errors = trajectory_errors(poses, scaled(local_motions(poses), factor))
    assert errors.shape == (8,) and errors.max() < 1e-9


def test_a_standing_prediction_scores_the_length_of_the_path():
    poses = np.tile(np.eye(4), (5, 1, 1))
    poses[:, 2, 3] = np.arange(5)
    errors = trajectory_errors(poses, np.tile(np.eye(4), (4, 1, 1)))
    assert errors == pytest.approx([np.sqrt(1 + 4 + 9 + 16) / 5])


def test_windows_chain_like_a_loop_would():
    motions = local_motions(drive(9, seed=3))
    found = window_positions(motions)
    for start in range(len(motions) - 3):
        chain = np.eye(4)
        for step in range(4):
            chain = chain @ motions[start + step]
            np.testing.assert_allclose(found[start, step + 1], chain[:3, 3], atol=1e-12)


@pytest.mark.parametrize("size", [1, 4, 12])
def test_the_loop_gives_the_same_for_every_batch_size(size):
    poses = drive(12)
    wrong = scaled(local_motions(drive(13, seed=5)), 0.1).astype(np.float32)
    queue = iter(wrong)

    def predict(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        assert first.shape == second.shape
        return torch.from_numpy(np.stack([next(queue) for _ in first]))

    result = evaluate_pose(predict, make_batches(poses, size))
    np.testing.assert_array_equal(result.errors, trajectory_errors(poses, wrong))
    assert result.metrics == {"ate_mean": result.errors.mean(), "ate_std": result.errors.std()}
    assert [row["name"] for row in result.rows] == [f"frame {i}" for i in range(8)]


def test_the_windows_at_the_end_have_names_too():
    poses = drive(7)
    motions = local_motions(drive(8, seed=5)).astype(np.float32)
    queue = iter(motions)
    predict = lambda first, _: torch.from_numpy(np.stack([next(queue) for _ in first]))  # noqa: E731
    result = evaluate_pose(predict, make_batches(poses, 7), tails=True)
    np.testing.assert_array_equal(result.errors, trajectory_errors(poses, motions, tails=True))
    assert [row["name"] for row in result.rows] == [f"frame {i}" for i in range(6)] and result.frames == 7


def test_too_short_a_drive_is_the_users_mistake():
    with pytest.raises(UserError, match="4 frames"):
        evaluate_pose(lambda first, _: torch.eye(4).repeat(len(first), 1, 1), make_batches(drive(4), 2))


def test_too_few_motions_are_refused():
    with pytest.raises(ValueError, match="7 poses and 5 motions"):
        trajectory_errors(drive(7), local_motions(drive(6)))
