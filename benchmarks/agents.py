"""What a turn costs: late against early, reused keys against re-encoding, open_turn against no_reply, many at once.

    python benchmarks/agents.py VIDEO

The model is the tiny checkpoint, so what is measured is what grows with the dialogue and what the library adds, not the
model. VIDEO is played for 60 turns of one frame, 0.5 s apart, at its own size (about 120 tokens a frame) and scaled to
56 x 56 (4 tokens). A silent turn in no_reply draws as many tokens as `NO REPLY` and its end have, which a random model
would not say by itself.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
from PIL import Image

from proactive_env import agents, datasets
from proactive_env.agents.models.agent import ModelAgent
from proactive_env.agents.models.chat_template import ChatTemplate
from proactive_env.agents.models.dialogue import FORMATS
from proactive_env.agents.models.engine import Context, Decoding, Draw, Drawn, Engine, Segment
from proactive_env.agents.rollout import rollout
from proactive_env.environment import Observation
from proactive_env.recipes.training.tiny import make_tiny
from proactive_env.turn import NO_REPLY
from proactive_env.video import decode_frames

TURNS, ROUNDS, EPISODES = 60, 3, 16
VLLM = "dtype=float32&max_model_len=16384&max_frames=64"


class Reencoding(Engine):
    """Forgets every key after every draw, and reads the whole conversation again: no state but the text and frames."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.processor = engine.processor
        self.longest_context, self.most_frames = engine.longest_context, engine.most_frames

    def open(self, seed: int) -> Context:
        """A context that keeps nothing of the engine's."""
        return _Reencoded(self.engine, seed)

    def close(self) -> None:
        """The engine belongs to somebody else."""


class _Reencoded(Context):
    def __init__(self, engine: Engine, seed: int) -> None:
        self.engine, self.seed, self.whole = engine, seed, Segment()

    async def sample(self, segment: Segment, draw: Draw) -> Drawn:
        drawn = self.engine.processor.tokenizer.decode(list(segment.drawn))
        self.whole += Segment(text=drawn + segment.text, frames=segment.frames)
        return await self.engine.open(self.seed).sample(self.whole, draw)


def main() -> None:
    """Measure and print."""
    observations = turns(Path(sys.argv[1]))
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "tiny"
        make_tiny(checkpoint)
        for spec in (f"transformers:{checkpoint}", f"vllm:{checkpoint}?{VLLM}"):
            with agents.load(spec) as agent:
                assert isinstance(agent, ModelAgent)
                name = spec.partition(":")[0]
                report(name, agent, observations, reencode=name == "transformers")
                report(f"{name} 56x56", agent, [small(observation) for observation in observations], reencode=False)
                at_once(name, agent)


def small(observation: Observation) -> Observation:
    """The turn at TinyWorld's size."""
    (frame,) = observation["frames"]
    scaled = np.asarray(Image.fromarray(frame).resize((56, 56)))
    return {"frames": scaled[None], "text": observation["text"], "time": observation["time"]}


def turns(video: Path) -> list[Observation]:
    """One frame a turn."""
    frames = np.stack(list(decode_frames(video, count=TURNS, frame_interval=0.5)))
    texts = ["What is happening?", *[""] * (TURNS - 1)]
    return [
        {"frames": frames[index : index + 1], "text": texts[index], "time": np.array(0.5 * index + 0.5)}
        for index in range(TURNS)
    ]


def report(name: str, agent: ModelAgent, observations: list[Observation], *, reencode: bool) -> None:
    """What turns cost, by format and by their place in the dialogue."""
    words = len(ChatTemplate(agent.engine.processor).tokens(NO_REPLY)) + 1
    silent = {"no_reply": Decoding(max_new_tokens=words), "open_turn": Decoding(format="open_turn", threshold=1.0)}
    seconds: dict[str, list[list[float]]] = {"no_reply": [], "open_turn": [], "reencoding": []}
    play(agent.engine, silent["no_reply"], observations[:2])
    for _ in range(ROUNDS):
        shown = [unseen(observation) for observation in observations]
        for format_name, decoding in silent.items():
            seconds[format_name].append(play(agent.engine, decoding, shown))
            shown = [unseen(observation) for observation in observations]
        if reencode:
            seconds["reencoding"].append(play(Reencoding(agent.engine), silent["no_reply"], shown))
    median = {key: [statistics.median(turn) for turn in zip(*value, strict=True)] for key, value in seconds.items()}
    for key in ("no_reply", "open_turn"):
        early, late = statistics.median(median[key][3:8]), statistics.median(median[key][-5:])
        print(f"{name:18} {key:10} turn 60 {late * 1e3:6.1f} ms, turn 5 {early * 1e3:6.1f} ms: {late / early:.2f} x")
    both = {key: statistics.median(median[key]) for key in silent}
    print(f"{name:18} silent turn: open_turn over no_reply {both['open_turn'] / both['no_reply']:.2f} x")
    if median["reencoding"]:
        whole = {key: sum(median[key]) for key in ("no_reply", "reencoding")}
        print(
            f"{name:18} 60 turns: {whole['no_reply']:.2f} s, re-encoding each turn {whole['reencoding']:.2f} s: "
            f"{whole['reencoding'] / whole['no_reply']:.1f} x"
        )


def at_once(name: str, agent: ModelAgent) -> None:
    """What playing many episodes at once saves."""
    alone, together = (episodes_at_once(agent, concurrency) for concurrency in (1, EPISODES))
    print(f"{name:18} {EPISODES} episodes one by one {alone:.2f} s, at once {together:.2f} s: {alone / together:.1f} x")


def unseen(observation: Observation) -> Observation:
    """The same turn with one pixel changed, so that no cache of frames or prefixes knows it."""
    frames = observation["frames"].copy()
    frames[:, 0, 0] = np.random.default_rng().integers(0, 255, 3)
    return {"frames": frames, "text": observation["text"], "time": observation["time"]}


def play(engine: Engine, decoding: Decoding, observations: list[Observation]) -> list[float]:
    """Seconds of each turn."""
    dialogue = FORMATS[decoding.format](engine, ChatTemplate(engine.processor), decoding)

    async def timed(respond: Callable[[Observation], Awaitable[object]]) -> list[float]:
        taken = []
        for observation in observations:
            started = time.perf_counter()
            await respond(observation)
            taken.append(time.perf_counter() - started)
        return taken

    return asyncio.run(timed(dialogue.respond))


def episodes_at_once(agent: ModelAgent, concurrency: int) -> float:
    """Seconds for EPISODES episodes of TinyWorld; other episodes for each concurrency."""
    episodes = datasets.load("tinyworld", size=EPISODES, seed=concurrency)
    speaking = ModelAgent(agent.engine, Decoding(max_new_tokens=8))

    def run(some: int) -> float:
        started = time.perf_counter()
        rollout(
            speaking,
            episodes[:some],
            environment={},
            on_transcript=lambda _: None,
            on_bad_video=lambda _, error: print(error),
            concurrency=concurrency,
        )
        return time.perf_counter() - started

    run(1)
    return run(EPISODES)


if __name__ == "__main__":
    main()
