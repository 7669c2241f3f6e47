"""`proactive tiny`: a tiny checkpoint to try things on."""

from pathlib import Path
from typing import Annotated

import typer

from proactive_env.recipes import console
from proactive_env.recipes.training.tiny import make_tiny


def tiny(
    out: Annotated[Path, typer.Option(help="A folder for the checkpoint; it must be empty or new.")],
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random weights.")] = 0,
) -> None:
    """Make a tiny checkpoint: a random Qwen2.5-VL, its tokenizer and processor.

    Its tokenizer is trained on TinyWorld's words. Everything that takes a
    model takes it:

    proactive eval --benchmark tinyworld --size 4 --agent transformers:DIR
    """
    parameters = make_tiny(out, seed)
    console.out.print(f"{parameters:,} parameters in {out}", soft_wrap=True, highlight=False)
