"""A plan of `proactive` commands, run one after the other: each is printed, and can be run alone."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
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


def program() -> str:
    """What to type for this command line: its path where the shell does not find it by name."""
    return "proactive" if shutil.which("proactive") else os.path.relpath(Path(sys.executable).with_name("proactive"))


def run(plan: Sequence[Stage], screen: Console = console.out) -> None:
    """Run the stages in order; what ends this process lets the one that runs end first.

    Args:
        plan: The stages.
        screen: Where headings go, and what the commands print.

    Raises:
        typer.Exit: a stage failed, with its exit code.
    """
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    for number, stage in enumerate(plan, start=1):
        left = sum(later.minutes for later in plan[number - 1 :])
        time = f"about {stage.minutes:g} min, {left:g} to the end"
        screen.rule(f"{number} of {len(plan)}: {stage.title} ({time})", align="left")
        screen.print(f"$ {shlex.join([program(), *stage.command])}", style="dim", soft_wrap=True, highlight=False)
        # -P: what lies in the current folder is not imported
        command = [sys.executable, "-P", "-m", "proactive_env.recipes.cli", *stage.command]
        with subprocess.Popen(command, stdout=screen.file) as running:
            try:
                status = running.wait()
            except BaseException:
                running.terminate()
                running.wait()
                raise
        if status:
            console.problem(
                f"stage {number} ended with {status}: when what it says above is mended, the same command "
                "goes on from here; other settings need an --out of their own"
            )
            raise typer.Exit(status)
