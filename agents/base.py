"""Who answers: an agent opens a conversation for each episode, and a conversation answers its turns in order."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from proactive_env import background
from proactive_env.environment import Observation, PastTurn
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
