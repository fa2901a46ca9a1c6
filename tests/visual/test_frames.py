"""Frames of a video as image files."""

from __future__ import annotations

import json
import os
from argparse import Namespace
from pathlib import Path

import cv2
import numpy as np
import pytest

from dataloader.catalog import find_loader
from dataloader.prepare.__main__ import main
from dataloader.splits import resolve
from errors import UserError
from methods.video.own_frames import take_own_frames
from storage.frames import FOLDER, NOTES, are_complete
from visual.frames import take_all, take_frames
from visual.video import VideoWriter

K = (60.0, 60.0, 32.0, 24.0)


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    """Twelve frames at ten per second that get brighter."""
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    with VideoWriter(path, 10) as writer:
        for level in range(12):
            writer.write(np.full((48, 64, 3), 20 * level, np.uint8))
    return path


def levels(folder: Path) -> dict[str, int]:
    """Which frames of the clip are in a folder, by name."""
    images = {path.name: cv2.imread(str(path)) for path in sorted(folder.iterdir()) if path.name != NOTES}
    return {name: round(image.mean() / 20) for name, image in images.items()}


@pytest.mark.parametrize("out", [["--out", ""], ["--out="]])
def test_an_empty_name_to_write_to_is_no_name_of_the_current_folder(clip, out, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["frames", str(clip), *out]) == 2
    assert capsys.readouterr().err.startswith("error: --out '': an empty name; ") and not [*tmp_path.iterdir()]


def test_all_frames_are_taken_and_an_interrupted_run_goes_on(clip, tmp_path, capsys):
    words = ["frames", str(clip), "--out", str(tmp_path / "a")]
    assert main(words) == 0
    assert levels(tmp_path / "a") == {f"{number:06d}.png": number for number in range(12)}
    assert capsys.readouterr().out == f"{tmp_path / 'a'}: 12 frames of {clip}, 12 of them written now\n"
    (tmp_path / "a/000007.png").unlink()
    notes = json.loads((tmp_path / "a" / NOTES).read_text())
    assert (notes["video"], notes["rate"], notes["frames"]) == ("clip.mp4", 10, 12)
    (tmp_path / "a" / NOTES).write_text(json.dumps({**notes, "complete": False}))
    assert main(words) == 0 and "1 of them written now" in capsys.readouterr().out
    assert main(words) == 0 and "12 frames of" in capsys.readouterr().out and are_complete(tmp_path / "a")


@pytest.mark.parametrize(
    ("option", "taken"),
    [(["--step", "5", "--jpg"], [0, 5, 10]), (["--fps", "4"], [0, 3, 5, 8, 10]), (["--fps", "10"], range(12))],
)
def test_fewer_frames_are_numbered_without_gaps(clip, tmp_path, option, taken):
    assert main(["frames", str(clip), "--out", str(tmp_path), *option]) == 0
    found = levels(tmp_path)
    assert [*found.values()] == [*taken]
    assert [int(name[:6]) for name in found] == [*range(len(taken))]


def test_of_a_damaged_video_the_whole_frames_are_written(tmp_path, capsys, caplog):
    writer = cv2.VideoWriter(str(tmp_path / "a.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for number in range(12):
        writer.write(np.random.default_rng(number).integers(0, 256, (48, 64, 3), np.uint8))
    writer.release()
    content = (tmp_path / "a.avi").read_bytes()
    (tmp_path / "a.avi").write_bytes(content[: len(content) * 6 // 10])
    words = ["frames", str(tmp_path / "a.avi"), "--out", str(tmp_path / "a")]
    assert main(words) == 3
    said = capsys.readouterr()
    count = len(levels(tmp_path / "a"))
    assert 0 < count < 12 and [*levels(tmp_path / "a")] == [f"{number:06d}.png" for number in range(count)]
    assert f"error: {tmp_path}/a.avi: {count} of 12 frames could be decoded, the file is cut off" in said.err
    assert main(words) == 3 and capsys.readouterr().err.startswith("error: ")
    args = Namespace(
        depth_training_loaders=("folder_train",),
        data_folder=str(tmp_path / "a.avi"),
        data_on_missing="stop",
        checkpoint_dir=str(tmp_path / "runs"),
    )
    with pytest.raises(UserError, match="the file is cut off; .*, or pass --data-on-missing drop"):
        take_own_frames(args)
    args.data_on_missing = "drop"
    with caplog.at_level("WARNING"):
        take_own_frames(args)
    assert "the file is cut off" in caplog.text


def test_mistakes_are_told_and_leave_nothing(clip, tmp_path, capsys):
    (tmp_path / "text.mp4").write_text("no video at all" * 20)
    out = tmp_path / "out"
    (tmp_path / "still.png").write_bytes(b"")
    for words, told in (
        ([clip, "--step", "0"], "--step 0: give a whole number"),
        ([clip, "--fps", "-1"], "--fps -1: give a number of frames per second"),
        ([clip, "--fps", "nan"], "--fps nan: give a number"),
        ([clip, "--fps", "5", "--step", "2"], "--step and --fps: both say"),
        ([clip, "--fps", "25"], f"--fps 25: {clip} has 10 frames per second; give at most that"),
        ([tmp_path / "none.mp4"], "none.mp4: no such file"),
        ([tmp_path], "a folder; name a video"),
        ([tmp_path / "still.png"], "still.png: an image; name a video"),
        ([tmp_path / "text.mp4"], "text.mp4: cannot be read as a video"),
    ):
        assert main(["frames", *map(str, words), "--out", str(out)]) == 2
        assert told in capsys.readouterr().err and not out.exists()


def test_a_folder_with_other_images_is_refused(clip, tmp_path):
    take_frames(clip, tmp_path / "a", step=4)
    with pytest.raises(UserError, match=r"holds frames that were taken otherwise \(step 4\); choose another folder"):
        take_frames(clip, tmp_path / "a", step=2)
    (tmp_path / "a" / NOTES).unlink()
    with pytest.raises(UserError, match="holds images already, of another origin"):
        take_frames(clip, tmp_path / "a", step=4)


def test_a_video_is_a_sequence_once_its_frames_are_taken_out(clip, tmp_path):
    own, home = tmp_path / "own/trip", tmp_path / "runs"
    own.mkdir(parents=True)
    os.link(clip, own / "drive.mp4")
    spec = find_loader("depth", "folder_train", training=True)

    def samples(folder: Path, home: Path | str = home) -> list:
        return resolve(spec, "", data_folder=str(folder), data_intrinsics=K, cache_folder=str(home))

    remedy = rf"drive\.mp4: .* python -m dataloader\.prepare frames {own}/drive\.mp4 --out {own}/drive does so"
    for place in (home, ""):
        with pytest.raises(UserError, match=remedy):
            samples(tmp_path / "own", place)
    told = []
    assert take_all([own / "drive.mp4"], home, told.append) == [] and len(told) == 1
    found = samples(tmp_path / "own")
    assert [found[0].name, found[-1].name, len(found)] == ["trip/drive.mp4/000001", "trip/drive.mp4/000010", 10]
    assert found[0].images[0].startswith(f"{home / FOLDER}/drive_")
    assert [sample.name for sample in samples(own / "drive.mp4")][0] == "drive.mp4/000001"
    take_frames(own / "drive.mp4", own / "drive", step=3)
    assert [sample.name for sample in samples(tmp_path / "own", "")] == ["trip/drive/000001", "trip/drive/000002"]
