"""When the pictures of a file are shown, as its headers and packets say: nothing is decoded here."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from operator import itemgetter
from pathlib import Path

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from proactive_env.errors import VideoError

TOLERATED_GAP_S = 1.0
"""Seconds by which a file may be shorter than its annotated duration."""
_PROGRESSIVE = 1  # FFmpeg's AV_FIELD_PROGRESSIVE


def probe_duration(path: Path) -> float:
    """Return how long the video stream of `path` lasts, in seconds, as the file's headers say; nothing is decoded.

    Raises:
        VideoError: The file is missing, broken, without video, or without a duration in its headers.
    """
    with open_video(path) as (container, stream):
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
    end = read_schedule(path).end
    if end < duration - TOLERATED_GAP_S:
        raise VideoError(f"{path}: expected {duration:g} s of video, found {end:g} s; fetch the file again")
    return duration


@contextmanager
def open_video(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
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


class PictureClock:
    """Seconds from the container's start at which each packet or picture is shown, asked one after the other.

    The start is rounded to the stream's time base, as FFmpeg does. What has no timestamp follows the one before it.
    """

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self._tick = stream.time_base or Fraction(1, av.time_base)
        self._start = round(Fraction(container.start_time or 0, av.time_base) / self._tick)
        self._end = 0

    def __call__(self, shown: "Packet[VideoStream] | VideoFrame") -> float:
        """Seconds at which this packet's picture, or this picture, is shown first."""
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
class Schedule:
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


def read_schedule(path: Path) -> Schedule:
    """The schedule of a file, by a pass over its packets.

    Raises:
        VideoError: as `probe_duration`.
    """
    with open_video(path) as (container, stream):
        clock = PictureClock(container, stream)
        shown = []
        end = 0.0
        for packet in container.demux(stream):
            if packet.size and not packet.is_discard:  # neither the flush at the end nor what an edit list cuts away
                shown.append((clock(packet), packet.pts))
                end = max(end, clock.end)
        skippable = _names_every_reference(stream)
    pictures = sorted((seconds, pts) for seconds, pts in shown if pts is not None)
    distinct = len({pts for _, pts in pictures}) == len(shown)
    return Schedule(pictures if skippable and distinct else [], end)


def _names_every_reference(stream: VideoStream) -> bool:
    """Whether each picture says if any other depends on it, so that FFmpeg can skip it without changing a pixel.

    H.264's do. HEVC's may deny it and still serve a higher temporal layer, VP8's and VP9's hand on probabilities, and
    two fields under one timestamp may differ.
    """
    return stream.codec_context.name == "h264" and stream.codec_context.field_order == _PROGRESSIVE
