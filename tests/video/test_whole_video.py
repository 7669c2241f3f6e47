"""A video that breaks off is found by its packets, before anything is decoded."""

import av
import pytest
from builders import write_video

from proactive_env.errors import VideoError
from proactive_env.video import probe_duration


def test_a_file_that_was_cut_off_is_told_from_a_whole_one(tmp_path):
    whole, cut = tmp_path / "whole.mp4", tmp_path / "cut.mp4"
    write_video(tmp_path / "plain.mp4", seconds=6)
    with av.open(tmp_path / "plain.mp4") as source, av.open(whole, "w", options={"movflags": "faststart"}) as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    data = whole.read_bytes()
    cut.write_bytes(data[: data.index(b"mdat") + (len(data) - data.index(b"mdat")) // 2])
    assert probe_duration(whole) == pytest.approx(6, abs=0.1)
    with pytest.raises(VideoError, match="expected 6 s of video, found"):
        probe_duration(cut)
