"""From packets to seconds: when each picture of a file is shown, by one rule for every reader. Nothing is decoded here.

Second 0 is where a player's clock stands at 0:00: the file's first timestamp, of whatever track. A file lasts until its
video track ends on this clock. Pictures without timestamps of their own (H.264 in AVI) are shown in decoding order's
times. A file whose timestamps begin again, or leap, is refused, and so is one that was cut off.
"""

import stat
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import av
from av.container import InputContainer
from av.format import Flags
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from proactive_env.errors import VideoError

TOLERATED_GAP_S = 1.0
"""Seconds by which a file may be shorter than its headers or its annotation say."""
LONGEST_VIDEO_S = 1e6
_STEP_BACK_S, _LEAP_S = 0.1, 10.0  # from which on FFmpeg, too, takes timestamps for those of another recording
_PROGRESSIVE = 1  # FFmpeg's AV_FIELD_PROGRESSIVE
_REMUX = "write it anew with timestamps that go on: ffmpeg -i FILE -c copy NEW.mp4"


class FileIdentity(NamedTuple):
    """What tells that a file is still the one that was read."""

    path: Path
    size: int
    modified_ns: int
    changed_ns: int
    """Moves on also where a writer sets the time of modification back."""
    inode: int

    @classmethod
    def of(cls, path: Path) -> "FileIdentity":
        """That of a file.

        Raises:
            VideoError: there is none, or it is no regular file.
        """
        try:
            status = path.stat()
        except (OSError, ValueError) as error:
            found = error.strerror if isinstance(error, OSError) else error
            raise VideoError(f"{path}: expected a video file, found: {found}; check the path") from error
        if not stat.S_ISREG(status.st_mode):
            kind = "Is a directory" if stat.S_ISDIR(status.st_mode) else "a pipe or device"
            raise VideoError(f"{path}: expected a video file, found: {kind}; copy it into a file first")
        return cls(path, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


@dataclass(frozen=True)
class Timeline:
    """When the pictures of a file are shown."""

    pictures: tuple[tuple[float, int | None], ...]
    """(seconds, pts) of each picture, ascending; without pts, the n-th picture out of the decoder is the n-th here."""
    end: float
    """Seconds at which the last picture stops being shown."""
    start_ticks: int
    """Second 0, in ticks of the video track."""
    tick: Fraction
    """Seconds of a tick."""
    skippable: bool
    """Whether pictures that are not wanted can be skipped without a change of the others."""
    cut_off: str = ""
    """What the file announces and does not hold, if it was cut off."""

    def shown_at(self, times: Sequence[float]) -> list[int]:
        """The pts of the pictures shown at these ascending times, each once; none if nothing can be skipped."""
        if not self.skippable:
            return []
        later = (bisect_right(self.pictures, time, key=itemgetter(0)) for time in times)
        shown = dict.fromkeys(self.pictures[max(place - 1, 0)][1] for place in later)
        return [pts for pts in shown if pts is not None]

    def clock(self, pictures: Iterator[VideoFrame]) -> Iterator[tuple[float, VideoFrame]]:
        """Each picture with the second from which on it is shown, as the decoder gives them from the first one on."""
        seconds = 0.0
        for number, picture in enumerate(pictures):
            if self.pictures[0][1] is None:
                seconds = self.pictures[min(number, len(self.pictures) - 1)][0]
            elif picture.pts is not None:
                seconds = self.seconds(picture.pts)
            yield seconds, picture

    def seconds(self, ticks: int) -> float:
        """Seconds on the file's clock of a timestamp."""
        return _seconds(ticks - self.start_ticks, self.tick)


def probe_duration(path: Path) -> float:
    """How long a video lasts, in seconds: its packets are read, nothing is decoded.

    Raises:
        VideoError: The file is missing, broken, without video, cut off, or its pictures cannot be timed.
    """
    timeline = read_timeline(path)
    if timeline.cut_off:
        raise VideoError(f"{path}: {timeline.cut_off}; fetch the file again")
    return timeline.end


def read_timeline(path: Path) -> Timeline:
    """The timeline of a file; read once as long as the file stays the same.

    Raises:
        VideoError: as `probe_duration`, but for a file that was cut off.
    """
    return _read_timeline(FileIdentity.of(path))


@contextmanager
def open_video(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open the best video stream of a file; every error of PyAV inside the block becomes a VideoError."""
    FileIdentity.of(path)
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


@lru_cache(maxsize=64)
def _read_timeline(file: FileIdentity) -> Timeline:
    with open_video(file.path) as (container, stream):
        tick = stream.time_base or Fraction(1, av.time_base)
        start = round(Fraction(container.start_time or 0, av.time_base) / tick)
        packets, end_of_all = _packets(file.path, container, stream)
        if not packets:
            raise VideoError(f"{file.path}: expected pictures, found none; fetch the file again")
        reordered = any(packet.pts is None for packet in packets)
        shown = sorted(_times(file.path, packets, reordered))
        last = max(ticks + duration for ticks, duration in shown)
        if last == shown[-1][0]:  # its last picture has no duration: as long as the others
            last += round((shown[-1][0] - shown[0][0]) / max(len(shown) - 1, 1)) or stream.duration or 0
        pictures = [(_seconds(ticks - start, tick), None if reordered else ticks) for ticks, _ in shown]
        distinct = len({ticks for ticks, _ in shown}) == len(shown)
        end = _seconds(last - start, tick)
        if not 0 < end < LONGEST_VIDEO_S:
            raise VideoError(
                f"{file.path}: expected pictures until some second below {LONGEST_VIDEO_S:g}, found {end:g}; {_REMUX}"
            )
        return Timeline(
            pictures=tuple(pictures),
            end=end,
            start_ticks=start,
            tick=tick,
            skippable=distinct and not reordered and _names_every_reference(stream),
            cut_off=_cut_off(container, stream, pictures[0][0], end, end_of_all),
        )


class _Shown(NamedTuple):
    pts: int | None
    dts: int | None
    duration: int


def _packets(path: Path, container: InputContainer, stream: VideoStream) -> tuple[list[_Shown], float]:
    """The packets of pictures in decoding order, and the seconds at which the last track ends.

    Raises:
        VideoError: their timestamps begin again or leap.
    """
    leaps = Flags.ts_discont in Flags(container.format.flags)
    shown: list[_Shown] = []
    decoded = end_of_all = 0.0
    known = False
    for packet in container.demux():
        if not packet.size or packet.is_discard or packet.time_base is None:
            continue  # the flush at the end, and what an edit list cuts away
        moment = packet.dts if packet.dts is not None else packet.pts
        if moment is not None:
            end_of_all = max(end_of_all, _seconds(moment + (packet.duration or 0), packet.time_base))
        if packet.stream is not stream:
            continue
        shown.append(_Shown(packet.pts, packet.dts, packet.duration or 0))
        if packet.dts is not None:
            seconds = _seconds(packet.dts, packet.time_base)
            if known and (seconds < decoded - _STEP_BACK_S or (leaps and seconds > decoded + _LEAP_S)):
                raise VideoError(
                    f"{path}: expected timestamps that ascend, found {seconds:g} s after {decoded:g} s; {_REMUX}"
                )
            decoded, known = seconds, True
    return shown, end_of_all - (container.start_time or 0) / av.time_base


def _times(path: Path, packets: Sequence[_Shown], reordered: bool) -> Iterator[tuple[int, int]]:
    """When the pictures are shown and for how long, in ticks."""
    for packet in packets:
        moment = packet.dts if reordered else packet.pts
        if moment is None:
            raise VideoError(
                f"{path}: expected timestamps, found packets without any; remux the file, to MP4 for example"
            )
        yield moment, packet.duration


def _cut_off(container: InputContainer, stream: VideoStream, first: float, end: float, end_of_all: float) -> str:
    """What the headers announce of the video track, or else of the whole file, and is not there."""
    start = (container.start_time or 0) / av.time_base  # which Matroska counts in
    tag = stream.metadata.get("DURATION", "")
    if stream.duration and stream.time_base:
        expected, found = float(stream.duration * stream.time_base), end - min(first, 0.0)
    elif tag:
        hours, minutes, seconds = (float(part) for part in tag.split(":"))
        expected, found = 3600 * hours + 60 * minutes + seconds, end + start
    else:
        expected, found = (container.duration or 0) / av.time_base, max(end, end_of_all) + start
    return f"expected {expected:g} s of video, found {found:g} s" if found < expected - TOLERATED_GAP_S else ""


def _seconds(ticks: int, tick: Fraction) -> float:
    return ticks * tick.numerator / tick.denominator


def _names_every_reference(stream: VideoStream) -> bool:
    """Whether each picture says if any other depends on it, so that FFmpeg can skip it without changing a pixel.

    H.264's do. HEVC's may deny it and still serve a higher temporal layer, VP8's and VP9's hand on probabilities, and
    two fields under one timestamp may differ.
    """
    return stream.codec_context.name == "h264" and stream.codec_context.field_order == _PROGRESSIVE
