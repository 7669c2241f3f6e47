"""Frames out of video files: one sequential decode, pictures picked by timestamp, converted and resized in one pass.

Whatever is wrong with a file becomes a VideoError that starts with its path; PyAV's exceptions never leave this module.
"""

import math
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from proactive_env.errors import VideoError
from proactive_env.video.geometry import MAX_PIXELS, SIZE_MULTIPLE, frame_size, quarter_turns
from proactive_env.video.timeline import TOLERATED_GAP_S, PictureClock, open_video, read_schedule

# Bicubic is what Qwen's image processors resize with. Without FULL_CHR_H_INT swscale turns white into 253.
_INTERPOLATION = Interpolation.BICUBIC | Interpolation.FULL_CHR_H_INT


def decode_frames(
    path: Path,
    *,
    count: int,
    frame_interval: float,
    duration: float | None = None,
    max_pixels: int = MAX_PIXELS,
    size_multiple: int = SIZE_MULTIPLE,
) -> NDArray[np.uint8]:
    """Return frames 0..count-1 of a video as RGB: uint8 of shape (count, height, width, 3).

    Frame i is the last picture whose timestamp, in seconds from the container's start, is at most i * `frame_interval`,
    or the first picture if all are later. A file that ends earlier repeats its last picture.

    Args:
        path: The video file.
        count: Number of frames.
        frame_interval: Seconds between frames.
        duration: Annotated length in seconds; a file more than 1 s shorter is an error. None checks nothing.
        max_pixels: Passed to `frame_size`, with the size of the first picture after its rotation tag is applied.
        size_multiple: Passed to `frame_size`.

    Raises:
        VideoError: The file is missing, broken, without video, impossible to decode, or shorter than `duration`.
        ValueError: `count` or `frame_interval` is not positive, or `max_pixels` is less than one square.
    """
    if count < 1 or not 0 < frame_interval < math.inf:
        raise ValueError(f"expected count >= 1 and frame_interval > 0 seconds, found {count=} and {frame_interval=}")
    times = [index * frame_interval for index in range(count)]
    return decode_frames_at(path, times, duration=duration, max_pixels=max_pixels, size_multiple=size_multiple)


def decode_frames_at(
    path: Path,
    times: Sequence[float],
    *,
    duration: float | None = None,
    max_pixels: int = MAX_PIXELS,
    size_multiple: int = SIZE_MULTIPLE,
) -> NDArray[np.uint8]:
    """Return the frames at these times and no others, as RGB: uint8 of shape (len(times), height, width, 3).

    Args:
        path: The video file.
        times: Seconds from the container's start, ascending. What a frame shows is said at `decode_frames`.
        duration: As for `decode_frames`.
        max_pixels: As for `decode_frames`; the first picture is the first that is shown at one of the times.
        size_multiple: As for `decode_frames`.

    Raises:
        VideoError: As `decode_frames`.
        ValueError: There are no times, they do not ascend, or `max_pixels` is less than one square.
    """
    if not times or any(later < time for time, later in pairwise(times)):
        raise ValueError(f"expected one or more ascending times in seconds, found {times}")
    size_of = partial(frame_size, max_pixels=max_pixels, size_multiple=size_multiple)
    schedule = read_schedule(path)
    if duration is not None and schedule.end < duration - TOLERATED_GAP_S:
        raise VideoError(
            f"{path}: expected {duration:g} s of video, found {schedule.end:g} s; "
            "fetch the file again or correct its annotated duration"
        )
    try:
        return _decode(path, times, schedule.shown_at(times), size_of)
    except _MissingPictureError:
        return _decode(path, times, [], size_of)


class _MissingPictureError(Exception):
    """The decoder did not give a picture that the packets announced."""


def _decode(
    path: Path, times: Sequence[float], wanted: list[int], size_of: Callable[[int, int], tuple[int, int]]
) -> NDArray[np.uint8]:
    """Return the frames at these ascending times; pictures other than those with the pts `wanted` may be skipped.

    An empty `wanted` decodes every picture.
    """
    with open_video(path) as (container, stream):
        stream.thread_type = "AUTO"
        pictures = _decode_only(wanted, container, stream) if wanted else container.decode(stream)
        first = next(pictures, None)
        if first is None:
            raise VideoError(f"{path}: expected pictures, found none that can be decoded; fetch the file again")
        upright = (first.width, first.height) if quarter_turns(first) % 2 == 0 else (first.height, first.width)
        width, height = size_of(*upright)
        frames = np.empty((len(times), height, width, 3), np.uint8)
        scaler = VideoReformatter()
        for rows, picture in _rows(times, PictureClock(container, stream), chain([first], pictures)):
            _paint(frames[rows], picture, scaler)
        return frames


def _decode_only(wanted: list[int], container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """Yield the pictures with these pts, in this order; others are decoded only where pictures depend on them."""
    needed = frozenset(wanted)
    missing = deque(wanted)
    for packet in container.demux(stream):
        stream.codec_context.skip_frame = "DEFAULT" if packet.pts in needed else "NONREF"
        for picture in packet.decode():
            if picture.pts == missing[0]:
                missing.popleft()
                yield picture
                if not missing:
                    return
    raise _MissingPictureError


def _rows(
    times: Sequence[float], clock: PictureClock, pictures: Iterable[VideoFrame]
) -> Iterator[tuple[slice, VideoFrame]]:
    """Yield each picture that is shown at some of the ascending times, with their places; stop when all are decided."""
    row = 0
    shown = None
    for picture in pictures:
        decided = bisect_left(times, clock(picture), lo=row)  # before this picture, the one before it is shown
        if shown is not None and decided > row:
            yield slice(row, decided), shown
            row = decided
            if row == len(times):
                return
        shown = picture
    if shown is not None:
        yield slice(row, None), shown


def _paint(frames: NDArray[np.uint8], picture: VideoFrame, scaler: VideoReformatter) -> None:
    """Write the picture, upright, into each of these frames of shape (n, height, width, 3)."""
    turns = quarter_turns(picture)
    _, height, width, _ = frames.shape
    size = (width, height) if turns % 2 == 0 else (height, width)
    rgb = scaler.reformat(picture, *size, format="rgb24", interpolation=_INTERPOLATION)
    frames[:] = np.rot90(rgb.to_ndarray(), turns)
