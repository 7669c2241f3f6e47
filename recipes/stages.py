"""A plan of `proactive` commands, run one after the other: each is printed, and can be run alone."""

import shlex
import subprocess
import sys
from collections.abc import Sequence
from typing import NamedTuple

import typer

from proactive_env.recipes import console


class Stage(NamedTuple):
    """A command of the plan; finished or killed, the same command goes on where it was."""

    title: str
    minutes: float
    """What it takes on 2 cores."""
    command: list[str]


def run(plan: Sequence[Stage]) -> None:
    """Run the stages in order.

    Raises:
        typer.Exit: a stage failed, with its exit code.
    """
    for number, stage in enumerate(plan, start=1):
        left = sum(later.minutes for later in plan[number - 1 :])
        console.out.rule(
            f"{number} of {len(plan)}: {stage.title} (of about {left:.0f} min left, {stage.minutes:g})", align="left"
        )
        console.out.print(
            f"$ {shlex.join(['proactive', *stage.command])}", style="dim", soft_wrap=True, highlight=False
        )
        # -P: what lies in the current folder is not imported
        done = subprocess.run([sys.executable, "-P", "-m", "proactive_env.recipes.cli", *stage.command], check=False)
        if done.returncode:
            console.problem(f"stage {number} ended with {done.returncode}; the same command goes on from here")
            raise typer.Exit(done.returncode)
