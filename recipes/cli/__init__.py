"""The command line `proactive`: one file a command."""

import sys
from typing import Annotated

import typer

from proactive_env import __version__
from proactive_env.errors import ChatUnavailable, EngineError, InputError, JudgeUnavailable
from proactive_env.recipes import console
from proactive_env.recipes.cli import (
    data_build,
    data_fetch,
    demo,
    doctor,
    evaluate,
    grpo,
    judge,
    reproduce,
    rewards,
    rollout,
    score,
    sft,
    show,
    tiny,
)

app = typer.Typer(
    no_args_is_help=True,
    help="Proactive video dialogue: play benchmarks, score them, look at rewards. Start with `proactive demo`.",
)
app.command()(rollout.rollout)
app.command(name="eval")(evaluate.evaluate)
app.command(name="score")(score.score_runs)
app.command()(demo.demo)
app.command()(reproduce.reproduce)
app.command()(show.show)
app.command()(sft.sft)
app.command()(grpo.grpo)
app.command()(tiny.tiny)
app.command()(doctor.doctor)
app.command()(rewards.rewards)
app.add_typer(judge.app, name="judge")
data = typer.Typer(no_args_is_help=True, help="Fetch or build the data that other commands play and train on.")
data.command()(data_fetch.fetch)
data.command()(data_build.build)
app.add_typer(data, name="data")


def _version(wanted: bool) -> None:
    if wanted:
        console.out.print(f"proactive-env {__version__}", highlight=False)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options of the program itself."""


def main() -> None:
    """Run the command line; errors that are the user's to mend print without a traceback."""
    try:
        app()
    except (InputError, JudgeUnavailable, ChatUnavailable, EngineError, OSError) as error:
        console.problem("\n".join([f"Error: {error}", *getattr(error, "__notes__", [])]))
        sys.exit(1)
