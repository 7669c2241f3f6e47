"""`proactive demo`: from random weights to a model that has learned by rewards when to speak."""

from pathlib import Path
from typing import Annotated

import typer

from proactive_env.recipes import console, stages
from proactive_env.recipes.stages import Stage

_NEXT = """\
Open [bold]{page}[/] in a browser: curves of the training, and all dialogues before and after.

Next, your own videos and a real checkpoint:
  proactive data build VIDEOS --out data --set model=NAME --set server.url=URL
  proactive sft --config mmduet2 --out runs/sft --set train.data=data/sft.jsonl
  proactive grpo --config mmduet2 --out runs/grpo --set model=runs/sft --set train.data=data/grpo.jsonl"""


def plan(out: Path, *, quick: bool = False) -> list[Stage]:
    """The demo's stages.

    Args:
        out: The folder of all runs.
        quick: A few steps of each training: enough to see that everything runs.
    """
    sft, grpo, page = (str(out / name) for name in ("sft", "grpo", "page.html"))
    few = {
        "sft": ["--set", "steps=4", "--set", "train.size=16", "--set", "held_out.size=4"],
        "grpo": ["--set", "steps=2", "--set", "windows_per_step=4", "--set", "held_out.size=4"],
        "eval": ["--size", "4"],
    }
    short = few if quick else {name: [] for name in few}
    agents = {
        "after-sft": f"transformers:{sft}",
        "after-grpo": f"transformers:{grpo}",
        "silent": "silent",
        "oracle": "oracle",
    }
    played = {name: str(out / name) for name in agents}
    return [
        Stage(
            "warm start: words, and the end of each span",
            10,
            ["sft", "--config", "tinyworld", "--out", sft, *short["sft"]],
        ),
        Stage(
            "rewards: when to speak",
            10,
            ["grpo", "--config", "tinyworld", "--out", grpo, "--set", f"model={sft}", *short["grpo"]],
        ),
        *(
            Stage(f"test videos: {name}", 1, ["eval", "--agent", agent, "--out", played[name], *short["eval"]])
            for name, agent in agents.items()
        ),
        Stage("the page", 0.5, ["show", *played.values(), "--training", grpo, "--out", page]),
        Stage("what the rewards changed", 0.1, ["score", *played.values()]),
    ]


def demo(
    out: Annotated[
        Path | None, typer.Option(help="Where runs and page go. Default: runs/demo.", file_okay=False)
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A few steps only: does everything run here?")] = False,
) -> None:
    """Watch a model learn when to speak: a warm start, GRPO, test videos, a page.

    Takes half an hour on 2 CPU cores, without data, checkpoint or judge. Each
    stage is a command, printed so that it can be run alone. Kill it at any
    time: the same command goes on.
    """
    out = out or Path("runs/demo-quick" if quick else "runs/demo")
    stages.run(plan(out, quick=quick))
    console.out.print(_NEXT.format(page=out / "page.html"), soft_wrap=True, highlight=False)
