"""`proactive reproduce`: findings of the papers on TinyWorld."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from proactive_env.errors import InputError
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
    seeds: Annotated[
        str | None, typer.Option(help="Several, such as 0,1,2: mean and spread; seed 0 runs in OUT, N in OUT/seed-N.")
    ] = None,
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
    folders = _folders(out, seeds) if seeds else {seed: out}
    planned = [stage for one, folder in folders.items() for stage in plan(name, folder, one, settings or [])]
    stages.run(planned, console.err if as_json else console.out)
    scores = {
        one: {row.folder: scored(folder / row.folder) for row in experiment.rows} for one, folder in folders.items()
    }
    ran = experiment.course_of
    courses = {one: Course.of(folder / ran) for one, folder in folders.items()} if ran else {}
    if as_json:
        shown = {"courses": {one: course.as_dict() for one, course in courses.items()}} if courses else {}
        console.print_json(as_dict(experiment, scores) | shown)
        return
    console.out.print(table(experiment, scores))
    told = (line for one, course in courses.items() for line in (f"seed {one}:", *course.lines()))
    lines = [*told, *findings(experiment, scores), experiment.remark]
    for line in filter(None, lines):
        console.out.print(line, highlight=False)


def _folders(out: Path, seeds: str) -> dict[int, Path]:
    """The folder of each seed; that of seed 0 is the demo's."""
    try:
        wanted = [int(seed) for seed in seeds.split(",")]
    except ValueError:
        wanted = []
    if not wanted or min(wanted) < 0 or len(set(wanted)) < len(wanted):
        raise InputError(f"--seeds: expected different numbers such as 0,1,2, found {seeds!r}")
    return {seed: out / f"seed-{seed}" if seed else out for seed in wanted}
