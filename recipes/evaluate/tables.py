"""Scores as tables for people; the numbers are those of `Scores.as_dict` and `compare`."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from proactive_env.recipes.evaluate.rules.proactivevideoqa import OMEGAS

_COLUMNS = {
    "duplicates": "dup.",
    "replies_per_question": "repl.",
    "out_of_span": "out",
    "mean_delay_s": "delay",
    "covered": "cov.",
}
_FEW = 20
"""Replies that could be duplicates: a share of fewer tells nothing."""
_LEGEND = (
    "dup.: replies that repeat; repl.: replies a question; out: replies outside every span;\n"
    "delay: seconds from a span's start to its first full answer; cov.: spans with a full answer"
)


def scores_table(runs: Mapping[str, Mapping[str, Any]]) -> Table:
    """A row for each run and subset; the interval is that of omega 0.5.

    Args:
        runs: `Scores.as_dict()` by the run's name.
    """
    table = _table("PAUC by ProactiveVideoQA's rules; shares in percent", caption=_caption(runs))
    names = short_names(runs)
    for heading in ("spans", "ω=0", "ω=0.5 [95 %]", "ω=1", *_COLUMNS.values()):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, scores in runs.items():
        for subset, row in scores["subsets"].items():
            zero, half, one = (_decimal(value) for value in row["pauc"].values())
            half = f"{half} {_interval(row['pauc_ci95'])}"
            others = (_duplicates(row) if key == "duplicates" else _decimal(row[key]) for key in _COLUMNS)
            table.add_row(names[name], subset, str(row["spans"]), zero, half, one, *others)
    return table


def differences_table(first: str, differences: Mapping[str, Mapping[str, Any]]) -> Table:
    """A row for each further run and subset: PAUC and delay minus the first run's.

    Args:
        first: The first run's name.
        differences: `compare(...)` by the further run's name.
    """
    names = short_names([first, *differences])
    table = _table(f"PAUC and delay minus those of {names[first]}, paired by n questions, with 95 % intervals")
    for heading in ("n", *(f"ω={omega:g}" for omega in OMEGAS), "delay s"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, subsets in differences.items():
        for subset, row in subsets.items():
            cells = [(cell, 0) for cell in row["pauc"].values()] + [(row["mean_delay_s"], 1)]
            texts = (f"{_decimal(cell['difference'], '+')} {_interval(cell['ci95'], n)}" for cell, n in cells)
            table.add_row(names[name], subset, str(row["questions"]), *texts)
    return table


def _table(title: str, caption: str | None = None) -> Table:
    left: Any = {"title_justify": "left", "caption_justify": "left"}
    table = Table(title=title, caption=caption, box=SIMPLE_HEAD, padding=0, **left)
    table.add_column("run", overflow="fold")
    table.add_column("subset", overflow="fold")
    return table


def short_names(paths: Iterable[str]) -> dict[str, str]:
    """The last part of each path, or all of it where two share that."""
    last = {path: Path(path).resolve().name for path in paths}
    names = list(last.values())
    return {path: name if names.count(name) == 1 else path for path, name in last.items()}


def _caption(runs: Mapping[str, Mapping[str, Any]]) -> str:
    judges = {judge_line(scores["judge"]) for scores in runs.values()}
    rows = [row for scores in runs.values() for row in scores["subsets"].values()]
    gaps = {
        "judgements could not be used": sum(row["judge_failures"] for row in rows),
        "turns failed: the agent gave no answer, which counts as silence": sum(row["failed_turns"] for row in rows),
    }
    return "\n".join([_LEGEND, *sorted(judges), *(f"{count} {gap}" for gap, count in gaps.items() if count)])


def judge_line(judge: Mapping[str, Any]) -> str:
    """Who judged, and whether that compares with published results."""
    if judge["kind"] != "chat":
        return f"{judge['kind']} judge: not comparable with published results"
    return f"judge {judge['model']}, prompts {judge['prompt_version']}, {judge['levels']} levels"


def _duplicates(row: Mapping[str, Any]) -> str:
    """A share, or the counts that it would be of where it says little."""
    share, of = row["duplicates"], row["repeatable"]
    return _decimal(share) if share is None or of >= _FEW else f"{share * of / 100:.0f} of {of}"


def _decimal(value: float | None, sign: str = "") -> str:
    return "-" if value is None else f"{value:{sign}.1f}"


def _interval(bounds: list[float] | None, digits: int = 0) -> str:
    return "" if bounds is None else f"[{bounds[0]:.{digits}f}, {bounds[1]:.{digits}f}]"
