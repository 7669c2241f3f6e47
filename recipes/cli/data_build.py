"""`proactive data build`: proactive dialogues from a folder of videos, by a vision language model behind a server."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from proactive_env.errors import ChatUnavailable, InputError
from proactive_env.recipes import console
from proactive_env.recipes.data.construct.config import PRESETS, BuildConfig
from proactive_env.recipes.data.construct.engines import ENGINES, Engine
from proactive_env.recipes.data.construct.estimate import estimate
from proactive_env.recipes.data.construct.lines import Line, VideoScenes
from proactive_env.recipes.data.construct.run import CONTACT_SHEET, Build, check_input
from proactive_env.recipes.data.construct.scenes import write_scenes
from proactive_env.recipes.data.report import statistics, statistics_table
from proactive_env.recipes.record import load_config


def build(
    videos: Annotated[Path, typer.Argument(help="The folder of videos.", exists=True, file_okay=False)],
    out: Annotated[Path, typer.Option(help="The build's folder; the same command continues it.", file_okay=False)],
    config: Annotated[str, typer.Option(help="default, mmduet2, or a YAML file.")] = "default",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="key=value, over the config: model=NAME, server.url=URL, seed=1. Repeatable."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be asked and cost; ask nothing.")] = False,
    engine: Annotated[Literal["asyncio", "ray"], typer.Option(help="ray: on the actors of a Ray cluster.")] = "asyncio",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Make proactive dialogues from videos: scenes, captions, questions, dialogues.

    The model must take images and is named by --set model=NAME; any
    OpenAI-compatible server will do. Kill it at any time: the same command
    goes on, and nothing that was answered is asked again.

    OUT holds a file for each stage, episodes.jsonl, sft.jsonl and grpo.jsonl
    (the videos held out by rl_videos), dropped.json (what was left out, and
    why), contact_sheet.html (the first videos, to look at), config.yaml, and
    usage.json (what was asked since the first start).
    """
    chosen = load_config(config, BuildConfig, settings or [], PRESETS)
    chosen = chosen.model_copy(update={"videos": videos.resolve()})
    if dry_run:
        _print_estimate(chosen, ENGINES[engine], as_json)
        return
    made = Build(out, chosen, ENGINES[engine])
    try:
        episodes = made.run()
    except ChatUnavailable as error:
        raise InputError(f"{error}\nWhat is done is kept: start again to continue") from error
    finally:
        if not as_json:
            console.err.print(console.usage_line(made.usage, "model"), highlight=False)
    numbers = statistics(episodes)
    if as_json:
        table = {subset: row.model_dump() for subset, row in numbers.items()}
        result = {"episodes": len(episodes), "statistics": table, "dropped": made.dropped, "messages": made.messages}
        console.print_json(result | {"usage": asdict(made.usage)})
    else:
        console.report_skipped(
            made.messages
            + [
                f"{name}: {reason}: {count}"
                for name, counts in made.dropped.items()
                for reason, count in counts.items()
            ]
        )
    if not episodes:
        raise InputError(
            f"not one dialogue was made: {out / 'dropped.json'} counts what was left out, and why; mend the videos, or "
            "try shorter scenes, another model or other gates, with another --out"
        )
    if as_json:
        return
    console.out.print(statistics_table(numbers))
    if not chosen.rl_videos:
        console.out.print("grpo.jsonl is empty: --set rl_videos.SUBSET=N holds videos out for it", highlight=False)
    console.out.print(f"{out / 'episodes.jsonl'}; look at {out / CONTACT_SHEET}", soft_wrap=True, highlight=False)


def _print_estimate(config: BuildConfig, engine: Engine, as_json: bool) -> None:
    listed, _ = check_input(config)
    found: list[VideoScenes] = []
    with console.progress("scenes") as (start, advance):
        start(len(listed), 0)

        def keep(line: Line | None, _: object) -> None:
            if isinstance(line, VideoScenes):
                found.append(line)
                advance()

        engine(write_scenes, config, listed, keep)
    total = estimate(found, config)
    messages = [message for line in sorted(found, key=lambda line: line.video) for message in line.messages]
    if as_json:
        console.print_json(asdict(total) | {"messages": messages})
        return
    console.report_skipped(messages)
    cost = "no price: --set 'server.price=[PROMPT, COMPLETION]'" if total.cost is None else f"cost {total.cost:.2f}"
    console.out.print(
        f"{total.videos} of {len(listed)} videos with {total.scenes} scenes: {total.calls} calls, "
        f"{total.images} images, about {total.prompt_tokens} + {total.completion_tokens} tokens, {cost}",
        soft_wrap=True,
        highlight=False,
    )
