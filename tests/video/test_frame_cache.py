"""The frame cache: one decode for each content and sampling, bounded size, any number of processes in one folder."""

import errno
import multiprocessing
import os
import time
from pathlib import Path

import av
import numpy as np
import platformdirs
import pytest

from proactive_env.errors import VideoError
from proactive_env.video import FrameCache, cache_folder, decode_frames
from proactive_env.video import cache as frame_cache
from proactive_env.video.decode import FrameStream

SAMPLING = {"count": 3, "frame_interval": 0.5}


def write(path, seed=0):
    """Write two seconds of noise; return the path."""
    random = np.random.default_rng(seed)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10, width=64, height=64)
        for _ in range(20):
            picture = random.integers(0, 256, (64, 64, 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.fixture
def clip(tmp_path):
    return write(tmp_path / "clip.mp4")


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def decoded(monkeypatch):
    """The path of each video that was decoded."""
    paths = []
    monkeypatch.setattr(
        frame_cache,
        "FrameStream",
        lambda path, *args, **options: paths.append(path) or FrameStream(path, *args, **options),
    )
    return paths


def stored(folder):
    return sorted(folder.glob("*.npy"))


def test_frames_are_decoded_once_and_mapped_read_only(clip, folder, decoded):
    expected = decode_frames(clip, **SAMPLING)
    for _ in range(3):
        frames = FrameCache(folder).frames(clip, **SAMPLING)
        assert isinstance(frames, np.memmap)
        assert not frames.flags.writeable
        np.testing.assert_array_equal(frames, expected)
    assert decoded == [clip]
    assert len(list(folder.iterdir())) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"count": 2},
        {"frame_interval": 0.4},
        {"duration": 2.0},
        {"max_pixels": 28 * 28},
        {"size_multiple": 32},
    ],
)
def test_every_sampling_has_its_own_frames(clip, folder, decoded, change):
    cache = FrameCache(folder)
    cache.frames(clip, **SAMPLING)
    frames = cache.frames(clip, **SAMPLING | change)
    np.testing.assert_array_equal(frames, decode_frames(clip, **SAMPLING | change))
    assert decoded == [clip, clip]


def test_equal_numbers_are_the_same_sampling(clip, folder, decoded):
    cache = FrameCache(folder)
    for frame_interval in (1, 1.0, np.float64(1)):
        cache.frames(clip, count=2, frame_interval=frame_interval)
    assert decoded == [clip]


def test_the_content_counts_not_the_name_or_age(clip, folder, decoded, tmp_path):
    cache = FrameCache(folder)
    cache.frames(clip, **SAMPLING)
    renamed = clip.rename(tmp_path / "renamed.mp4")
    cache.frames(renamed, **SAMPLING)
    assert decoded == [clip]
    data = bytearray(renamed.read_bytes())
    data[data.index(b"mdat") + 100] ^= 1
    status = renamed.stat()
    renamed.write_bytes(data)
    os.utime(renamed, ns=(status.st_atime_ns, status.st_mtime_ns))
    cache.frames(renamed, **SAMPLING)
    assert decoded == [clip, renamed]


def test_what_was_not_read_for_longest_is_deleted(tmp_path, folder, decoded):
    first, second, third = (write(tmp_path / f"{seed}.mp4", seed) for seed in range(3))
    size = FrameCache(folder).frames(first, **SAMPLING).nbytes
    cache = FrameCache(folder, max_bytes=int(2.5 * size))
    cache.frames(second, **SAMPLING)
    cache.frames(first, **SAMPLING)
    cache.frames(third, **SAMPLING)
    assert len(stored(folder)) == 2
    decoded.clear()
    for path in (first, third, second):
        cache.frames(path, **SAMPLING)
    assert decoded == [second]


def test_the_newest_frames_stay_though_they_are_too_large(clip, folder, decoded):
    cache = FrameCache(folder, max_bytes=1)
    for _ in range(2):
        cache.frames(clip, **SAMPLING)
    assert decoded == [clip]


def test_only_its_own_files_are_deleted(clip, folder):
    folder.mkdir()
    foreign = folder / "mine.npy"
    np.save(foreign, np.zeros(1000))
    os.utime(foreign, (0, 0))
    FrameCache(folder, max_bytes=1).frames(clip, **SAMPLING)
    assert foreign.exists()


def test_unfinished_files_are_deleted_after_a_day(clip, folder):
    folder.mkdir()
    crashed, writing = folder / "crashed.frames.tmp", folder / "writing.frames.tmp"
    for file in (crashed, writing):
        file.touch()
    yesterday = time.time() - 25 * 60 * 60
    os.utime(crashed, (yesterday, yesterday))
    FrameCache(folder).frames(clip, **SAMPLING)
    assert not crashed.exists()
    assert writing.exists()


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda data: data[: len(data) // 2], id="truncated"),
        pytest.param(lambda data: data[:20], id="truncated header"),
        pytest.param(lambda data: b"", id="empty"),
        pytest.param(lambda data: bytes(len(data)), id="zeros"),
        pytest.param(lambda data: data.replace(b"}", b"{", 1), id="broken header"),
    ],
)
def test_damaged_files_are_decoded_again(clip, folder, decoded, damage):
    cache = FrameCache(folder)
    expected = np.array(cache.frames(clip, **SAMPLING))
    (file,) = stored(folder)
    file.write_bytes(damage(file.read_bytes()))
    for _ in range(2):
        np.testing.assert_array_equal(cache.frames(clip, **SAMPLING), expected)
    assert decoded == [clip, clip]


def test_frames_outlive_their_file(clip, folder):
    frames = FrameCache(folder).frames(clip, **SAMPLING)
    for file in stored(folder):
        file.unlink()
    np.testing.assert_array_equal(frames, decode_frames(clip, **SAMPLING))


def test_files_may_vanish_while_the_folder_is_listed(clip, folder):
    folder.mkdir()
    (folder / "vanished.frames.npy").symlink_to("nowhere")
    FrameCache(folder, max_bytes=1).frames(clip, **SAMPLING)


def test_files_may_vanish_after_the_folder_is_listed(clip, folder, monkeypatch):
    files = frame_cache._files

    def files_deleted_meanwhile(folder, suffix):
        listed = list(files(folder, suffix))
        for file, _ in listed:
            file.unlink()
        return listed

    cache = FrameCache(folder, max_bytes=1)
    cache.frames(clip, **SAMPLING)
    (folder / "crashed.frames.tmp").touch()
    os.utime(folder / "crashed.frames.tmp", (0, 0))
    monkeypatch.setattr(frame_cache, "_files", files_deleted_meanwhile)
    frames = cache.frames(clip, count=2, frame_interval=1.0)
    np.testing.assert_array_equal(frames, decode_frames(clip, count=2, frame_interval=1.0))


def test_a_folder_that_cannot_be_written(clip, folder):
    folder.touch()
    with pytest.raises(OSError, match=r"written in .*cache, found: .*; set PROACTIVE_ENV_CACHE to another folder"):
        FrameCache(folder).frames(clip, **SAMPLING)


def test_a_full_disk_leaves_nothing_behind(clip, folder, monkeypatch):
    def full(file, frames):
        file.write(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(frame_cache, "write_array_header_1_0", full)
    with pytest.raises(OSError, match="No space left on device; set PROACTIVE_ENV_CACHE"):
        FrameCache(folder).frames(clip, **SAMPLING)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", ["missing.mp4", "."])
def test_a_path_without_a_video(tmp_path, folder, name):
    path = tmp_path / name
    with pytest.raises(VideoError) as raised:
        FrameCache(folder).frames(path, **SAMPLING)
    assert str(raised.value).startswith(f"{path}: expected a video file, found: ")


def test_a_broken_video_is_not_cached(tmp_path, folder):
    path = tmp_path / "broken.mp4"
    path.write_bytes(b"no video")
    with pytest.raises(VideoError, match="broken.mp4"):
        FrameCache(folder).frames(path, **SAMPLING)
    assert not folder.exists()


def read_all(job):
    """Read every clip a few times, in an order of its own; say whether each frame was right."""
    folder, paths, seed = job
    cache = FrameCache(folder, max_bytes=30_000)  # about one clip, so that each process deletes what others read
    random = np.random.default_rng(seed)
    return all(
        np.array_equal(cache.frames(paths[index], **SAMPLING), decode_frames(paths[index], **SAMPLING))
        for _ in range(15)
        for index in random.permutation(len(paths))
    )


def test_processes_share_a_folder(tmp_path, folder):
    paths = [write(tmp_path / f"{seed}.mp4", seed) for seed in range(3)]
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        assert pool.map(read_all, [(folder, paths, seed) for seed in range(4)], chunksize=1) == [True] * 4
        pool.close()
        pool.join()
    assert {file.suffix for file in folder.iterdir()} == {".npy"}


def test_the_folder_is_named_by_the_environment(clip, tmp_path, monkeypatch):
    monkeypatch.setenv("PROACTIVE_ENV_CACHE", str(tmp_path / "named"))
    assert cache_folder() == tmp_path / "named"
    FrameCache().frames(clip, **SAMPLING)
    assert len(stored(tmp_path / "named" / "frames")) == 1
    monkeypatch.delenv("PROACTIVE_ENV_CACHE")
    assert cache_folder() == Path(platformdirs.user_cache_dir("proactive-env"))


def test_the_size_is_set_by_the_environment(tmp_path, folder, monkeypatch):
    monkeypatch.setenv("PROACTIVE_ENV_CACHE_GB", "0.00003")
    cache = FrameCache(folder)
    for seed in range(3):
        cache.frames(write(tmp_path / f"{seed}.mp4", seed), **SAMPLING)
    assert len(stored(folder)) == 1


@pytest.mark.parametrize("gigabytes", ["plenty", "nan", "inf"])
def test_a_size_that_is_no_number(folder, monkeypatch, gigabytes):
    monkeypatch.setenv("PROACTIVE_ENV_CACHE_GB", gigabytes)
    with pytest.raises(ValueError, match=f"PROACTIVE_ENV_CACHE_GB to be a number of gigabytes, found '{gigabytes}'"):
        FrameCache(folder)


def test_a_file_that_stays_the_same_is_hashed_once(clip, folder, monkeypatch):
    hashed = []
    digest = frame_cache.hashlib.file_digest
    monkeypatch.setattr(frame_cache.hashlib, "file_digest", lambda *args: hashed.append(1) or digest(*args))
    for _ in range(3):
        FrameCache(folder).frames(clip, **SAMPLING)
    assert len(hashed) == 1
    os.utime(clip)
    FrameCache(folder).frames(clip, **SAMPLING)
    assert len(hashed) == 2
