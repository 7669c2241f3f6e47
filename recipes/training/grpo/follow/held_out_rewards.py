"""What a run's own rewards say of held-out episodes: they are played unpaid, and scored from their transcripts."""

from collections.abc import Iterator, Sequence
from typing import Any

import gymnasium as gym

from proactive_env.errors import JudgeUnavailable
from proactive_env.recipes.training.grpo.config import PlayConfig
from proactive_env.rewards.base import ComponentReward
from proactive_env.rewards.judged import JudgedReward
from proactive_env.rewards.make import make
from proactive_env.turn import Transcript


def terms_of(transcripts: Sequence[Transcript], play: PlayConfig) -> dict[str, dict[str, float]]:
    """The weighted terms of each episode, by question id and reward; without those that a judge did not answer.

    Args:
        transcripts: What was played.
        play: How the run pays.
    """
    env = make([one.episode for one in transcripts], rewards=play.rewards, judge=play.judge)
    found: dict[str, dict[str, float]] = {one.episode.question_id: {} for one in transcripts}
    for reward in _chain(env):
        if isinstance(reward, JudgedReward):
            with reward.judge.asking_ahead():
                for transcript in transcripts:
                    reward.score(transcript)
        for transcript in transcripts:
            try:
                term = reward.weight * reward.score(transcript)
            except JudgeUnavailable:
                found.pop(transcript.episode.question_id, None)
                continue
            if transcript.episode.question_id in found:
                found[transcript.episode.question_id][reward.name] = float(term)
    return found


def _chain(env: gym.Env[Any, Any]) -> Iterator[ComponentReward]:
    while isinstance(env, gym.Wrapper):
        if isinstance(env, ComponentReward):
            yield env
        env = env.env
