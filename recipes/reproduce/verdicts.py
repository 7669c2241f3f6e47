"""What an experiment shows, beside what the paper reports, and whether the signs agree."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
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
)
_INTERVALS = "intervals are over the questions, of one training each"
_SPREAD = "means over the trainings of {} seeds, and in brackets the least and the largest"

BySeed = Mapping[int, Mapping[str, Scores]]
"""Scores by the training's seed and the row's folder."""


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


def table(experiment: Experiment, scores: BySeed) -> Table:
    """An experiment's rows, the paper's numbers beside ours."""
    judge = next(iter(next(iter(scores.values())).values())).judge
    said = _INTERVALS if len(scores) == 1 else _SPREAD.format(len(scores))
    left: Any = {"title_justify": "left", "caption_justify": "left"}
    caption = f"{_LEGEND}{said}\n{judge_line(judge)}"
    rows = Table(title=experiment.title, caption=caption, box=SIMPLE_HEAD, padding=0, **left)
    headings = ("", "PAUC", "dup. % of n", "rep. %", "repl.", "paper\nPAUC", "paper\ndup.", "paper\nrepl.")
    for heading in headings:
        rows.add_column(heading, justify="right" if heading else "left")
    for row in experiment.rows:
        found = [next(iter(one[row.folder].as_dict()["subsets"].values())) for one in scores.values()]
        repeatable = sum(numbers["repeatable"] for numbers in found)
        rows.add_row(
            row.label,
            _pauc(found),
            f"{_number(_mean(numbers['duplicates'] for numbers in found))} of {repeatable}",
            *(_number(_mean(numbers[name] for numbers in found)) for name in ("repeated", "replies_per_question")),
            *map(_number, row.paper),
        )
    return rows


def _pauc(found: Sequence[Mapping[str, Any]]) -> str:
    """The mean, with the interval of one training, or what several spread over."""
    paucs = [numbers["pauc"]["0.5"] for numbers in found]
    low, high = (min(paucs), max(paucs)) if len(paucs) > 1 else found[0]["pauc_ci95"]
    return f"{fmean(paucs):.1f} [{low:.1f}, {high:.1f}]"


def _mean(values: Iterable[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return fmean(defined) if defined else None


def _number(number: float | None) -> str:
    return "-" if number is None else f"{number:.1f}"


def findings(experiment: Experiment, scores: BySeed) -> list[str]:
    """A line for each finding: the differences, and whether their signs are the paper's."""
    return [_told(experiment, finding, scores) for finding in experiment.findings]


def _told(experiment: Experiment, finding: Finding, scores: BySeed) -> str:
    found = {seed: _difference(experiment, finding, one) for seed, one in scores.items()}
    row, than = (experiment.rows[index].label for index in (finding.row, finding.than))
    expected = {1: "higher than", -1: "lower than", 0: "beside"}[finding.sign]
    verdicts = {seed: _verdict(finding, difference) for seed, difference in found.items()}
    by_seed = [
        f"{f'seed {seed} ' if len(found) > 1 else ''}{f'{signed(one)}, ' if one['ci95'] else ''}{verdicts[seed]}"
        for seed, one in found.items()
    ]
    mean = _mean(one["difference"] for one in found.values())
    together = "" if len(found) == 1 or mean is None else f"{mean:+.2f} in the mean; "
    return f"{finding.number} of {row} {expected} that of {than}: {together}{'; '.join(by_seed)}"


def as_dict(experiment: Experiment, scores: BySeed) -> dict[str, Any]:
    """All numbers of an experiment by seed, the paper's beside ours."""
    return {
        "title": experiment.title,
        "remark": experiment.remark,
        "seeds": {seed: _of_one_seed(experiment, one) for seed, one in scores.items()},
    }


def _of_one_seed(experiment: Experiment, scores: Mapping[str, Scores]) -> dict[str, Any]:
    return {
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
