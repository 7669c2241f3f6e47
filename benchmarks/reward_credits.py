"""Seconds that the last step of a chatty episode takes, in which every turn gets its credit, by number of turns.

    python benchmarks/reward_credits.py

The agent says something new at every turn. An episode twice as long should take about twice as long.
"""

import statistics
import time

from proactive_env.environment import ProactiveVideoEnv
from proactive_env.episode import Episode, GoldReply, Timespan, UserTurn
from proactive_env.rewards.make import REWARDS
from proactive_env.turn import Transcript, Turn

TURNS, ROUNDS, SPAN_S = (100, 200, 400, 800), 5, 10.0


def episode_of(turns: int) -> Episode:
    """One-second turns, and a span every ten seconds."""
    spans = (Timespan(start, start + SPAN_S) for start in range(0, turns, int(SPAN_S)))
    gold = tuple(
        GoldReply(text=f"A red circle {span.start}.", question="What?", reply_span=span, related_span=span)
        for span in spans
    )
    return Episode(
        question_id="q",
        video="none.mp4",
        duration=float(turns),
        user_turns=(UserTurn(time=0.0, text="What?"),),
        gold=gold,
    )


def seconds(name: str, turns: int) -> float:
    """The median over the rounds."""
    episode = episode_of(turns)
    said = tuple(Turn(index=i, start=i, end=i + 1, reply=f"Thing number {i} appears.") for i in range(turns))
    times = []
    for _ in range(ROUNDS):
        reward = REWARDS[name](ProactiveVideoEnv([episode]))
        began = time.perf_counter()
        list(reward.running_scores(Transcript(episode, said), said))
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def main() -> None:
    """Print a row a reward."""
    print("reward".ljust(12), *(f"{turns} turns".rjust(10) for turns in TURNS), "800 / 400".rjust(10))
    for name in REWARDS:
        found = [seconds(name, turns) for turns in TURNS]
        print(
            name.ljust(12), *(f"{value:.4f} s".rjust(10) for value in found), f"{found[-1] / found[-2]:.2f}".rjust(10)
        )


if __name__ == "__main__":
    main()
