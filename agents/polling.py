"""How offline models play a benchmark of proactive replies: they are asked again and again, about one chunk at a time.

The protocol is that of ProactiveVideoQA's offline models (arXiv 2507.09313): whether the chunk answers the question,
and if it does, the answer. The model sees the chunk's frames alone, and none of what was said before.
"""

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from proactive_env.agents.base import Agent, ChatAgent, Conversation
from proactive_env.agents.spec import load
from proactive_env.environment import Observation, PastTurn
from proactive_env.errors import InputError
from proactive_env.turn import NO_REPLY, Reply, Transcript

WHETHER = "Does the video answer this question? Say only yes or no.\n{question}"
ANSWER = "{question}\nAnswer with what the video shows, without guesses, times or frame numbers."
ADDED_UP = ("prompt_tokens", "cached_tokens", "drawn_tokens", "cost", "seconds")
"""The stats of a reply that are sums over both questions."""


class Polling(Agent):
    """Asks a model about each chunk of the video.

    What the user says at the first turn with a text is the question. Later texts, such as subtitles, stand above it,
    each with the chunk during which it came. A chunk ends with the first turn that reaches its end: turns of one frame
    make it exact.

    Args:
        agent: The spec of the model that is asked, such as `vllm:PATH`.
        chunk: Seconds; the benchmark's are 2 on WEB, 5 elsewhere.
        options: The model's options.

    Raises:
        InputError: an argument cannot be used, or `agent` is none that can be asked.

    Example:
        >>> Polling("openai:gpt-4.1", chunk=5, max_new_tokens=256).chunk
        5
    """

    def __init__(self, agent: str, *, chunk: float = 2.0, **options: Any) -> None:
        if not (isinstance(chunk, int | float) and chunk > 0):
            raise InputError(f"expected a chunk of more than 0 seconds, found {chunk!r}")
        asked = load(agent, **options)
        if not isinstance(asked, ChatAgent):
            raise InputError(
                f"polling asks a model about frames, such as openai:MODEL, vllm:PATH or transformers:PATH; "
                f"{agent!r} takes no questions"
            )
        self.agent = asked
        self.chunk = chunk

    def open(self, history: Sequence[PastTurn] = (), episode: Transcript | None = None) -> Conversation:
        """See `Agent.open`."""
        return _Polled(self.agent, self.chunk, history)

    def close(self) -> None:
        """See `Agent.close`."""
        self.agent.close()


class _Polled(Conversation):
    def __init__(self, agent: ChatAgent, chunk: float, history: Sequence[PastTurn]) -> None:
        self._agent = agent
        self._chunk = chunk
        self._begin = float(history[-1].observation["time"]) if history else 0.0
        self._question = next((turn.observation["text"] for turn in history if turn.observation["text"]), "")
        self._frames: list[NDArray[np.uint8]] = []
        self._texts: list[str] = []
        self._polled = 0

    async def respond(self, observation: Observation) -> Reply:
        """See `Conversation.respond`; at turns that end no chunk there are no stats."""
        self._frames.append(observation["frames"])
        if not self._question:
            self._question = observation["text"]
        elif observation["text"]:
            self._texts.append(observation["text"])
        chunks = math.floor((float(observation["time"]) - self._begin) / self._chunk + 1e-6)
        if chunks == self._polled:
            return Reply(NO_REPLY)
        frames, texts = np.concatenate(self._frames), [*self._texts, self._question]
        self._polled, self._frames, self._texts = chunks, [], []
        return await self._poll(frames, "\n".join(texts)) if self._question else Reply(NO_REPLY)

    async def _poll(self, frames: NDArray[np.uint8], question: str) -> Reply:
        whether = await self._agent.ask(frames, WHETHER.format(question=question))
        if whether.failure or not re.search(r"\byes\b", whether.text, re.IGNORECASE):
            return Reply(NO_REPLY, _sum(whether), whether.failure)
        answer = await self._agent.ask(frames, ANSWER.format(question=question))
        return Reply(answer.text, _sum(whether, answer), answer.failure)


def _sum(*replies: Reply) -> dict[str, float]:
    return {name: sum(reply.stats.get(name, 0.0) for reply in replies) for name in ADDED_UP if name in replies[0].stats}
