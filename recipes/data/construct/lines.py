"""What the stages write: one line a video in each stage's file. The first stage begins with bare lines."""

from pathlib import PurePosixPath

from pydantic import Field

from proactive_env.episode import Episode, Frozen
from proactive_env.recipes.data.scenes.scene import CaptionedScene, Scene


class Line(Frozen):
    """What a stage made of one video."""

    video: str
    """The video's path below the folder of videos, with forward slashes."""
    dropped: dict[str, int] = Field(default_factory=dict)
    """What the stage left out, counted by reason."""
    messages: tuple[str, ...] = ()
    """What is wrong with which file, and in which line."""

    @property
    def subset(self) -> str:
        """The folder below the folder of videos that the video lies in; ALL for those in no folder."""
        folder, *inside = PurePosixPath(self.video).parts
        return folder if inside else "ALL"


class VideoScenes(Line):
    """A line of `scenes.jsonl`."""

    duration: float = 0.0
    """Seconds."""
    content: str = ""
    """A hash of the video file."""
    scenes: tuple[Scene, ...] = ()


class VideoCaptions(Line):
    """A line of `captions.jsonl`."""

    duration: float
    """Seconds."""
    scenes: tuple[CaptionedScene, ...] = ()


class Answer(Frozen):
    """An answer to a question, and when the video gives it."""

    start: float
    """Seconds."""
    end: float
    """Seconds."""
    text: str


class Question(Frozen):
    """A question with all its answers, in order of time."""

    text: str
    answers: tuple[Answer, ...]


class VideoQuestions(Line):
    """A line of `questions.jsonl`."""

    duration: float
    """Seconds."""
    questions: tuple[Question, ...] = ()


class VideoDialogues(Line):
    """A line of `dialogues.jsonl`."""

    dialogues: tuple[Episode, ...] = ()
    """Their videos' paths begin with `videos/`, the link in the folder of the build."""
