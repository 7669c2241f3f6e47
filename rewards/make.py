"""`make`: the bare environment plus its rewards. Gymnasium's ids enter here."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import gymnasium as gym

from proactive_env.datasets.catalog import root_of
from proactive_env.datasets.proactivevideoqa import ROOT_VARIABLE
from proactive_env.environment import EnvironmentArguments, Observation, ProactiveVideoEnv
from proactive_env.episode import Episode
from proactive_env.errors import InputError
from proactive_env.plugin import Registry, class_path, construct, did_you_mean
from proactive_env.rewards.base import ComponentReward, Pay
from proactive_env.rewards.in_span import InSpanReward
from proactive_env.rewards.judged import JudgedReward
from proactive_env.rewards.judges.base import JudgeConfig
from proactive_env.rewards.pauc import PaucReward
from proactive_env.rewards.prefix import PrefixReward
from proactive_env.rewards.replication import ReplicationReward

RewardConfig = str | Mapping[str, float | Mapping[str, Any]]
"""A preset's name, or for each reward its weight, or a mapping of its arguments."""

REWARDS: dict[str, type[ComponentReward]] = {
    "pauc": PaucReward,
    "replication": ReplicationReward,
    "in_span": InSpanReward,
    "prefix": PrefixReward,
}
"""The library's own rewards."""

KINDS = Registry("reward", {name: class_path(cls) for name, cls in REWARDS.items()})
"""The rewards that have names; all others are named by `module:Class` or `file.py:Class`."""

WEIGHTS = {"pauc": 3.0, "replication": 2.0, "in_span": 0.5, "prefix": 2.0}
"""MMDuet2, arXiv 2512.06810, section 4.3.2: r = 3 r_pauc + 2 r_rep + 0.5 r_in_span + 2 r_pfx."""

PRESETS: dict[str, Mapping[str, float | Mapping[str, Any]]] = {
    "mmduet2-code": {name: {"weight": weight, "formula": "code"} for name, weight in WEIGHTS.items()}
}
"""`mmduet2-code`: the terms as the authors' code computes them."""


def make(
    dataset: str | Sequence[Episode] = "tinyworld",
    *,
    data: str | None = None,
    rewards: RewardConfig | None = None,
    judge: JudgeConfig = "lexical",
    pay: Pay = "end",
    **environment: Unpack[EnvironmentArguments],
) -> gym.Env[Observation, str]:
    """A `ProactiveVideoEnv` inside its rewards.

    Args:
        dataset: A name that `proactive_env.datasets.load` knows, or episodes. `proactivevideoqa` without a folder plays
            TinyWorld.
        data: The data set's folder or file.
        rewards: None: the paper's four; `"mmduet2-code"`: the authors' code; else a mapping such as
            `{"pauc": 3, "in_span": {"weight": 1, "formula": "code"}, "my_pkg.mod:MyReward": 1}`.
        judge: The judge of every reward that asks one and does not name its own.
        pay: See `ComponentReward`.
        environment: See `ProactiveVideoEnv`.

    Raises:
        InputError: an unknown reward, preset or judge.
        DatasetError: the data set cannot be loaded.

    Example:
        >>> env = make("tinyworld", size=1, rewards={"pauc": 1})
        >>> observation, info = env.reset(seed=0)
        >>> env.step("NO REPLY")[4]["reward_terms"]
        {'pauc': 0.0}
    """
    if dataset == "proactivevideoqa" and root_of(dataset, data) is None and environment.get("subset") is None:
        warnings.warn(
            "no data given: playing TinyWorld, the bundled data set. For the real benchmark pass "
            f"data='path/to/ProactiveVideoQA' or set {ROOT_VARIABLE}.",
            stacklevel=2,
        )
        dataset = "tinyworld"
    env: gym.Env[Observation, str] = ProactiveVideoEnv(dataset, data=data, **environment)
    for reward, arguments in _configs(rewards).items():
        cls = KINDS.load(reward, ComponentReward)
        defaults = {"pay": pay, "judge": judge} if issubclass(cls, JudgedReward) else {"pay": pay}
        env = construct(cls, reward, env, **(defaults | dict(arguments)))
    return env


def _configs(rewards: RewardConfig | None) -> dict[str, Mapping[str, Any]]:
    if rewards is None:
        rewards = WEIGHTS
    if isinstance(rewards, str):
        if rewards not in PRESETS:
            raise InputError(f"there is no preset of rewards {rewards!r}{did_you_mean(rewards, tuple(PRESETS))}")
        rewards = PRESETS[rewards]
    return {name: value if isinstance(value, Mapping) else {"weight": float(value)} for name, value in rewards.items()}
