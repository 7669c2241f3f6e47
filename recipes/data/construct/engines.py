"""Engines: how a stage's work on many videos is run, in this process or on a Ray cluster.

A stage is an async function of a line, the config and an `Asker`. When it fails for one video, the videos under way are
finished and kept, and no other is begun.
"""

import asyncio
import math
import pickle
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

from proactive_env.errors import ChatUnavailable, InputError
from proactive_env.extras import require
from proactive_env.recipes.data.construct.ask import Asker
from proactive_env.recipes.data.construct.config import BuildConfig
from proactive_env.recipes.data.construct.lines import Line
from proactive_env.serving import background
from proactive_env.serving.chat import Usage

Work = Callable[[Any, BuildConfig, Asker], Awaitable[Line]]
"""One stage for one video: the line of the stage before to this stage's."""
Keep = Callable[[Line | None, Usage], None]
"""Called with each line when it is made, and what was asked meanwhile; without a line after a failure."""
Engine = Callable[[Work, BuildConfig, Sequence[Line], Keep], None]
"""Runs a stage for many videos, in any order; raises what the work raises."""

_CALLS_PER_ACTOR = 16
"""What Ray Data runs at once in an actor, for asynchronous functions of rows."""
_VIDEOS_PER_TASK = 64
"""Videos whose lines come back together."""


def run_asyncio(work: Work, config: BuildConfig, videos: Sequence[Line], keep: Keep) -> None:
    """Run a stage in this process, as many videos at once as calls may be under way."""
    asker = Asker(config)
    failures: list[Exception] = []

    async def work_on(queue: Iterator[Line]) -> None:
        for video in queue:
            try:
                keep(await work(video, config, asker), asker.usage())
            except Exception as error:
                failures.append(error)
            if failures:
                return

    async def work_together() -> None:
        queue = iter(videos)
        try:
            await asyncio.gather(*(work_on(queue) for _ in range(config.server.concurrency)))
        finally:
            keep(None, asker.usage())

    background.run(work_together())  # the loop of the model's client: no call changes threads
    if failures:
        raise failures[0]


def run_ray(work: Work, config: BuildConfig, videos: Sequence[Line], keep: Keep) -> None:
    """Run a stage as an operator of Ray Data, on actors that share the number of calls under way.

    Ray must find this package, the videos and the API key on every node; each node keeps its own answers.

    Raises:
        InputError: Ray is not installed.
    """
    require("ray")
    import ray

    if not ray.is_initialized():
        ray.init(log_to_driver=False)
    actors = math.ceil(config.server.concurrency / _CALLS_PER_ACTOR)
    server = config.server.model_copy(update={"concurrency": math.ceil(config.server.concurrency / actors)})
    tasks = max(math.ceil(len(videos) / _VIDEOS_PER_TASK), min(len(videos), actors))
    rows = ray.data.from_items([{"video": pickle.dumps(video)} for video in videos], override_num_blocks=tasks)
    results = rows.map(
        _Actor,
        fn_constructor_args=(work, config.model_copy(update={"server": server})),
        compute=ray.data.ActorPoolStrategy(size=actors),
    )
    failures: list[Exception] = []
    for row in results.iter_rows():
        outcome, usage = pickle.loads(row["result"])
        if isinstance(outcome, Exception):
            failures.append(outcome)
        keep(None if isinstance(outcome, Exception) else outcome, usage)
    if failures:
        raise failures[0]


class _Actor:
    """A stage in a process of Ray's. Failures that are the server's or the user's travel as results.

    Once its asker has failed, the videos left fail at once.
    """

    def __init__(self, work: Work, config: BuildConfig) -> None:
        self._work, self._config = work, config
        self._asker = Asker(config)

    async def __call__(self, row: dict[str, bytes]) -> dict[str, bytes]:
        outcome: Line | Exception
        try:
            outcome = await self._work(pickle.loads(row["video"]), self._config, self._asker)
        except (ChatUnavailable, InputError) as error:
            outcome = error
        return {"result": pickle.dumps((outcome, self._asker.usage()))}


ENGINES: dict[str, Engine] = {"asyncio": run_asyncio, "ray": run_ray}
