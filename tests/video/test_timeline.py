"""Files that no player times by their headers alone, after public reports, and files that are none."""

import os
import tracemalloc
from functools import partial
from pathlib import Path

import av
import numpy as np
import pytest
from builders import write_video
from test_against_ffmpeg import ENCODERS, ffmpeg, numbered, numbers

from proactive_env.errors import VideoError
from proactive_env.video import FrameCache, decode_frames, probe_duration


def encoded(file, seconds, rate, *options, first=0):
    raw = ["-f", "rawvideo", "-pix_fmt", "gray", "-s", "128x56", "-r", rate, "-i", "-"]
    data = numbered(256)[first : first + seconds * rate].tobytes()
    ffmpeg(*raw, *ENCODERS["h264"], "-pix_fmt", "yuv420p", *options, file, data=data)
    return file


def test_h264_with_b_frames_copied_into_avi_plays_at_its_own_speed(tmp_path):
    """Its chunks have no presentation times, and at twice the rate every other one is empty."""
    ffmpeg("-i", encoded(tmp_path / "a.mp4", 10, 25, "-bf", 3), "-c", "copy", "-r", 50, tmp_path / "a.avi")
    assert numbers(tmp_path / "a.avi", 10) == list(range(0, 250, 25))
    assert probe_duration(tmp_path / "a.avi") == pytest.approx(10, abs=0.05)


def test_joined_transport_streams_are_refused_and_the_remedy_works(tmp_path):
    parts = [encoded(tmp_path / f"{first}.ts", 10, 1, first=first) for first in (0, 10)]
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    for read in (probe_duration, lambda file: decode_frames(file, count=1, frame_interval=1.0)):
        with pytest.raises(VideoError, match=r"joined\.ts: expected timestamps that ascend.*ffmpeg -i FILE -c copy"):
            read(joined)
    ffmpeg("-i", joined, "-c", "copy", tmp_path / "new.mp4")
    assert numbers(tmp_path / "new.mp4", 20) == list(range(20))


def test_a_file_whose_last_bytes_are_missing_shows_what_is_whole(tmp_path):
    """The last picture but two of twenty can be decoded; ffmpeg shows them, too."""
    whole = encoded(tmp_path / "whole.mp4", 10, 2, "-bf", 2, "-movflags", "faststart")
    cut = tmp_path / "cut.mp4"
    with av.open(str(whole)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    cut.write_bytes(whole.read_bytes()[: -packets[-1].size - packets[-2].size // 2])
    shown = numbers(cut, 10)
    assert shown[:9] == list(range(0, 18, 2))
    assert shown[9] in (17, 18)


def test_a_damaged_middle_is_an_error(tmp_path):
    whole = encoded(tmp_path / "whole.mp4", 10, 10, "-bf", 0)
    data = bytearray(whole.read_bytes())
    middle = data.index(b"mdat") + (data.index(b"moov") - data.index(b"mdat")) // 2
    data[middle : middle + 200] = b"\xff" * 200
    (tmp_path / "damaged.mp4").write_bytes(data)
    with pytest.raises(VideoError, match=r"damaged\.mp4: expected a video that can be decoded"):
        decode_frames(tmp_path / "damaged.mp4", count=10, frame_interval=1.0)


def test_what_is_no_regular_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    for path in (tmp_path / "pipe.mp4", Path("/dev/zero")):
        for read in (probe_duration, partial(FrameCache(tmp_path).frames, count=1, frame_interval=1.0)):
            with pytest.raises(VideoError, match="found: a pipe or device"):
                read(path)


def test_frames_go_to_the_cache_one_at_a_time(tmp_path):
    """Ten minutes at a frame a second are 17 MB."""
    video = write_video(tmp_path / "long.mp4", seconds=600, rate=1, size=(112, 84))
    tracemalloc.start()
    frames = FrameCache(tmp_path / "cache").frames(video, count=600, frame_interval=1.0)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert frames.nbytes > 16e6
    assert most < 4e6
    assert isinstance(frames, np.memmap)
