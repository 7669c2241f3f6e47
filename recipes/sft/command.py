"""`proactive sft`: teach a vision-language model when to speak and what to say."""

from pathlib import Path
from typing import Annotated

import typer

from proactive_env import agents
from proactive_env.recipes import console
from proactive_env.recipes.config import load_config
from proactive_env.recipes.evaluate.tables import scores_table
from proactive_env.recipes.sft.config import SftConfig

PRESETS = Path(__file__).parent


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
    from proactive_env.recipes.sft.held_out import scores_of, summary
    from proactive_env.recipes.sft.run import held_out_of, train

    chosen = load_config(config, SftConfig, settings or [], PRESETS)
    with console.progress("reading videos") as (start, advance):
        transcripts = train(chosen, out, on_start=start, on_episode=advance)
    held_out = held_out_of(chosen)
    if not transcripts or not held_out:
        return
    scores = {
        "silent": scores_of(held_out.play(agents.load("silent"))).as_dict(),
        "oracle": scores_of(held_out.play(agents.load("oracle"))).as_dict(),
        str(out): scores_of(transcripts).as_dict(),
    }
    if as_json:
        console.print_json({"runs": scores, "summary": summary(transcripts, chosen.frame_interval)})
        return
    console.out.print(scores_table(scores))
    console.out.print(f"{out}: proactive eval --agent transformers:{out}", soft_wrap=True, highlight=False)
