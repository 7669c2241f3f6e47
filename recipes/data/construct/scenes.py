"""Scenes: where each video is cut; a video that cannot be is dropped."""

import asyncio
import hashlib
from pathlib import Path

from proactive_env.errors import DatasetError, VideoError
from proactive_env.recipes.data.construct.ask import Asker
from proactive_env.recipes.data.construct.config import BuildConfig
from proactive_env.recipes.data.construct.lines import Line, VideoScenes
from proactive_env.recipes.data.scenes import NoScenesError, find_scenes
from proactive_env.recipes.data.scenes.scene import Scene
from proactive_env.video import probe_duration


async def write_scenes(video: Line, config: BuildConfig, _: Asker) -> VideoScenes:
    """Find a video's scenes; rows of subtitles and annotations that cannot be used are dropped.

    Raises:
        InputError: a package that finds scenes is missing.
    """
    return await asyncio.to_thread(_find, video, config)


def _find(video: Line, config: BuildConfig) -> VideoScenes:
    file = config.videos / video.video
    bad_rows: list[DatasetError] = []
    dropped: dict[str, int] = {}
    messages: list[str] = []
    scenes: tuple[Scene, ...] = ()
    content, duration = "", 0.0
    try:
        content = _hash(file)
        duration = probe_duration(file)
        scenes = find_scenes(file, duration, config.scenes, on_bad=bad_rows.append)
    except (VideoError, DatasetError, NoScenesError) as error:
        dropped[_reason(error)] = 1
        messages.append(str(error))
    if bad_rows:
        dropped["row of subtitles or annotations"] = len(bad_rows)
        messages += map(str, bad_rows)
    return VideoScenes(
        video=video.video,
        duration=duration,
        content=content,
        scenes=scenes,
        dropped=dropped,
        messages=tuple(messages),
    )


def _reason(error: VideoError | DatasetError | NoScenesError) -> str:
    if isinstance(error, VideoError):
        return "video cannot be read"
    if isinstance(error, DatasetError):
        return "subtitles or annotations cannot be read"
    return "video without scenes"


def _hash(file: Path) -> str:
    try:
        with file.open("rb") as content:
            return hashlib.file_digest(content, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except OSError as error:
        raise VideoError(f"{file}: expected a video file, found: {error.strerror}; check the path") from error
