"""Agents times episodes gives transcripts: the one play loop, many episodes at once, `env.step` in threads."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from proactive_env.agents.base import Agent, Conversation
from proactive_env.environment import EnvironmentArguments, Observation, ProactiveVideoEnv
from proactive_env.episode import Episode
from proactive_env.errors import VideoError
from proactive_env.turn import Reply, Transcript


def rollout(
    agent: Agent,
    episodes: Sequence[Episode],
    *,
    environment: EnvironmentArguments,
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
    """Play one episode; each turn of the transcript carries the agent's stats."""
    observation, info = await asyncio.to_thread(env.reset, options={"question_id": question_id})

    async def step(action: str) -> Observation | None:
        shown, _, terminated, truncated, _ = await asyncio.to_thread(env.step, action)
        return None if terminated or truncated else shown

    replies = await converse(agent.open(info["history"], info["plan"]), observation, step)
    return with_stats(env.transcript, replies)


async def converse(
    conversation: Conversation, observation: Observation, step: Callable[[str], Awaitable[Observation | None]]
) -> list[Reply]:
    """Play an episode to its end; returns the replies, silence included.

    Args:
        conversation: Who answers.
        observation: The first one.
        step: Plays an action; gives the next observation, None at the end.
    """
    replies = []
    shown: Observation | None = observation
    while shown is not None:
        replies.append(await conversation.respond(shown))
        shown = await step(replies[-1].text)
    return replies


def with_stats(transcript: Transcript, replies: Sequence[Reply]) -> Transcript:
    """A transcript whose turns carry these replies' failures, and their stats that are finite numbers."""
    turns = (
        turn.model_copy(update={"stats": _finite(reply), "failure": reply.failure})
        for turn, reply in zip(transcript.turns, replies, strict=True)
    )
    return replace(transcript, turns=tuple(turns))


def _finite(reply: Reply) -> dict[str, float]:
    return {name: float(value) for name, value in reply.stats.items() if math.isfinite(value)}
