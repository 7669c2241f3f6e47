"""Configs: read from YAML and `--set`, every key known; recorded in a run's folder, never contradicted, used by one."""

import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import yaml
from filelock import FileLock, Timeout
from pydantic import BaseModel, ValidationError

from proactive_env.errors import InputError
from proactive_env.plugin import did_you_mean

RECORD = "config.yaml"
_VERSIONS_OF = ("proactive-env", "gymnasium", "numpy", "av")

Config = TypeVar("Config", bound=BaseModel)


def load_config(name_or_file: str, model: type[Config], sets: Sequence[str], presets_folder: Path) -> Config:
    """A recipe's config.

    Args:
        name_or_file: The name of a preset, or the path of a YAML file.
        model: What the config must be.
        sets: `key=value`, laid over the file in order; dots lead into nested configs, values are YAML.
        presets_folder: The folder of the presets, `NAME.yaml`.

    Raises:
        InputError: there is no such preset or file, or the config is not a `model`; the message names each wrong key,
            and the nearest known one.
    """
    preset = presets_folder / f"{name_or_file}.yaml"
    file = preset if preset.is_file() else Path(name_or_file)
    if not file.is_file():
        presets = [preset.stem for preset in presets_folder.glob("*.yaml")]
        known = did_you_mean(name_or_file, presets)
        raise InputError(f"there is no config {name_or_file!r}{known}, or the path of a file")
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: expected UTF-8; {error}") from error
    config = _parse(text, str(file)) or {}
    if not isinstance(config, dict):
        raise InputError(f"{file}: expected a mapping of keys to values, found {type(config).__name__}")
    for setting in sets:
        key, separator, value = setting.partition("=")
        if not separator or not key:
            raise InputError(f"--set {setting}: expected key=value")
        _lay_over(config, key, _parse(value, f"--set {setting}"))
    _check_keys(config, model, "")
    try:
        return model.model_validate(config)
    except ValidationError as error:
        problems = (f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise InputError(f"{file}, with --set key=value over it: " + "; ".join(problems)) from error


def _parse(text: str, source: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"{source}: expected YAML; {error}") from error


def _lay_over(config: dict[str, Any], key: str, value: Any) -> None:
    *folders, last = key.split(".")
    for folder in folders:
        config = config.setdefault(folder, {})
        if not isinstance(config, dict):
            raise InputError(f"--set {key}: {folder} is no mapping, found {config!r}")
    config[last] = value


def _check_keys(config: dict[str, Any], model: type[BaseModel], prefix: str) -> None:
    for key, value in config.items():
        if key not in model.model_fields:
            raise InputError(f"there is no key {prefix}{key}{did_you_mean(str(key), list(model.model_fields))}")
        nested = model.model_fields[key].annotation
        if isinstance(value, dict) and isinstance(nested, type) and issubclass(nested, BaseModel):
            _check_keys(value, nested, f"{prefix}{key}.")


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
        found = _with_defaults(_read(file)["config"], type(config))
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


def _with_defaults(found: dict[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    """A record with the keys that the version which wrote it did not know."""
    with suppress(ValidationError):
        return model.model_validate(found).model_dump(mode="json")
    return found


def read_record(folder: Path, model: type[Config]) -> Config:
    """The config of the run in `folder`.

    Raises:
        InputError: there is no run, or its record cannot be read.
    """
    try:
        return model.model_validate(_read(folder / RECORD)["config"])
    except ValidationError as error:
        raise InputError(f"{folder / RECORD}: not the record of such a run; {error}") from error


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Nobody else works in a run's folder meanwhile; it is made if it is not there.

    Raises:
        InputError: somebody does already.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".lock", blocking=False):
            yield
    except Timeout as error:
        raise InputError(f"{folder}: another process is at work in this folder") from error


def _read(file: Path) -> dict[str, dict[str, object]]:
    try:
        content = yaml.safe_load(file.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise InputError(f"{file}: expected the record of a run; {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("config"), dict):
        raise InputError(f"{file}: expected the record of a run with a mapping 'config'")
    return content
