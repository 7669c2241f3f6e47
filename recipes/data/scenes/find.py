"""The scenes of one video: from the first source that has some, arranged by the one set of rules."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from proactive_env.datasets.rows import OnBadRow, raise_bad_row
from proactive_env.errors import NoScenesError
from proactive_env.recipes.data.scenes import annotations, shots, subtitles
from proactive_env.recipes.data.scenes.config import SceneConfig
from proactive_env.recipes.data.scenes.rules import arrange
from proactive_env.recipes.data.scenes.scene import Scene

Source = Callable[[Path, float, SceneConfig, OnBadRow], Sequence[Scene]]
"""A video and its duration in seconds to its scenes, in any order and of any length; none where it has no such source.

A row that cannot be used goes to the callback and is left out.
"""

SOURCES: Mapping[str, Source] = {"subtitles": subtitles.read, "annotations": annotations.read, "shots": shots.read}


def find_scenes(
    video: Path, duration: float, config: SceneConfig, *, on_bad: OnBadRow = raise_bad_row
) -> tuple[Scene, ...]:
    """The scenes of a video, in order and apart, by the rules of `rules.arrange`.

    Args:
        video: The video file; its subtitles lie beside it.
        duration: Its length in seconds, see `probe_duration`.
        config: Where scenes come from, and how long they may be.
        on_bad: Takes the error of each cue or segment that cannot be used, which is then left out. Rows of annotations
            that tell no video are for `check_annotations` to find.

    Raises:
        NoScenesError: no source has a scene of this video.
        DatasetError: subtitles or annotations cannot be read, or hold a bad row that `on_bad` does not take.
        VideoError: the video cannot be decoded.
        InputError: a package of `proactive-env[scenes]` is missing.
    """
    for name in SOURCES if config.source == "auto" else (config.source,):
        scenes = arrange(SOURCES[name](video, duration, config, on_bad), duration, config)
        if scenes:
            return scenes
    raise NoScenesError(
        f"{video}: expected scenes of {config.min_seconds:g} s or more from source {config.source}, found none in "
        f"{duration:g} s; add {video.stem}.srt, .vtt or .json beside it, annotate it, or choose another source"
    )
