"""The command line `proactive`."""

import sys

import typer
from rich.table import Table

from proactive_env.agents.engine import EngineError
from proactive_env.chat import ChatUnavailable
from proactive_env.errors import InputError
from proactive_env.recipes import console, judge
from proactive_env.recipes.data.build.command import build
from proactive_env.recipes.data.fetch import fetch
from proactive_env.recipes.demo import demo
from proactive_env.recipes.doctor import doctor
from proactive_env.recipes.evaluate import commands
from proactive_env.recipes.grpo.command import grpo
from proactive_env.recipes.reproduce import reproduce
from proactive_env.recipes.sft.command import sft
from proactive_env.recipes.show.command import show
from proactive_env.recipes.tiny import tiny
from proactive_env.rewards.judge import JudgeUnavailable

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Proactive video dialogue: play benchmarks, score them, look at rewards. Start with `proactive demo`.",
)
app.command()(commands.rollout)
app.command(name="eval")(commands.evaluate)
app.command(name="score")(commands.score_runs)
app.command()(demo)
app.command()(reproduce)
app.command()(show)
app.command()(sft)
app.command()(grpo)
app.command()(tiny)
app.command()(doctor)
app.add_typer(judge.app, name="judge")
data = typer.Typer(no_args_is_help=True, help="Fetch or build the data that other commands play and train on.")
data.command()(fetch)
data.command()(build)
app.add_typer(data, name="data")


@app.command()
def rewards(as_json: commands.AsJson = False) -> None:
    """List the rewards: weight in the default sum, what they look at, what they are."""
    from proactive_env.rewards.make import REWARDS, WEIGHTS

    rows = [
        {
            "name": name,
            "weight": WEIGHTS[name],
            "scope": cls.scope,
            "description": (cls.__doc__ or "").strip().splitlines()[0],
        }
        for name, cls in REWARDS.items()
    ]
    if as_json:
        console.print_json(rows)
        return
    table = Table(caption="add your own: rewards={'my_package.module:MyReward': 1}, or 'file.py:MyReward'")
    for heading in ("reward", "weight", "looks at", "what it is"):
        table.add_column(heading)
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    console.out.print(table)


def main() -> None:
    """Run the command line; errors that are the user's to mend print without a traceback."""
    try:
        app()
    except (InputError, JudgeUnavailable, ChatUnavailable, EngineError, OSError) as error:
        console.problem("\n".join([f"Error: {error}", *getattr(error, "__notes__", [])]))
        sys.exit(1)


if __name__ == "__main__":
    main()
