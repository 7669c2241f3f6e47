"""What a run will take, in numbers, and whether it can work at all: found before Ray, DeepSpeed or vLLM start."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from rich.table import Table

from proactive_env.agents.models.agent import prepare
from proactive_env.agents.models.chat_template import ChatTemplate
from proactive_env.agents.models.dialogue import SYSTEM_PROMPT
from proactive_env.clock import Clock, plan
from proactive_env.episode import Episode
from proactive_env.errors import InputError, JudgeUnavailable
from proactive_env.extras import require
from proactive_env.recipes.training.grpo.config import GrpoConfig, PlayConfig
from proactive_env.recipes.training.grpo.prepare.windows import Row
from proactive_env.recipes.training.grpo.task import Task
from proactive_env.rewards.judges.base import make_judge
from proactive_env.rewards.make import make
from proactive_env.turn import NO_REPLY, Transcript
from proactive_env.video import probe_duration

OPENRLHF = "0.11.2"
"""The version whose flags and interfaces the recipe knows."""
_FILE = "measures.json"


@dataclass(frozen=True)
class Measures:
    """What a run will take; `longest` is the window that plays the most frames."""

    steps: int
    windows: int
    held_out: int
    """Episodes."""
    most_images: int
    """Frames of the longest conversation, with its history, held-out ones included."""
    longest: str
    """Its name."""
    frames: int
    turns: int
    history: int
    """Turns before it, at most; what of them does not fit is left out, the oldest first."""
    frame_tokens: int
    silent_tokens: int
    """Of its conversation if nothing is said."""
    worst_tokens: int
    """Of its conversation if every reply is as long as it may be."""
    rollout_bytes: int
    """Of its pictures as the actor reads them: what travels through Ray for one rollout."""

    @classmethod
    def read(cls, out: Path) -> Self:
        """The measures that were written into a run's folder."""
        return cls(**json.loads((out / _FILE).read_text()))

    def write(self, out: Path) -> None:
        """Keep them in a run's folder."""
        (out / _FILE).write_text(json.dumps(asdict(self), indent=2) + "\n")

    def table(self, config: GrpoConfig) -> Table:
        """The numbers for people."""
        table = Table(title="Before the start", title_justify="left", show_header=False)
        batch = self.rollout_bytes * config.rollouts
        rows = {
            "steps": f"{self.steps}, of {config.windows_per_step} windows x {config.group} rollouts",
            "windows": f"{self.windows} played, {self.held_out} held-out episodes",
            "longest window": f"{self.longest}: {self.turns} turns, {self.frames} frames",
            "history": f"at most {self.history} turns; the oldest are left out if it does not fit",
            "its tokens": f"{self.silent_tokens:,} in silence, {self.worst_tokens:,} at most; "
            f"max_tokens {config.play.max_tokens:,}",
            "through Ray": f"at most {_megabytes(self.rollout_bytes)} a rollout, {_megabytes(batch)} a step",
            "GPUs, or processes": f"{config.all_gpus}: {config.actors} train, {config.engines} engines of "
            f"{config.tensor_parallel}{', shared' if config.colocate else ''}",
        }
        for name, value in rows.items():
            table.add_row(name, value)
        if self.worst_tokens > config.play.max_tokens:
            table.caption = "a rollout that talks until max_tokens are used up is silent for the rest of its window"
        return table


def check_software(config: GrpoConfig) -> None:
    """Check what is installed and what the machine has.

    Raises:
        InputError: something is missing, or another version than the recipe knows.
    """
    require("grpo")
    found = version("openrlhf")
    if found != OPENRLHF:
        raise InputError(
            f"expected openrlhf {OPENRLHF}, whose flags this recipe knows, found {found}: "
            f"pip install openrlhf=={OPENRLHF}"
        )
    if config.address is not None:
        return
    import torch

    if config.nodes > 1:
        raise InputError("nodes > 1 needs a Ray cluster: name its address, such as address=http://head:8265")
    there = torch.cuda.device_count()
    if torch.cuda.is_available() and there < config.all_gpus:
        raise InputError(
            f"the run takes {config.all_gpus} GPUs, found {there}: lower gpus and engines, or give address"
        )


def measure(
    config: GrpoConfig,
    rows: Sequence[Row],
    held_out: Sequence[Row],
    episodes: Sequence[Episode],
    held_out_episodes: Sequence[Episode],
) -> Measures:
    """Measure a run, and try what it needs: checkpoint, chat template, rewards, judge, one video.

    Args:
        config: Of the run.
        rows: Those of all steps.
        held_out: Those of an evaluation.
        episodes: Those that `rows` play.
        held_out_episodes: Those that `held_out` play.

    Raises:
        InputError: something cannot be used, or the longest window does not fit.
    """
    play = config.play
    processor, _ = prepare(config.model, {"format": play.format})
    template = ChatTemplate(processor)
    _check_judge(play)
    planned = _planned(play, rows, episodes)
    longest = max(planned, key=lambda window: window.frames)
    picture = _first_frame(play, longest.task, episodes)
    frame_tokens = template.count(processor.image_token, [picture])
    pixels = processor.image_processor(images=[picture], return_tensors="np")
    silent, worst = _tokens(play, template, frame_tokens, longest)
    _check_lengths(config, longest.task, silent)
    fitting = play.max_tokens // frame_tokens
    images = min(max(window.all_frames for window in planned), fitting)
    if held_out:
        longest_held_out = max(_planned(play, held_out, held_out_episodes), key=lambda window: window.frames)
        picture = _first_frame(play, longest_held_out.task, held_out_episodes)
        fitting = play.max_tokens // template.count(processor.image_token, [picture])
        images = max(images, min(longest_held_out.frames, fitting))
    return Measures(
        steps=len(rows) // config.windows_per_step,
        windows=len({row["input"] for row in rows}),
        held_out=len(held_out),
        most_images=images,
        longest=longest.task.name,
        frames=longest.frames,
        turns=len(longest.transcript.turns),
        history=max(len(window.transcript.history) for window in planned),
        frame_tokens=frame_tokens,
        silent_tokens=silent,
        worst_tokens=worst,
        rollout_bytes=images * sum(np.asarray(value, _trained_as(value)).nbytes for value in pixels.values()),
    )


def _trained_as(value: Any) -> type[np.generic]:
    return np.float32 if np.asarray(value).dtype.kind == "f" else np.int64


class _Window(NamedTuple):
    task: Task
    transcript: Transcript
    frames: int
    """Those that are played."""
    all_frames: int
    """Those of the history, too."""


def _planned(play: PlayConfig, rows: Sequence[Row], episodes: Sequence[Episode]) -> list[_Window]:
    """What each row plays."""
    by_id = {episode.question_id: episode for episode in episodes}
    planned = []
    for label in dict.fromkeys(row["label"] for row in rows):
        task = Task.model_validate_json(label)
        episode = by_id[task.question_id]
        if episode.duration is None:
            episode = episode.with_duration(probe_duration(episode.video))
        clock = Clock.of(
            episode,
            frame_interval=task.frame_interval,
            frames_per_turn=play.frames_per_turn or episode.frames_per_turn,
        )
        window = None if task.start is None or task.end is None else (task.start, task.end)
        transcript = plan(episode, clock.turns(episode), window)
        first, last = (clock.frames(transcript.turns[place].index) for place in (0, -1))
        planned.append(_Window(task, transcript, last[1] - first[0], last[1] - clock.first_frame))
    return planned


def _first_frame(play: PlayConfig, task: Task, episodes: Sequence[Episode]) -> Any:
    """What the environment shows first; the rewards are loaded on the way."""
    env = make(
        [episode for episode in episodes if episode.question_id == task.question_id],
        rewards=play.rewards,
        judge=play.judge,
        frame_interval=task.frame_interval,
        frames_per_turn=play.frames_per_turn,
        max_pixels=play.max_pixels,
    )
    observation, _ = env.reset(seed=task.seed, options=task.options)
    env.close()
    return observation["frames"][0]


def _tokens(play: PlayConfig, template: ChatTemplate, frame_tokens: int, window: _Window) -> tuple[int, int]:
    """Tokens of a window in silence, and with the longest replies; without its history, which can be forgotten."""
    silence = template.to_assistant + NO_REPLY + template.to_user if play.format == "no_reply" else ""
    read = template.count(template.head(SYSTEM_PROMPT), ())
    for turn in window.transcript.turns:
        read += template.count(template.plain(turn.user_text), ())
    joints = template.count(template.content(1, ""), ()) - 1  # what stands around a frame
    read += window.frames * (frame_tokens + joints)
    turns = len(window.transcript.turns)
    reply = template.count(template.to_assistant + template.to_user, ()) + play.max_new_tokens
    return read + turns * template.count(silence, ()), read + turns * reply


def _check_lengths(config: GrpoConfig, task: Task, silent_tokens: int) -> None:
    from transformers import AutoConfig

    play = config.play
    taken = AutoConfig.from_pretrained(config.model).get_text_config().max_position_embeddings
    if play.max_tokens > taken:
        raise InputError(f"play.max_tokens is {play.max_tokens}, but {config.model} takes {taken} tokens")
    if silent_tokens > play.max_tokens:
        raise InputError(
            f"{task.name}: the conversation has {silent_tokens} tokens even if nothing is said, and play.max_tokens is "
            f"{play.max_tokens}: raise it, shorten window, or show fewer or smaller frames"
        )


def _check_judge(play: PlayConfig) -> None:
    """Ask the judge something that no cache answers."""
    judge = make_judge(play.judge)
    try:
        judge.coverage("What appears?", "A red circle.", f"A red square, at {time.time()}.", 3)
    except JudgeUnavailable as error:
        raise InputError(f"the judge {judge.describe()} gives no answer: {error}") from error


def _megabytes(count: int) -> str:
    return f"{count / 2**20:,.1f} MiB"
