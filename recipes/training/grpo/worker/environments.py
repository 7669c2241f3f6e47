"""Environments that outlive their rollouts, each in a thread of its own, so that no engine waits for frames or judges.

One is lent to one rollout at a time. After an error, or when its rollout is cancelled, it is closed and not lent again.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from threading import Lock
from typing import Any, NamedTuple, ParamSpec, TypeVar, cast

import gymnasium as gym

from proactive_env.environment import Observation, ProactiveVideoEnv
from proactive_env.episode import Episode
from proactive_env.recipes.evaluate.episodes import BenchmarkConfig
from proactive_env.recipes.training.grpo.config import PlayConfig
from proactive_env.recipes.training.grpo.task import Task
from proactive_env.rewards.make import make
from proactive_env.turn import Transcript

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class EnvironmentThread:
    """An environment and the thread that it lives in."""

    def __init__(self) -> None:
        self.info: dict[str, Any] = {}
        """Those of the last reset or step; the last step's hold `proactive_episode`."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="proactive_env episode")
        self._env: gym.Env[Observation, str] | None = None

    async def build(self, make_env: Callable[[], gym.Env[Observation, str]]) -> None:
        """Make the environment."""
        self._env = await self._do(make_env)

    async def reset(self, task: Task) -> Observation:
        """Start the task's window."""
        return await self._do(self._reset, task)

    async def step(self, action: str) -> Observation | None:
        """Say `action`; None at the end."""
        return await self._do(self._step, action)

    async def replay(self, task: Task, actions: Sequence[str]) -> None:
        """Play the task's window again with the same actions; judges are asked what they have not answered yet."""
        await self._do(self._replay, task, actions)

    @property
    def transcript(self) -> Transcript:
        """The turns played since the reset."""
        return cast(ProactiveVideoEnv, self._made().unwrapped).transcript

    def close(self) -> None:
        """Close the environment, after what it is doing now, and end the thread; returns at once."""
        if self._env is not None:
            self._thread.submit(self._env.close)
        self._thread.shutdown(wait=False)

    async def _do(self, call: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        return await asyncio.wrap_future(self._thread.submit(call, *args, **kwargs))

    def _made(self) -> gym.Env[Observation, str]:
        assert self._env is not None
        return self._env

    def _reset(self, task: Task) -> Observation:
        observation, self.info = self._made().reset(seed=task.seed, options=task.options)
        return observation

    def _step(self, action: str) -> Observation | None:
        observation, _, terminated, truncated, self.info = self._made().step(action)
        return None if terminated or truncated else observation

    def _replay(self, task: Task, actions: Sequence[str]) -> None:
        self._reset(task)
        for action in actions:
            self._step(action)


class _Kind(NamedTuple):
    source: BenchmarkConfig
    frame_interval: float
    paid: bool


class Environments:
    """The environments of a rollout worker.

    Args:
        play: How episodes are played and paid.
    """

    def __init__(self, play: PlayConfig) -> None:
        self._play = play
        self._idle: dict[_Kind, list[EnvironmentThread]] = {}
        self._episodes: dict[BenchmarkConfig, Sequence[Episode]] = {}
        self._loading = Lock()

    @asynccontextmanager
    async def lend(self, task: Task) -> AsyncIterator[EnvironmentThread]:
        """An environment that can play a task, paid unless it is held out, for the length of the block."""
        kind = _Kind(task.episodes, task.frame_interval, not task.held_out)
        idle = self._idle.setdefault(kind, [])
        environment = idle.pop() if idle else None
        try:
            if environment is None:
                environment = EnvironmentThread()
                await environment.build(lambda: self._make(kind))
            yield environment
        except BaseException:
            if environment is not None:
                environment.close()
            raise
        idle.append(environment)

    def close(self) -> None:
        """Close those that are not lent."""
        for idle in self._idle.values():
            while idle:
                idle.pop().close()

    def _make(self, kind: _Kind) -> gym.Env[Observation, str]:
        play = self._play
        return make(
            self._load(kind.source),
            rewards=play.rewards if kind.paid else {},
            judge=play.judge,
            frame_interval=kind.frame_interval,
            frames_per_turn=play.frames_per_turn,
            max_pixels=play.max_pixels,
        )

    def _load(self, source: BenchmarkConfig) -> Sequence[Episode]:
        """The episodes; rows that are bad were reported when the windows were made."""
        with self._loading:
            if source not in self._episodes:
                self._episodes[source] = source.load(on_skipped=lambda _: None)
            return self._episodes[source]
