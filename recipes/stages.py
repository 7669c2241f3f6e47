"""A plan of `proactive` commands, run one after the other: each is printed, and can be run alone."""

import shlex
import subprocess
import sys
from collections.abc import Sequence
from typing import NamedTuple

import typer
from rich.console import Console

from proactive_env.recipes import console


class Stage(NamedTuple):
    """A command of the plan; finished or killed, the same command goes on where it was."""

    title: str
    minutes: float
    """What it takes on 2 cores."""
    command: list[str]


def run(plan: Sequence[Stage], screen: Console = console.out) -> None:
    """Run the stages in order.

    Args:
        plan: The stages.
        screen: Where headings go, and what the commands print.

    Raises:
        typer.Exit: a stage failed, with its exit code.
    """
    for number, stage in enumerate(plan, start=1):
        left = sum(later.minutes for later in plan[number - 1 :])
        time = f"about {stage.minutes:g} min, {left:g} to the end"
        screen.rule(f"{number} of {len(plan)}: {stage.title} ({time})", align="left")
        screen.print(f"$ {shlex.join(['proactive', *stage.command])}", style="dim", soft_wrap=True, highlight=False)
        # -P: what lies in the current folder is not imported
        command = [sys.executable, "-P", "-m", "proactive_env.recipes.cli", *stage.command]
        done = subprocess.run(command, stdout=screen.file, check=False)
        if done.returncode:
            console.problem(f"stage {number} ended with {done.returncode}; the same command goes on from here")
            raise typer.Exit(done.returncode)
