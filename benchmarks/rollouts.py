"""Turns a second of GRPO's rollouts: the library's executor against OpenRLHF's stock multi-turn executor.

    python benchmarks/rollouts.py [TOKENS]

Both play the same windows of TinyWorld (one frame a turn) in the same environment with the same rewards on the same
vLLM engine, two groups of four rollouts at once, with empty caches at the start of every round. The model is the tiny
checkpoint, so what is measured is what a dialogue's growth and the executors add, not the model; with longer replies
its engine's steps come to count most. TOKENS caps a turn's reply; by default it is what `NO REPLY` and its end take,
since nearly all turns are silent. In `open_turn` every turn is silent: one token. The stock executor would let the
model talk until the context is full, so the worker caps it; it also bans picture tokens, on which the stock executor's
rollouts would die. The stock executor takes pictures of the first turn only with the prompt, so they are made
beforehand and not timed.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import torch
from openrlhf.utils.agent import AgentExecutorBase, AgentInstanceBase, MultiTurnAgentExecutor
from openrlhf.utils.vlm_utils import dedup_media_tokens
from PIL import Image
from vllm import SamplingParams
from vllm.inputs import TokensPrompt
from vllm.utils import random_uuid

from proactive_env.agents.models.chat_template import ChatTemplate
from proactive_env.agents.models.checkpoint import load_processor
from proactive_env.agents.models.dialogue import SYSTEM_PROMPT
from proactive_env.agents.models.vllm import VllmEngine
from proactive_env.environment import Observation
from proactive_env.recipes.evaluate.episodes import BenchmarkConfig
from proactive_env.recipes.training.grpo.config import PlayConfig
from proactive_env.recipes.training.grpo.task import Task
from proactive_env.recipes.training.grpo.worker.executor import ProactiveExecutor
from proactive_env.recipes.training.tiny import make_tiny
from proactive_env.rewards.make import make
from proactive_env.serving import background
from proactive_env.turn import NO_REPLY

TURNS, ROUNDS = (10, 30, 60), 3
GROUPS, GROUP = 2, 4
LONGEST = 8192
FRAME_INTERVAL_S = 0.25
EPISODES = BenchmarkConfig(benchmark="tinyworld", size=GROUPS)
ENVIRONMENT: dict[str, Any] = {"size": GROUPS, "frame_interval": FRAME_INTERVAL_S, "frames_per_turn": 1}


class Silent:
    """A vLLM engine whose model always waits for the next frame where it may only wait or speak."""

    def __init__(self, engine: VllmEngine, template: ChatTemplate) -> None:
        self.model_config = engine.llm.model_config
        self._llm = engine.llm
        self._wait = template.decisions()[0]

    async def generate(self, prompt: Any, sampling: SamplingParams, request_id: str) -> AsyncIterator[Any]:
        if sampling.allowed_token_ids:
            sampling.allowed_token_ids = [self._wait]
        async for output in self._llm.generate(prompt, sampling, request_id):
            yield output


class Worker:
    """What an executor sees of OpenRLHF's `RolloutRayActor`; `generate` is its own, with the cap and the ban."""

    def __init__(self, engine: VllmEngine, template: ChatTemplate, tokens: int) -> None:
        self.llm = Silent(engine, template)
        self.tokens = tokens
        self.pads = {engine.processor.image_token_id, engine.processor.video_token_id}
        self.banned = dict.fromkeys(template.vision_tokens, -100.0)

    async def generate(
        self, prompt_token_ids: list[int], sampling_params: SamplingParams, multi_modal_data: Any = None
    ) -> Any:
        sampling = deepcopy(sampling_params)
        sampling.max_tokens, sampling.logit_bias = min(sampling.max_tokens or 1, self.tokens), self.banned
        if multi_modal_data:
            prompt_token_ids = dedup_media_tokens(prompt_token_ids, self.pads)
        prompt = TokensPrompt(prompt_token_ids=prompt_token_ids)
        if multi_modal_data:
            prompt["multi_modal_data"] = multi_modal_data
        async for output in self.llm.generate(prompt, sampling, random_uuid()):
            final = output
        return final


class Player(AgentInstanceBase):  # type: ignore[misc]
    """The environment as OpenRLHF's documentation would have it."""

    template: ChatTemplate

    def __init__(self) -> None:
        self.env = make("tinyworld", **ENVIRONMENT)

    async def reset(self, states: dict[str, Any], **_: Any) -> dict[str, Any]:
        task = Task.model_validate_json(states["label"])
        observation, _info = self.env.reset(seed=task.seed, options=task.options)
        return {"observation": self.template.head(SYSTEM_PROMPT) + asked(self.template, observation)}

    async def step(self, state_dict: dict[str, Any], **_: Any) -> dict[str, Any]:
        observation, reward, terminated, _truncated, info = self.env.step(state_dict["action_text"])
        return {
            "rewards": torch.tensor(reward),
            "environment_feedback": "" if terminated else self.template.to_user + asked(self.template, observation),
            "environment_images": pictures(observation),
            "done": terminated,
            "extra_logs": info["reward_terms"],
        }


def asked(template: ChatTemplate, observation: Observation) -> str:
    """A user's turn, and the beginning of the answer."""
    return template.content(len(observation["frames"]), observation["text"]) + template.to_assistant


def pictures(observation: Observation) -> list[Image.Image]:
    """The frames of a turn."""
    return [Image.fromarray(frame) for frame in observation["frames"]]


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "tiny"
        make_tiny(checkpoint)
        arguments = {
            "model": str(checkpoint),
            "dtype": "float32",
            "max_model_len": LONGEST,
            "limit_mm_per_prompt": {"image": max(TURNS), "video": 0},
        }
        engine = VllmEngine(load_processor(str(checkpoint)), arguments)
        Player.template = ChatTemplate(engine.processor)
        tokens = int(sys.argv[1]) if sys.argv[1:] else len(Player.template.tokens(NO_REPLY)) + 1
        play = {"max_new_tokens": tokens, "frame_interval": FRAME_INTERVAL_S, "frames_per_turn": 1}
        executors = {
            "stock": MultiTurnAgentExecutor(Player),
            **{
                name: ProactiveExecutor(PlayConfig.model_validate({**play, "format": name}), Path(folder))
                for name in ("no_reply", "open_turn")
            },
        }
        report(executors, Worker(engine, Player.template, tokens), engine)
        engine.close()


def report(executors: dict[str, AgentExecutorBase], worker: Worker, engine: VllmEngine) -> None:
    """Play every number of turns with every executor in turn; the first round warms up and is not counted."""
    print(f"turns a second, {GROUPS} x {GROUP} rollouts at once, median of {ROUNDS} rounds")
    for turns in TURNS:
        played: dict[str, list[tuple[float, float]]] = {name: [] for name in executors}
        for _ in range(ROUNDS + 1):
            for name, executor in executors.items():
                played[name].append(background.run(round_of(executor, worker, engine, turns)))
        stock = median_of(played["stock"], 0)
        for name, rounds in played.items():
            taken, said = median_of(rounds, 0), median_of(rounds, 1)
            rate = GROUPS * GROUP * turns / taken
            print(
                f"{turns:3} turns  {name:9} {rate:6.1f}   {stock / taken:4.1f} x   {said:.1f} tokens a turn", flush=True
            )


def median_of(rounds: list[tuple[float, float]], place: int) -> float:
    """Of a number of all rounds but the first."""
    return statistics.median(one[place] for one in rounds[1:])


async def round_of(executor: AgentExecutorBase, worker: Worker, engine: VllmEngine, turns: int) -> tuple[float, float]:
    """Seconds for all rollouts at once, the engine's caches empty, and tokens that were drawn a turn."""
    await engine.llm.reset_prefix_cache()
    await engine.llm.reset_mm_cache()
    await engine.llm.reset_encoder_cache()
    env = make("tinyworld", **ENVIRONMENT)
    sampling = SamplingParams(temperature=1.0, max_tokens=worker.tokens, skip_special_tokens=False)
    rollouts = []
    for episode in EPISODES.load():
        window = {"start": 0.0, "end": turns * FRAME_INTERVAL_S, "frame_interval": FRAME_INTERVAL_S}
        task = Task(episodes=EPISODES, question_id=episode.question_id, **window)
        execute = partial(
            executor.execute,
            prompt=task.name,
            label=task.model_dump_json(),
            max_length=LONGEST,
            hf_tokenizer=engine.processor,
            llm_engine=worker,
            images=pictures(env.reset(options=task.options)[0])
            if isinstance(executor, MultiTurnAgentExecutor)
            else None,
        )
        rollouts += [execute(sampling_params=deepcopy(sampling)) for _ in range(GROUP)]
    started = time.perf_counter()
    responses = await asyncio.gather(*rollouts)
    taken = time.perf_counter() - started
    frame = engine.processor.tokenizer.convert_tokens_to_ids("<|vision_start|>")
    for response in responses:
        assert response["observation_tokens"].count(frame) >= turns, "every turn was shown"
    said = [end - start for response in responses for start, end in response["action_ranges"]]
    return taken, sum(said) / (len(rollouts) * turns)


if __name__ == "__main__":
    main()
