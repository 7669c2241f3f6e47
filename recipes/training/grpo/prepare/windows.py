"""A data set becomes OpenRLHF's prompt rows: windows of videos to train on, whole episodes to evaluate on.

Windows follow one another without gaps, from the first turn to the last; those in which no gold reply starts are left
out, since nothing in them is scored.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import TypedDict

import numpy as np

from proactive_env.clock import Clock, plan
from proactive_env.episode import CLIPPING_SLACK_S, Episode
from proactive_env.errors import InputError
from proactive_env.recipes.evaluate.episodes import BenchmarkConfig
from proactive_env.recipes.training.grpo.config import GrpoConfig
from proactive_env.recipes.training.grpo.task import Task
from proactive_env.turn import Turn
from proactive_env.video import probe_duration

OnSkipped = Callable[[str], None]
"""Called with what is wrong with an episode, which is then left out."""


class Row(TypedDict):
    """A line of OpenRLHF's prompt data set."""

    input: str
    """The window's name, unique in the data set; the executor writes the dialogue itself."""
    label: str
    """A `Task`, as JSON."""
    datasource: str


def windows(config: GrpoConfig, episodes: Sequence[Episode], on_skipped: OnSkipped) -> list[Row]:
    """The rows to train on, in the episodes' order.

    The length of each window is drawn between `config.window`'s two by `config.seed` and the question id; it ends at
    the last turn within that length. What would be left shorter than the shorter of the two joins the window before.
    An episode that is no longer than one window is played whole.

    Args:
        config: Of the run.
        episodes: Those of `config.train`.
        on_skipped: Called with what is wrong with an episode whose video cannot be used.

    Raises:
        InputError: no episode has anything to play.
    """
    rows = []
    for episode in _playable(episodes, on_skipped):
        rng = _rng(config.seed, episode)
        mixed = config.play.mixed_frame_intervals
        interval = float(rng.choice(mixed)) if mixed else config.play.frame_interval
        clock = Clock.of(
            episode,
            frame_interval=interval,
            frames_per_turn=config.play.frames_per_turn or episode.frames_per_turn,
        )
        turns = clock.turns(episode)
        for window in _cut(turns, config.window, rng):
            if plan(episode, turns, window).scored:
                start, end = window or (None, None)
                task = Task(
                    episodes=config.train,
                    question_id=episode.question_id,
                    start=start,
                    end=end,
                    frame_interval=interval,
                    seed=config.seed,
                )
                rows.append(_row(task))
    return _some(rows, config.train)


def held_out(config: GrpoConfig, episodes: Sequence[Episode], on_skipped: OnSkipped) -> list[Row]:
    """The rows to evaluate on: whole episodes, in their order.

    Args:
        config: Of the run, with `held_out`.
        episodes: Those of `config.held_out`.
        on_skipped: Called with what is wrong with an episode whose video cannot be used.

    Raises:
        InputError: no episode has anything to play.
    """
    assert config.held_out is not None
    rows = [
        _row(
            Task(
                episodes=config.held_out,
                question_id=episode.question_id,
                frame_interval=config.play.frame_interval,
                seed=config.seed,
                held_out=True,
            )
        )
        for episode in _playable(episodes, on_skipped)
    ]
    return _some(rows, config.held_out)


def check_apart(train: Sequence[Episode], held_out: Sequence[Episode]) -> None:
    """Check that no video is in both sets.

    Raises:
        InputError: one is, under whatever path.
    """
    both = {episode.video.resolve() for episode in train} & {episode.video.resolve() for episode in held_out}
    if both:
        raise InputError(
            f"expected other videos in held_out than in train, found {len(both)} in both, such as {min(both)}: "
            "hold out another subset, split or file"
        )


def _row(task: Task) -> Row:
    return {"input": task.name, "label": task.model_dump_json(exclude_none=True), "datasource": task.episodes.benchmark}


def _some(rows: list[Row], source: BenchmarkConfig) -> list[Row]:
    if not rows:
        raise InputError(
            f"expected episodes of {source.benchmark} with a video that can be read and a gold reply, found none"
        )
    return rows


def _playable(episodes: Sequence[Episode], on_skipped: OnSkipped) -> Iterator[Episode]:
    """The episodes with a gold reply and a readable video, their durations filled in."""
    probe = cache(_probe)
    for episode in episodes:
        duration, problem = probe(episode.video)
        if not problem:
            try:
                episode = _with_duration(episode, duration)
            except ValueError as error:
                problem = f"{episode.video}: {error}"
        if not problem and not episode.gold:
            problem = "expected a gold reply, found none"
        if problem:
            on_skipped(f"question_id {episode.question_id!r}: {problem}")
        else:
            yield episode


def _probe(video: Path) -> tuple[float, str]:
    """A video's length in seconds, and what is wrong with it."""
    try:
        return probe_duration(video), ""
    except InputError as error:
        return 0.0, str(error)


def _with_duration(episode: Episode, duration: float) -> Episode:
    if episode.duration is None:
        return episode.with_duration(duration)
    if round(episode.duration - duration, 6) > CLIPPING_SLACK_S:
        raise ValueError(f"expected {episode.duration:g} s of video, found {duration:g} s")
    return episode


def _cut(
    turns: tuple[Turn, ...], lengths: tuple[float, float] | None, rng: np.random.Generator
) -> Iterator[tuple[float, float] | None]:
    """The windows of an episode, (start, end) in seconds on turn boundaries; None: all of it."""
    ends = [turn.end for turn in turns]
    begin, last = turns[0].start, ends[-1]
    start = begin
    while start < last:
        end = last
        if lengths is not None:
            shortest, longest = lengths
            cut = max(bisect_right(ends, start + rng.uniform(shortest, longest)), bisect_right(ends, start) + 1)
            end = ends[cut - 1] if cut <= len(ends) and last - ends[cut - 1] >= shortest else last
        yield None if (start, end) == (begin, last) else (start, end)
        start = end


def _rng(seed: int, episode: Episode) -> np.random.Generator:
    name = blake2b(episode.question_id.encode(), digest_size=8).digest()
    return np.random.default_rng([seed, int.from_bytes(name)])
