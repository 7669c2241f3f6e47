"""The frames that show scenes, a few of each: only these are decoded, and each is a JPEG for a message."""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from threading import Lock

from proactive_env.recipes.data.construct.config import BuildConfig
from proactive_env.recipes.data.scenes.scene import Scene
from proactive_env.recipes.pictures import jpeg_url
from proactive_env.video import decode_frames_at

_JPEG_QUALITY = 85
_one_decoding = Lock()  # a video is decoded by all cores


def frame_times(scene: Scene, most: int) -> list[float]:
    """When a scene is shown, in seconds: evenly spaced, a second apart or more, at most `most` times, at least once.

    Example:
        >>> frame_times(Scene(start=10.0, end=20.0), most=4)
        [11.25, 13.75, 16.25, 18.75]
    """
    shown = max(1, min(int(scene.seconds), most))
    return [scene.start + (k + 0.5) * scene.seconds / shown for k in range(shown)]


def scene_pictures(video: Path, scenes: Sequence[Scene], config: BuildConfig) -> list[list[str]]:
    """The frames of each scene, as data URLs.

    Args:
        video: The video file.
        scenes: One or more, in order of time and apart.
        config: Says how many frames a scene has, and how large they are.

    Raises:
        VideoError: the video cannot be decoded.
    """
    times = [frame_times(scene, config.frames_per_scene) for scene in scenes]
    with _one_decoding:
        frames = iter(decode_frames_at(video, [*chain(*times)], max_pixels=config.max_pixels))
    return [[jpeg_url(next(frames), _JPEG_QUALITY) for _ in shown] for shown in times]
