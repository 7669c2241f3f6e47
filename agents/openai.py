"""A chat model behind an OpenAI-compatible server, which is sent the whole dialogue at every turn (format `no_reply`).

Frames go as JPEGs of quality 95 with all their colour: every turn sends all of them again, and PNG is twice as large.
"""

import base64
import re
import time
from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple, Unpack

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from proactive_env.agents.base import ChatAgent, Conversation
from proactive_env.agents.models.dialogue import SYSTEM_PROMPT
from proactive_env.environment import Observation, PastTurn
from proactive_env.errors import ChatRejected, InputError
from proactive_env.serving.answer import read_answer, token_counts, without_thoughts
from proactive_env.serving.chat import ChatClient, ChatOptions
from proactive_env.turn import NO_REPLY, Reply, Transcript, spoken

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletion

_SILENCE = re.compile(r"[\W_]*no[\W_]*reply[\W_]*", re.IGNORECASE)


class OpenAIAgent(ChatAgent):
    """Sends dialogues to a server; `usage` adds up what all of them took.

    Args:
        model: The model's name on the server.
        last_frames: How many frames, the newest, a request shows. Of earlier turns the texts and replies stay; one
            that has neither leaves no trace. None: all frames.
        temperature: 0: the most probable token.
        max_new_tokens: Tokens of one reply, at most.
        url: The server's base URL; see `ChatClient`.
        server: How it is asked; see `ChatClient`.

    Raises:
        InputError: an argument cannot be used.

    Example:
        >>> OpenAIAgent("Qwen/Qwen2.5-VL-7B-Instruct", url="http://localhost:8000/v1").usage.calls
        0
    """

    def __init__(
        self,
        model: str,
        url: str | None = None,
        *,
        last_frames: int | None = None,
        temperature: float = 0.0,
        max_new_tokens: int = 100,
        **server: Unpack[ChatOptions],
    ) -> None:
        if not (last_frames is None or (isinstance(last_frames, int) and last_frames >= 1)):
            raise InputError(f"expected last_frames >= 1, found {last_frames!r}")
        if not (isinstance(temperature, int | float) and temperature >= 0):
            raise InputError(f"expected temperature >= 0, found {temperature!r}")
        if not (isinstance(max_new_tokens, int) and max_new_tokens >= 1):
            raise InputError(f"expected max_new_tokens >= 1, found {max_new_tokens!r}")
        self.last_frames = last_frames
        self._drawing = {"temperature": temperature, "max_tokens": max_new_tokens}
        self._price = server.get("price")
        self._client = ChatClient(model, url, **server)
        self.usage = self._client.usage

    def open(self, history: Sequence[PastTurn] = (), episode: Transcript | None = None) -> Conversation:
        """See `Agent.open`."""
        return _Dialogue(self, history)

    async def ask(self, frames: NDArray[np.uint8], text: str) -> Reply:
        """See `ChatAgent.ask`; raises what `complete` raises."""
        return await self.complete([{"role": "user", "content": _Shown.first(frames, text).parts()}])

    async def complete(self, messages: Sequence[dict[str, Any]]) -> Reply:
        """The model's next message; one that is no answer is a failed turn (`Reply.failure`).

        The stats, as far as the server reports them: `prompt_tokens`, all that the request held, and `cached_tokens`,
        those of them that the server had read before; `drawn_tokens`; `context_tokens`, the length of the dialogue;
        `cost` with prices; `seconds`.

        Args:
            messages: A dialogue in the chat-completions format.

        Raises:
            ChatUnavailable: there was no answer.
            InputError: the server refuses the messages, the key, the model or the address.
        """
        began = time.perf_counter()
        try:
            completion = await self._client.complete(messages, **self._drawing)
        except ChatRejected as error:
            raise InputError(
                f"{error}; perhaps the model takes no images, or not so many, or the dialogue is too long for its "
                "context: last_frames=N shows only the newest N frames"
            ) from error
        answer = read_answer(completion)
        said = None if answer.problem else read_reply(answer.text)
        stats = self._stats(completion) | {"seconds": time.perf_counter() - began}
        return Reply(said or NO_REPLY, stats, answer.problem)

    def _stats(self, completion: "ChatCompletion") -> dict[str, float]:
        counts = token_counts(completion)
        prompt, drawn = counts.get("prompt_tokens"), counts.get("completion_tokens")
        if prompt is None or drawn is None:
            return {}
        stats: dict[str, float] = {"prompt_tokens": prompt, "drawn_tokens": drawn, "context_tokens": prompt + drawn}
        if "cached_tokens" in counts:
            stats["cached_tokens"] = counts["cached_tokens"]
        if self._price:
            stats["cost"] = (prompt * self._price[0] + drawn * self._price[1]) / 1e6
        return {name: float(value) for name, value in stats.items()}


def read_reply(answer: str) -> str | None:
    """The reply in what a chat model says; None for silence, which it may spell loosely.

    Example:
        >>> read_reply('"No reply."'), read_reply("<think>A cat?</think> A cat, no reply to the dog.")
        (None, 'A cat, no reply to the dog.')
    """
    said = without_thoughts(answer)
    return None if _SILENCE.fullmatch(said) else spoken(said)


class _Shown(NamedTuple):
    """A turn as it is sent."""

    urls: tuple[str, ...]
    text: str
    reply: str | None = None

    @classmethod
    def first(cls, frames: NDArray[np.uint8], text: str) -> "_Shown":
        """A turn before its reply."""
        return cls(tuple(_data_url(frame) for frame in frames), text)

    def parts(self) -> list[dict[str, Any]]:
        """Its frames, then its text."""
        images: list[dict[str, Any]] = [{"type": "image_url", "image_url": {"url": url}} for url in self.urls]
        return [*images, {"type": "text", "text": self.text}] if self.text else images


class _Dialogue(Conversation):
    def __init__(self, agent: OpenAIAgent, history: Sequence[PastTurn]) -> None:
        self._agent = agent
        self._past = [_Shown.first(seen["frames"], seen["text"])._replace(reply=spoken(said)) for seen, said in history]

    async def respond(self, observation: Observation) -> Reply:
        """See `Conversation.respond`; stats and errors are those of `OpenAIAgent.complete`."""
        new = _Shown.first(observation["frames"], observation["text"])
        *past, new = _newest_frames([*self._past, new], self._agent.last_frames)
        reply = await self._agent.complete(_messages(past, new))
        self._past = [*past, new._replace(reply=spoken(reply.text))]
        return reply


def _newest_frames(turns: Sequence[_Shown], count: int | None) -> list[_Shown]:
    """The turns with their last `count` frames and no others."""
    if count is None:
        return list(turns)
    kept = []
    for turn in reversed(turns):
        urls = turn.urls[max(0, len(turn.urls) - count) :]
        kept.append(turn._replace(urls=urls))
        count -= len(urls)
    return kept[::-1]


def _messages(past: Sequence[_Shown], new: _Shown) -> list[dict[str, Any]]:
    """The dialogue, user and assistant by turns.

    A silent turn whose frames have left hands its text on to the next user message. A reply whose turn has neither
    frames nor text joins the reply before it.
    """
    messages: list[dict[str, Any]] = [{"role": "system", "content": SYSTEM_PROMPT}]
    waiting: list[dict[str, Any]] = []
    for turn in past:
        waiting += turn.parts()
        reply = turn.reply or (NO_REPLY if turn.urls else None)
        if reply and (waiting or len(messages) == 1):
            messages += [{"role": "user", "content": waiting or ""}, {"role": "assistant", "content": reply}]
            waiting = []
        elif reply:
            messages[-1]["content"] += f"\n{reply}"
    return [*messages, {"role": "user", "content": waiting + new.parts() or ""}]


def _data_url(frame: NDArray[np.uint8]) -> str:
    file = BytesIO()
    Image.fromarray(frame).save(file, "JPEG", quality=95, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
