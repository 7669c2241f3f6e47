"""Frames out of video files: one sequential decode, pictures picked by timestamp, converted and resized in one pass.

Whatever is wrong with a file becomes a VideoError that starts with its path; PyAV's exceptions never leave this module.
A picture that cannot be decoded is an error, but in the file's last second, where it is none, as in FFmpeg.
"""

import math
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice, pairwise, repeat
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from proactive_env.errors import VideoError
from proactive_env.video.geometry import MAX_PIXELS, SIZE_MULTIPLE, Geometry, frame_size
from proactive_env.video.timeline import TOLERATED_GAP_S, open_video, read_timeline

# Bicubic is what Qwen's image processors resize with. Without FULL_CHR_H_INT swscale turns white into 253.
_INTERPOLATION = Interpolation.BICUBIC | Interpolation.FULL_CHR_H_INT


def frame_times(count: int, frame_interval: float) -> list[float]:
    """Seconds of the frames 0..count-1.

    Raises:
        ValueError: `count` or `frame_interval` is not positive.
    """
    if count < 1 or not 0 < frame_interval < math.inf:
        raise ValueError(f"expected count >= 1 and frame_interval > 0 seconds, found {count=} and {frame_interval=}")
    return [index * frame_interval for index in range(count)]


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

    Frame i is the last picture whose timestamp, on the file's clock (see `timeline`), is at most i * `frame_interval`,
    or the first picture if all are later. A file that ends earlier repeats its last picture.

    Args:
        path: The video file.
        count: Number of frames.
        frame_interval: Seconds between frames.
        duration: Annotated length in seconds; a file more than 1 s shorter is an error. None checks nothing.
        max_pixels: Passed to `frame_size`, with the size of an upright picture with square pixels.
        size_multiple: Passed to `frame_size`.

    Raises:
        VideoError: The file is missing, broken, without video, impossible to time or decode, or shorter than
            `duration`.
        ValueError: `count` or `frame_interval` is not positive, or `max_pixels` is less than one square.
    """
    times = frame_times(count, frame_interval)
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
        times: Seconds on the file's clock, ascending. What a frame shows is said at `decode_frames`.
        duration: As for `decode_frames`.
        max_pixels: As for `decode_frames`.
        size_multiple: As for `decode_frames`.

    Raises:
        VideoError: As `decode_frames`.
        ValueError: There are no times, they do not ascend, or `max_pixels` is less than one square.
    """
    video = FrameStream(path, times, duration=duration, max_pixels=max_pixels, size_multiple=size_multiple)
    frames = np.empty(video.shape, np.uint8)
    for row, frame in enumerate(video):
        frames[row] = frame
    return frames


class FrameStream:
    """The frames of a video at ascending times, decoded while they are iterated over, one in memory at a time.

    Args and errors are those of `decode_frames_at`; what a file's packets tell is raised at once, the rest on the way.
    """

    def __init__(
        self,
        path: Path,
        times: Sequence[float],
        *,
        duration: float | None = None,
        max_pixels: int = MAX_PIXELS,
        size_multiple: int = SIZE_MULTIPLE,
    ) -> None:
        if not times or any(later < time for time, later in pairwise(times)):
            raise ValueError(f"expected one or more ascending times in seconds, found {times}")
        self._path, self._times = path, times
        self._timeline = read_timeline(path)
        if duration is not None and self._timeline.end < duration - TOLERATED_GAP_S:
            raise VideoError(
                f"{path}: expected {duration:g} s of video, found {self._timeline.end:g} s; "
                "fetch the file again or correct its annotated duration"
            )
        self._geometry = _read_geometry(path)
        upright = self._geometry.width, self._geometry.height
        self._size = frame_size(*upright, max_pixels=max_pixels, size_multiple=size_multiple)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of all frames: (times, height, width, 3)."""
        width, height = self._size
        return len(self._times), height, width, 3

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        """The frames, each (height, width, 3) RGB."""
        given = 0
        try:
            for frame in self._frames(self._quickly):
                yield frame
                given += 1
        except _IrregularError:
            yield from islice(self._frames(self._patiently), given, None)

    def _frames(self, decode: "_Decode") -> Iterator[NDArray[np.uint8]]:
        scaler = VideoReformatter()
        size = self._geometry.stored(self._size)
        with open_video(self._path) as (container, stream):
            pictures = self._timeline.clock(decode(container, stream))
            for count, picture in _repeats(self._times, pictures):
                rgb = scaler.reformat(picture, *size, format="rgb24", interpolation=_INTERPOLATION)
                frame = self._geometry.upright(rgb.to_ndarray())  # type: ignore[arg-type]  # PyAV types all formats' arrays
                yield from repeat(frame, count)

    def _quickly(self, container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
        """Yield the pictures on several threads; where packets tell, only those that are shown at one of the times."""
        stream.thread_type = "AUTO"
        wanted = self._timeline.shown_at(self._times)
        try:
            yield from _decode_only(wanted, container, stream) if wanted else container.decode(stream)
        except av.error.InvalidDataError as error:
            raise _IrregularError from error

    def _patiently(self, container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
        """Yield every picture; those of the last second that cannot be decoded are none."""
        for packet in container.demux(stream):
            try:
                yield from packet.decode()
            except av.error.InvalidDataError:
                moment = packet.pts if packet.pts is not None else packet.dts
                if moment is not None and self._timeline.seconds(moment) < self._timeline.end - TOLERATED_GAP_S:
                    raise


_Decode = Callable[[InputContainer, VideoStream], Iterator[VideoFrame]]


class _IrregularError(Exception):
    """The decoder did not give a picture that the packets announced."""


def _read_geometry(path: Path) -> Geometry:
    with open_video(path) as (container, stream):
        first = next(container.decode(stream), None)
        if first is None:
            raise VideoError(f"{path}: expected pictures, found none that can be decoded; fetch the file again")
        try:
            return Geometry.of(first, stream.sample_aspect_ratio)
        except ValueError as error:
            raise VideoError(f"{path}: {error}") from error


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
    raise _IrregularError


def _repeats(times: Sequence[float], pictures: Iterable[tuple[float, VideoFrame]]) -> Iterator[tuple[int, VideoFrame]]:
    """Yield each picture that is shown at some of the ascending times, and at how many; stop when all are decided."""
    row = 0
    shown = None
    for seconds, picture in pictures:
        decided = bisect_left(times, seconds, lo=row)  # before this picture, the one before it is shown
        if shown is not None and decided > row:
            yield decided - row, shown
            row = decided
            if row == len(times):
                return
        shown = picture
    if shown is not None:
        yield len(times) - row, shown
