"""How a dialogue becomes text for a model, and how silence is spelled: `no_reply` and `open_turn`.

A turn is its frames, then its text. The model is handed only what it has not read yet, and what it draws becomes part
of the conversation as the very tokens that it drew.
"""

import hashlib
import math
import time
from abc import abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from proactive_env.agents.base import Conversation
from proactive_env.agents.models.chat_template import ChatTemplate
from proactive_env.agents.models.engine import Context, Decoding, Draw, Drawn, Engine, Segment
from proactive_env.environment import Observation, PastTurn
from proactive_env.errors import InputError
from proactive_env.turn import NO_REPLY, Reply, spoken

SYSTEM_PROMPT = (
    "You are a helpful assistant. Your task is to answer questions based on continuously incoming video frames. "
    "Your responses should include information from the video since your last reply (if any). If the information in "
    'this segment of the video cannot answer the question, output "NO REPLY".'
)
"""MMDuet2's system message (arXiv 2512.06810)."""


class _Remembered(NamedTuple):
    frames: tuple[NDArray[np.uint8], ...]
    text: str
    reply: str | None
    """None: silence. An empty reply was begun and ended at once."""


class Dialogue(Conversation):
    """A conversation with a model. Subclasses say how a reply is asked for, and how a past one is spelled.

    Args:
        engine: The model.
        template: Its chat template.
        decoding: How replies are drawn.
        system: The system message; None: the template's own, if it has one.
        history: The turns before.
    """

    def __init__(
        self,
        engine: Engine,
        template: ChatTemplate,
        decoding: Decoding,
        system: str | None = SYSTEM_PROMPT,
        history: Sequence[PastTurn] = (),
    ) -> None:
        self._engine = engine
        self._template = template
        self._decoding = decoding
        self._system = system
        self._past: list[_Remembered] = []
        self._begin([_Remembered(tuple(seen["frames"]), seen["text"], spoken(reply)) for seen, reply in history])

    @abstractmethod
    async def _answer(self) -> tuple[str | None, float]:
        """The reply to what was added, None for silence, and the probability of speaking."""

    @abstractmethod
    def _after_turn(self, reply: str | None) -> str:
        """What stands between a past turn and the next one."""

    async def respond(self, observation: Observation) -> Reply:
        """See `Conversation.respond`; after an error the conversation is over.

        The stats: `p_speak`, the probability of speaking; `prompt_tokens` and `drawn_tokens`, what the model was handed
        and what it drew of a reply; `context_tokens`, the length of the conversation; `seconds`.

        Raises:
            InputError: the conversation holds more tokens or frames than the model takes, or `max_context` has no room
                for a turn.
        """
        began = time.perf_counter()
        self._prompt_tokens, self._drawn_tokens = 0, 0
        frames, text = tuple(observation["frames"]), observation["text"]
        content = self._template.content(len(frames), text)
        self._make_room(content, frames)
        self._add(content, frames)
        reply, p_speak = await self._answer()
        if self._decoding.max_context:
            self._past.append(_Remembered(frames, text, reply))
        stats = {
            "p_speak": p_speak,
            "prompt_tokens": float(self._prompt_tokens),
            "drawn_tokens": float(self._drawn_tokens),
            "context_tokens": float(self._length),
            "seconds": time.perf_counter() - began,
        }
        return Reply(reply or NO_REPLY, stats)

    def _begin(self, past: list[_Remembered]) -> None:
        self._past = past
        self._context: Context | None = None
        self._unread, self._unread_tokens = Segment(), 0
        self._length, self._frames = 0, 0
        self._add(self._template.head(self._system))
        for turn in past:
            self._add(self._spelled(turn), turn.frames)

    def _spelled(self, turn: _Remembered) -> str:
        content = self._template.content(len(turn.frames), turn.text) if turn.frames or turn.text else ""
        after = self._after_turn(None if turn.reply is None else self._template.plain(turn.reply))
        return content + (after or ("" if turn.frames else "\n"))

    def _make_room(self, content: str, frames: tuple[NDArray[np.uint8], ...]) -> None:
        """Let old frames leave if this turn and a reply might not fit into `max_context`."""
        if not self._decoding.max_context:
            return
        limit = min(self._decoding.max_context, self._engine.longest_context)
        joints = self._template.to_assistant + self._template.to_user
        turn = self._template.count(content + joints, frames) + self._decoding.max_new_tokens
        if self._length + turn <= limit:
            return
        fixed = self._template.count(self._template.head(self._system), ()) + turn
        self._begin(self._worth_keeping(limit // 2 - fixed))
        if self._length + turn > limit:
            raise InputError(
                f"max_context is {limit}, but the system message, the question, one turn and a reply take up to "
                f"{self._length + turn} tokens: allow twice as many, or more"
            )

    def _worth_keeping(self, budget: int) -> list[_Remembered]:
        """The first question; the newest turns; of those in between what was said, as far as `budget` tokens go."""
        question = next((turn for turn in self._past if turn.text), None)
        left = budget - (self._cost(question._replace(frames=())) if question else 0)
        kept: list[_Remembered] = []
        whole = True
        for turn in reversed(self._past):
            whole = whole and self._cost(turn) < left - budget // 4
            short = turn if whole else turn._replace(frames=())
            if turn is question:
                kept.append(short)
            elif whole or ((turn.text or turn.reply) and self._cost(short) < left):
                kept.append(short)
                left -= self._cost(short)
        return kept[::-1]

    def _cost(self, turn: _Remembered) -> int:
        return self._template.count(self._spelled(turn), turn.frames)

    def _add(self, text: str, frames: tuple[NDArray[np.uint8], ...] = ()) -> None:
        count = self._template.count(text, frames)
        self._unread += Segment(text=text, frames=frames)
        self._unread_tokens += count
        self._length += count
        self._frames += len(frames)

    def _accept(self, tokens: tuple[int, ...]) -> None:
        """Make drawn tokens part of the conversation."""
        self._unread = Segment(drawn=self._unread.drawn + tokens)
        self._length += len(tokens)
        self._drawn_tokens += len(tokens)

    async def _draw(
        self,
        max_tokens: int,
        *,
        allowed: tuple[int, ...] = (),
        banned: tuple[int, ...] = (),
        watched: tuple[int, ...] = (),
    ) -> Drawn:
        if self._length + max_tokens > self._engine.longest_context:
            raise InputError(
                f"the conversation has {self._length} tokens and a reply may add {max_tokens}, but the model takes "
                f"{self._engine.longest_context}: let old frames leave (max_context), or show fewer or smaller frames"
            )
        if self._frames > self._engine.most_frames:
            raise InputError(
                f"the conversation has {self._frames} frames, but the engine takes {self._engine.most_frames}: let old "
                "frames leave (max_context), or raise max_frames"
            )
        if self._context is None:
            self._context = self._engine.open(_seed(self._decoding.seed, self._unread))
        segment, self._unread = self._unread, Segment()
        self._prompt_tokens += self._unread_tokens
        self._unread_tokens = 0
        if not allowed:
            banned += self._template.vision_tokens
        return await self._context.sample(
            segment, Draw(max_tokens, self._decoding, self._template.ends, allowed, banned, watched)
        )


class NoReply(Dialogue):
    """Silence is the reply `NO REPLY` (MMDuet2, section 4.1).

    The probability of speaking is one minus that of the first token of `NO REPLY`.
    """

    async def _answer(self) -> tuple[str | None, float]:
        silence = tuple(self._template.tokens(NO_REPLY))
        threshold, budget = self._decoding.threshold, self._decoding.max_new_tokens
        self._add(self._template.to_assistant)
        if threshold is None:
            drawn = await self._draw(budget, watched=silence[:1])
        else:
            drawn = await self._draw(1, banned=silence[:1], watched=silence[:1])
        p_speak = -math.expm1(drawn.log_probs[silence[0]])
        if threshold is not None and p_speak < threshold:
            self._add(NO_REPLY + self._template.to_user)
            return None, p_speak
        tokens = drawn.tokens
        self._accept(tokens)
        if threshold is not None and tokens and budget > 1:
            rest = await self._draw(budget - 1)
            self._accept(rest.tokens)
            tokens += rest.tokens
        self._add(self._template.to_user)
        return spoken(self._template.decode(tokens)), p_speak

    def _after_turn(self, reply: str | None) -> str:
        return self._template.to_assistant + (NO_REPLY if reply is None else reply) + self._template.to_user


class OpenTurn(Dialogue):
    """Silence adds nothing: after each turn one token is drawn, and only two are allowed (MMDuet2, appendix A).

    The first token of a frame, `<|vision_start|>`, lets the next frame come, and is that frame's own. The end of the
    user's turn begins a reply. The probability of speaking is that of the latter among the two.
    """

    async def _answer(self) -> tuple[str | None, float]:
        wait, speak = self._template.decisions()
        decision = await self._draw(1, allowed=(wait, speak), watched=(wait, speak))
        p_speak = 1 / (1 + math.exp(decision.log_probs[wait] - decision.log_probs[speak]))
        threshold = self._decoding.threshold
        if decision.tokens == (wait,) if threshold is None else p_speak < threshold:
            return None, p_speak
        self._add(self._template.to_assistant)
        reply = await self._draw(self._decoding.max_new_tokens)
        self._accept(reply.tokens)
        self._add(self._template.to_user)
        return self._template.decode(reply.tokens), p_speak

    def _after_turn(self, reply: str | None) -> str:
        return "" if reply is None else self._template.to_assistant + reply + self._template.to_user


FORMATS: dict[str, type[Dialogue]] = {"no_reply": NoReply, "open_turn": OpenTurn}


def _seed(seed: int, opening: Segment) -> int:
    """A seed that depends on what a conversation begins with, not on what is played beside it."""
    digest = hashlib.blake2b(f"{seed} {opening.text}".encode(), digest_size=7)
    for frame in opening.frames:
        digest.update(frame.tobytes())
    return int.from_bytes(digest.digest())
