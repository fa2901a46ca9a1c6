"""Reading and writing videos."""

import numpy as np
import pytest

from errors import UserError
from visual.video import VideoWriter, describe, read_frames, spread_frames


@pytest.fixture
def clip(tmp_path):
    """Ten frames that get brighter, red on the left."""
    path = tmp_path / "clip.mp4"
    with VideoWriter(path, 12.5) as writer:
        for level in range(10):
            frame = np.full((48, 64, 3), 20 * level, np.uint8)
            frame[:, :32] = 230, 20, 20
            writer.write(frame)
    return path


def test_what_was_written_is_read_in_order_and_in_rgb(clip):
    frames = list(read_frames(clip))
    assert describe(clip) == (12.5, 10) and len(frames) == 10
    for level, frame in enumerate(frames):
        assert frame.shape == (48, 64, 3)
        assert abs(frame[:, 40:].mean() - 20 * level) < 8
        assert frame[:, :24, 0].mean() > 150 > 100 > frame[:, :24, 2].mean()


@pytest.mark.parametrize("count, levels", [(1, [0]), (3, [0, 3, 6]), (16, range(10))])
def test_spread_frames_cover_the_whole_video(clip, count, levels):
    found = [round(frame[:, 40:].mean() / 20) for frame in spread_frames(clip, count)]
    assert found == list(levels)


def test_a_file_that_is_no_video_is_named(tmp_path):
    path = tmp_path / "broken.mp4"
    path.write_bytes(b"nothing of the kind" * 50)
    with pytest.raises(UserError, match="broken.mp4: cannot be read as a video"):
        describe(path)
    with pytest.raises(UserError, match="broken.mp4"):
        list(read_frames(path))


def test_an_interrupted_video_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), VideoWriter(tmp_path / "half.mp4", 25) as writer:
        writer.write(np.zeros((48, 64, 3), np.uint8))
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(UserError, match="cannot write a video"), VideoWriter(tmp_path / "none" / "a.mp4", 25) as writer:
        writer.write(np.zeros((48, 64, 3), np.uint8))
