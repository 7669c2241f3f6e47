"""Scenes as the camera makes them: from cut to cut, for videos that nobody has described."""

from pathlib import Path

from proactive_env.datasets.rows import OnBadRow
from proactive_env.errors import VideoError
from proactive_env.extras import require
from proactive_env.recipes.data.scenes.config import SceneConfig
from proactive_env.recipes.data.scenes.scene import Scene


def read(video: Path, _duration: float, config: SceneConfig, _on_bad: OnBadRow) -> list[Scene]:
    """A scene from each cut to the next, by PySceneDetect's ContentDetector; the whole video where nothing is cut.

    Raises:
        VideoError: the video cannot be decoded.
        InputError: PySceneDetect is missing.
    """
    require("scenes")
    from scenedetect import ContentDetector, VideoOpenFailure, detect

    try:
        shots = detect(str(video), ContentDetector(threshold=config.shot_threshold), start_in_scene=True)
    except (OSError, VideoOpenFailure) as error:
        raise VideoError(f"{video}: expected a video that OpenCV can decode, found: {error}; convert it") from error
    return [Scene(start=start.seconds, end=end.seconds) for start, end in shots if start.seconds < end.seconds]
