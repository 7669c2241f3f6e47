"""Between dialogues and models: a dialogue says what comes next and what to draw, an engine reads it and draws.

An engine never renders dialogue and never decides; a dialogue never sees keys, values or requests. What was drawn
enters a context only when the next segment begins with it.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from proactive_env.episode import Frozen


class Decoding(Frozen):
    """How replies are drawn. Every engine takes these as options of its agent's spec."""

    format: Literal["no_reply", "open_turn"] = "no_reply"
    """How silence is spelled: as a reply `NO REPLY`, or not at all (MMDuet2, appendix A)."""
    max_new_tokens: int = Field(default=100, ge=1)
    """Tokens of one reply, at most (100 in MMDuet2's RL)."""
    temperature: float = Field(default=0.0, ge=0)
    """0: the most probable token."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    top_k: int = Field(default=0, ge=0)
    """0: all tokens."""
    seed: int = Field(default=0, ge=0)
    """The same seed draws the same replies to the same episode, whatever is played beside it."""
    threshold: float | None = Field(default=None, ge=0, le=1)
    """Speak if the probability of speaking is at least this; None: as drawn."""
    max_context: int | None = Field(default=None, ge=1)
    """Tokens of a conversation, at most: before there are more, the oldest frames leave, until half are used.

    None: nothing leaves.
    """


@dataclass(frozen=True)
class Segment:
    """What the model reads next."""

    drawn: tuple[int, ...] = ()
    """Tokens that were drawn, and are now part of the conversation."""
    text: str = ""
    """Text after them, in the chat template's language, a placeholder for each frame."""
    frames: tuple[NDArray[np.uint8], ...] = ()
    """The frames of these placeholders, each (height, width, 3) RGB."""

    def __add__(self, other: "Segment") -> "Segment":
        """This segment and then `other`, which begins with no drawn tokens."""
        return Segment(self.drawn, self.text + other.text, self.frames + other.frames)


@dataclass(frozen=True)
class Draw:
    """What to draw after a segment."""

    max_tokens: int
    decoding: Decoding = field(default_factory=Decoding)
    """Its temperature, top_p and top_k count."""
    ends: frozenset[int] = frozenset()
    """Tokens that end the reply."""
    allowed: tuple[int, ...] = ()
    """The only tokens that may be drawn; none: any."""
    banned: tuple[int, ...] = ()
    """Tokens that may not be drawn."""
    watched: tuple[int, ...] = ()
    """Tokens whose log-probabilities in the first place are asked for."""


@dataclass(frozen=True)
class Drawn:
    """What came of it."""

    tokens: tuple[int, ...]
    """Without the token that ended the reply, unless that was among the allowed ones."""
    log_probs: Mapping[int, float] = field(default_factory=dict)
    """The model's own (temperature 1, nothing banned) for the watched tokens."""


def frame_id(frame: NDArray[np.uint8]) -> str:
    """A name made from a frame's content: an engine encodes frames of one name once."""
    return hashlib.sha256(repr(frame.shape).encode() + frame.tobytes()).hexdigest()


class Context(ABC):
    """One conversation inside an engine."""

    @abstractmethod
    async def sample(self, segment: Segment, draw: Draw) -> Drawn:
        """Read `segment`, then draw until the reply ends or `draw.max_tokens` are there."""


class Engine(ABC):
    """A model that continues conversations, any number at once."""

    processor: Any
    """The checkpoint's processor (transformers)."""
    longest_context: int
    """Tokens that the model takes, replies included."""
    most_frames: int
    """Frames that one conversation may hold."""

    @abstractmethod
    def open(self, seed: int) -> Context:
        """Start a conversation whose draws depend on `seed`."""

    @abstractmethod
    def close(self) -> None:
        """Free the model and end its processes."""
