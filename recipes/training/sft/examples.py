"""A labelled dialogue as sequences to train on: what the agent's own dialogue reads when its model says the labels.

So they hold, token for token, what the agent will meet, in any format; and where the agent would let old frames leave
(`max_context`), a new sequence begins.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from proactive_env.agents.models.dialogue import FORMATS
from proactive_env.agents.models.engine import Context, Decoding, Draw, Drawn, Engine, Segment
from proactive_env.agents.models.tape import Role, Speller, Tape
from proactive_env.environment import Observation, PastTurn
from proactive_env.errors import InputError
from proactive_env.turn import NO_REPLY, Turn
from proactive_env.video import FrameCache


class Pictures(Protocol):
    """The pictures of a sequence, in order, read when they are needed."""

    def load(self) -> list[NDArray[np.uint8]]:
        """Each (height, width, 3) RGB."""


@dataclass(frozen=True)
class Example:
    """One sequence to train on."""

    ids: NDArray[np.int32]
    """(n,) tokens, those of pictures included."""
    roles: NDArray[np.uint8]
    """(n,) the `Role` of each token."""
    pictures: Pictures

    def fitting(self, max_tokens: int | None) -> "Example":
        """The example itself.

        Raises:
            InputError: it has more tokens than this.
        """
        if max_tokens is not None and len(self.ids) > max_tokens:
            raise InputError(f"expected at most {max_tokens} tokens (max_tokens), found {len(self.ids)}")
        return self


@dataclass(frozen=True)
class EpisodeFrames:
    """The frames of an episode, in the frame cache."""

    video: Path
    count: int
    frame_interval: float
    """Seconds."""
    duration: float
    """Seconds."""
    max_pixels: int
    size: tuple[int, int]
    """Height and width of a frame, pixels."""

    def blank(self) -> NDArray[np.uint32]:
        """Stand-ins for the frames, (count, height, width, 3), each filled with its own number."""
        numbers = np.arange(self.count, dtype=np.uint32)[:, None, None, None]
        return np.broadcast_to(numbers, (self.count, *self.size, 3))


@dataclass(frozen=True)
class ShownFrames:
    """Some frames of an episode."""

    source: EpisodeFrames
    numbers: tuple[int, ...]

    def load(self) -> list[NDArray[np.uint8]]:
        """See `Pictures.load`."""
        source = self.source
        frames = FrameCache().frames(
            source.video,
            count=source.count,
            frame_interval=source.frame_interval,
            duration=source.duration,
            max_pixels=source.max_pixels,
        )
        return [np.array(frames[number]) for number in self.numbers]


def frame_numbers(turn: Turn, source: EpisodeFrames) -> range:
    """Which of the episode's frames a turn shows."""
    return range(round(turn.start / source.frame_interval), round(turn.end / source.frame_interval))


def teach(
    speller: Speller,
    turns: Sequence[Turn],
    source: EpisodeFrames,
    decoding: Decoding,
    max_frames: int | None = None,
) -> list[Example]:
    """The examples of one labelled dialogue.

    Args:
        speller: Of the checkpoint that is trained.
        turns: The turns of an episode with the replies to be learned.
        source: The episode's frames.
        decoding: Its format, and how long a conversation grows before old frames leave (`max_context`).
        max_frames: A new conversation begins before one has more frames than this, with what was said before.
    """
    teacher = _Teacher(speller)
    for first, last in _windows(turns, source, max_frames):
        asyncio.run(_hold(teacher, turns[first:last], _said(turns[:first]), source, decoding))
    teacher.finish()
    return [Example(ids, roles, ShownFrames(source, numbers)) for ids, roles, numbers in teacher.sequences]


async def _hold(
    teacher: "_Teacher", turns: Sequence[Turn], history: Sequence[PastTurn], source: EpisodeFrames, decoding: Decoding
) -> None:
    dialogue = FORMATS[decoding.format](teacher, teacher.speller.template, decoding, history=history)
    blank = source.blank()
    for turn in turns:
        teacher.begin(turn.reply)
        await dialogue.respond(_observe(turn.user_text, turn.end, blank[frame_numbers(turn, source)]))


def _observe(text: str, time: float, frames: NDArray[np.uint32]) -> Observation:
    return {"frames": frames, "text": text, "time": np.array(time)}  # type: ignore[typeddict-item]


def _windows(turns: Sequence[Turn], source: EpisodeFrames, max_frames: int | None) -> list[tuple[int, int]]:
    """Where conversations begin and end, as turns a..b-1."""
    starts, shown = [0], 0
    for place, turn in enumerate(turns):
        frames = len(frame_numbers(turn, source))
        shown += frames
        if max_frames is not None and shown > max_frames and place > starts[-1]:
            starts.append(place)
            shown = frames
    return list(zip(starts, [*starts[1:], len(turns)], strict=True))


def _said(turns: Sequence[Turn]) -> list[PastTurn]:
    """What was said in these turns, without their frames."""
    nothing = np.empty((0, 1, 1, 3), np.uint32)
    told = (turn for turn in turns if turn.user_text or turn.reply)
    return [PastTurn(_observe(turn.user_text, turn.end, nothing), turn.reply or NO_REPLY) for turn in told]


class _Teacher(Engine, Context):
    """An engine that draws the labels and keeps what it reads."""

    longest_context = most_frames = 10**9

    def __init__(self, speller: Speller) -> None:
        self.speller = speller
        self.sequences: list[tuple[NDArray[np.int32], NDArray[np.uint8], tuple[int, ...]]] = []
        self._tape = Tape()
        self._numbers: list[int] = []

    def begin(self, reply: str | None) -> None:
        """A turn begins at whose end `reply` is to be said."""
        self._reply, self._decided = reply, False

    def open(self, seed: int) -> Context:
        self.finish()
        return self

    def finish(self) -> None:
        """End the sequence, if one was begun."""
        ids, roles = self._tape.cut()
        if len(ids):
            self.sequences.append((ids, roles, tuple(self._numbers)))
        self._numbers = []

    def close(self) -> None:
        """It holds nothing."""

    async def sample(self, segment: Segment, draw: Draw) -> Drawn:
        spelled = self.speller.spell(segment.text, [frame.shape[:2] for frame in segment.frames])
        self._tape.read([*segment.drawn, *spelled])
        self._numbers += [int(frame[0, 0, 0]) for frame in segment.frames]
        role = Role.SILENCE if self._reply is None else Role.SPEECH
        if draw.allowed:
            wait, speak = draw.allowed
            tokens = [wait if self._reply is None else speak]
            self._tape.say(tokens, role)
        else:
            tokens = self.speller.template.reply(self._reply or NO_REPLY)
            self._tape.say([*tokens, self.speller.end], Role.TEXT if self._decided else role)
        self._decided = True
        return Drawn(tuple(tokens), dict.fromkeys(draw.watched, -1.0))
