"""Agents that know the annotation: bounds and baselines that need no model."""

import hashlib
from abc import abstractmethod
from collections.abc import Iterable, Sequence

import numpy as np

from proactive_env.agents.base import Agent, Conversation
from proactive_env.clock import turns_inside
from proactive_env.environment import Observation, PastTurn
from proactive_env.errors import InputError
from proactive_env.turn import NO_REPLY, Reply, Transcript


class ScriptedAgent(Agent):
    """Says what `script` wrote beforehand."""

    @abstractmethod
    def script(self, plan: Transcript) -> Iterable[tuple[float, str]]:
        """What to say and when: (turn end in seconds, text). Texts of one turn are joined by a space."""

    def open(self, history: Sequence[PastTurn] = (), episode: Transcript | None = None) -> Conversation:
        """See `Agent.open`.

        Raises:
            InputError: `episode` is missing.
        """
        if episode is None:
            raise InputError("a scripted agent reads the annotation: pass the plan that env.reset() gives in its infos")
        lines: dict[float, list[str]] = {}
        for time, text in self.script(episode):
            lines.setdefault(time, []).append(text)
        return _Recital({time: " ".join(texts) for time, texts in lines.items()})


class Silent(ScriptedAgent):
    """Never speaks."""

    def script(self, plan: Transcript) -> Iterable[tuple[float, str]]:
        """Nothing."""
        return ()


class Oracle(ScriptedAgent):
    """Says each gold reply at the first turn inside its span."""

    def script(self, plan: Transcript) -> Iterable[tuple[float, str]]:
        """The gold replies, as early as they count."""
        return ((turn.end, gold.text) for gold in plan.scored for turn in turns_inside(plan.turns, gold)[:1])


class Late(ScriptedAgent):
    """Says each gold reply at the last turn inside its span."""

    def script(self, plan: Transcript) -> Iterable[tuple[float, str]]:
        """The gold replies, as late as they count."""
        return ((turn.end, gold.text) for gold in plan.scored for turn in turns_inside(plan.turns, gold)[-1:])


class Chatter(ScriptedAgent):
    """Says the latest gold reply at every turn, from the first span's start on."""

    def script(self, plan: Transcript) -> Iterable[tuple[float, str]]:
        """The gold reply whose span began last, turn after turn."""
        for turn in plan.turns:
            begun = [gold for gold in plan.episode.gold if gold.reply_span.start <= turn.end]
            if begun:
                yield turn.end, max(begun, key=lambda gold: gold.reply_span.start).text


class Random(ScriptedAgent):
    """Says one of the episode's gold replies at a random time.

    Args:
        p: Probability of speaking at a turn.
        seed: The same seed says the same in the same episode, whatever is played beside it.
    """

    def __init__(self, p: float = 0.2, seed: int = 0) -> None:
        if not (isinstance(p, int | float) and 0 <= p <= 1 and isinstance(seed, int) and seed >= 0):
            raise InputError(f"expected a probability p in 0..1 and a seed >= 0, found p={p!r} and seed={seed!r}")
        self.p = p
        self.seed = seed

    def script(self, plan: Transcript) -> Iterable[tuple[float, str]]:
        """Gold replies at random turns."""
        digest = hashlib.sha256(plan.episode.question_id.encode()).digest()
        rng = np.random.default_rng([self.seed, int.from_bytes(digest[:8])])
        texts = [gold.text for gold in plan.episode.gold]
        for turn in plan.turns:
            if texts and rng.random() < self.p:
                yield turn.end, texts[rng.integers(len(texts))]


class _Recital(Conversation):
    def __init__(self, lines: dict[float, str]) -> None:
        self._lines = lines

    async def respond(self, observation: Observation) -> Reply:
        return Reply(self._lines.get(float(observation["time"]), NO_REPLY))
