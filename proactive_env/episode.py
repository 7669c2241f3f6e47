"""One annotated video: what is asked and when, and what a good assistant says and when.

Episodes are frozen and checked when they are made, so that nothing downstream has to ask again whether a span is sane.
"""

from pathlib import Path
from typing import Annotated, NamedTuple, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

CLIPPING_SLACK_S = 1.0
"""Seconds by which annotations may pass the end of their video, and a file may fall short of its annotated duration."""


class Timespan(NamedTuple):
    """A stretch of video time, in seconds, closed at both ends.

    Example:
        >>> Timespan(3.1, 6.0).contains(6.0)
        True
    """

    start: float
    end: float

    def contains(self, time: float) -> bool:
        """Whether `time` (seconds) lies inside, ends included."""
        return self.start <= time <= self.end


def _runs_forward(span: Timespan) -> Timespan:
    if not 0 <= span.start < span.end:
        raise ValueError(f"a span must satisfy 0 <= start < end, found [{span.start}, {span.end}]")
    return span


Span = Annotated[Timespan, AfterValidator(_runs_forward)]
"""The type of a field that holds a span; in JSON `[start, end]`."""


class Frozen(BaseModel):
    """A record that does not change and knows no fields but its own."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


class UserTurn(Frozen):
    """A text of the user's: a question, or a subtitle handed on."""

    time: float
    """When the text is due, seconds of video time."""
    text: str


class GoldReply(Frozen):
    """An annotated reply: what to say, and when it is right to say it."""

    text: str = Field(min_length=1)
    question: str
    """The question that this reply answers; judges see it."""
    reply_span: Span
    """When the reply counts, seconds."""
    related_span: Span
    """When the video shows what the reply is about, seconds."""

    def cut_at(self, end: float) -> Self:
        """This reply with spans that end no later, in seconds, if they begin earlier."""
        spans = {"reply_span": self.reply_span, "related_span": self.related_span}
        cut = {name: Timespan(span.start, min(span.end, end)) for name, span in spans.items() if span.start < end}
        return self.model_copy(update=cut)


class Episode(Frozen):
    """One video with its questions and gold replies."""

    question_id: str = Field(min_length=1)
    """Unique within a data set."""
    video: Path
    duration: float | None = Field(default=None, gt=0)
    """Annotated length of the video in seconds; None: the file's own length."""
    user_turns: tuple[UserTurn, ...] = ()
    gold: tuple[GoldReply, ...] = ()
    subset: str = "ALL"
    """The part of the benchmark that this episode is pooled into."""
    frames_per_turn: int = Field(default=2, ge=1)
    """Frames a turn when the benchmark is evaluated."""
    play: Span | None = None
    """The part of the video that the benchmark plays, seconds; None: from 0 to the end of the last gold reply."""

    @model_validator(mode="after")
    def _spans_lie_inside_the_video(self) -> Self:
        if self.duration is None:
            return self
        for index, gold in enumerate(self.gold):
            for name in ("reply_span", "related_span"):
                start, end = getattr(gold, name)
                if start >= self.duration or round(end - self.duration, 6) > CLIPPING_SLACK_S:
                    raise ValueError(
                        f"gold.{index}.{name} must lie inside the video of {self.duration} s, found [{start}, {end}]"
                    )
        return self

    def with_duration(self, duration: float) -> Self:
        """This episode with its length in seconds filled in and checked.

        Spans that the benchmark laid around a moment itself, as it does where it has a part to `play`, are cut there.

        Raises:
            ValueError: a gold span lies outside the video.
        """
        gold = [reply.cut_at(duration) for reply in self.gold] if self.play else self.gold
        try:
            return type(self).model_validate({**dict(self), "duration": duration, "gold": gold})
        except ValidationError as error:
            raise ValueError("; ".join(item["msg"] for item in error.errors())) from error
