"""What was shown, asked and said, and when. Rewards and scores are functions of these records alone."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from pydantic import Field

from proactive_env.episode import Episode, Frozen, GoldReply, Timespan

NO_REPLY = "NO REPLY"
"""The action that says nothing (MMDuet2, arXiv 2512.06810, system message)."""


def spoken(action: str) -> str | None:
    """The reply inside an action: stripped text, valid Unicode, or None for silence (`NO REPLY` or nothing).

    Example:
        >>> spoken(" A donkey. "), spoken("NO REPLY"), spoken("  ")
        ('A donkey.', None, None)
    """
    text = action.strip().encode(errors="replace").decode()
    return None if text in ("", NO_REPLY) else text


@dataclass(frozen=True)
class Reply:
    """What an agent does at one turn."""

    text: str
    """A reply, or `NO REPLY`."""
    stats: Mapping[str, float] = field(default_factory=dict)
    """Numbers about how it came about: probability of speaking, tokens, seconds."""
    failure: str = ""
    """Why the agent gave no answer, which is played as silence: cut off while thinking, refused, filtered, empty."""


class Turn(Frozen):
    """One turn: frames from `start` to `end`, what the user said meanwhile, and the reply at `end`."""

    index: int
    """Position in the episode, from 0, turns before a window included."""
    start: float
    """Video time of the first frame, seconds."""
    end: float
    """Video time of the decision and of the reply, seconds."""
    user_text: str = ""
    reply: str | None = None
    """None when the agent is silent."""
    stats: dict[str, float] = Field(default_factory=dict)
    """The agent's numbers about this turn (`Reply.stats`)."""
    failure: str = ""
    """Why a silent turn is no silence of the agent's choice (`Reply.failure`)."""


@dataclass(frozen=True)
class Transcript:
    """The turns of one episode, played so far or all of them."""

    episode: Episode
    turns: tuple[Turn, ...]
    window: Timespan | None = None
    """The part of the episode that is played, seconds, on turn boundaries; None: all of it."""
    history: tuple[Turn, ...] = ()
    """The turns before the window, with gold replies."""

    @property
    def replies(self) -> tuple[Turn, ...]:
        """The played turns at which the agent spoke."""
        return tuple(turn for turn in self.turns if turn.reply is not None)

    @property
    def failed_turns(self) -> tuple[Turn, ...]:
        """The played turns at which the agent gave no answer."""
        return tuple(turn for turn in self.turns if turn.failure)

    @property
    def earlier_replies(self) -> tuple[str, ...]:
        """What was said before the window."""
        return tuple(turn.reply for turn in self.history if turn.reply is not None)

    @property
    def scored(self) -> tuple[GoldReply, ...]:
        """The gold replies that count: those that start inside the window, their reply spans cut at its end."""
        if self.window is None:
            return self.episode.gold
        start, end = self.window
        return tuple(
            gold.model_copy(update={"reply_span": Timespan(gold.reply_span.start, min(gold.reply_span.end, end))})
            for gold in self.episode.gold
            if start <= gold.reply_span.start < end
        )

    def _repr_html_(self) -> str:
        from proactive_env.rendering import table

        return table(self)

    def first(self, count: int) -> "Transcript":
        """The transcript as it was after `count` played turns."""
        return replace(self, turns=self.turns[:count])
