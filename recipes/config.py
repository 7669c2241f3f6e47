"""The record of a run: its effective config and versions, written once beside its results, and never contradicted."""

import platform
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from proactive_env.errors import InputError

RECORD = "config.yaml"
_VERSIONS_OF = ("proactive-env", "gymnasium", "numpy", "av")

Config = TypeVar("Config", bound=BaseModel)


def record(folder: Path, config: BaseModel, *, begun: bool) -> None:
    """Write `config` and the versions at work into a run's folder, or check that they continue what was begun there.

    Args:
        folder: The run's folder; made if it is not there.
        config: The run's config.
        begun: Whether the folder holds results, which the config must fit.

    Raises:
        InputError: the folder holds a run with another config; the message names what changed.
    """
    file = folder / RECORD
    wanted = config.model_dump(mode="json")
    if begun:
        found = _read(file)["config"]
        changed = [key for key in wanted.keys() | found.keys() if wanted.get(key) != found.get(key)]
        if changed:
            lines = [f"  {key}: {found.get(key)!r} then, {wanted.get(key)!r} now" for key in sorted(changed)]
            raise InputError(
                f"{file} records a run with another config; give this one a folder of its own (--out)\n"
                + "\n".join(lines)
            )
        return
    folder.mkdir(parents=True, exist_ok=True)
    versions = {"python": platform.python_version()} | {name: version(name) for name in _VERSIONS_OF}
    partial = file.with_suffix(".partial")
    partial.write_text(yaml.safe_dump({"config": wanted, "versions": versions}, sort_keys=False))
    partial.replace(file)


def read_record(folder: Path, model: type[Config]) -> Config:
    """The config of the run in `folder`.

    Raises:
        InputError: there is no run, or its record cannot be read.
    """
    try:
        return model.model_validate(_read(folder / RECORD)["config"])
    except ValidationError as error:
        raise InputError(f"{folder / RECORD}: not the record of such a run; {error}") from error


def _read(file: Path) -> dict[str, dict[str, object]]:
    try:
        content = yaml.safe_load(file.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise InputError(f"{file}: expected the record of a run; {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("config"), dict):
        raise InputError(f"{file}: expected the record of a run with a mapping 'config'")
    return content
