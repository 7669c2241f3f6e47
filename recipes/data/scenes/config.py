"""What a recipe may choose about scenes."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from proactive_env.episode import Frozen


class SceneConfig(Frozen):
    """Where scenes come from, and how long they may be."""

    source: Literal["auto", "subtitles", "annotations", "shots"] = "auto"
    """Where scenes come from; auto: subtitles, else annotations, else shots, whichever a video has first."""
    annotations: Path | None = None
    """The file of segment annotations of all videos; see `annotations.read` for its formats."""
    min_seconds: float = Field(default=2.0, ge=0.1)
    """The shortest scene, and the shortest gap between two."""
    max_seconds: float = Field(default=30.0, gt=0)
    """The longest scene; at least twice the shortest."""
    shot_threshold: float = Field(default=27.0, gt=0)
    """How much a picture must differ from the one before for a cut: PySceneDetect's ContentDetector, 0 to 255."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.max_seconds < 2 * self.min_seconds:
            raise ValueError(f"max_seconds must be at least twice min_seconds, {2 * self.min_seconds:g}")
        if self.source == "annotations" and self.annotations is None:
            raise ValueError("source annotations needs the path of a file in annotations")
        return self
