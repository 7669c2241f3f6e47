"""Scores as tables for people; the numbers are those of `Scores.as_dict` and `compare`."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from proactive_env.recipes.evaluate.proactivevideoqa import OMEGAS

_COLUMNS = {
    "duplicates": "dupl.",
    "replies_per_question": "replies",
    "out_of_span": "out of span",
    "mean_delay_s": "delay (s)",
    "covered": "covered",
}


def scores_table(runs: Mapping[str, Mapping[str, Any]]) -> Table:
    """A row for each run and subset.

    Args:
        runs: `Scores.as_dict()` by the run's name.
    """
    table = Table(title="PAUC by ProactiveVideoQA's rules; shares in percent", caption=_caption(runs))
    table.add_column("run")
    table.add_column("subset")
    for heading in ("questions", "spans", *(f"ω={omega:g}" for omega in OMEGAS), "ω=0.5, 95 %", *_COLUMNS.values()):
        table.add_column(heading, justify="right")
    for name, scores in runs.items():
        for subset, row in scores["subsets"].items():
            table.add_row(
                name,
                subset,
                str(row["questions"]),
                str(row["spans"]),
                *(_decimal(value) for value in row["pauc"].values()),
                _interval(row["pauc_ci95"]),
                *(_decimal(row[key]) for key in _COLUMNS),
            )
    return table


def differences_table(first: str, differences: Mapping[str, Mapping[str, Any]]) -> Table:
    """A row for each further run and subset: PAUC minus the first run's, with 95 % intervals.

    Args:
        first: The first run's name.
        differences: `compare(...)` by the further run's name.
    """
    table = Table(title=f"PAUC minus that of {first}, paired by question, with 95 % intervals")
    table.add_column("run")
    table.add_column("subset")
    for heading in ("questions", *(f"ω={omega:g}" for omega in OMEGAS)):
        table.add_column(heading, justify="right")
    for name, subsets in differences.items():
        for subset, row in subsets.items():
            cells = (f"{cell['difference']:+.1f} {_interval(cell['ci95'], '+')}" for cell in row["pauc"].values())
            table.add_row(name, subset, str(row["questions"]), *cells)
    return table


def _caption(runs: Mapping[str, Mapping[str, Any]]) -> str:
    judges = {_judge(scores["judge"]) for scores in runs.values()}
    failures = sum(row["judge_failures"] for scores in runs.values() for row in scores["subsets"].values())
    return "; ".join([*sorted(judges), *([f"{failures} judgements could not be used"] if failures else [])])


def _judge(judge: Mapping[str, Any]) -> str:
    if judge["kind"] != "chat":
        return f"{judge['kind']} judge: not comparable with published results"
    return f"judge {judge['model']}, prompts {judge['prompt_version']}, {judge['levels']} levels"


def _decimal(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _interval(bounds: list[float] | None, sign: str = "") -> str:
    return "-" if bounds is None else f"[{bounds[0]:{sign}.1f}, {bounds[1]:{sign}.1f}]"
