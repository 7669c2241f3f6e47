"""Frames out of video files: one sequential decode, pictures picked by timestamp, converted and resized in one pass.

Whatever is wrong with a file becomes a VideoError that starts with its path; PyAV's exceptions never leave this module.
"""

import math
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import chain, pairwise
from operator import itemgetter
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from proactive_env.errors import InputError

MAX_PIXELS = 128 * 28 * 28
"""Pixels of a frame, at most: 128 visual tokens of 28 x 28 pixels (MMDuet2)."""

SIZE_MULTIPLE = 28
"""Width and height of a frame are multiples of this many pixels."""

_TOLERATED_GAP = 1.0  # seconds by which a file may be shorter than its annotated duration
_PROGRESSIVE = 1  # FFmpeg's AV_FIELD_PROGRESSIVE

# Bicubic is what Qwen's image processors resize with. Without FULL_CHR_H_INT swscale turns white into 253.
_INTERPOLATION = Interpolation.BICUBIC | Interpolation.FULL_CHR_H_INT


class VideoError(InputError):
    """A file that cannot give the frames asked of it; the message starts with the file's path."""


def frame_size(
    width: int, height: int, *, max_pixels: int = MAX_PIXELS, size_multiple: int = SIZE_MULTIPLE
) -> tuple[int, int]:
    """Return the (width, height) in pixels of the frame made from a picture of `width` x `height` pixels.

    Both sides are multiples of `size_multiple`, at least one, and their product is at most `max_pixels`. The rounding
    is that of Qwen's `smart_resize`: each side to the nearest multiple, or, if that is too large, scaled down and cut
    off. A side that would vanish keeps one multiple, and the other is squeezed as far as `max_pixels` demands.

    Raises:
        ValueError: `max_pixels` has no room for `size_multiple` x `size_multiple` pixels.
    """
    most = max_pixels // size_multiple**2
    if most < 1:
        raise ValueError(
            f"expected max_pixels to hold {size_multiple} x {size_multiple} pixels, found {max_pixels}; "
            f"give {size_multiple**2} or more"
        )
    columns, rows = (max(1, round(side / size_multiple)) for side in (width, height))
    if columns * rows > most:
        scale = math.sqrt(max_pixels / (width * height)) / size_multiple
        columns, rows = (min(max(1, math.floor(side * scale)), most) for side in (width, height))
    return columns * size_multiple, rows * size_multiple


def probe_duration(path: Path) -> float:
    """Return how long the video stream of `path` lasts, in seconds, as the file's headers say; nothing is decoded.

    Raises:
        VideoError: The file is missing, broken, without video, or without a duration in its headers.
    """
    with _open(path) as (container, stream):
        if stream.duration and stream.time_base:
            return float(stream.duration * stream.time_base)
        if container.duration:
            return container.duration / av.time_base
    raise VideoError(f"{path}: expected a duration in the headers, found none; remux the file, to MP4 for example")


def check_whole(path: Path) -> float:
    """Return `probe_duration(path)` if the file holds pictures until then; its packets are read, nothing is decoded.

    Raises:
        VideoError: As `probe_duration`, or the pictures end more than 1 s earlier, as in a file that was cut off.
    """
    duration = probe_duration(path)
    end = _read_schedule(path).end
    if end < duration - _TOLERATED_GAP:
        raise VideoError(f"{path}: expected {duration:g} s of video, found {end:g} s; fetch the file again")
    return duration


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
    schedule = _read_schedule(path)
    if duration is not None and schedule.end < duration - _TOLERATED_GAP:
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


@contextmanager
def _open(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open the best video stream of a file; every error of PyAV inside the block becomes a VideoError."""
    try:
        # "file:" keeps a colon in a name from naming a protocol. Tags need not be UTF-8. "-genpts" drops the timestamps
        # that FFmpeg would invent for formats without them (AVI): they are wrong where pictures are reordered.
        with av.open(f"file:{path}", metadata_errors="ignore", container_options={"fflags": "-genpts"}) as container:
            stream = container.streams.best("video")
            if not isinstance(stream, VideoStream) or stream.disposition & Disposition.attached_pic:
                raise VideoError(f"{path}: expected a video stream, found none; check that this is a video")
            if stream.codec_context is None:
                raise VideoError(f"{path}: expected a codec that FFmpeg can decode, found none; convert it to H.264")
            yield container, stream
    except av.FFmpegError as error:
        raise VideoError(
            f"{path}: expected a video that can be decoded, found: {error.strerror}; "
            "check the path, or fetch the file again"
        ) from error


class _Clock:
    """Seconds from the container's start at which each packet or picture is shown, asked one after the other.

    The start is rounded to the stream's time base, as FFmpeg does. What has no timestamp follows the one before it.
    """

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self._tick = stream.time_base or Fraction(1, av.time_base)
        self._start = round(Fraction(container.start_time or 0, av.time_base) / self._tick)
        self._end = 0

    def __call__(self, shown: "Packet[VideoStream] | VideoFrame") -> float:
        begin = self._end if shown.pts is None else shown.pts - self._start
        self._end = begin + (shown.duration or 0)
        return self._seconds(begin)

    @property
    def end(self) -> float:
        """Seconds at which the last one asked about stops being shown."""
        return self._seconds(self._end)

    def _seconds(self, ticks: int) -> float:
        return ticks * self._tick.numerator / self._tick.denominator


@dataclass(frozen=True)
class _Schedule:
    """When the pictures of a file are shown, as its packets say."""

    pictures: list[tuple[float, int]]
    """(seconds, pts) of each picture, ascending; empty if the packets do not tell which pictures can be skipped."""

    end: float
    """Seconds at which the last picture stops being shown."""

    def shown_at(self, times: Sequence[float]) -> list[int]:
        """Return the pts of the pictures shown at these ascending times, each once; empty if `pictures` is."""
        if not self.pictures:
            return []
        later = (bisect_right(self.pictures, time, key=itemgetter(0)) for time in times)
        return list(dict.fromkeys(self.pictures[max(place - 1, 0)][1] for place in later))


def _read_schedule(path: Path) -> _Schedule:
    with _open(path) as (container, stream):
        clock = _Clock(container, stream)
        shown = []
        end = 0.0
        for packet in container.demux(stream):
            if packet.size and not packet.is_discard:  # neither the flush at the end nor what an edit list cuts away
                shown.append((clock(packet), packet.pts))
                end = max(end, clock.end)
        skippable = _names_every_reference(stream)
    pictures = sorted((seconds, pts) for seconds, pts in shown if pts is not None)
    distinct = len({pts for _, pts in pictures}) == len(shown)
    return _Schedule(pictures if skippable and distinct else [], end)


def _names_every_reference(stream: VideoStream) -> bool:
    """Whether each picture says if any other depends on it, so that FFmpeg can skip it without changing a pixel.

    H.264's do. HEVC's may deny it and still serve a higher temporal layer, VP8's and VP9's hand on probabilities, and
    two fields under one timestamp may differ.
    """
    return stream.codec_context.name == "h264" and stream.codec_context.field_order == _PROGRESSIVE


def _decode(
    path: Path, times: Sequence[float], wanted: list[int], size_of: Callable[[int, int], tuple[int, int]]
) -> NDArray[np.uint8]:
    """Return the frames at these ascending times; pictures other than those with the pts `wanted` may be skipped.

    An empty `wanted` decodes every picture.
    """
    with _open(path) as (container, stream):
        stream.thread_type = "AUTO"
        pictures = _decode_only(wanted, container, stream) if wanted else container.decode(stream)
        first = next(pictures, None)
        if first is None:
            raise VideoError(f"{path}: expected pictures, found none that can be decoded; fetch the file again")
        upright = (first.width, first.height) if _quarter_turns(first) % 2 == 0 else (first.height, first.width)
        width, height = size_of(*upright)
        frames = np.empty((len(times), height, width, 3), np.uint8)
        scaler = VideoReformatter()
        for rows, picture in _rows(times, _Clock(container, stream), chain([first], pictures)):
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


def _rows(times: Sequence[float], clock: _Clock, pictures: Iterable[VideoFrame]) -> Iterator[tuple[slice, VideoFrame]]:
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
    turns = _quarter_turns(picture)
    _, height, width, _ = frames.shape
    size = (width, height) if turns % 2 == 0 else (height, width)
    rgb = scaler.reformat(picture, *size, format="rgb24", interpolation=_INTERPOLATION)
    frames[:] = np.rot90(rgb.to_ndarray(), turns)


def _quarter_turns(picture: VideoFrame) -> int:
    """Counterclockwise quarter turns that set the picture upright."""
    return round(picture.rotation / 90) % 4
