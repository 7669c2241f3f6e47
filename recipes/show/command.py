"""The command `show`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from proactive_env.episode import Episode
from proactive_env.errors import InputError
from proactive_env.recipes import console
from proactive_env.recipes.evaluate.commands import Data, JudgeModel, JudgeName, JudgeUrl, judge_config
from proactive_env.recipes.evaluate.run import Run
from proactive_env.recipes.evaluate.tables import short_names
from proactive_env.recipes.grpo.folder import SCORES, Folder
from proactive_env.recipes.show.page import collect, render
from proactive_env.rewards.judge import AsyncJudge, make_judge
from proactive_env.turn import Transcript


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
    trainings = {name: _evaluations(folder) for name, folder in zip(_names(trained), trained, strict=True)}
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


def _names(folders: Sequence[Path]) -> list[str]:
    if len(set(folders)) < len(folders):
        twice = next(folder for folder in folders if list(folders).count(folder) > 1)
        raise InputError(f"the run {twice} is given twice")
    return list(short_names(map(str, folders)).values())


def _evaluations(training: Path) -> list[dict[str, Any]]:
    rows = [row for row in Folder(training).rows(SCORES) if row.get("pauc_ci95")]
    if not rows:
        raise InputError(f"{training}: expected a folder of `proactive grpo` with evaluations, found no {SCORES}")
    return rows


def load_runs(
    folders: Sequence[Path], data: Path | None = None
) -> tuple[list[Episode], dict[str, dict[str, Transcript]], list[str]]:
    """The episodes of all runs, the transcripts by run and question id, and what was left out.

    Runs are named by their folders, with the whole path where two folders have one name.

    Raises:
        InputError: a folder holds no run or is given twice, or the runs play different data sets.
    """
    episodes: dict[str, Episode] = {}
    played: dict[str, dict[str, Transcript]] = {}
    skipped: list[str] = []
    for folder, name in zip(folders, _names(folders), strict=True):
        run = Run(folder)
        found = {episode.question_id: episode for episode in run.config(data).load(skipped.append)}
        if played:
            _refuse_other_questions(episodes, found, folders[0], folder)
        played[name] = run.transcripts(list(found.values()))
        episodes |= found
    return list(episodes.values()), played, list(dict.fromkeys(skipped))


def _refuse_other_questions(known: dict[str, Episode], found: dict[str, Episode], first: Path, other: Path) -> None:
    shared = known.keys() & found.keys()
    if not shared:
        raise InputError(f"{first} and {other} play different data sets: they share no question; show them one by one")
    for question_id in sorted(shared):
        if known[question_id].model_dump(exclude={"video"}) != found[question_id].model_dump(exclude={"video"}):
            raise InputError(
                f"{first} and {other} play different data sets: question {question_id!r} is annotated differently; "
                "show them one by one, or say with --data which annotations count"
            )
