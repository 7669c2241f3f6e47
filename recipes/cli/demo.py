"""`proactive demo`: from random weights to a model that has learned by rewards when to speak."""

from pathlib import Path
from typing import Annotated

import typer

from proactive_env.recipes import console, stages
from proactive_env.recipes.reproduce.experiments import QUESTIONS
from proactive_env.recipes.stages import Stage

_NEXT = """\
Open [bold]{page}[/] in a browser: curves of the training, and all dialogues before and after.

Next, your own videos and a real checkpoint:
  {proactive} data build VIDEOS --out data --set model=NAME --set server.url=URL
  {proactive} sft --config mmduet2 --out runs/sft --set train.data=data/sft.jsonl
  {proactive} grpo --config mmduet2 --out runs/grpo --set model=runs/sft --set train.data=data/grpo.jsonl"""


def plan(out: Path) -> list[Stage]:
    """The demo's stages; all runs go into the folder `out`."""
    sft, grpo, page = (str(out / name) for name in ("sft", "grpo", "page.html"))
    agents = {
        "after-sft": f"transformers:{sft}",
        "after-grpo": f"transformers:{grpo}",
        "silent": "silent",
        "oracle": "oracle",
    }
    played = {name: str(out / name) for name in agents}
    warm_start = ["sft", "--config", "tinyworld", "--out", sft]
    rewards = ["grpo", "--config", "tinyworld", "--out", grpo, "--set", f"model={sft}"]
    return [
        Stage("warm start: words, and the end of each span", 8, warm_start),
        Stage("rewards: when to speak", 10, rewards),
        *(
            Stage(
                f"test videos: {name}", 2, ["eval", "--agent", agent, "--size", str(QUESTIONS), "--out", played[name]]
            )
            for name, agent in agents.items()
        ),
        Stage("the page", 0.5, ["show", *played.values(), "--training", grpo, "--out", page]),
        Stage("what the rewards changed", 0.1, ["score", *played.values()]),
    ]


def demo(
    out: Annotated[Path, typer.Option(help="Where runs and page go.", file_okay=False)] = Path("runs/demo"),
) -> None:
    """Watch a model learn when to speak: a warm start, GRPO, test videos, a page.

    Takes half an hour on 2 CPU cores, without data, checkpoint or judge. Each
    stage is a command, printed so that it can be run alone. Kill it at any
    time: the same command goes on.
    """
    stages.run(plan(out))
    following = _NEXT.format(page=out / "page.html", proactive=stages.program())
    console.out.print(following, soft_wrap=True, highlight=False)
