"""Who answers: an agent opens a conversation for each episode, and a conversation answers its turns in order."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from proactive_env.environment import Observation, PastTurn
from proactive_env.serving import background
from proactive_env.turn import Reply, Transcript


class Conversation(ABC):
    """One episode's dialogue."""

    @abstractmethod
    async def respond(self, observation: Observation) -> Reply:
        """The reply, or `NO REPLY`, to the next turn."""


class Agent(ABC):
    """Opens conversations, any number at once.

    Subclasses write `open`. `reset` and `act` are the shortcut for one episode at a time.

    Example:
        >>> import gymnasium as gym, proactive_env
        >>> env = gym.make("TinyWorld-v0", size=1)
        >>> agent = proactive_env.agents.load("oracle")
        >>> observation, info = env.reset(seed=0)
        >>> agent.reset(info)
        >>> observation, reward, terminated, truncated, info = env.step(agent.act(observation))
        >>> info["turn"].reply is None
        True
    """

    _current: Conversation | None = None

    @abstractmethod
    def open(self, history: Sequence[PastTurn] = (), episode: Transcript | None = None) -> Conversation:
        """Start a conversation.

        Args:
            history: The turns before the window, as `env.reset` gives them.
            episode: The episode's plan, gold replies included; only scripted agents look at it.
        """

    def reset(self, info: Mapping[str, Any]) -> None:
        """Start an episode: `info` is what `env.reset` returned."""
        self._current = self.open(info["history"], info["plan"])

    def act(self, observation: Observation) -> str:
        """The action for `observation`.

        Raises:
            RuntimeError: there was no `reset` before.
        """
        if self._current is None:
            raise RuntimeError("no conversation is open: call agent.reset(info) with the infos of env.reset() first")
        return background.run(self._current.respond(observation)).text

    def close(self) -> None:  # noqa: B027 (most agents hold nothing)
        """Free what the agent holds: models, processes, connections. It answers no more."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class ChatAgent(Agent):
    """A model that can also be asked a plain question about frames, outside any dialogue."""

    @abstractmethod
    async def ask(self, frames: NDArray[np.uint8], text: str) -> Reply:
        """The answer to one question.

        Args:
            frames: (n, height, width, 3) RGB.
            text: The question.
        """
