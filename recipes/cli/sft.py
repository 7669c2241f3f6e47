"""`proactive sft`: teach a vision-language model when to speak and what to say."""

import shlex
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated, Any

import typer

from proactive_env.recipes import console
from proactive_env.recipes.evaluate.tables import scores_table
from proactive_env.recipes.record import load_config
from proactive_env.recipes.training.sft.config import PRESETS, SftConfig


def sft(
    config: Annotated[str, typer.Option(help="tinyworld, mmduet2, or a YAML file.")],
    out: Annotated[Path, typer.Option(help="The run's folder; the same command continues it.", file_okay=False)],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="key=value, over the config: steps=100, model=PATH, train.size=64. Repeatable."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Warm-start a model on a data set's gold replies; OUT becomes the checkpoint.

    Kill it at any time: the same command goes on from the last checkpoint.
    On several GPUs: torchrun --nproc-per-node 8 -m proactive_env.recipes.cli
    sft --config mmduet2 --out DIR. Afterwards:

    proactive eval --benchmark tinyworld --agent transformers:OUT
    """
    from proactive_env.recipes.training.sft.run import train

    chosen = load_config(config, SftConfig, settings or [], PRESETS)
    with redirect_stdout(sys.stderr), console.progress("reading videos") as (start, advance):  # DeepSpeed prints
        result = train(chosen, out, on_start=start, on_episode=advance)
    if not result:
        return
    if as_json:
        console.print_json(result)
        return
    console.out.print(scores_table(result["runs"]))
    console.out.print(f"{out}: {_evaluation(chosen, out)}", soft_wrap=True, highlight=False)


def _evaluation(config: SftConfig, out: Path) -> str:
    """The command that evaluates the checkpoint as the held-out episodes were played."""
    drawn = "&".join(f"{name}={value}" for name, value in config.decoding.model_dump(exclude_defaults=True).items())
    options: dict[str, Any] = {"agent": f"transformers:{out}" + (f"?{drawn}" if drawn else "")}
    options |= config.model_dump(include={"frame_interval", "frames_per_turn"}, exclude_defaults=True)
    if config.held_out:
        options |= config.held_out.model_dump(include={"benchmark", "data", "subset"}, exclude_none=True)
    words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    return shlex.join(["proactive", "eval", *words])
