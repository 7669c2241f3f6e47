"""Classes named by strings: `package.module:Class`, or `file.py:Class` for a file that is not installed.

A file's class lives in `sys.modules` under a name made from the file's absolute path, so that it pickles, and so that a
Gymnasium spec that names it loads in any process that can read the file.
"""

import hashlib
import importlib
import importlib.util
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from importlib.metadata import entry_points
from pathlib import Path
from threading import RLock
from typing import Any, TypeVar, get_args
from urllib.parse import parse_qsl

from proactive_env.errors import InputError

Base = TypeVar("Base")

_loading = RLock()
_FILE_CLASS = re.compile(r"(?P<file>.+\.py):(?P<name>\w+)")


def load_class(path: str) -> type[Any]:
    """The class that `path` names.

    Raises:
        InputError: `path` is not of the form `module:Class` or `file.py:Class`, or there is no such file, module or
            class.
        Exception: what the module raises while it is imported.
    """
    file, separator, name = path.rpartition(":")
    if not separator or not file or not name:
        raise InputError(f"expected 'package.module:Class' or 'file.py:Class', found {path!r}")
    module = _load_file(Path(file).resolve()) if file.endswith(".py") else _import(file, path)
    found = getattr(module, name, None)
    if not isinstance(found, type):
        classes = [key for key, value in vars(module).items() if isinstance(value, type)]
        raise InputError(f"{file} has no class {name!r}{did_you_mean(name, classes)}")
    return found


class Registry(Mapping[str, str]):
    """The classes of one kind that have names, as `module:Class`; all others are named by that path itself.

    An installed package adds names by entry points of the groups `proactive_env.agents`, `.rewards`, `.judges` and
    `.datasets`:

    ```toml
    [project.entry-points."proactive_env.agents"]
    parrot = "my_package.agents:Parrot"
    ```

    Args:
        what: `agent`, `reward`, `judge` or `data set`.
        own: The library's.
    """

    def __init__(self, what: str, own: Mapping[str, str]) -> None:
        self._what = what
        self._own = own

    @cached_property
    def _paths(self) -> dict[str, str]:
        paths = dict(self._own)
        for point in entry_points(group=f"proactive_env.{self._what.replace(' ', '')}s"):
            if paths.setdefault(point.name, point.value) != point.value:
                raise InputError(
                    f"two packages bring the {self._what} {point.name!r}: {paths[point.name]} and {point.value}; "
                    "uninstall one of them"
                )
        return paths

    def __getitem__(self, name: str) -> str:
        return self._paths[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)

    def load(self, name: str, base: type[Base]) -> type[Base]:
        """The class by its name or path.

        Raises:
            InputError: there is none, or it is no `base`.
        """
        path = self.get(name, name)
        if ":" not in path:
            known = did_you_mean(name, tuple(self))
            raise InputError(f"there is no {self._what} {name!r}{known}, or 'module:Class' or 'file.py:Class'")
        found = load_class(path)
        if not issubclass(found, base):
            raise InputError(f"{name}: expected a subclass of {base.__name__}, found {found.__name__}")
        return found

    def construct(self, spec: str, base: type[Base], **options: Any) -> Base:
        """An object from a `Spec`; `options` are laid over its own.

        Raises:
            InputError: there is no such class, or it does not take these options.
        """
        parsed = Spec.parse(spec)
        named = parsed.kind in self or not parsed.argument.isidentifier()
        cls = self.load(parsed.kind if named else parsed.head, base)
        positional = [parsed.argument] if named and parsed.argument else []
        made: Base = construct(cls, spec, *positional, **(parsed.options | options))
        return made


@dataclass(frozen=True)
class Spec:
    """One string that names an agent or a judge: `kind:argument?option=value&option=value`.

    Example:
        >>> Spec.parse("random?p=0.5&seed=3")
        Spec(head='random', kind='random', argument='', options={'p': 0.5, 'seed': 3})
    """

    head: str
    """What stands before the question mark."""
    kind: str
    """What stands before the first colon of the head."""
    argument: str
    """What stands after it."""
    options: dict[str, Any]
    """Values are read as JSON where they are JSON, else as text."""

    @classmethod
    def parse(cls, spec: str) -> "Spec":
        """Take a spec apart."""
        head, _, query = spec.partition("?")
        kind, _, argument = head.partition(":")
        options = {name: _scalar(value) for name, value in parse_qsl(query, keep_blank_values=True)}
        return cls(head, kind, argument, options)


def _scalar(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def construct(cls: Callable[..., Any], spec: str, *arguments: Any, **options: Any) -> Any:
    """Call `cls`, with an error that names `spec` and shows the signature if the arguments do not fit.

    Raises:
        InputError: the arguments do not fit.
    """
    signature = inspect.signature(cls)
    try:
        bound = signature.bind(*arguments, **options)
    except TypeError as error:
        raise InputError(f"{spec!r}: {error}; expected {signature}") from error
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD and (unpacked := get_args(parameter.annotation)):  # of a TypedDict
            named = (one.name for one in signature.parameters.values() if one.kind is not one.VAR_KEYWORD)
            known = (*named, *unpacked[0].__annotations__)
            for name in bound.arguments.get(parameter.name, {}):
                if name not in known:
                    raise InputError(f"{spec!r}: there is no option {name!r}{did_you_mean(name, known)}")
    return cls(*arguments, **options)


def class_path(cls: type[Any]) -> str:
    """The string by which `load_class` finds `cls` in another process."""
    module = sys.modules[cls.__module__]
    if cls.__module__.startswith("proactive_env_user_"):
        return f"{module.__file__}:{cls.__name__}"
    return f"{cls.__module__}:{cls.__name__}"


def portable(value: Any) -> Any:
    """`value` (plain JSON data) with every `file.py:Class` in it made absolute."""
    if isinstance(value, str) and (match := _FILE_CLASS.fullmatch(value)):
        return f"{Path(match['file']).resolve()}:{match['name']}"
    if isinstance(value, dict):
        return {portable(key): portable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(portable(item) for item in value)
    return value


def did_you_mean(word: str, known: list[str] | tuple[str, ...]) -> str:
    """The tail of an error about an unknown name: the nearest known one, and all of them if they are few."""
    close = get_close_matches(word, known, n=1)
    suggestion = f"; did you mean {close[0]!r}?" if close else ""
    return f"{suggestion or ';'} known: {', '.join(sorted(known))}" if len(known) <= 20 else suggestion


def _import(module: str, path: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name and (module == error.name or module.startswith(f"{error.name}.")):
            raise InputError(f"{path!r}: there is no module {error.name!r}") from error
        raise


def _load_file(file: Path) -> Any:
    if not file.is_file():
        raise InputError(f"{file}: no such file")
    name = "proactive_env_user_" + hashlib.sha256(str(file).encode()).hexdigest()[:16]
    with _loading:  # rollouts load the same file from many threads
        return _loaded(name, file)


def _loaded(name: str, file: Path) -> Any:
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]
