"""Agents times episodes gives transcripts: many episodes at once, `env.step` in threads, so that no engine waits."""

import asyncio
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from proactive_env.agents.base import Agent
from proactive_env.environment import ProactiveVideoEnv
from proactive_env.episode import Episode
from proactive_env.errors import VideoError
from proactive_env.turn import Transcript


def rollout(
    agent: Agent,
    episodes: Sequence[Episode],
    *,
    environment: Mapping[str, Any],
    on_transcript: Callable[[Transcript], None],
    on_bad_video: Callable[[str, VideoError], None],
    concurrency: int = 8,
) -> None:
    """Play every episode once.

    Args:
        agent: Who answers.
        episodes: What is played.
        environment: Arguments of `ProactiveVideoEnv`.
        on_transcript: Called with each transcript, in order of completion.
        on_bad_video: Called with the question id and the error of a video that cannot be played. What it raises ends
            the rollout; else the episode is left out.
        concurrency: How many episodes are played at once.

    Raises:
        Exception: what the agent raises, with a note that names the episode.
    """

    async def work(queue: Iterator[Episode]) -> None:
        env = ProactiveVideoEnv(episodes, **environment)
        for episode in queue:
            try:
                on_transcript(await play(agent, env, episode.question_id))
            except VideoError as error:
                on_bad_video(episode.question_id, error)
            except Exception as error:
                error.add_note(f"while playing question_id {episode.question_id!r}")
                raise

    async def work_together() -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(concurrency))
        queue = iter(episodes)
        await asyncio.gather(*(work(queue) for _ in range(min(concurrency, len(episodes)))))

    if not _loop_runs_here():
        asyncio.run(work_together())
        return
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, work_together()).result()


def _loop_runs_here() -> bool:
    """Whether the caller is on an event loop, as everything in a notebook is."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def play(agent: Agent, env: ProactiveVideoEnv, question_id: str) -> Transcript:
    """Play one episode; each turn of the transcript carries the agent's stats, those that are finite numbers."""
    observation, info = await asyncio.to_thread(env.reset, options={"question_id": question_id})
    conversation = agent.open(info["history"], info["plan"])
    stats = []
    terminated = False
    while not terminated:
        reply = await conversation.respond(observation)
        stats.append({name: float(value) for name, value in reply.stats.items() if math.isfinite(value)})
        observation, _, terminated, _, _ = await asyncio.to_thread(env.step, reply.text)
    transcript = env.transcript
    turns = zip(transcript.turns, stats, strict=True)
    return replace(transcript, turns=tuple(turn.model_copy(update={"stats": stat}) for turn, stat in turns))
