"""The commands `rollout`, `eval` and `score`."""

import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import typer
from pydantic import ValidationError

from proactive_env.datasets.catalog import root_of
from proactive_env.episode import Episode
from proactive_env.errors import InputError
from proactive_env.recipes import console
from proactive_env.recipes.evaluate.predictions import read_predictions
from proactive_env.recipes.evaluate.run import BenchmarkConfig, RolloutConfig, Run
from proactive_env.recipes.evaluate.score import Scores, compare, score
from proactive_env.recipes.evaluate.tables import differences_table, scores_table
from proactive_env.rewards.judge import Judge, make_judge
from proactive_env.turn import Transcript

BenchmarkName = Literal["proactivevideoqa", "streamingbench_po", "mmduet", "jsonl", "tinyworld"]
Benchmark = Annotated[BenchmarkName, typer.Option(help="The data set; tinyworld is bundled.")]
RunBenchmark = Annotated[BenchmarkName | None, typer.Option(help="The data set of --predictions; a run knows its own.")]
Data = Annotated[Path | None, typer.Option(help="The data set's folder or annotation file.", exists=True)]
Subset = Annotated[str | None, typer.Option(help="A part of the benchmark, such as WEB; default: all of it.")]
Split = Annotated[str | None, typer.Option(help="TinyWorld's train, validation or test; default: test.")]
Size = Annotated[int | None, typer.Option(min=1, help="How many episodes; default: all, or 64 of TinyWorld.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of TinyWorld, or of the choice of --size episodes.")]
AgentSpec = Annotated[
    str,
    typer.Option(
        help="kind:model?option=value: oracle, random?p=0.3, transformers:PATH, vllm:PATH?format=open_turn, "
        "openai:MODEL?url=URL, polling:vllm:PATH, ...; or file.py:Class."
    ),
]
Out = Annotated[
    Path | None, typer.Option(help="The run's folder; the same command continues it. Default: runs/BENCHMARK-AGENT.")
]
FrameInterval = Annotated[float, typer.Option(help="Seconds from one frame to the next.")]
FramesPerTurn = Annotated[int | None, typer.Option(min=1, help="Frames a turn; default: the benchmark's own.")]
FullVideo = Annotated[bool, typer.Option("--full-video", help="Play on after the last gold reply's span.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave bad rows and videos out and report them.")]
Concurrency = Annotated[int, typer.Option(min=1, help="How many episodes are played at once.")]
Predictions = Annotated[Path | None, typer.Option(help="A file in the benchmark's official format.", exists=True)]
JudgeName = Annotated[str, typer.Option("--judge", help="lexical, chat, or module:Class or file.py:Class of your own.")]
JudgeUrl = Annotated[str | None, typer.Option(help="A chat judge's server, such as http://localhost:8000/v1.")]
JudgeModel = Annotated[str | None, typer.Option(help="A chat judge's model; its key is read from $OPENAI_API_KEY.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


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
    run, skipped = play(_config(RolloutConfig, locals()), out, concurrency, skip_bad=skip_bad)
    console.report_skipped(skipped)
    _report_effort(run.transcripts(run.config().load((lambda _: None) if skip_bad else None)))
    console.out.print(str(run.folder), soft_wrap=True)


def evaluate(
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
    judge: JudgeName = "lexical",
    judge_url: JudgeUrl = None,
    judge_model: JudgeModel = None,
    as_json: AsJson = False,
) -> None:
    """Play a benchmark and score it: `rollout`, then `score`."""
    started = time.perf_counter()
    asked = make_judge(judge_config(judge, judge_url, judge_model))
    config = _config(RolloutConfig, locals())
    run, skipped = play(config, out, concurrency, skip_bad=skip_bad)
    episodes = config.load((lambda _: None) if skip_bad else None)
    transcripts = run.transcripts(episodes)
    _report_effort(transcripts)
    scores = score_transcripts(transcripts, asked, skipped)
    scores.wall_time_s = time.perf_counter() - started
    write(scores, run.folder)
    show({str(run.folder): scores}, as_json)


def score_runs(
    runs: Annotated[list[Path] | None, typer.Argument(help="Folders of runs; several are compared, paired.")] = None,
    predictions: Predictions = None,
    benchmark: RunBenchmark = None,
    data: Data = None,
    subset: Subset = None,
    split: Split = None,
    size: Size = None,
    seed: Seed = 0,
    out: Annotated[
        Path | None, typer.Option(help="Where scores.json of --predictions goes; or a run's folder.")
    ] = None,
    skip_bad: SkipBad = False,
    judge: JudgeName = "lexical",
    judge_url: JudgeUrl = None,
    judge_model: JudgeModel = None,
    as_json: AsJson = False,
) -> None:
    """Score runs, or a file of predictions, by the benchmark's rules; needs annotations, no videos.

    Two or more runs also get their paired differences to the first, with 95 % intervals.
    """
    folders = runs or ([out] if out and not predictions else [])
    if bool(folders) == bool(predictions) or len(set(folders)) < len(folders):
        raise InputError("give either folders of runs, each once, or --predictions FILE")
    asked = make_judge(judge_config(judge, judge_url, judge_model))
    options = locals()
    scores: dict[str, Scores] = {}
    for folder in folders:
        run = Run(folder)
        config = _narrowed(run.config(data), folder, options)
        scores[str(folder)] = _score_source(str(folder), config, run.transcripts, asked, skip_bad)
        write(scores[str(folder)], folder)
    if predictions:
        config = _config(BenchmarkConfig, options | {"benchmark": benchmark or "proactivevideoqa"})
        read = partial(read_predictions, predictions)
        scores[str(predictions)] = _score_source(str(predictions), config, read, asked, skip_bad)
        if out:
            out.mkdir(parents=True, exist_ok=True)
            write(scores[str(predictions)], out)
    show(scores, as_json)


Config = TypeVar("Config", bound=BenchmarkConfig)


def _config(model: type[Config], options: dict[str, Any]) -> Config:
    chosen = {name: value for name, value in options.items() if name in model.model_fields}
    try:
        return model.model_validate(chosen | {"data": root_of(chosen["benchmark"], chosen["data"])})
    except ValidationError as error:
        problems = (f"--{item['loc'][0]}: {item['msg']}, found {item['input']!r}" for item in error.errors())
        raise InputError("; ".join(problems).replace("_", "-")) from error


def _narrowed(config: BenchmarkConfig, folder: Path, options: dict[str, Any]) -> BenchmarkConfig:
    """The config of a run, or of a part of it (--subset)."""
    for name in ("benchmark", "split", "size"):
        if options[name] not in (None, getattr(config, name)):
            raise InputError(f"{folder} was played with {name} {getattr(config, name)!r}, found {options[name]!r}")
    return config.model_copy(update={"subset": options["subset"]}) if options["subset"] else config


def _score_source(
    source: str,
    config: BenchmarkConfig,
    read: Callable[[Sequence[Episode]], dict[str, Transcript]],
    judge: Judge,
    skip_bad: bool,
) -> Scores:
    skipped: list[str] = []
    episodes = config.load(skipped.append if skip_bad else None)
    transcripts = read(episodes)
    missing = [episode.question_id for episode in episodes if episode.question_id not in transcripts]
    if missing and not skip_bad:
        raise InputError(
            f"{source}: {len(missing)} of {len(episodes)} questions have no predictions, the first is {missing[0]!r}; "
            "finish the rollout, choose --subset, or leave them out with --skip-bad"
        )
    skipped += [f"{source}: no predictions for question_id {question_id!r}" for question_id in missing]
    return score_transcripts(transcripts, judge, skipped)


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


def _report_effort(transcripts: dict[str, Transcript]) -> None:
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


def judge_config(judge: str, url: str | None, model: str | None) -> dict[str, str]:
    """The judge that the options `--judge`, `--judge-url` and `--judge-model` describe."""
    return {"kind": judge} | {name: value for name, value in (("url", url), ("model", model)) if value}


def score_transcripts(transcripts: dict[str, Transcript], judge: Judge, skipped: list[str]) -> Scores:
    """Score, with a progress bar."""
    with console.progress("scoring") as (start, advance):
        start(len(transcripts), 0)
        scores = score(transcripts.values(), judge, on_question=advance)
    scores.skipped = skipped
    return scores


def show(scores: dict[str, Scores], as_json: bool) -> None:
    """Print the scores of runs by name, and how the others differ from the first; exit with 1 if any is unscored."""
    results = {name: result.as_dict() for name, result in scores.items()}
    (first, baseline), *others = scores.items()
    differences = {name: compare(baseline.questions, other.questions) for name, other in others}
    if as_json:
        console.print_json({"runs": results, "differences": differences} if others else results[first])
    else:
        console.out.print(scores_table(results))
        if others:
            console.out.print(differences_table(first, differences))
        console.out.print(f"took {sum(result.wall_time_s for result in scores.values()):.2f} s", highlight=False)
        for usage in (result.usage for result in scores.values() if result.usage):
            console.out.print(console.usage_line(usage), highlight=False)
    for result in scores.values():
        console.report_skipped(result.skipped)
    unscored = [(question_id, result.reason) for result in scores.values() for question_id in result.unscored]
    if unscored:
        reason = unscored[0][1]
        console.problem(f"{len(unscored)} questions are unscored: the judge gave no answer; score again\n  {reason}")
        raise typer.Exit(1)


def write(scores: Scores, folder: Path) -> None:
    """Write `scores.json`."""
    (folder / "scores.json").write_text(json.dumps(scores.as_dict(), indent=2) + "\n")
