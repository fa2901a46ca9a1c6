"""Reading and writing videos."""

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from errors import UserError
from visual.containers import is_cut, is_film, program_stream
from visual.video import FrameReader, VideoWriter, describe, frame_size, spread_frames


@pytest.fixture(params=["H.264", "MPEG-4"])
def clip(request, tmp_path, monkeypatch):
    """Ten frames that get brighter, red on the left."""
    path = tmp_path / "clip.mp4"
    if request.param == "H.264":
        pytest.importorskip("av")
    monkeypatch.setattr("visual.video.is_there", lambda: request.param == "H.264")
    with VideoWriter(path, 12.5) as writer:
        assert writer.modern == (request.param == "H.264")
        for level in range(10):
            frame = np.full((48, 64, 3), 20 * level, np.uint8)
            frame[:, :32] = 230, 20, 20
            writer.write(frame)
    return path


def test_what_was_written_is_read_in_order_and_in_rgb(clip):
    frames = [frame for _, frame in FrameReader(clip)]
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
        list(FrameReader(path))


def test_browsers_can_play_it_and_every_frame_keeps_its_time(tmp_path):
    av = pytest.importorskip("av")
    path, times = tmp_path / "clip.mp4", [0.0, 0.04, 0.5, 0.54, 1.2]
    with VideoWriter(path, 25) as writer:
        for seconds in times:  # that begin later than the film
            writer.write(np.full((49, 65, 3), 100, np.uint8), 3 + seconds)
    with av.open(str(path)) as file:
        (stream,) = file.streams
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (stream.width, stream.height) == (64, 48)
    reader = FrameReader(path)
    assert [frame.seconds for frame in reader.frames()] == pytest.approx(times, abs=1e-3)
    assert [(frame.number, frame.seconds) for frame in FrameReader(path, step=2).frames()] == [
        (0, 0.0),
        (2, pytest.approx(0.5, abs=1e-3)),
        (4, pytest.approx(1.2, abs=1e-3)),
    ]
    assert not reader.fault()


def test_live_frames_stay_until_the_next_at_a_constant_rate(tmp_path, monkeypatch):
    monkeypatch.setattr("visual.video.is_there", lambda: False)
    with VideoWriter(tmp_path / "live.mp4", 10, live=True) as writer:
        for level, seconds in enumerate((5.0, 5.1, 5.6, 5.62)):
            writer.write(np.full((48, 64, 3), 60 * level, np.uint8), seconds)
    levels = [round(frame.mean() / 60) for _, frame in FrameReader(tmp_path / "live.mp4")]
    assert levels == [0, 1, 1, 1, 1, 1, 2, 3]


def test_every_so_manieth_frame_is_given_with_its_number_and_time(clip):
    reader = FrameReader(clip, step=4)
    assert reader.rate == 12.5 / 4
    assert [(frame.number, frame.seconds) for frame in reader.frames()] == [(0, 0.0), (4, 0.32), (8, 0.64)]
    assert reader.whole == 10 and not reader.fault()


def test_a_film_of_a_turned_telephone_is_upright(tmp_path):
    path = tmp_path / "turned.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 10, (64, 48))
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:, :32] = 255  # the left half, which a quarter turn to the right brings to the top
    for _ in range(3):
        writer.write(picture)
    writer.release()
    data = bytearray(path.read_bytes())
    one = 1 << 16
    place = data.index(struct.pack(">9i", one, 0, 0, 0, one, 0, 0, 0, 1 << 30), data.index(b"tkhd"))
    data[place : place + 36] = struct.pack(">9i", 0, one, 0, -one, 0, 0, 48 * one, 0, 1 << 30)
    path.write_bytes(data)
    for frame in (*(frame for _, frame in FrameReader(path)), *spread_frames(path, 2)):
        assert frame.shape == (64, 48, 3) and frame[:28].mean() > 230 > 20 > frame[36:].mean()


def test_an_interrupted_video_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), VideoWriter(tmp_path / "half.mp4", 25) as writer:
        writer.write(np.zeros((48, 64, 3), np.uint8))
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(UserError, match="cannot write a video"), VideoWriter(tmp_path / "none" / "a.mp4", 25) as writer:
        writer.write(np.zeros((48, 64, 3), np.uint8))


FRAMES = 40
KINDS = {".avi": "MJPG", ".mkv": "MJPG", ".webm": "VP80", ".mp4": "mp4v", ".wmv": "WMV2"}


def film(path: Path, codec: str) -> Path:
    """Frames of noise, so that none is like another."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), 10, (64, 48))
    for number in range(FRAMES):
        writer.write(np.random.RandomState(number).randint(0, 255, (48, 64, 3), np.uint8))
    writer.release()
    return path


def streamable(path: Path) -> None:
    """Put the index of an MP4 before its data."""
    data, boxes, place = path.read_bytes(), {}, 0
    while place < len(data):
        length, name = struct.unpack_from(">I4s", data, place)
        boxes[name] = data[place : place + length]
        place += length
    index = bytearray(boxes[b"moov"])
    table = index.index(b"stco") + 8
    (count,) = struct.unpack_from(">I", index, table)
    for entry in range(table + 4, table + 4 + 4 * count, 4):
        struct.pack_into(">I", index, entry, struct.unpack_from(">I", index, entry)[0] + len(index))
    path.write_bytes(boxes[b"ftyp"] + index + boxes[b"free"] + boxes[b"mdat"])


def read(path: Path) -> tuple[dict[int, np.ndarray], str]:
    reader = FrameReader(path)
    return dict(reader), reader.fault()


def test_a_hole_that_forbids_to_seek_costs_no_numbers(tmp_path):
    path = film(tmp_path / "film.mkv", "MJPG")
    whole, _ = read(path)
    data = bytearray(path.read_bytes())
    begin, length = len(data) * 7 // 10, len(data) // 10
    data[begin : begin + length] = bytes(length)
    path.write_bytes(data)
    found, fault = read(path)
    after = range(FRAMES - 6, FRAMES)
    assert [*found] == [*range(28), *after] and all(np.array_equal(found[number], whole[number]) for number in after)
    assert f"{len(found)} of {FRAMES} frames could be decoded, it is damaged" in fault and len(found) < FRAMES


@pytest.mark.parametrize("suffix", KINDS)
def test_of_a_film_that_is_cut_off_what_is_whole_is_read(tmp_path, suffix):
    path = film(tmp_path / f"film{suffix}", KINDS[suffix])
    if suffix == ".mp4":
        streamable(path)
    whole, fault = read(path)
    assert (list(whole), fault, is_cut(path)) == ([*range(FRAMES)], "", False)
    data = path.read_bytes()
    for share in (0.6, 0.97):
        path.write_bytes(data[: int(share * len(data))])
        found, fault = read(path)
        assert list(found) == [*range(len(found))] and 0 < len(found) < FRAMES
        assert all(np.array_equal(found[number], whole[number]) for number in found)
        assert fault.startswith(f"{path}: {len(found)} of ") and "frames could be decoded, the file is cut off" in fault
        assert suffix == ".wmv" or f"of {FRAMES} frames" in fault


@pytest.mark.parametrize(("first", "start", "length"), [(10, 0.2, 0.5), (10, 0.5, 1.0), (10, 0.0, 2.1), (0, 0.0, 1.0)])
def test_frames_after_a_hole_keep_their_numbers(tmp_path, first, start, length):
    """Of an AVI of MJPEG, from somewhere in a frame, over so many."""
    path = film(tmp_path / "film.avi", "MJPG")
    whole, _ = read(path)
    data, chunks = bytearray(path.read_bytes()), []
    place = data.index(b"movi") + 4
    while data[place : place + 4] == b"00dc":
        chunks.append((place, 8 + struct.unpack_from("<I", data, place + 4)[0]))
        place += sum(chunks[-1]) - place + chunks[-1][1] % 2
    place, size = chunks[first]
    begin, end = place + 8 + int(start * size), place + 8 + int((start + length) * size)
    data[begin:end] = bytes(end - begin)
    if length < 1:
        data[begin:end] = b"\xff\xc0" * ((end - begin) // 2) + bytes((end - begin) % 2)
    path.write_bytes(data)
    found, fault = read(path)
    lost = {number for number, chunk in enumerate(chunks) if chunk[0] < end and sum(chunk) > begin}
    assert [*found] == [number for number in whole if number not in lost]
    assert all(np.array_equal(found[number], whole[number]) for number in found)
    assert f"{FRAMES - len(lost)} of {FRAMES} frames could be decoded, it is damaged" in fault


@pytest.mark.parametrize(("stated", "told"), [(42, False), (38, False), (55, True)])
def test_a_few_frames_less_than_stated_are_no_fault(tmp_path, stated, told):
    path = film(tmp_path / "film.avi", "MJPG")
    data = bytearray(path.read_bytes())
    for name, place in ((b"avih", 16), (b"strh", 32)):
        struct.pack_into("<I", data, data.index(name) + 8 + place, stated)
    path.write_bytes(data)
    found, fault = read(path)
    assert [*found] == [*range(FRAMES)]
    assert (f"{FRAMES} of {stated} frames could be decoded" in fault) == told == bool(fault)


def moving(path: Path, codec: str) -> Path:
    """A picture that moves, so that codecs predict frames from others."""
    picture = cv2.GaussianBlur(np.random.RandomState(0).randint(0, 255, (48, 200, 3), np.uint8), (0, 0), 2)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), 10, (64, 48))
    for number in range(FRAMES):
        noise = np.random.RandomState(number).randint(-6, 7, (48, 64, 3))
        writer.write(np.clip(picture[:, 3 * number : 3 * number + 64] + noise, 0, 255).astype(np.uint8))
    writer.release()
    return path


CODECS = [("mp4", "mp4v"), ("avi", "XVID"), ("mkv", "XVID"), ("mkv", "MJPG"), ("mpg", "MPG2"), ("wmv", "WMV2")]


@pytest.mark.parametrize(("suffix", "codec"), CODECS)
@pytest.mark.parametrize("start", [0.55, 0.7])
def test_what_is_predicted_across_a_hole_is_left_out(tmp_path, suffix, codec, start):
    path = moving(tmp_path / f"film.{suffix}", codec)
    whole, fault = read(path)
    assert ([*whole], fault) == ([*range(FRAMES)], "")
    data = bytearray(path.read_bytes())
    begin, length = int(len(data) * start), len(data) // 20
    data[begin : begin + length] = np.random.RandomState(5).bytes(length)
    path.write_bytes(data)
    found, fault = read(path)
    assert 10 < len(found) < FRAMES and all(np.array_equal(found[number], whole[number]) for number in found)
    assert fault.startswith(f"{path}: {len(found)} of ") and "it is damaged" in fault


def test_a_program_stream_that_is_cut_off_is_told(tmp_path):
    path = film(tmp_path / "film.mpg", "MPG2")
    whole, fault = read(path)
    assert ([*whole], fault, program_stream(path)) == ([*range(FRAMES)], "", (False, False))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 7 // 10])
    found, fault = read(path)
    assert program_stream(path) == (False, True) and [*found] == [*range(len(found))] and len(found) > 5
    assert all(np.array_equal(found[number], whole[number]) for number in found)
    assert f"{len(found)} of an unknown number of frames could be decoded, the file is cut off" in fault
    packet = data.index(b"\0\0\1\xe0", len(data) // 2)
    path.write_bytes(data[:packet] + b"\xff" * 8 + data[packet + 8 :])
    assert program_stream(path) == (True, False) and "it is damaged" in read(path)[1]


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".mkv", ".mpg", ".mov"])
def test_films_are_known_by_their_content(tmp_path, suffix):
    path = tmp_path / f"film{suffix}"
    with VideoWriter(path, 5.0) as writer:
        for _ in range(3):
            writer.write(np.zeros((32, 64, 3), np.uint8))
    assert is_film(path) and frame_size(path) == (32, 64)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
        b"ffconcat version 1.0\nfile a.mp4\n",
        b"\0\0\0\x18ftypheic\0\0\0\0",
        b"\x89PNG\r\n\x1a\n\0\0\0\r",
        b"RIFF\0\0\0\0WEBP",
    ],
)
def test_lists_and_photos_are_no_films(tmp_path, content):
    path = tmp_path / "film.mp4"
    path.write_bytes(content)
    assert not is_film(path)
