"""Rewards that ask a judge."""

from typing import Any

import gymnasium as gym

from proactive_env.environment import Observation
from proactive_env.rewards.base import ComponentReward
from proactive_env.rewards.judge import JudgeConfig, make_judge
from proactive_env.rewards.judge_pool import JudgePool


class JudgedReward(ComponentReward):
    """A reward with a judge, which is asked each question once an episode.

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
        **options: Any,
    ) -> None:
        super().__init__(env, weight, name, **options)
        self.judge = JudgePool(make_judge(judge))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode; see `ProactiveVideoEnv.reset`."""
        self.judge = JudgePool(self.judge.judge)
        return super().reset(seed=seed, options=options)

    def _record(self, episode: dict[str, Any]) -> None:
        super()._record(episode)
        episode["counts"]["judge_failures"] += self.judge.failures
