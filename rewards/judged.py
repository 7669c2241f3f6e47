"""Rewards that ask a judge."""

from collections.abc import Iterator
from itertools import islice
from typing import Any, Unpack

import gymnasium as gym

from proactive_env.environment import Observation
from proactive_env.errors import JudgeUnavailable
from proactive_env.rewards.base import ComponentReward, RewardOptions
from proactive_env.rewards.judges.base import AsyncJudge, JudgeConfig, make_judge
from proactive_env.rewards.judges.pool import JudgePool


class JudgedReward(ComponentReward):
    """A reward with a judge, `self.judge`, which is asked each question once an episode.

    Questions to a judge that takes many at once are sent as soon as a reply raises them, so that the judge works while
    the video plays on: the score is carried on twice, first with placeholders for the answers.

    Args:
        judge: The judge's configuration (`JudgeConfig`).
        options: `pay`: see `ComponentReward`, as for `env`, `weight` and `name`.
    """

    def __init__(
        self,
        env: gym.Env[Observation, str],
        weight: float = 1.0,
        name: str | None = None,
        *,
        judge: JudgeConfig = "lexical",
        **options: Unpack[RewardOptions],
    ) -> None:
        super().__init__(env, weight, name, **options)
        self.judge = JudgePool(make_judge(judge))
        self._ahead: Iterator[float] = iter(())

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode; see `ProactiveVideoEnv.reset`."""
        self.judge = JudgePool(self.judge.judge)
        started = super().reset(seed=seed, options=options)
        self._ahead = self._known(self._transcript(), self._arriving())
        return started

    def _played(self, turns: int) -> None:
        if isinstance(self.judge.judge, AsyncJudge):
            with self.judge.asking_ahead():
                for _ in islice(self._ahead, turns):
                    pass

    def _record(self, episode: dict[str, Any]) -> None:
        super()._record(episode)
        try:
            episode["counts"]["judge_failures"] += self.judge.failures
        except JudgeUnavailable:
            episode["valid"] = False
