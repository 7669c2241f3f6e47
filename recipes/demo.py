"""`proactive demo`: from random weights to a model that has learned by rewards when to speak, a command a stage."""

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from proactive_env.recipes import console

_NEXT = """\
Open [bold]{page}[/] in a browser: curves of the training, and all dialogues before and after.

Next, your own videos and a real checkpoint:
  proactive data build VIDEOS --out data --set model=NAME --set server.url=URL
  proactive sft --config mmduet2 --out runs/sft --set model=Qwen/Qwen2.5-VL-3B-Instruct
  proactive grpo --config mmduet2 --out runs/grpo --set model=runs/sft"""


class Stage(NamedTuple):
    """A command of the demo."""

    title: str
    minutes: float
    """What it takes on 2 cores."""
    command: list[str]


def stages(out: Path, *, quick: bool = False) -> list[Stage]:
    """The demo's commands; those that need a result of another come after it.

    Args:
        out: The folder of all runs.
        quick: A few steps of each training: enough to see that everything runs.
    """
    few_sft = ["--set", "steps=4", "--set", "train.size=16", "--set", "held_out.size=4"] if quick else []
    few_grpo = ["--set", "steps=2", "--set", "windows_per_step=4", "--set", "held_out.size=4"] if quick else []
    size = ["--size", "4"] if quick else []
    sft, grpo, page = str(out / "sft"), str(out / "grpo"), str(out / "page.html")
    played = {
        "silent": "silent",
        "oracle": "oracle",
        "after-sft": f"transformers:{sft}",
        "after-grpo": f"transformers:{grpo}",
    }
    runs = {name: str(out / name) for name in played}
    evaluations = [
        Stage(f"Play held-out videos: {name}", 1, ["eval", "--agent", agent, *size, "--out", runs[name]])
        for name, agent in played.items()
    ]
    first, *others = (runs[name] for name in ("after-sft", "after-grpo", "silent", "oracle"))
    return [
        Stage(
            "Warm start: learn words, and the end of each span",
            10,
            ["sft", "--config", "tinyworld", "--out", sft, *few_sft],
        ),
        Stage(
            "Rewards: find out when to speak",
            12,
            ["grpo", "--config", "tinyworld", "--out", grpo, "--set", f"model={sft}", "--set", "steps=24", *few_grpo],
        ),
        *evaluations,
        Stage("Draw the page", 0.5, ["show", *runs.values(), "--training", grpo, "--out", page]),
        Stage("Compare, paired with the warm start", 0.1, ["score", first, *others]),
    ]


def demo(
    out: Annotated[
        Path, typer.Option(help="Where runs and page go; the same command continues.", file_okay=False)
    ] = Path("runs/demo"),
    quick: Annotated[bool, typer.Option("--quick", help="A few steps only: does everything run here?")] = False,
) -> None:
    """Watch a model learn when to speak: TinyWorld, a warm start, GRPO, held-out videos, a page.

    Takes half an hour on 2 CPU cores, without data, checkpoint or judge. Each
    stage is a command, printed so that it can be run alone. Kill it at any
    time: the same command goes on.
    """
    plan = stages(out, quick=quick)
    for number, stage in enumerate(plan, start=1):
        left = sum(later.minutes for later in plan[number - 1 :])
        time = "" if quick else f" (about {stage.minutes:g} min of the {left:.0f} left)"
        console.out.rule(f"{number} of {len(plan)}: {stage.title}{time}", align="left")
        console.out.print(
            f"$ {shlex.join(['proactive', *stage.command])}", style="dim", soft_wrap=True, highlight=False
        )
        # -P: what lies in the current folder is not imported
        done = subprocess.run([sys.executable, "-P", "-m", "proactive_env.recipes.cli", *stage.command], check=False)
        if done.returncode:
            console.problem(f"Stage {number} ended with {done.returncode}. The same command goes on from here.")
            raise typer.Exit(done.returncode)
    console.out.print(_NEXT.format(page=out / "page.html"), soft_wrap=True, highlight=False)
