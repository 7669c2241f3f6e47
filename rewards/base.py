"""One reward term as a wrapper. Users subclass `ComponentReward` and write `score`, nothing else.

The raw credit of a turn is what the score gained by it: score(first k+1 turns) - score(first k turns), and for the
first turn score(first turn). So the credits of an episode add up to its score, whatever the score is. A reward that
can carry its score from turn to turn overrides `running_scores`, and an episode's credits take one pass.
"""

import dataclasses
import inspect
import json
import math
import re
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from itertools import count, islice, pairwise, repeat
from typing import Any, ClassVar, Literal, Self, TypedDict, cast

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec, WrapperSpec

from proactive_env.environment import Observation, ProactiveVideoEnv
from proactive_env.errors import InputError, JudgeUnavailable
from proactive_env.plugin import class_path, load_class, portable
from proactive_env.rewards.counts import episode_counts
from proactive_env.turn import Transcript, Turn

Pay = Literal["end", "turn"]


class RewardOptions(TypedDict, total=False):
    """What every reward takes beside its weight and name; see `ComponentReward`."""

    pay: Pay


class ComponentReward(gym.Wrapper[Observation, str, Observation, str], ABC):
    """Adds `weight` times the credit of `score` to the reward.

    Every step carries `info["reward_terms"]` (weighted; their sum is the reward) and `info["reward_scores"]` (raw),
    with a key for each reward of the chain. The last step's `info["proactive_episode"]` holds `weights`, `scores`,
    `terms`, `terms_per_turn`, `counts`, `valid`, which is False when a score is no finite number, and `not_finite`, the
    names of the rewards for which that is so though no judge stayed silent.

    Args:
        env: A `ProactiveVideoEnv`, bare or wrapped.
        weight: Factor of the score.
        name: Key of the term in the infos; None: the class's name in snake case without `Reward`.
        pay: `"end"` pays all on the last step, so that no step waits for a judge; `"turn"` pays each turn its credit.

    Raises:
        InputError: another reward of the chain has this name.
        TypeError: `env` is not over a `ProactiveVideoEnv`, or an argument is not plain JSON.

    Example:
        >>> class Silence(ComponentReward):
        ...     def score(self, transcript):
        ...         return 1.0 - len(transcript.replies) / len(transcript.turns)
        >>> env = Silence(ProactiveVideoEnv("tinyworld", size=1), weight=2.0)
        >>> _ = env.reset(seed=0)
        >>> env.step("NO REPLY")[4]["reward_terms"]
        {'silence': 0.0}
    """

    scope: ClassVar[str] = "transcript"
    """What the score looks at, in a few words."""
    _arguments: dict[str, Any]

    def __new__(cls, env: gym.Env[Observation, str], *args: Any, **kwargs: Any) -> Self:
        """Record the arguments, so that the chain can be rebuilt from its spec."""
        reward = super().__new__(cls)
        arguments = _named(cls, env, args) | kwargs
        try:
            reward._arguments = portable(json.loads(json.dumps(arguments)))
        except TypeError as error:
            raise TypeError(f"arguments of {cls.__name__} must be plain JSON, found {arguments}") from error
        return reward

    def __init__(
        self, env: gym.Env[Observation, str], weight: float = 1.0, name: str | None = None, *, pay: Pay = "end"
    ) -> None:
        if not isinstance(env.unwrapped, ProactiveVideoEnv):
            raise TypeError(f"rewards wrap a ProactiveVideoEnv, found {type(env.unwrapped).__name__}")
        if pay not in ("end", "turn"):
            raise InputError(f"expected pay='end' or pay='turn', found {pay!r}")
        super().__init__(env)
        self.weight = float(weight)
        self.name = name or _snake_case(type(self).__name__.removesuffix("Reward"))
        self.pay = pay
        self._values: list[float] = []
        self._scores: Iterator[float] = iter(())
        self._unanswered = self._left_unpaid = False
        if self.name in _names(env):
            raise InputError(f"two rewards are named {self.name!r}: pass name='...' to one of them")

    @abstractmethod
    def score(self, transcript: Transcript) -> float:
        """The score of a transcript, complete or not: a pure function.

        `transcript.turns` are the played turns, `transcript.scored` the gold replies that count in this window.
        """

    def running_scores(self, plan: Transcript, turns: Iterable[Turn]) -> Iterator[float]:
        """The score after each of these turns: for every beginning, what `score` says of it.

        Args:
            plan: The transcript, whose own turns do not count.
            turns: Of which one is taken for each score that is given; they may not be played yet.
        """
        played: tuple[Turn, ...] = ()
        for turn in turns:
            played = (*played, turn)
            try:
                yield float(self.score(dataclasses.replace(plan, turns=played)))
            except JudgeUnavailable:
                self._unanswered = True
                yield math.nan

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode; see `ProactiveVideoEnv.reset`. Warns where the one before was left and never paid."""
        if self.pay == "end" and self._left_unpaid:
            warnings.warn(
                f"{self.name}: the episode before was left unfinished, and nothing was paid for it; to cut episodes "
                "short and pay what was earned, pass truncate_after=TURNS to the environment, instead of a TimeLimit",
                stacklevel=2,
            )
        self._left_unpaid = False
        started = super().reset(seed=seed, options=options)
        self._values, self._unanswered = [], False
        self._scores = self._known(self._transcript(), self._arriving())
        return started

    def step(self, action: str) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Play a turn and add this term; see the class."""
        before = len(self._transcript().turns)
        observation, reward, terminated, truncated, info = super().step(action)
        played = len(self._transcript().turns) - before  # a wrapper below may play several turns a step
        self._played(played)
        done = terminated or truncated
        self._left_unpaid = not done
        credit = 0.0
        if self.pay == "turn":
            paid = self._values[-1] if self._values else 0.0
            self._values += islice(self._scores, played)
            credit = self._values[-1] - paid
        elif done:
            transcript = self._transcript()
            scores = self._known(transcript, transcript.turns)
            self._values = [score for _, score in zip(transcript.turns, scores, strict=False)]
            credit = self._values[-1]
        info.setdefault("reward_terms", {})[self.name] = self.weight * credit
        info.setdefault("reward_scores", {})[self.name] = credit
        if done:
            self._record(info.setdefault("proactive_episode", _new_record(self._transcript())))
        return observation, float(reward) + self.weight * credit, terminated, truncated, info

    def _played(self, turns: int) -> None:
        """Called after each step, which played so many turns, before anything is scored."""

    def _transcript(self) -> Transcript:
        return cast(ProactiveVideoEnv, self.unwrapped).transcript

    def _arriving(self) -> Iterator[Turn]:
        """The turns as they are played."""
        for index in count():
            turns = self._transcript().turns
            if index == len(turns):
                raise InputError(
                    f"{type(self).__name__}.running_scores took turn {index} before it was played: expected a score "
                    "after each turn, before the next is taken"
                )
            yield turns[index]

    def _known(self, plan: Transcript, turns: Iterable[Turn]) -> Iterator[float]:
        """The running scores, NaN from where a judge gave no answer."""
        try:
            yield from self.running_scores(plan, turns)
        except JudgeUnavailable:
            self._unanswered = True
        yield from repeat(math.nan)

    def _record(self, episode: dict[str, Any]) -> None:
        value = self._values[-1]
        episode["weights"][self.name] = self.weight
        episode["scores"][self.name] = value
        episode["terms"][self.name] = self.weight * value
        episode["terms_per_turn"][self.name] = [self.weight * credit for credit in turn_credits(self._values)]
        if not all(map(math.isfinite, self._values)):
            episode["valid"] = False
            episode["not_finite"] += [] if self._unanswered else [self.name]

    @property
    def spec(self) -> EnvSpec | None:  # type: ignore[override]
        """Gymnasium's record of the chain: plain data that any process can make again."""
        inner = self.env.spec
        if inner is None:
            return None
        arguments = {"reward": class_path(type(self)), "arguments": self._arguments}
        wrapper = WrapperSpec(type(self).__name__, "proactive_env.rewards.base:rebuild", arguments)
        return dataclasses.replace(inner, additional_wrappers=(*inner.additional_wrappers, wrapper))

    def __reduce__(self) -> tuple[Any, ...]:
        return rebuild, (self.env, class_path(type(self)), self._arguments)


def _named(cls: type[ComponentReward], env: gym.Env[Any, Any], args: tuple[Any, ...]) -> dict[str, Any]:
    bound = inspect.signature(cls.__init__).bind_partial(None, env, *args)
    return dict(list(bound.arguments.items())[2:])


def _new_record(transcript: Transcript) -> dict[str, Any]:
    by_name: dict[str, Any] = {"weights": {}, "scores": {}, "terms": {}, "terms_per_turn": {}}
    return by_name | {"counts": episode_counts(transcript), "valid": True, "not_finite": []}


def turn_credits(values: list[float]) -> list[float]:
    """What each turn gained, from the scores after 1, 2, ... turns."""
    return [after - before for before, after in pairwise([0.0, *values])]


def _names(env: gym.Env[Any, Any]) -> set[str]:
    names = set()
    while isinstance(env, gym.Wrapper):
        if isinstance(env, ComponentReward):
            names.add(env.name)
        env = env.env
    return names


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def rebuild(env: gym.Env[Observation, str], reward: str, arguments: dict[str, Any]) -> ComponentReward:
    """Wrap `env` again: what pickles and specs of rewards call."""
    return cast(ComponentReward, load_class(reward)(env, **arguments))
