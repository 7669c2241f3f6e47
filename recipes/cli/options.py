"""Options that commands share, and what is made of them."""

from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from pydantic import ValidationError

from proactive_env.datasets.catalog import NAMES, root_of
from proactive_env.errors import InputError
from proactive_env.recipes.evaluate.episodes import BenchmarkConfig

_NAMES = ", ".join(NAMES)
Benchmark = Annotated[str, typer.Option(help=f"The data set: {_NAMES} (bundled); or file.py:Class.")]
RunBenchmark = Annotated[str | None, typer.Option(help="The data set of --predictions; a run knows its own.")]
Data = Annotated[Path | None, typer.Option(help="The data set's folder or annotation file.", exists=True)]
Subset = Annotated[str | None, typer.Option(help="A part of the benchmark, such as WEB; default: all of it.")]
Split = Annotated[str | None, typer.Option(help="TinyWorld's train, validation or test; default: test.")]
Size = Annotated[int | None, typer.Option(min=1, help="How many episodes; default: all, or 64 of TinyWorld.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of TinyWorld, or of the choice of --size episodes.")]
AgentSpec = Annotated[
    str,
    typer.Option(
        help="kind:model?option=value: oracle, random?p=0.3, transformers:PATH, vllm:PATH?format=open_turn, "
        "openai:MODEL?url=URL, polling:vllm:PATH, ...; or file.py:Class."
    ),
]
Out = Annotated[
    Path | None, typer.Option(help="The run's folder; the same command continues it. Default: runs/BENCHMARK-AGENT.")
]
FrameInterval = Annotated[float, typer.Option(help="Seconds from one frame to the next.")]
FramesPerTurn = Annotated[int | None, typer.Option(min=1, help="Frames a turn; default: the benchmark's own.")]
FullVideo = Annotated[bool, typer.Option("--full-video", help="Play on after the last gold reply's span.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave bad rows and videos out and report them.")]
Concurrency = Annotated[int, typer.Option(min=1, help="How many episodes are played at once.")]
Predictions = Annotated[Path | None, typer.Option(help="A file in the benchmark's official format.", exists=True)]
JudgeName = Annotated[str, typer.Option("--judge", help="lexical, chat, or module:Class or file.py:Class of your own.")]
JudgeUrl = Annotated[str | None, typer.Option(help="A chat judge's server, such as http://localhost:8000/v1.")]
JudgeModel = Annotated[str | None, typer.Option(help="A chat judge's model; its key is read from $OPENAI_API_KEY.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


Config = TypeVar("Config", bound=BenchmarkConfig)


def config_of(model: type[Config], options: dict[str, Any]) -> Config:
    """The config that a command's options describe, those that it knows.

    Raises:
        InputError: an option has a value that cannot be; the message names the option.
    """
    chosen = {name: value for name, value in options.items() if name in model.model_fields}
    try:
        return model.model_validate(chosen | {"data": root_of(chosen["benchmark"], chosen["data"])})
    except ValidationError as error:
        problems = (f"--{item['loc'][0]}: {item['msg']}, found {item['input']!r}" for item in error.errors())
        raise InputError("; ".join(problems).replace("_", "-")) from error


def judge_config(judge: str, url: str | None, model: str | None) -> dict[str, str]:
    """The judge that the options `--judge`, `--judge-url` and `--judge-model` describe."""
    return {"kind": judge} | {name: value for name, value in (("url", url), ("model", model)) if value}
