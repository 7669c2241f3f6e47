"""What a step costs beside decoding: this environment against a bare Gymnasium one that returns the same two frames.

    python benchmarks/environment_step.py

Both return fresh arrays, as Gymnasium asks of an environment, and both are made by `gymnasium.make`.
"""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import av
import gymnasium as gym
import numpy as np

from proactive_env.environment import ProactiveVideoEnv
from proactive_env.episode import Episode, GoldReply, Timespan
from proactive_env.rewards.make import REWARDS, WEIGHTS

TURNS = 150
ROUNDS = 60
WIDTH, HEIGHT = 448, 252


class Bare(gym.Env):
    """Returns the frames of a turn, and nothing else."""

    def __init__(self, frames: np.ndarray, spaces: gym.Env) -> None:
        self.frames = frames
        self.observation_space, self.action_space = spaces.observation_space, spaces.action_space

    def _observe(self) -> dict[str, Any]:
        frames = np.array(self.frames[2 * self.turn : 2 * self.turn + 2])
        return {"frames": frames, "text": "", "time": np.array(2.0 * self.turn)}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[dict[str, Any], dict]:
        super().reset(seed=seed)
        self.turn = 0
        return self._observe(), {}

    def step(self, action: str) -> tuple[dict[str, Any], float, bool, bool, dict]:
        self.turn += 1
        return self._observe(), 0.0, self.turn == TURNS, False, {}


def main() -> None:
    """Play rounds in turn, and print the median time of a step and the ratios."""
    with tempfile.TemporaryDirectory() as folder:
        episode = make_episode(Path(folder) / "video.mp4")
        ours = ProactiveVideoEnv([episode], frames_per_turn=2, max_pixels=WIDTH * HEIGHT)
        ours.reset()
        frames = ours._frames
        rewarded: Any = ProactiveVideoEnv([episode], frames_per_turn=2, max_pixels=WIDTH * HEIGHT)
        for name, weight in WEIGHTS.items():
            rewarded = REWARDS[name](rewarded, weight)
        gym.register("Bare-v0", lambda: Bare(frames, ours))
        gym.register("Ours-v0", lambda: ours)
        gym.register("Rewarded-v0", lambda: rewarded)
        envs = {name: gym.make(f"{name}-v0") for name in ("Bare", "Ours", "Rewarded")}
        times: dict[str, list[float]] = {name: [] for name in envs}
        for _ in range(ROUNDS):
            for name, env in envs.items():
                times[name].append(seconds_per_step(env))
    medians = {name: 1e6 * statistics.median(values) for name, values in times.items()}
    labels = {"Bare": "bare Gymnasium", "Ours": "ProactiveVideoEnv", "Rewarded": "with the four rewards"}
    print(f"two frames of {frames.shape[2]}x{frames.shape[1]}, {TURNS} turns, median of {ROUNDS} rounds")
    for name, label in labels.items():
        print(f"{label:24} {medians[name]:7.1f} us a step   {medians[name] / medians['Bare']:.2f} x")


def seconds_per_step(env: gym.Env) -> float:
    """One episode's mean, reset and last step left out: the latter scores the whole episode."""
    env.reset()
    started = time.perf_counter()
    for _ in range(TURNS - 1):
        env.step("NO REPLY")
    elapsed = time.perf_counter() - started
    env.step("NO REPLY")
    return elapsed / (TURNS - 1)


def make_episode(file: Path) -> Episode:
    """A video of noise with one gold reply to its very end."""
    rng = np.random.default_rng(0)
    with av.open(file, "w") as container:
        stream = container.add_stream("libx264", rate=1, options={"preset": "ultrafast"})
        stream.width, stream.height = WIDTH, HEIGHT
        for _ in range(2 * TURNS):
            picture = rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    span = Timespan(1.0, 2.0 * TURNS)
    gold = GoldReply(text="Noise.", question="What is it?", reply_span=span, related_span=span)
    return Episode(question_id="noise", video=file, duration=2.0 * TURNS, gold=(gold,))


if __name__ == "__main__":
    main()
