"""Captions: what each scene shows, from a few of its frames and what is said meanwhile."""

import asyncio
import math
from collections import Counter
from collections.abc import Sequence
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from proactive_env.frame_cache import FrameCache
from proactive_env.recipes.data.build.ask import Asker, DroppedError, Fields, OneLine, all_of, one_line
from proactive_env.recipes.data.build.config import BuildConfig
from proactive_env.recipes.data.build.lines import VideoCaptions, VideoScenes
from proactive_env.recipes.data.scene import CaptionedScene, Scene
from proactive_env.recipes.pictures import jpeg_url
from proactive_env.video import VideoError

FRAME_INTERVAL_S = 1.0
"""Seconds between the frames that a caption may be made from."""
_JPEG_QUALITY = 85
_one_decoding = Lock()  # a video is decoded by all cores


class Caption(Fields):
    """The answer to `caption.txt`."""

    caption: OneLine


async def write_captions(video: VideoScenes, config: BuildConfig, asker: Asker) -> VideoCaptions:
    """Caption every scene of a video; a scene without a caption is dropped.

    Raises:
        ChatUnavailable: there was no answer.
    """
    dropped: Counter[str] = Counter()
    scenes: list[CaptionedScene | None] = []
    try:
        frames = await asyncio.to_thread(_decode, video, config)
        scenes = await all_of(_caption(scene, frames, config, asker, dropped) for scene in video.scenes)
    except VideoError:
        dropped["video cannot be decoded"] = len(video.scenes)
    captioned = tuple(scene for scene in scenes if scene)
    return VideoCaptions(video=video.video, duration=video.duration, scenes=captioned, dropped=dropped)


async def _caption(
    scene: Scene, frames: NDArray[np.uint8], config: BuildConfig, asker: Asker, dropped: Counter[str]
) -> CaptionedScene | None:
    images = [
        jpeg_url(frames[index], _JPEG_QUALITY) for index in frame_indices(scene, len(frames), config.frames_per_scene)
    ]
    lines = [f"Scene: {scene.start:.1f}-{scene.end:.1f} s", f"Subtitle: {one_line(scene.text) or '(none)'}"]
    try:
        answer = await asker.ask("caption", lines, Caption, images=images)
    except DroppedError as error:
        dropped[str(error)] += 1
        return None
    return CaptionedScene(**dict(scene), caption=answer.caption)


def frame_indices(scene: Scene, count: int, most: int) -> Sequence[int]:
    """Which of a video's `count` frames show a scene: evenly spaced, at most `most`, at least one.

    Example:
        >>> frame_indices(Scene(start=10.0, end=20.0), count=60, most=4)
        [11, 13, 16, 18]
    """
    first = math.ceil(scene.start / FRAME_INTERVAL_S)
    inside = max(1, math.ceil(scene.end / FRAME_INTERVAL_S) - first)
    shown = min(inside, most)
    return [min(first + int((k + 0.5) * inside / shown), count - 1) for k in range(shown)]


def _decode(video: VideoScenes, config: BuildConfig) -> NDArray[np.uint8]:
    file, count = config.videos / video.video, max(1, math.ceil(video.duration / FRAME_INTERVAL_S))
    with _one_decoding:
        return FrameCache().frames(file, count=count, frame_interval=FRAME_INTERVAL_S, max_pixels=config.max_pixels)
