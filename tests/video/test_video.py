"""Frames of tiny videos written here, beside a plain loop over every picture and beside what the pictures show."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition
from av.video.reformatter import Interpolation

from proactive_env.errors import VideoError
from proactive_env.video import decode as video
from proactive_env.video import decode_frames, decode_frames_at, frame_size, probe_duration
from proactive_env.video.decode import FrameStream

WIDTH, HEIGHT, RATE = 112, 56, 10
X264 = {"preset": "veryfast", "g": "25", "bf": "3", "b_pyramid": "normal", "x264-params": "log=-1"}


def numbered(count):
    """Pictures that show their own number as a gray level, which survives compression."""
    return [np.full((HEIGHT, WIDTH, 3), 8 * number, np.uint8) for number in range(count)]


def numbers(frames):
    return [round(frame.mean() / 8) for frame in frames]


def moving(count):
    """Pictures of drifting texture and noise, so that every picture differs from the one before it."""
    random = np.random.default_rng(0)
    texture = random.integers(0, 200, (HEIGHT // 8, WIDTH // 8 + count, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    noise = random.integers(0, 40, (count, HEIGHT, WIDTH, 3), dtype=np.uint8)
    return [texture[:, 3 * number : 3 * number + WIDTH] + noise[number] for number in range(count)]


def write(path, pictures, *, codec="libx264", options=X264, milliseconds=None, rotation=0):
    """Write the pictures at 10 a second, or at the given times; return the path."""
    if codec not in av.codecs_available:
        pytest.skip(f"this build of FFmpeg has no encoder {codec}")
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE, width=WIDTH, height=HEIGHT, options=options)
        if rotation:
            stream.set_display_rotation(rotation)
        if milliseconds is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            if milliseconds is not None:
                frame.pts, frame.time_base = milliseconds[number], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_silence(container, seconds):
    """Add a track of silence to an open container."""
    stream = container.add_stream("aac", rate=8000)
    for start in range(0, seconds * 8000, 1000):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1000), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 8000, start, Fraction(1, 8000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode())


def copy_packets(source, target, *, first=0, shift=0):
    """Copy the packets from number `first` on, `shift` pictures earlier; return the target."""
    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        stream = reader.streams.video[0]
        copied = writer.add_stream_from_template(stream)
        ticks = int(shift / RATE / stream.time_base)
        for packet in [packet for packet in reader.demux(stream) if packet.size][first:]:
            packet.stream = copied
            packet.pts, packet.dts = packet.pts - ticks, packet.dts - ticks
            writer.mux(packet)
    return target


def plain_frames(path, count, frame_interval):
    """What `decode_frames` promises, by a loop over every picture of the file."""
    with av.open(str(path)) as container:
        pictures = list(container.decode(video=0))
        times = [round(picture.time - container.start_time / av.time_base, 6) for picture in pictures]
    frames = []
    for index in range(count):
        shown = [picture for picture, time in zip(pictures, times, strict=True) if time <= index * frame_interval]
        picture = shown[-1] if shown else pictures[0]
        size = frame_size(picture.width, picture.height)
        interpolation = Interpolation.BICUBIC | Interpolation.FULL_CHR_H_INT
        frames.append(picture.reformat(*size, format="rgb24", interpolation=interpolation).to_ndarray())
    return np.stack(frames)


@pytest.fixture
def decodes(monkeypatch):
    """How often and in what way files were decoded: True where only wanted pictures and their references were."""
    calls = []
    frames = FrameStream._frames

    def _frames(self, decode):
        calls.append(decode == self._quickly and bool(self._timeline.shown_at(self._times)))
        return frames(self, decode)

    monkeypatch.setattr(FrameStream, "_frames", _frames)
    return calls


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Three seconds of H.264, pictures 0 to 29, 0.1 s each, with B-frames."""
    return write(tmp_path_factory.mktemp("video") / "clip.mp4", numbered(30))


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory):
    """Six seconds of H.264 with keyframes 0, 25 and 50."""
    return write(tmp_path_factory.mktemp("video") / "long.mp4", moving(60))


def test_frames_are_the_last_pictures_at_or_before_their_times(clip):
    frames = decode_frames(clip, count=7, frame_interval=0.25)
    assert (frames.shape, frames.dtype) == ((7, HEIGHT, WIDTH, 3), np.uint8)
    assert numbers(frames) == [0, 2, 5, 7, 10, 12, 15]


def test_a_picture_is_repeated_until_the_next_one(clip):
    assert numbers(decode_frames(clip, count=9, frame_interval=0.04)) == [0, 0, 0, 1, 1, 2, 2, 2, 3]


def test_frame_rate_may_vary(tmp_path):
    milliseconds = [0, 100, 350, 1000, 1050, 2000]
    path = write(tmp_path / "vfr.mp4", numbered(6), milliseconds=milliseconds)
    assert numbers(decode_frames(path, count=6, frame_interval=0.5)) == [0, 2, 3, 4, 5, 5]


@pytest.mark.parametrize("name", ["late.mkv", "late.ts"])
def test_times_count_from_the_start_of_the_container(tmp_path, name):
    """A stream that starts at 7.033 s starts at 0, and a picture exactly one second later is the frame of second 1."""
    milliseconds = [7033, 7500, 8033, 8500, 9032]
    path = write(tmp_path / name, numbered(5), milliseconds=milliseconds)
    assert numbers(decode_frames(path, count=3, frame_interval=1.0)) == [0, 2, 4]


def test_first_picture_stands_in_before_it_is_shown(tmp_path, decodes):
    """The container starts with its sound, 0.7 s before the first picture."""
    path = tmp_path / "sound-first.mkv"
    with av.open(str(path), "w") as container:
        picture_stream = container.add_stream("libx264", rate=RATE, width=WIDTH, height=HEIGHT, options=X264)
        write_silence(container, seconds=2)
        for number, picture in enumerate(numbered(10)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = 7 + number, Fraction(1, RATE)
            container.mux(picture_stream.encode(frame))
        container.mux(picture_stream.encode())
    assert numbers(decode_frames(path, count=4, frame_interval=0.4)) == [0, 0, 1, 5]
    assert decodes == [True]


def test_timestamps_missing_from_the_file(tmp_path):
    """AVI keeps none for reordered pictures; they follow each other at the frame rate."""
    path = write(tmp_path / "clip.avi", numbered(20))
    assert numbers(decode_frames(path, count=5, frame_interval=0.5, duration=2.0)) == [0, 5, 10, 15, 19]


@pytest.mark.parametrize(
    ("suffix", "codec", "options"),
    [
        pytest.param("mp4", "libx264", X264, id="h264-pyramid"),
        pytest.param("ts", "libx264", X264 | {"bf": "8", "refs": "4"}, id="h264-many-b-frames"),
        pytest.param("mkv", "libx264", X264 | {"x264-params": "log=-1:open-gop=1"}, id="h264-open-gop"),
        pytest.param("flv", "libx264", X264 | {"x264-params": "log=-1:intra-refresh=1"}, id="h264-intra-refresh"),
        pytest.param("mp4", "libx264", X264 | {"x264-params": "log=-1:tff=1"}, id="h264-interlaced"),
        pytest.param("mp4", "libx264", X264 | {"tune": "zerolatency"}, id="h264-no-b-frames"),
        pytest.param("mp4", "libx265", {"x265-params": "log-level=none:temporal-layers=3"}, id="hevc-layers"),
        pytest.param("mp4", "mpeg4", {"bf": "2"}, id="mpeg4"),
        pytest.param("webm", "libvpx-vp9", {"deadline": "realtime", "cpu-used": "8"}, id="vp9"),
        pytest.param("webm", "libvpx", {"deadline": "realtime", "cpu-used": "8"}, id="vp8"),
        pytest.param("mp4", "libsvtav1", {"preset": "12", "svtav1-params": "log-level=0"}, id="av1"),
    ],
)
def test_every_pixel_is_that_of_a_full_decode(tmp_path, decodes, suffix, codec, options):
    path = write(tmp_path / f"clip.{suffix}", moving(60), codec=codec, options=options)
    for count, frame_interval in [(6, 1.0), (20, 0.33), (60, 0.1)]:
        frames = decode_frames(path, count=count, frame_interval=frame_interval)
        np.testing.assert_array_equal(frames, plain_frames(path, count, frame_interval))
    skips = codec == "libx264" and "tff" not in options["x264-params"]
    assert decodes == [skips] * 3


def test_pictures_that_an_edit_list_cuts_away_are_none(tmp_path, decodes, long_clip):
    path = copy_packets(long_clip, tmp_path / "cut.mp4", shift=13)
    with av.open(str(path)) as container:
        assert sum(packet.is_discard for packet in container.demux(video=0)) == 13
    np.testing.assert_array_equal(
        decode_frames(path, count=5, frame_interval=0.9),
        decode_frames(long_clip, count=60, frame_interval=0.1)[13::9][:5],
    )
    assert decodes[0]


def test_pictures_after_the_end_of_an_edit_list_are_none(tmp_path, decodes, clip):
    data = bytearray(clip.read_bytes())
    duration = data.index(b"elst") + 12
    data[duration : duration + 4] = (1500).to_bytes(4)  # milliseconds
    path = tmp_path / "cut.mp4"
    path.write_bytes(data)
    assert numbers(decode_frames(path, count=5, frame_interval=0.5, duration=2.5)) == [0, 5, 10, 14, 14]
    assert decodes == [True]
    with pytest.raises(VideoError, match=r"expected 3 s of video, found 1\.5 s"):
        decode_frames(path, count=1, frame_interval=0.5, duration=3.0)


def test_of_pictures_with_one_timestamp_the_last_is_shown(tmp_path):
    options = X264 | {"bf": "0"}
    path = write(tmp_path / "twice.mkv", numbered(5), options=options, milliseconds=[0, 500, 500, 1000, 1500])
    assert numbers(decode_frames(path, count=4, frame_interval=0.5)) == [0, 2, 3, 4]


@pytest.mark.parametrize("name", ["cut.mp4", "cut.ts"])
def test_pictures_that_cannot_be_decoded_are_none(tmp_path, decodes, long_clip, name):
    """A file cut between keyframes has packets that give no picture, which shows only when it is decoded."""
    path = copy_packets(long_clip, tmp_path / name, first=10, shift=10)
    np.testing.assert_array_equal(decode_frames(path, count=9, frame_interval=0.5), plain_frames(path, 9, 0.5))
    assert decodes == [True, False]


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_frames_at_some_times_are_those_of_all_and_no_other_is_made(tmp_path, monkeypatch, codec):
    path = write(tmp_path / "clip.mp4", moving(60), codec=codec, options=X264 if codec == "libx264" else {})
    every = decode_frames(path, count=60, frame_interval=0.1)
    made = []
    repeat = video.repeat
    monkeypatch.setattr(video, "repeat", lambda frame, count: made.append(count) or repeat(frame, count))
    np.testing.assert_array_equal(decode_frames_at(path, [0.71, 2.0, 2.04, 5.9, 99.0]), every[[7, 20, 20, 59, 59]])
    assert made == [1, 2, 2]


@pytest.mark.parametrize("times", [[], [2.0, 1.0]])
def test_times_that_do_not_ascend(clip, times):
    with pytest.raises(ValueError, match="expected one or more ascending times"):
        decode_frames_at(clip, times)


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_pictures_are_set_upright(tmp_path, rotation):
    """A picture with a bright left half has it at the bottom, right or top once turned counterclockwise."""
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    picture[:, : WIDTH // 2] = 200
    path = write(tmp_path / "turned.mp4", [picture] * 3, rotation=rotation)
    (frame,) = decode_frames(path, count=1, frame_interval=1.0)
    np.testing.assert_allclose(frame, np.rot90(picture, rotation // 90), atol=5)


def test_size_is_that_of_the_upright_picture(tmp_path):
    path = write(tmp_path / "turned.mp4", moving(3), rotation=90)
    assert decode_frames(path, count=1, frame_interval=1.0, max_pixels=3 * 28 * 28).shape == (1, 56, 28, 3)


def test_colours(tmp_path):
    levels = np.array([0, 128, 255], np.uint8)
    path = write(tmp_path / "gray.mp4", [np.full((HEIGHT, WIDTH, 3), level, np.uint8) for level in levels])
    frames = decode_frames(path, count=3, frame_interval=0.1, max_pixels=2 * 28 * 28)
    np.testing.assert_allclose(frames.mean(axis=(1, 2, 3)), levels, atol=1)


def test_a_file_may_be_a_second_shorter_than_annotated(clip):
    assert numbers(decode_frames(clip, count=5, frame_interval=1.0, duration=4.0)) == [0, 10, 20, 29, 29]
    with pytest.raises(VideoError, match=r"clip\.mp4: expected 4\.1 s of video, found 3 s"):
        decode_frames(clip, count=1, frame_interval=1.0, duration=4.1)


def test_a_file_without_annotated_duration_may_end_at_any_time(clip):
    assert numbers(decode_frames(clip, count=3, frame_interval=5.0)) == [0, 29, 29]


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.ts"])
def test_probe_duration(tmp_path, clip, name):
    assert probe_duration(copy_packets(clip, tmp_path / name)) == pytest.approx(3.0, abs=0.01)


def test_probe_duration_without_timestamps(tmp_path):
    with pytest.raises(VideoError, match=r"raw\.h264: expected timestamps, found packets without any"):
        probe_duration(write(tmp_path / "raw.h264", numbered(3)))


def missing(path, clip):
    pass


def folder(path, clip):
    path.mkdir()


def empty(path, clip):
    path.touch()


def garbage(path, clip):
    path.write_bytes(np.random.default_rng(0).bytes(5000))


def without_moov(path, clip):
    data = clip.read_bytes()
    path.write_bytes(data[: data.index(b"moov")])


def sound_only(path, clip):
    with av.open(str(path), "w") as container:
        write_silence(container, seconds=1)


def sound_with_cover(path, clip):
    with av.open(str(path), "w") as container:
        cover = container.add_stream("mjpeg", rate=1, width=64, height=64, pix_fmt="yuvj420p")
        cover.disposition = Disposition.attached_pic
        write_silence(container, seconds=1)
        container.mux(cover.encode(av.VideoFrame(64, 64, "yuvj420p")))
        container.mux(cover.encode())


def without_decoder(path, clip):
    path.write_bytes(clip.read_bytes().replace(b"avc1", b"zzzz"))


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (missing, "No such file or directory"),
        (folder, "Is a directory"),
        (empty, "Invalid data"),
        (garbage, "Invalid data"),
        (without_moov, "Invalid data"),
        (sound_only, "expected a video stream, found none"),
        (sound_with_cover, "expected a video stream, found none"),
        (without_decoder, "expected a codec that FFmpeg can decode"),
    ],
)
def test_files_that_are_no_videos(tmp_path, clip, make, found):
    path = tmp_path / "broken.mp4"
    make(path, clip)
    for read in (probe_duration, decode_one):
        with pytest.raises(VideoError, match=found) as raised:
            read(path)
        assert str(raised.value).startswith(f"{path}: ")


def decode_one(path):
    return decode_frames(path, count=1, frame_interval=1.0)


def test_pictures_that_are_noise(tmp_path, clip):
    data = bytearray(clip.read_bytes())
    begin, end = data.index(b"mdat") + 4, data.index(b"moov") - 4
    data[begin:end] = bytes(end - begin)
    path = tmp_path / "noise.mp4"
    path.write_bytes(data)
    with pytest.raises(VideoError, match=r"noise\.mp4: expected a video that can be decoded") as raised:
        decode_one(path)
    assert isinstance(raised.value.__cause__, av.FFmpegError)


def test_no_picture_can_be_decoded(tmp_path, clip):
    """The only keyframe, where decoding could begin, is left out."""
    one_group = write(tmp_path / "one-group.mp4", moving(20))
    path = copy_packets(one_group, tmp_path / "headless.mp4", first=5)
    with pytest.raises(VideoError, match=r"headless\.mp4: expected pictures, found none"):
        decode_one(path)


def test_names_and_tags_that_mean_something_else_elsewhere(tmp_path, monkeypatch, clip):
    """A name that looks like a protocol, and a title in another encoding than UTF-8."""
    with av.open(str(clip)) as reader, av.open(str(tmp_path / "titled.mkv"), "w") as writer:
        writer.metadata["title"] = "TITLE"
        stream = writer.add_stream_from_template(reader.streams.video[0])
        for packet in reader.demux(video=0):
            if packet.size:
                packet.stream = stream
                writer.mux(packet)
    monkeypatch.chdir(tmp_path)
    Path("http:titled.mkv").write_bytes(Path("titled.mkv").read_bytes().replace(b"TITLE", b"T\xeftre"))
    assert decode_one(Path("http:titled.mkv")).shape == (1, HEIGHT, WIDTH, 3)


@pytest.mark.parametrize(
    ("count", "frame_interval"), [(0, 1.0), (1, 0.0), (1, -1.0), (1, float("nan")), (1, float("inf"))]
)
def test_arguments_that_ask_for_nothing(clip, count, frame_interval):
    with pytest.raises(ValueError, match="expected count >= 1 and frame_interval > 0 seconds"):
        decode_frames(clip, count=count, frame_interval=frame_interval)


def test_every_pixel_of_real_videos(real_data, decodes):
    paths = sorted(real_data.rglob("*.mp4"))
    assert paths
    for path in paths:
        count = max(1, int(probe_duration(path)))
        frames = decode_frames(path, count=count, frame_interval=1.0, duration=float(count))
        np.testing.assert_array_equal(frames, plain_frames(path, count, 1.0), err_msg=str(path))
    assert len(decodes) == len(paths)
