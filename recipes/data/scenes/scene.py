"""A scene: the unit that captions, questions and answers are made of."""

from typing import Self

from pydantic import Field, model_validator

from proactive_env.episode import Frozen


class Scene(Frozen):
    """A stretch of one video in which one thing happens."""

    start: float = Field(ge=0)
    """Seconds of video time."""
    end: float = Field(gt=0)
    """Seconds of video time."""
    text: str = ""
    """What is said or annotated meanwhile: a subtitle sentence, a segment's description; often empty."""

    @model_validator(mode="after")
    def _runs_forward(self) -> Self:
        if self.end <= self.start:
            raise ValueError(f"a scene must end after it starts, found [{self.start}, {self.end}]")
        return self

    @property
    def seconds(self) -> float:
        """How long the scene lasts."""
        return self.end - self.start


class CaptionedScene(Scene):
    """A scene, and what it shows."""

    caption: str
