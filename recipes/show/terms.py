"""What each turn of a finished dialogue earned: by the library's own rewards.

Nothing is played and no video is opened: a reward is a function of the transcript.
"""

from collections.abc import Mapping

from proactive_env.environment import ProactiveVideoEnv
from proactive_env.rewards.base import ComponentReward, turn_credits
from proactive_env.rewards.judged import JudgedReward
from proactive_env.rewards.judges.base import Judge
from proactive_env.rewards.judges.pool import JudgePool
from proactive_env.rewards.make import REWARDS, WEIGHTS
from proactive_env.turn import Transcript


def terms_per_turn(
    transcript: Transcript, judge: Judge, weights: Mapping[str, float] = WEIGHTS
) -> dict[str, list[float]]:
    """The weighted credit of each turn by reward, as `info["proactive_episode"]["terms_per_turn"]` gives it.

    Args:
        transcript: A dialogue, complete or not.
        judge: Is asked each question once.
        weights: The weights of named rewards; the default: the paper's four.

    Raises:
        JudgeUnavailable: the judge gave no answer.
    """
    env = ProactiveVideoEnv([transcript.episode])
    pool = judge if isinstance(judge, JudgePool) else JudgePool(judge)
    return {name: _credits(_reward(name, env, weight, pool), transcript) for name, weight in weights.items()}


def _reward(name: str, env: ProactiveVideoEnv, weight: float, judge: JudgePool) -> ComponentReward:
    reward = REWARDS[name](env, weight)
    if isinstance(reward, JudgedReward):
        reward.judge = judge
    return reward


def _credits(reward: ComponentReward, transcript: Transcript) -> list[float]:
    values = list(reward.running_scores(transcript, transcript.turns))
    return [reward.weight * credit for credit in turn_credits(values)]
