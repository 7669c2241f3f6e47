"""A judge of one's own: rewards and scores ask it how much of a gold reply a reply covers, and whether it repeats."""

from difflib import SequenceMatcher

import gymnasium as gym

import proactive_env
from proactive_env.rewards import Judge
from proactive_env.testing import check_judge


class Similar(Judge):
    """Compares spellings: the share of letters that stand in the same order."""

    def coverage(self, question, gold, prediction, levels):
        share = SequenceMatcher(None, gold.casefold(), prediction[:1000].casefold(), autojunk=False).ratio()
        return round(share**4 * (levels - 1))  # 0 to levels - 1; None would drop the point, and count it

    def repeats(self, earlier, reply):
        return any(SequenceMatcher(None, text, reply).ratio() > 0.9 for text in earlier)

    def describe(self):
        return {"kind": "similar", "model": None, "prompt_version": "1"}  # stands beside every result


if __name__ == "__main__":
    check_judge(Similar())
    for judge in ("lexical", f"{__file__}:Similar"):  # the same string works after --judge
        env = gym.make("TinyWorld-v0", rewards={"pauc": 1}, judge=judge)
        agent = proactive_env.agents.load("random?p=0.4&seed=1")
        observation, info = env.reset(seed=0)
        agent.reset(info)
        done = False
        while not done:
            observation, reward, terminated, truncated, info = env.step(agent.act(observation))
            done = terminated or truncated
        print(f"PAUC {reward:.3f} by {judge}")
