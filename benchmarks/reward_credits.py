"""CPU seconds that rewards take in a chatty episode, in which every turn gets its credit, by number of turns.

    python benchmarks/reward_credits.py

The agent says something new at every turn. `end`: the last step, which scores and splits the whole episode; `turn`: all
steps together, of which each pays its turn. Both hold what the environment itself takes. An episode twice as long
should take about twice as long.
"""

import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import get_args

import av
import numpy as np

from proactive_env.environment import ProactiveVideoEnv
from proactive_env.episode import Episode, GoldReply, Timespan, UserTurn
from proactive_env.rewards.base import Pay
from proactive_env.rewards.make import REWARDS

TURNS, ROUNDS, SPAN_S, SIDE = (100, 200, 400, 800), 5, 10.0, 32


def main() -> None:
    """Print a row for each reward and way to pay."""
    print("reward".ljust(12), "pay ", *(f"{turns} turns".rjust(10) for turns in TURNS), "800 / 400".rjust(10))
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PROACTIVE_ENV_CACHE"] = f"{folder}/cache"
        video = Path(folder) / "video.mp4"
        write_video(video)
        for name in REWARDS:
            for pay in get_args(Pay):
                found = [statistics.median(seconds(name, pay, video, turns) for _ in range(ROUNDS)) for turns in TURNS]
                row = (f"{value:.4f} s".rjust(10) for value in found)
                print(name.ljust(12), pay.ljust(4), *row, f"{found[-1] / found[-2]:.2f}".rjust(10))


def seconds(name: str, pay: Pay, video: Path, turns: int) -> float:
    """Of the last step, or of all where each pays."""
    env = REWARDS[name](ProactiveVideoEnv([make_episode(video, turns)], frames_per_turn=1), pay=pay)
    env.reset()
    times = []
    for turn in range(turns):
        began = time.process_time()
        env.step(f"Thing number {turn} appears.")
        times.append(time.process_time() - began)
    return times[-1] if pay == "end" else sum(times)


def make_episode(video: Path, turns: int) -> Episode:
    """One-second turns, and a span every ten seconds."""
    spans = [Timespan(start, start + SPAN_S) for start in range(0, turns, int(SPAN_S))]
    gold = tuple(
        GoldReply(text=f"A red circle {span.start}.", question="What?", reply_span=span, related_span=span)
        for span in spans
    )
    asked = UserTurn(time=0.0, text="What?")
    return Episode(question_id="q", video=video, duration=float(turns), user_turns=(asked,), gold=gold)


def write_video(file: Path) -> None:
    """Black, a picture a second."""
    with av.open(file, "w") as container:
        stream = container.add_stream("libx264", rate=1, options={"preset": "ultrafast"})
        stream.width = stream.height = SIDE
        for _ in range(max(TURNS)):
            black = np.zeros((SIDE, SIDE, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(black, format="rgb24")))
        container.mux(stream.encode())


if __name__ == "__main__":
    main()
