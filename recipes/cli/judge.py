"""The commands `judge check` and `judge compare`: try a judge before you trust it."""

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from proactive_env.errors import InputError
from proactive_env.recipes import console
from proactive_env.recipes.cli.options import AsJson, Data, JudgeModel, JudgeName, JudgeUrl, judge_config
from proactive_env.recipes.evaluate.agreement import agreement
from proactive_env.recipes.evaluate.rules.proactivevideoqa import LEVELS
from proactive_env.recipes.evaluate.run import Run
from proactive_env.recipes.evaluate.score import score
from proactive_env.rewards.judges.base import AsyncJudge, make_judge, shorten
from proactive_env.rewards.judges.chat import ChatJudge
from proactive_env.rewards.judges.pool import JudgePool
from proactive_env.turn import Transcript

app = typer.Typer(no_args_is_help=True, help="Try a judge, and hold two judges against each other.")


@app.command()
def check(
    judge: JudgeName = "chat",
    judge_url: JudgeUrl = None,
    judge_model: JudgeModel = None,
    as_json: AsJson = False,
) -> None:
    """Ask one question of each kind, and print what came back, how long it took and what it cost."""
    asked = make_judge(judge_config(judge, judge_url, judge_model))
    question, gold, now = "What appears?", "A red circle.", time.time()
    calls: dict[str, Callable[[], int | bool | None]] = {
        "coverage, 3 levels, half right": lambda: asked.coverage(question, gold, f"A red square, at {now}.", 3),
        "coverage, 5 levels, all right": lambda: asked.coverage(question, gold, f"A red circle, at {now}.", 5),
        "repeats, yes": lambda: asked.repeats([f"At {now} a dog barks.", "A cat sleeps."], f"A dog barks at {now}."),
    }
    rows: list[dict[str, Any]] = []
    for name, call in calls.items():
        began = time.perf_counter()
        answer = call()
        text = asked.last_text if isinstance(asked, ChatJudge) else None
        rows.append({"question": name, "answer": answer, "text": text, "seconds": time.perf_counter() - began})
    if as_json:
        usage = {"usage": asdict(asked.usage)} if isinstance(asked, AsyncJudge) else {}
        console.print_json({"judge": asked.describe(), "answers": rows, **usage})
        return
    table = Table(title=f"{asked.describe()}", title_justify="left")
    for heading in ("question", "answer (levels from 0)", "what came back", "seconds"):
        table.add_column(heading)
    for row in rows:
        answered = "cannot be used" if row["answer"] is None else str(row["answer"])
        table.add_row(row["question"], answered, Text(shorten(row["text"] or "", 300)), f"{row['seconds']:.2f}")
    console.out.print(table)
    if isinstance(asked, AsyncJudge):
        console.out.print(console.usage_line(asked.usage), highlight=False)


@app.command()
def compare(
    first: Annotated[
        str, typer.Argument(help="A judge: lexical, 'chat:MODEL?url=URL', module:Class or file.py:Class.")
    ],
    second: Annotated[str, typer.Argument(help="Another.")],
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs whose replies both of them judge.")],
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Let two judges score the same replies: how often they agree, beyond chance (Cohen's kappa)."""
    judges = [JudgePool(make_judge(spec)) for spec in (first, second)]
    transcripts: list[Transcript] = []
    for run in map(Run, runs):
        transcripts += run.transcripts(run.config(data).load()).values()
    with console.progress("judging") as (start, advance):
        start(len(judges) * len(transcripts), 0)
        for judge in judges:
            scores = score(transcripts, judge, on_question=advance)
            if scores.unscored:
                raise InputError(f"no answer for {scores.unscored[0]!r}; run the command again\n  {scores.reason}")
    one, two = judges
    tables = {
        "coverage": agreement(one.levels, two.levels, categories=range(LEVELS)),
        "repeats": agreement(one.flags, two.flags, categories=(False, True)),
    }
    if as_json:
        described = [{**judge.describe(), "levels": LEVELS} for judge in judges]
        console.print_json({"judges": described, **tables})
        return
    for name, table in tables.items():
        _print_agreement(name, table)
    console.out.print(f"rows: {first}; columns: {second}", highlight=False)


def _print_agreement(name: str, row: dict[str, Any]) -> None:
    kappa = "-" if row["kappa"] is None else f"{row['kappa']:.2f}"
    share = "-" if row["agreement"] is None else f"{row['agreement']:.1f} %"
    summary = f"{row['questions']} questions, agreement {share}, Cohen's kappa {kappa}"
    console.out.print(f"{name}: {summary}; {row['unusable']} without a usable answer", highlight=False)
    table = Table(box=SIMPLE_HEAD)
    table.add_column("")
    for category in row["categories"]:
        table.add_column(str(category), justify="right")
    for category, counts in zip(row["categories"], row["confusion"], strict=True):
        table.add_row(str(category), *map(str, counts))
    console.out.print(table)
