"""Pages that mkdocs makes when it builds, so that they cannot go stale: the command line, the configs, the examples."""

import ast
import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import typer
import yaml
from annotated_types import Ge, Gt, Le, Lt
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from proactive_env.recipes.cli import app
from proactive_env.recipes.data.construct import config as build
from proactive_env.recipes.evaluate.run import RolloutConfig
from proactive_env.recipes.training.grpo import config as grpo
from proactive_env.recipes.training.sft import config as sft

ROOT = Path(__file__).parent.parent
RECIPES: dict[str, tuple[type[BaseModel], Path | None, str]] = {
    "proactive sft": (sft.SftConfig, sft.PRESETS, "[Warm-start a model](../how-to/sft.md)"),
    "proactive grpo": (grpo.GrpoConfig, grpo.PRESETS, "[Train by rewards](../how-to/grpo.md)"),
    "proactive data build": (build.BuildConfig, build.PRESETS, "[Build data from videos](../how-to/build-data.md)"),
    "proactive rollout and eval": (RolloutConfig, None, "[Play the real benchmark](../how-to/real-benchmark.md)"),
}
"""The config of each recipe, the folder of its presets, and where it is used."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages."""
    pages = {"reference/cli.md": cli_page(), "reference/configs.md": configs_page(), "examples.md": examples_page()}
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    return files


def cli_page() -> str:
    """Every command, its arguments and options, as `--help` gives them."""
    command: Any = typer.main.get_command(app)
    head = (
        "# Command line\n\nMade from the commands themselves; `proactive COMMAND --help` says the same. An error that "
        "is yours to mend is one sentence and exit status 1. What a command has finished is kept: start it again, and "
        "it goes on.\n"
    )
    options = _parameters(command, "proactive")
    return "\n".join([head, *options, *_commands(command, "proactive")])


def _commands(group: Any, name: str) -> Iterator[str]:
    for command in group.commands.values():
        path = f"{name} {command.name}"
        if hasattr(command, "commands"):
            yield from _commands(command, path)
            continue
        yield f"\n## {path}\n"
        for paragraph in (command.help or "").split("\n\n"):
            yield f"```\n{paragraph}\n```\n" if paragraph.startswith("proactive ") else f"{paragraph}\n"
        yield from _parameters(command, path)


def _parameters(command: Any, path: str) -> Iterator[str]:
    rows = [row for parameter in command.params if (row := _parameter(parameter, typer.Context(command)))]
    if rows:
        yield f"| `{path}` takes | default | |\n| --- | --- | --- |"
        yield from rows


def _parameter(parameter: Any, context: typer.Context) -> str | None:
    record = parameter.get_help_record(context)
    if record is None or parameter.hidden:
        return None
    shown = "" if parameter.default is None or isinstance(parameter.default, bool) else f"`{parameter.default}`"
    default = "required" if parameter.required else shown
    return f"| `{record[0].strip('{}').replace(' range>', '>')}` | {default} | {_cell(parameter.help or '')} |"


def configs_page() -> str:
    """Every key of every config, and the presets."""
    parts = [
        "# Configs\n\nMade from the configs themselves. `--config` names a preset or a YAML file, `--set key=value` "
        "lays a value over it, with dots into nested configs: `--set play.temperature=1.2`. An unknown key is an error "
        "that names the nearest known one. The effective config is written into the run's folder, with the versions.\n"
    ]
    told: list[type[BaseModel]] = []
    for command, (model, presets, page) in RECIPES.items():
        parts.append(f"\n## {command}\n\n{page}\n")
        parts += _models(model, told)
        for file in sorted(presets.glob("*.yaml")) if presets else ():
            parts.append(f"\n`--config {file.stem}`:\n\n```yaml\n{file.read_text().strip()}\n```\n")
    return "\n".join(parts)


def _models(model: type[BaseModel], told: list[type[BaseModel]]) -> Iterator[str]:
    if model in told:
        return
    told.append(model)
    yield f"\n### {model.__name__}\n\n{model.__doc__}\n\n| key | type | default | |\n| --- | --- | --- | --- |"
    for name, field in model.model_fields.items():
        yield f"| `{name}` | {_type(field)} | {_default(field)} | {_cell(field.description or '')} |"
    for field in model.model_fields.values():
        for nested in _nested(field.annotation):
            yield from _models(nested, told)


def _nested(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _nested(part)


def _type(field: FieldInfo) -> str:
    bounds = [f"{sign} {value:g}" for sign, value in _bounds(field.metadata)]
    kind, none, _ = _annotation(field.annotation).partition(" or none")
    return " ".join([kind, *([", ".join(bounds)] if bounds else [])]) + none


def _bounds(metadata: Sequence[Any]) -> Iterator[tuple[str, float]]:
    for bound in metadata:
        for kind, sign, name in ((Gt, ">", "gt"), (Ge, "≥", "ge"), (Lt, "<", "lt"), (Le, "≤", "le")):
            if isinstance(bound, kind):
                yield sign, getattr(bound, name)


def _annotation(annotation: Any) -> str:
    parts = get_args(annotation)
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{part}`" for part in parts)
    if get_origin(annotation) in (Union, types.UnionType):
        return " or ".join("none" if part is type(None) else _annotation(part) for part in parts)
    if get_origin(annotation) is tuple:
        return f"list of {_annotation(parts[0])}" if parts[-1] is ... else f"[{', '.join(map(_annotation, parts))}]"
    if get_origin(annotation) is dict:
        return f"mapping to {_annotation(parts[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    words = {str: "text", int: "int", float: "number", bool: "true or false", Path: "path"}
    return words.get(annotation, "anything")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return "its defaults"
    if field.default_factory and value:
        return "made at the start"
    if value is None:
        return "none"
    plain = list(value) if isinstance(value, tuple) else str(value) if isinstance(value, Path) else value
    written = yaml.safe_dump(plain, default_flow_style=True).split("\n")[0]
    return f"`{written}`"


def examples_page() -> str:
    """The scripts of examples/, each with what it says about itself."""
    parts = [
        "# Examples\n\nThe scripts of `examples/` in a checkout, as they stand: each runs offline in seconds, without "
        "arguments, and the tests run them all. Two notebooks lie beside them: `look_at_an_episode.ipynb` and "
        "`own_reward.ipynb`.\n"
    ]
    for file in sorted((ROOT / "examples").glob("*.py")):
        tree = ast.parse(file.read_text())
        first = tree.body[0]
        code = "\n".join(file.read_text().splitlines()[first.end_lineno :]).strip()
        parts.append(f"\n## {file.name}\n\n{ast.get_docstring(tree)}\n\n```python\n{code}\n```\n")
    return "\n".join(parts)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
