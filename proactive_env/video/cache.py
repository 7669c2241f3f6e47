"""Decoded frames on disk: a file is decoded once for each way of sampling it, then read as a memory map.

Files appear whole or not at all and may vanish at any time, so that any number of processes share one folder.
"""

import hashlib
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import numpy as np
import platformdirs
from numpy.lib.format import write_array_header_1_0
from numpy.typing import NDArray

from proactive_env.errors import VideoError
from proactive_env.video.decode import FrameStream, frame_times
from proactive_env.video.geometry import MAX_PIXELS, SIZE_MULTIPLE
from proactive_env.video.timeline import FileIdentity

_FORMAT = 2  # to be raised when the same file and sampling give other pixels
_SUFFIX = ".frames.npy"
_UNFINISHED_SUFFIX = ".frames.tmp"
_ABANDONED_AFTER = 24 * 60 * 60  # seconds after which nobody is still writing an unfinished file


def cache_folder() -> Path:
    """Return the folder of everything the library caches: $PROACTIVE_ENV_CACHE, or else the user's cache folder."""
    named = os.environ.get("PROACTIVE_ENV_CACHE")
    return Path(named) if named else platformdirs.user_cache_path("proactive-env")


class FrameCache:
    """Frames of videos, decoded at most once and kept in a folder of bounded size.

    ```python
    cache = FrameCache()
    frames = cache.frames(Path("video.mp4"), count=30, frame_interval=1.0)
    ```

    Args:
        folder: Where the frames are kept; `cache_folder() / "frames"` if None.
        max_bytes: Size the folder is kept under by deleting what was not read for longest; if None,
            $PROACTIVE_ENV_CACHE_GB (10**9 bytes), or else 20 GB. The frames asked for last stay, however large.

    Raises:
        ValueError: PROACTIVE_ENV_CACHE_GB is not a number.
    """

    def __init__(self, folder: Path | None = None, max_bytes: int | None = None) -> None:
        self._folder = cache_folder() / "frames" if folder is None else folder
        self._max_bytes = _default_max_bytes() if max_bytes is None else max_bytes

    def frames(
        self,
        path: Path,
        *,
        count: int,
        frame_interval: float,
        duration: float | None = None,
        max_pixels: int = MAX_PIXELS,
        size_multiple: int = SIZE_MULTIPLE,
    ) -> NDArray[np.uint8]:
        """Return what `decode_frames` returns for these arguments, as a read-only memory map.

        The file's content counts, not its name or age: it is hashed when a process meets the file first, and again
        when its size, its times of modification and change, or its inode differ.

        Raises:
            VideoError, ValueError: As `decode_frames`.
            OSError: The folder cannot be written.
        """
        file = self._folder / f"{_key(path, count, frame_interval, duration, max_pixels, size_multiple)}{_SUFFIX}"
        try:
            cached = _load(file)
            if cached is not None:
                return cached
            times = frame_times(count, frame_interval)
            video = FrameStream(path, times, duration=duration, max_pixels=max_pixels, size_multiple=size_multiple)
            return self._store(video, file)
        except OSError as error:
            raise OSError(
                error.errno,
                f"expected a frame cache that can be written in {self._folder}, found: {error.strerror}; "
                "set PROACTIVE_ENV_CACHE to another folder",
            ) from error

    def _store(self, video: FrameStream, file: Path) -> NDArray[np.uint8]:
        self._folder.mkdir(parents=True, exist_ok=True)
        unfinished = self._folder / f"{uuid.uuid4().hex}{_UNFINISHED_SUFFIX}"
        try:
            with unfinished.open("xb") as stream:
                write_array_header_1_0(stream, {"shape": video.shape, "fortran_order": False, "descr": "|u1"})  # type: ignore[no-untyped-call]
                for frame in video:
                    stream.write(frame.tobytes())
            mapped = _map(unfinished)  # first, because once the file has its name, other processes may delete it
            unfinished.replace(file)
        finally:
            unfinished.unlink(missing_ok=True)
        self._make_room(file)
        return mapped

    def _make_room(self, newest: Path) -> None:
        """Delete what was not read for longest until the folder is small enough, and what crashed processes left."""
        for unfinished, status in _files(self._folder, _UNFINISHED_SUFFIX):
            if status.st_mtime < time.time() - _ABANDONED_AFTER:
                unfinished.unlink(missing_ok=True)
        files = sorted(_files(self._folder, _SUFFIX), key=lambda entry: entry[1].st_mtime_ns)
        excess = sum(status.st_size for _, status in files) - self._max_bytes
        for file, status in files:
            if excess > 0 and file != newest:
                file.unlink(missing_ok=True)
                excess -= status.st_size


def _default_max_bytes() -> int:
    gigabytes = os.environ.get("PROACTIVE_ENV_CACHE_GB") or "20"
    try:
        return int(float(gigabytes) * 10**9)
    except (ValueError, OverflowError) as error:
        raise ValueError(
            f"expected PROACTIVE_ENV_CACHE_GB to be a number of gigabytes, found {gigabytes!r}; correct it or unset it"
        ) from error


def _key(path: Path, *sampling: float | None) -> str:
    content = _content(FileIdentity.of(path))
    identity = [_FORMAT, content, *(option if option is None else float(option) for option in sampling)]
    return hashlib.blake2b(repr(identity).encode(), digest_size=32).hexdigest()


@lru_cache(maxsize=65_536)
def _content(identity: FileIdentity) -> str:
    try:
        with identity.path.open("rb") as file:
            return hashlib.file_digest(file, "blake2b").hexdigest()
    except OSError as error:
        raise VideoError(f"{identity.path}: expected a video file, found: {error.strerror}; check the path") from error


def _load(file: Path) -> NDArray[np.uint8] | None:
    """Map a cached file and mark it as read now; None if it is missing or damaged."""
    try:
        with suppress(PermissionError):  # what somebody else cached can still be read
            os.utime(file)
        return _map(file)
    except FileNotFoundError:
        return None
    except OSError:
        raise
    except Exception:  # NumPy lets a damaged header raise nearly anything
        return None


def _map(file: Path) -> NDArray[np.uint8]:
    frames: NDArray[np.uint8] = np.load(file, mmap_mode="r")
    return frames


def _files(folder: Path, suffix: str) -> Iterator[tuple[Path, os.stat_result]]:
    for file in folder.glob(f"*{suffix}"):
        with suppress(FileNotFoundError):  # another process may delete it meanwhile
            yield file, file.stat()
