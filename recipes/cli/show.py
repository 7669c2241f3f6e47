"""The command `show`."""

from pathlib import Path
from typing import Annotated

import typer

from proactive_env.recipes import console
from proactive_env.recipes.cli.options import Data, JudgeModel, JudgeName, JudgeUrl, judge_config
from proactive_env.recipes.show.page import collect, render
from proactive_env.recipes.show.runs import evaluations_of, load_runs, names_of
from proactive_env.rewards.judges.base import AsyncJudge, make_judge


def show(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs of one data set; several stand side by side.")],
    out: Annotated[Path, typer.Option(help="The page: one HTML file.", dir_okay=False)] = Path("show.html"),
    training: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of `proactive grpo`: draw its evaluations. Repeatable.", exists=True),
    ] = None,
    data: Data = None,
    judge: JudgeName = "lexical",
    judge_url: JudgeUrl = None,
    judge_model: JudgeModel = None,
) -> None:
    """Make a page of runs, to open in any browser: timelines, replies, scores and rewards of every question.

    The page is one file without a server or a network: it can be mailed. Each question shows its gold spans, what each
    run said and when, the PAUC curve of each span, and what every turn earned. It sorts worst first, filters silent and
    repeated dialogues, and is usable by keyboard: j and k go through the questions, Enter opens one, arrow keys go
    through its replies. `--data` says where the data set is now, if it has moved; without videos, only their pictures
    are missing.

    Example: proactive show runs/tinyworld-oracle runs/tinyworld-late --out oracle-and-late.html
    """
    trained = training or []
    trainings = {name: evaluations_of(folder) for name, folder in zip(names_of(trained), trained, strict=True)}
    asked = make_judge(judge_config(judge, judge_url, judge_model))
    episodes, played, skipped = load_runs(runs, data)
    with console.progress("drawing") as (start, advance):
        start(len({question_id for transcripts in played.values() for question_id in transcripts}), 0)
        page = collect(episodes, played, asked, trainings=trainings, on_question=advance)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(render(page), encoding="utf-8")
    console.report_skipped(skipped)
    console.out.print(str(out), soft_wrap=True)
    if isinstance(asked, AsyncJudge):
        console.out.print(console.usage_line(asked.usage), highlight=False)
    dialogues = [dialogue for question in page["questions"] for dialogue in question["runs"] if dialogue]
    unscored = sum(dialogue["judged"] is None for dialogue in dialogues)
    if unscored:
        console.problem(f"{unscored} dialogues are unscored: the judge gave no answer; run the command again")
        raise typer.Exit(1)
