"""`proactive score`: score runs, or predictions, by the benchmark's rules."""

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from proactive_env.episode import Episode
from proactive_env.errors import InputError
from proactive_env.recipes import console
from proactive_env.recipes.cli.options import (
    AsJson,
    Data,
    JudgeModel,
    JudgeName,
    JudgeUrl,
    Predictions,
    RunBenchmark,
    Seed,
    Size,
    SkipBad,
    Split,
    Subset,
    config_of,
    judge_config,
)
from proactive_env.recipes.evaluate.episodes import BenchmarkConfig
from proactive_env.recipes.evaluate.predictions import read_predictions
from proactive_env.recipes.evaluate.run import Run
from proactive_env.recipes.evaluate.score import Scores, compare, score
from proactive_env.recipes.evaluate.tables import differences_table, scores_table
from proactive_env.rewards.judges.base import Judge, make_judge
from proactive_env.turn import Transcript


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
    present_only: Annotated[
        bool, typer.Option("--present-only", help="Leave questions out that --predictions has no row for.")
    ] = False,
    judge: JudgeName = "lexical",
    judge_url: JudgeUrl = None,
    judge_model: JudgeModel = None,
    as_json: AsJson = False,
) -> None:
    """Score runs, or a file of predictions, by the benchmark's rules; needs annotations, no videos.

    A question without a row in --predictions counts as silent, as in the benchmark; with --present-only it does not
    count, and the numbers do not compare with published ones.

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
        config = config_of(BenchmarkConfig, options | {"benchmark": benchmark or "proactivevideoqa"})
        read = partial(_predicted, predictions, present_only=present_only)
        scores[str(predictions)] = _score_source(str(predictions), config, read, asked, skip_bad or present_only)
        if out:
            out.mkdir(parents=True, exist_ok=True)
            write(scores[str(predictions)], out)
    show(scores, as_json)


def _narrowed(config: BenchmarkConfig, folder: Path, options: dict[str, Any]) -> BenchmarkConfig:
    """The config of a run, or of a part of it (--subset)."""
    for name in ("benchmark", "split", "size"):
        if options[name] not in (None, getattr(config, name)):
            raise InputError(f"{folder} was played with {name} {getattr(config, name)!r}, found {options[name]!r}")
    return config.model_copy(update={"subset": options["subset"]}) if options["subset"] else config


def _predicted(file: Path, episodes: Sequence[Episode], *, present_only: bool) -> dict[str, Transcript]:
    """The transcripts of a file of predictions; what it does not mention is silent, unless only what it does counts."""
    found = read_predictions(file, episodes)
    missing = [episode for episode in episodes if episode.question_id not in found]
    if missing:
        of = f"{file}: {len(missing)} of {len(episodes)} questions have no row, the first is {missing[0].question_id!r}"
        does = "are left out: not comparable with published results" if present_only else "count as silent"
        console.problem(f"{of}; they {does}", style="yellow")
    if present_only:
        return found
    return {one.question_id: found.get(one.question_id) or Transcript(one, ()) for one in episodes}


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
