"""`proactive rollout`: let an agent play a benchmark."""

from collections import Counter
from pathlib import Path

import typer

from proactive_env.recipes import console
from proactive_env.recipes.cli.options import (
    AgentSpec,
    Benchmark,
    Concurrency,
    Data,
    FrameInterval,
    FramesPerTurn,
    FullVideo,
    Out,
    Seed,
    Size,
    SkipBad,
    Split,
    Subset,
    config_of,
)
from proactive_env.recipes.evaluate.run import RolloutConfig, Run
from proactive_env.turn import Transcript

_REASONS = 5  # told, the most frequent


def rollout(
    agent: AgentSpec,
    benchmark: Benchmark = "tinyworld",
    data: Data = None,
    subset: Subset = None,
    split: Split = None,
    size: Size = None,
    seed: Seed = 0,
    out: Out = None,
    frame_interval: FrameInterval = 1.0,
    frames_per_turn: FramesPerTurn = None,
    full_video: FullVideo = False,
    skip_bad: SkipBad = False,
    concurrency: Concurrency = 8,
) -> None:
    """Let an agent play a benchmark; writes transcripts and predictions, resumes where it was stopped."""
    run, skipped = play(config_of(RolloutConfig, locals()), out, concurrency, skip_bad=skip_bad)
    console.report_skipped(skipped)
    transcripts = run.transcripts(run.config().load((lambda _: None) if skip_bad else None))
    report_effort(transcripts)
    console.out.print(str(run.folder), soft_wrap=True)
    fail_on_failed_turns(transcripts)


def play(config: RolloutConfig, out: Path | None, concurrency: int, *, skip_bad: bool) -> tuple[Run, list[str]]:
    """Play into `out`, or the default folder; returns the run and what was left out."""
    parts = [config.benchmark, config.subset, config.agent]
    name = "-".join("".join(c if c.isalnum() or c in "._=" else "_" for c in part) for part in parts if part)
    run = Run(out or Path("runs") / name[:100])
    skipped: list[str] = []
    with console.progress(f"playing {config.agent}") as (start, advance):
        run.play(
            config,
            concurrency=concurrency,
            on_start=start,
            on_episode=advance,
            on_skipped=skipped.append if skip_bad else None,
        )
    return run, skipped


def report_effort(transcripts: dict[str, Transcript]) -> None:
    """Say what the agent's turns took, if it told."""
    turns = [turn.stats for transcript in transcripts.values() for turn in transcript.turns]
    total = Counter[str]()
    for stats in turns:
        total.update(stats)
    if not total:
        return
    parts = [f"{len(turns)} turns"]
    if "seconds" in total:
        parts.append(f"{total['seconds'] / len(turns):.3f} s a turn")
    if "prompt_tokens" in total:
        parts.append(f"{total['prompt_tokens']:.0f} + {total['drawn_tokens']:.0f} tokens")
    if "cost" in total:
        parts.append(f"cost {total['cost']:.4f}")
    console.problem(f"agent: {', '.join(parts)}", style="dim")


def fail_on_failed_turns(transcripts: dict[str, Transcript]) -> None:
    """Exit with 1 where the agent gave no answer at some turns, after saying at how many, and why."""
    failed = {name: one.failed_turns for name, one in transcripts.items() if one.failed_turns}
    if failed:
        reasons = Counter(turn.failure for turns in failed.values() for turn in turns)
        why = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common(_REASONS))
        console.problem(
            f"{reasons.total()} turns failed in {len(failed)} of {len(transcripts)} episodes: {why}. They count as "
            "silence; the same command plays these episodes again (more max_new_tokens may help a model that thinks)"
        )
        raise typer.Exit(1)
