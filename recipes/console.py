"""How commands speak: results on the standard output, progress and problems on the standard error."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from proactive_env.serving.chat import Usage

out = Console()
err = Console(stderr=True)


def print_json(value: Any) -> None:
    """Print `value` for machines."""
    typer.echo(json.dumps(value, indent=2))


def problem(text: str, style: str = "red") -> None:
    """Print a message on the standard error, as it is."""
    err.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def report_skipped(skipped: Sequence[str]) -> None:
    """Tell what was left out, and why."""
    for reason in skipped:
        problem(f"left out: {reason}", style="yellow")


def usage_line(usage: Usage, who: str = "judge") -> str:
    """Calls, tokens and cost of a judge, or another model."""
    cost = "" if usage.cost is None else f", cost {usage.cost:.4f}"
    tokens = f"{usage.prompt_tokens} + {usage.completion_tokens} tokens"
    return f"{who}: {usage.calls} calls, {usage.cached} answers from disk, {tokens}{cost}"


@contextmanager
def progress(what: str) -> Iterator[tuple[Callable[[int, int], None], Callable[[], None]]]:
    """A progress bar, on a terminal only.

    Yields:
        `start(total, done)`, which sets the bar, and `advance()`, which moves it by one.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, disable=not err.is_terminal, transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield (
            lambda total, done: bar.update(task, total=total, completed=done),
            lambda: bar.advance(task),
        )
