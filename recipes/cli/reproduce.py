"""`proactive reproduce`: findings of the papers on TinyWorld."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from proactive_env.recipes import console, stages
from proactive_env.recipes.reproduce.course import Course
from proactive_env.recipes.reproduce.experiments import EXPERIMENTS
from proactive_env.recipes.reproduce.plan import plan
from proactive_env.recipes.reproduce.verdicts import as_dict, findings, scored, table

Name = StrEnum("Name", list(EXPERIMENTS))  # type: ignore[misc]  # Typer offers a list of names only as an enumeration


def reproduce(
    name: Annotated[Name, typer.Argument(help="Which finding.")],
    out: Annotated[
        Path, typer.Option(help="Where runs go; experiments and the demo share them.", file_okay=False)
    ] = Path("runs/demo"),
    seed: Annotated[int, typer.Option(min=0, help="Of every training.")] = 0,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="key=value for every GRPO run, such as steps=12.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Repeat a finding of MMDuet2 on TinyWorld, and print it beside the paper's.

    table2: SFT against RL. table6: a reward left out. table7: frame intervals.
    figure5: the course of a training. Every stage is a command, printed so
    that it can be run alone.
    """
    experiment = EXPERIMENTS[name]
    stages.run(plan(name, out, seed, settings or []), console.err if as_json else console.out)
    scores = {row.folder: scored(out / row.folder) for row in experiment.rows}
    course = Course.of(out / experiment.course_of) if experiment.course_of else None
    if as_json:
        console.print_json(as_dict(experiment, scores) | ({"course": course.as_dict()} if course else {}))
        return
    console.out.print(table(experiment, scores))
    lines = [*(course.lines() if course else []), *findings(experiment, scores), experiment.remark]
    for line in filter(None, lines):
        console.out.print(line, highlight=False)
