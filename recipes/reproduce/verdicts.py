"""What an experiment shows, beside what the paper reports, and whether the signs agree."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from proactive_env.recipes.evaluate.run import Run
from proactive_env.recipes.evaluate.score import Scores, compare, score
from proactive_env.recipes.evaluate.tables import judge_line
from proactive_env.recipes.reproduce.course import signed
from proactive_env.recipes.reproduce.experiments import Experiment, Finding
from proactive_env.rewards.judges.lexical import LexicalJudge

_LEGEND = (
    "dup.: of the n replies in a span that are not its first, those that repeat;\n"
    "rep.: replies in the words of an earlier one; repl.: replies a question;\n"
    "intervals are over the questions, of one training each"
)


def scored(folder: Path) -> Scores:
    """The scores of the run in a folder, by the lexical judge."""
    run = Run(folder)
    return score(run.transcripts(run.config().load()).values(), LexicalJudge(), on_question=lambda: None)


def _difference(experiment: Experiment, finding: Finding, scores: Mapping[str, Scores]) -> dict[str, Any]:
    """`{"difference": ..., "ci95": [low, high]}` of the finding's number, paired by question."""
    row, than = (scores[experiment.rows[index].folder].questions for index in (finding.row, finding.than))
    (differences,) = compare(than, row).values()
    found: dict[str, Any] = differences["pauc"]["0.5"] if finding.number == "pauc" else differences[finding.number]
    return found


def _verdict(finding: Finding, difference: Mapping[str, Any]) -> str:
    """Whether the sign is the paper's, as far as the interval tells."""
    if difference["ci95"] is None:
        return "not defined: too few replies that could be duplicates"
    if not finding.sign:
        return "no sign to compare with"
    low, high = sorted(finding.sign * bound for bound in difference["ci95"])
    return (
        "as in the paper" if low > 0 else "the opposite of the paper" if high < 0 else "not seen: the interval holds 0"
    )


def table(experiment: Experiment, scores: Mapping[str, Scores]) -> Table:
    """An experiment's rows, the paper's numbers beside ours; `scores` by the rows' folders."""
    judged = f"{_LEGEND}\n{judge_line(next(iter(scores.values())).judge)}"
    left: Any = {"title_justify": "left", "caption_justify": "left"}
    rows = Table(title=experiment.title, caption=judged, box=SIMPLE_HEAD, padding=0, **left)
    for heading in ("", "PAUC [95 %]", "dup. % of n", "rep. %", "repl.", "paper\nPAUC", "paper\ndup.", "paper\nrepl."):
        rows.add_column(heading, justify="right" if heading else "left")
    for row in experiment.rows:
        (numbers,) = scores[row.folder].as_dict()["subsets"].values()
        low, high = numbers["pauc_ci95"]
        rows.add_row(
            row.label,
            f"{numbers['pauc']['0.5']:.1f} [{low:.0f}, {high:.0f}]",
            f"{_number(numbers['duplicates'])} of {numbers['repeatable']}",
            *map(_number, (numbers["repeated"], numbers["replies_per_question"], *row.paper)),
        )
    return rows


def _number(number: float | None) -> str:
    return "-" if number is None else f"{number:.1f}"


def findings(experiment: Experiment, scores: Mapping[str, Scores]) -> list[str]:
    """A line for each finding: the difference, and whether its sign is the paper's."""
    return [_told(experiment, finding, scores) for finding in experiment.findings]


def _told(experiment: Experiment, finding: Finding, scores: Mapping[str, Scores]) -> str:
    difference = _difference(experiment, finding, scores)
    row, than = (experiment.rows[index].label for index in (finding.row, finding.than))
    expected = {1: "higher than", -1: "lower than", 0: "beside"}[finding.sign]
    numbers = f"{signed(difference)}, " if difference["ci95"] else ""
    return f"{finding.number} of {row} {expected} that of {than}: {numbers}{_verdict(finding, difference)}"


def as_dict(experiment: Experiment, scores: Mapping[str, Scores]) -> dict[str, Any]:
    """All numbers of an experiment, the paper's beside ours."""
    return {
        "title": experiment.title,
        "remark": experiment.remark,
        "rows": [
            {"label": row.label, "paper": row.paper, "here": scores[row.folder].as_dict()} for row in experiment.rows
        ],
        "findings": [
            {
                **finding._asdict(),
                **(found := _difference(experiment, finding, scores)),
                "verdict": _verdict(finding, found),
            }
            for finding in experiment.findings
        ],
    }
