"""What ffmpeg itself shows, over containers, rates, tracks, starts, turns and pixel shapes: every cell equals it.

Pictures carry their number in binary, or a gray for each corner.
"""

import itertools
import subprocess

import imageio_ffmpeg
import numpy as np
import pytest

from proactive_env.errors import VideoError
from proactive_env.video import decode_frames, decode_frames_at, probe_duration

SECONDS, RATE = 10, 10
CELL, HEIGHT = 16, 56  # pixels; a picture is eight cells wide

CODECS = {"webm": ("vp9", "opus"), "avi": ("h264", "mp3"), "gif": ("gif", None)}
"""Of video and audio; H.264 and AAC elsewhere."""
NAMES = {"fragmented.mp4": ["-movflags", "frag_keyframe+empty_moov"], "mp4": [], "mov": [], "mkv": [], "webm": []} | {
    "avi": [],
    "flv": [],
    "ts": [],
    "gif": [],
}
STARTS = {"together": (0, 0), "picture later": (2, 0), "sound later": (0, 2), "both later": (5, 5)}
"""Seconds at which video and audio track begin."""
SOUNDS = {"no sound": None, "shorter sound": 5, "longer sound": 20}
ENCODERS = {
    "h264": ["-c:v", "libx264", "-preset", "ultrafast", "-video_track_timescale", "1000", "-g", "25"],
    "vp9": ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8"],
    "gif": ["-c:v", "gif"],
    "aac": ["-c:a", "aac"],
    "mp3": ["-c:a", "libmp3lame"],
    "opus": ["-c:a", "libopus"],
}
SUFFIXES = {"h264": "mp4", "vp9": "webm", "gif": "gif", "aac": "m4a", "mp3": "mp3", "opus": "opus"}


def ffmpeg(*arguments, data=None):
    """What the command writes to its standard output."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *map(str, arguments)]
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout


def numbered(count):
    bits = np.unpackbits(np.arange(count, dtype=np.uint8)[:, None], axis=1)
    return (200 * bits.repeat(CELL, 1)[:, None].repeat(HEIGHT, 1)).astype(np.uint8)


def number(gray):
    """What a picture of any size, (height, width), shows."""
    cells = np.array_split(gray[gray.shape[0] // 2], 8)
    return int(np.packbits([cell[len(cell) // 2] > 100 for cell in cells])[0])


@pytest.fixture(scope="module")
def tracks(tmp_path_factory):
    """Encoded once: `tracks("h264", varies=True, reordered=True)`, `tracks("aac", seconds=5)`."""
    folder, made = tmp_path_factory.mktemp("tracks"), {}

    def track(codec, *, seconds=SECONDS, varies=False, reordered=False):
        key = codec, seconds, varies, reordered
        if key not in made:
            file = folder / f"{len(made)}.{SUFFIXES[codec]}"
            if codec in ("aac", "mp3", "opus"):
                ffmpeg("-f", "lavfi", "-i", f"sine=d={seconds}", *ENCODERS[codec], file)
            else:
                raw = ["-f", "rawvideo", "-pix_fmt", "gray", "-s", f"{8 * CELL}x{HEIGHT}", "-r", RATE, "-i", "-"]
                some = ["-vf", "select='not(between(mod(n,7),3,5))'", "-fps_mode", "vfr"] if varies else []
                b_frames = ["-bf", "3" if reordered else "0"] if codec == "h264" else []
                colours = ["-pix_fmt", "yuv420p"] if codec != "gif" else []
                ffmpeg(
                    *raw, *some, *ENCODERS[codec], *b_frames, *colours, file, data=numbered(SECONDS * RATE).tobytes()
                )
            made[key] = file
        return made[key]

    return track


def shown_by_ffmpeg(file, count, *filters):
    """The numbers of the pictures that ffmpeg shows at the seconds 0, 1, ...; `size` of its pictures as they come."""
    once_a_second = ",".join(["fps=1:round=up:start_time=0", *filters, f"scale={8 * CELL}:{HEIGHT}", "format=gray"])
    pictures = ["-map", "0:v:0", "-vf", once_a_second, "-f", "rawvideo", "-"]
    frames = ffmpeg("-i", file, *pictures, "-map", "0:a?", "-f", "null", "-")
    return [number(one) for one in np.frombuffer(frames, np.uint8).reshape(-1, HEIGHT, 8 * CELL)][:count]


def cells():
    for name, varies, reordered, start, sound in itertools.product(NAMES, (False, True), (False, True), STARTS, SOUNDS):
        video, audio = CODECS.get(name, ("h264", "aac"))
        possible = (audio or sound == "no sound") and (video == "h264" or not reordered)
        two_tracks = sound != "no sound" or start in ("together", "both later")
        if possible and two_tracks:
            ways = [name, *["varying rate"] * varies, *["B frames"] * reordered, start, sound]
            yield pytest.param(name, varies, reordered, start, sound, id=", ".join(ways))


@pytest.mark.parametrize(("name", "varies", "reordered", "start", "sound"), list(cells()))
def test_the_seconds_are_ffmpegs(tmp_path, tracks, name, varies, reordered, start, sound):
    video, audio = CODECS.get(name, ("h264", "aac"))
    file = tmp_path / f"cell.{name}"
    (picture_start, sound_start), seconds = STARTS[start], SOUNDS[sound]
    inputs = ["-itsoffset", picture_start, "-i", tracks(video, varies=varies, reordered=reordered), "-map", "0:v"]
    if seconds:
        inputs[-2:] = ["-itsoffset", sound_start, "-i", tracks(audio, seconds=seconds), "-map", "0:v", "-map", "1:a"]
    ffmpeg(*inputs, "-c", "copy", *NAMES[name], file)
    length = probe_duration(file)
    expected = shown_by_ffmpeg(file, int(length))
    assert len(expected) == int(length)
    shown = numbers(file, len(expected))
    if name == "avi" and reordered:
        # It keeps decoding times only, and ffmpeg is late by the pictures that its decoder holds back.
        assert all(0 <= ours - theirs <= 5 for ours, theirs in zip(shown, expected, strict=True))
    else:
        assert shown == expected


def numbers(file, count):
    return [number(frame[..., 0]) for frame in decode_frames(file, count=count, frame_interval=1.0)]


ORIENTATIONS = {
    "as stored": [],
    "turned by 90": ["-display_rotation", 90],
    "turned by 180": ["-display_rotation", 180],
    "turned by 270": ["-display_rotation", 270],
    "left to right": ["-display_hflip"],
    "upside down": ["-display_vflip"],
    "transposed": ["-display_rotation", 90, "-display_hflip"],
    "transposed the other way": ["-display_rotation", 90, "-display_vflip"],
}


@pytest.fixture(scope="module")
def corners(tmp_path_factory):
    """Pictures of four grays by corner, 112 x 56 stored pixels that are square, or twice as wide, or twice as high."""
    folder = tmp_path_factory.mktemp("corners")
    picture = np.zeros((56, 112), np.uint8)
    picture[:28, :56], picture[:28, 56:], picture[28:, :56] = 80, 160, 240
    raw = ["-f", "rawvideo", "-pix_fmt", "gray", "-s", "112x56", "-r", 2, "-i", "-"]

    def write(aspect):
        file = folder / f"{aspect.replace('/', '-')}.mp4"
        data = picture.tobytes() * 8
        ffmpeg(*raw, "-vf", f"setsar={aspect}", *ENCODERS["h264"], "-pix_fmt", "yuv420p", file, data=data)
        return file

    return {aspect: write(aspect) for aspect in ("1", "2", "1/2")}


@pytest.mark.parametrize("aspect", ["1", "2", "1/2"])
@pytest.mark.parametrize("name", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_pictures_are_as_upright_and_as_wide_as_ffmpegs(tmp_path, corners, orientation, name, aspect):
    """In every frame, also where the first picture of the file is not asked for."""
    file = tmp_path / f"turned.{name}"
    ffmpeg(*ORIENTATIONS[orientation], "-i", corners[aspect], "-c", "copy", file)
    square = "scale='iw*max(1,sar)':'ih*max(1,1/sar)'"  # ffmpeg hands the pixels' shape on; a player applies it
    _, width, height, *_ = ffmpeg(
        "-i", file, "-vf", square, "-frames:v", 1, "-f", "image2pipe", "-c:v", "ppm", "-"
    ).split()
    raw = ffmpeg("-i", file, "-vf", square, "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    upright = np.frombuffer(raw, np.uint8).reshape(-1, int(height), int(width), 3)[::2]
    for frames in (decode_frames(file, count=3, frame_interval=1.0), decode_frames_at(file, [1.0, 2.0])):
        assert frames.shape[1:] == upright.shape[1:]
        inside = np.s_[:, 14:-14:7, 14:-14:7]
        np.testing.assert_allclose(frames[inside], upright[: len(frames)][inside], atol=6)


def test_pictures_that_are_turned_by_another_angle_are_refused(tmp_path, corners):
    file = tmp_path / "turned.mp4"
    ffmpeg("-display_rotation", 45, "-i", corners["1"], "-c", "copy", file)
    with pytest.raises(VideoError, match="turned by a multiple of 90 degrees, found another angle"):
        decode_frames(file, count=1, frame_interval=1.0)
