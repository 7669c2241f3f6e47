"""A reward of one's own: a class with one method, mixed with the library's, and checked as those are."""

import gymnasium as gym

import proactive_env
from proactive_env.rewards import ComponentReward
from proactive_env.testing import check_reward


class Brevity(ComponentReward):
    """1 - the mean length of the replies, in units of `longest` characters, at most 1."""

    scope = "reply texts"

    def __init__(self, env, weight=1.0, name=None, *, longest=40, pay="end"):
        super().__init__(env, weight, name, pay=pay)
        self.longest = longest

    def score(self, transcript):
        lengths = [min(len(turn.reply) / self.longest, 1.0) for turn in transcript.replies]
        return 1.0 - sum(lengths) / len(lengths) if lengths else 1.0


if __name__ == "__main__":
    check_reward(f"{__file__}:Brevity", longest=60)
    rewards = {"pauc": 3, f"{__file__}:Brevity": {"weight": 0.5, "longest": 60}}  # plain JSON: a config can hold it
    env = gym.make("TinyWorld-v0", rewards=rewards)
    for kind in ("silent", "oracle", "chatter"):
        agent = proactive_env.agents.load(kind)
        observation, info = env.reset(seed=0)
        agent.reset(info)
        done = False
        while not done:
            observation, reward, terminated, truncated, info = env.step(agent.act(observation))
            done = terminated or truncated
        print(f"{kind:8} {reward:.3f}", {name: round(term, 3) for name, term in info["reward_terms"].items()})
