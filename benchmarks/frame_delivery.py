"""How fast frames come out of video files: the cache and `decode_frames` beside a plain PyAV loop and OpenCV.

All ways take turns inside each repeat, so that a busy machine slows them alike; medians are compared. Without arguments
a synthetic clip is measured: 1280 x 720, 30 pictures a second, H.264 with B-frames and a keyframe every 250.
Run it as `python benchmarks/frame_delivery.py [VIDEO ...]`.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from proactive_env.video import FrameCache, decode_frames, frame_size, probe_duration

Frames = NDArray[np.uint8]

PLAIN, OPENCV = "plain PyAV", "OpenCV (other pixels)"
FIRST, DECODE, LATER = "first epoch: decode, write", "decode_frames, no cache", "later epoch: cache hit"
WAYS = (FIRST, DECODE, PLAIN, OPENCV, LATER)


def main() -> None:
    """Measure every video named on the command line, or the synthetic clip."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="*", type=Path, metavar="VIDEO")
    parser.add_argument("--frame-interval", type=float, default=1.0, help="seconds between frames (default: 1)")
    parser.add_argument("--repeats", type=int, default=5, help="measurements of each way (default: 5)")
    parser.add_argument("--seconds", type=int, default=40, help="length of the synthetic clip (default: 40)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for video in arguments.videos or [write_clip(Path(folder) / "synthetic-720p30.mp4", arguments.seconds)]:
            report(video, measure(video, arguments.frame_interval, arguments.repeats, Path(folder)))


def write_clip(path: Path, seconds: int) -> Path:
    """Write a clip whose texture drifts under a moving square and fresh noise; return its path."""
    width, height, rate = 1280, 720, 30
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (height // 32 + 12, width // 32 + 22, 3), dtype=np.uint8)
    texture = cv2.resize(coarse, None, fx=32, fy=32, interpolation=cv2.INTER_CUBIC)
    noise = random.integers(0, 40, (height + 64, width + 64, 3), dtype=np.uint8)
    options = {"preset": "fast", "crf": "23", "g": "250", "bf": "3"}
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, width=width, height=height, options=options)
        for index in range(seconds * rate):
            down, right = 160 + int(150 * np.sin(index / 50)), 320 + int(300 * np.cos(index / 70))
            picture = texture[down : down + height, right : right + width] // 8 * 7
            left, top = index * 7 % (width - 200), index * 3 % (height - 200)
            square = picture[top : top + 200, left : left + 200]
            square[:] = 217 - square
            y, x = random.integers(0, 64, 2)
            picture += noise[y : y + height, x : x + width]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def measure(video: Path, frame_interval: float, repeats: int, folder: Path) -> dict[str, list[float]]:
    """Return the seconds that each way took in each repeat, after comparing our frames with plain PyAV's."""
    count = max(1, int(probe_duration(video) / frame_interval))
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(repeats):
        with tempfile.TemporaryDirectory(dir=folder) as cache_folder:
            cache = FrameCache(Path(cache_folder))
            deliver: dict[str, Callable[[], Frames]] = {
                PLAIN: partial(plain_pyav, video, count, frame_interval),
                FIRST: partial(cache.frames, video, count=count, frame_interval=frame_interval),
                DECODE: partial(decode_frames, video, count=count, frame_interval=frame_interval),
                OPENCV: partial(opencv, video, count, frame_interval),
                LATER: partial(read_cached, cache, video, count, frame_interval),
            }
            frames = {way: timed(deliver[way], seconds[way]) for way in WAYS}
            for way in (FIRST, DECODE, LATER):
                np.testing.assert_array_equal(frames[way], frames[PLAIN], err_msg=way)
    return seconds


def timed(deliver: Callable[[], Frames], seconds: list[float]) -> Frames:
    """Return the frames and append the seconds that they took."""
    begin = time.perf_counter()
    frames = deliver()
    seconds.append(time.perf_counter() - begin)
    return frames


def read_cached(cache: FrameCache, video: Path, count: int, frame_interval: float) -> Frames:
    """Return the cached frames, read from the memory map into memory."""
    return np.array(cache.frames(video, count=count, frame_interval=frame_interval))


def plain_pyav(video: Path, count: int, frame_interval: float) -> Frames:
    """Return the frames that `decode_frames` promises, by a loop over every picture that converts the sampled ones."""
    frames: list[Frames] = []
    scaler = VideoReformatter()
    interpolation = Interpolation.BICUBIC | Interpolation.FULL_CHR_H_INT

    def convert(picture: av.VideoFrame) -> Frames:
        size = frame_size(picture.width, picture.height)
        return scaler.reformat(picture, *size, format="rgb24", interpolation=interpolation).to_ndarray()

    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        start = container.start_time / av.time_base
        shown = None
        for picture in container.decode(stream):
            while shown is not None and len(frames) < count and picture.time - start > len(frames) * frame_interval:
                frames.append(convert(shown))
            if len(frames) == count:
                break
            shown = picture
        while len(frames) < count:
            frames.append(convert(shown))
    return np.stack(frames)


def opencv(video: Path, count: int, frame_interval: float) -> Frames:
    """Return frames of the same size by OpenCV: grab every picture, retrieve and resize the sampled ones."""
    capture = cv2.VideoCapture(str(video))
    rate = capture.get(cv2.CAP_PROP_FPS)
    size = frame_size(int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)))
    frames: list[Frames] = []
    index = 0
    while len(frames) < count and capture.grab():
        if index == int(len(frames) * frame_interval * rate + 1e-6):
            _, picture = capture.retrieve()
            picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
            frames.append(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
        index += 1
    capture.release()
    return np.stack(frames)


def report(video: Path, seconds: dict[str, list[float]]) -> None:
    """Print a table of medians and of speeds relative to plain PyAV, and what a later epoch saves."""
    medians = {way: statistics.median(seconds[way]) for way in WAYS}
    print(f"\n{video.name}: medians of {len(seconds[PLAIN])} interleaved repeats")
    print(f"{'':28}{'seconds':>9}{'least':>9}{'most':>9}{'speed':>9}")
    for way in WAYS:
        speed = medians[PLAIN] / medians[way]
        print(f"{way:28}{medians[way]:9.3f}{min(seconds[way]):9.3f}{max(seconds[way]):9.3f}{speed:8.2f}x")
    print(f"first epoch / plain PyAV: {medians[PLAIN] / medians[FIRST]:.2f}x (goal: 0.9x or more)")
    print(f"later epoch / first epoch: {medians[FIRST] / medians[LATER]:.0f}x (goal: 20x or more)")


if __name__ == "__main__":
    main()
