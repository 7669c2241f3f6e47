"""`proactive reproduce`: findings of MMDuet2 (arXiv 2512.06810) on TinyWorld, each beside what the paper reports.

All experiments in a folder share one warm start, one seed and one number of steps; what is there is not run again.
"""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from proactive_env.recipes import console, stages
from proactive_env.recipes.config import read_record
from proactive_env.recipes.evaluate.run import Run
from proactive_env.recipes.evaluate.score import Scores, compare, score
from proactive_env.recipes.evaluate.tables import judge_line
from proactive_env.recipes.grpo.config import GrpoConfig
from proactive_env.recipes.grpo.evaluations import Evaluations, evaluation_line
from proactive_env.recipes.grpo.folder import Folder
from proactive_env.recipes.stages import Stage
from proactive_env.rewards.judge import LexicalJudge

COARSE, FINE = 1.0, 0.5
"""Seconds a frame: what the preset trains with, and half of it, as the paper's 2 s and 1 s."""


_LEGEND = (
    "dup.: of the n replies in a span that are not its first, those that repeat;\n"
    "rep.: replies in the words of an earlier one; repl.: replies a question;\n"
    "intervals are over the questions, of one training each"
)


class Training(NamedTuple):
    """A training, by what it changes in the preset `tinyworld`."""

    recipe: str
    minutes: float
    """On 2 cores."""
    settings: tuple[str, ...] = ()


TRAININGS = {
    "sft": Training("sft", 8),
    "sft-coarse": Training("sft", 3, ("steps=300", "balance=null")),
    "sft-fine": Training("sft", 5, ("steps=300", "balance=null", f"frame_interval={FINE}")),
    "grpo": Training("grpo", 10),
    "no-replication": Training("grpo", 10, ("play.rewards={pauc: 3, in_span: 0.5, prefix: 2}",)),
    "no-prefix": Training("grpo", 10, ("play.rewards={pauc: 3, replication: 2, in_span: 0.5}",)),
    "no-in-span": Training("grpo", 10, ("play.rewards={pauc: 3, replication: 2, prefix: 2}",)),
    "grpo-fine": Training("grpo", 27, (f"play.frame_interval={FINE}",)),
}
"""Collapse shows in a short warm start that counts speech and silence alike; `balance` is there to prevent it."""


class Row(NamedTuple):
    """A model, played on the test split."""

    label: str
    training: str
    paper: tuple[float | None, float | None, float | None]
    """PAUC, duplicates in percent, and replies a question, on the paper's WEB subset."""
    frame_interval: float = COARSE

    @property
    def folder(self) -> str:
        """The name of the folder that its transcripts are in."""
        return f"after-{self.training}" + ("" if self.frame_interval == COARSE else "-played-fine")


class Finding(NamedTuple):
    """One row's number is higher than another's, or lower."""

    row: int
    than: int
    number: str
    """A key of `compare`; `repeated` is our word for what the paper says of duplicates."""
    sign: int
    """0: the paper has none."""


class Experiment(NamedTuple):
    """Rows of a table of the paper's, and what it shows."""

    title: str
    rows: tuple[Row, ...]
    findings: tuple[Finding, ...]
    remark: str = ""
    """What to know before reading it."""
    course_of: str | None = None
    """A training whose course is part of it."""


EXPERIMENTS = {
    "table2": Experiment(
        "Table 2: the warm start, and what rewards make of it",
        (Row("SFT", "sft", (37.6, 1.7, None)), Row("SFT + RL", "grpo", (53.3, 4.2, 3.3))),
        (Finding(1, 0, "pauc", 1), Finding(1, 0, "duplicates", 1), Finding(1, 0, "repeated", 1)),
    ),
    "table6": Experiment(
        "Table 6: a reward left out",
        (
            Row("all", "grpo", (53.3, 4.2, 3.3)),
            Row("without replication", "no-replication", (55.5, 17.3, 4.9)),
            Row("without prefix", "no-prefix", (53.0, 4.3, 3.1)),
            Row("without in-span", "no-in-span", (62.7, 9.6, 8.4)),
        ),
        (
            Finding(1, 0, "duplicates", 1),
            Finding(1, 0, "repeated", 1),
            Finding(1, 0, "replies_per_question", 1),
            Finding(3, 0, "pauc", 1),
            Finding(3, 0, "duplicates", 1),
            Finding(3, 0, "repeated", 1),
            Finding(3, 0, "replies_per_question", 1),
            Finding(2, 0, "pauc", 0),
        ),
        "The prefix reward counts common starts of more than 50 characters, and TinyWorld's replies are shorter: it is "
        "the same for all rollouts, and what differs without it is chance",
    ),
    "table7": Experiment(
        "Table 7: seconds a frame",
        (
            Row("SFT 1 s, play 0.5 s", "sft-coarse", (37.6, 1.7, None), FINE),
            Row("SFT 0.5 s, play 0.5 s", "sft-fine", (None, None, None), FINE),
            Row("RL 0.5 s, play 0.5 s", "grpo-fine", (47.0, 1.0, None), FINE),
            Row("RL 0.5 s, play 1 s", "grpo-fine", (39.4, 0.0, None)),
            Row("RL 1 s, play 0.5 s", "grpo", (53.3, 4.2, None), FINE),
            Row("RL 1 s, play 1 s", "grpo", (44.2, 1.7, None)),
        ),
        (
            Finding(1, 0, "replies_per_question", -1),
            Finding(4, 2, "pauc", 1),
            Finding(5, 3, "pauc", 1),
            Finding(4, 5, "pauc", 1),
            Finding(2, 3, "pauc", 1),
        ),
        "1 s and 0.5 s stand for the paper's 2 s and 1 s, at which its SFT collapses into silence; the SFT rows are "
        "short warm starts without class balance, the RL rows start from the long one",
    ),
    "figure5": Experiment(
        "Figure 5: the course of a training; the paper's 489 steps dip until 180, grow until 450, then stay",
        (Row("SFT", "sft", (37.6, 1.7, None)), Row("SFT + RL", "grpo", (53.3, 4.2, 3.3))),
        (Finding(1, 0, "replies_per_question", 1),),
        course_of="grpo",
    ),
}

Name = StrEnum("Name", list(EXPERIMENTS))  # type: ignore[misc]  # Typer offers a list of names only as an enumeration


def reproduce(
    name: Annotated[Name, typer.Argument(help="Which finding.")],
    out: Annotated[
        Path, typer.Option(help="Where runs go; experiments and the demo share them.", file_okay=False)
    ] = Path("runs/demo"),
    seed: Annotated[int, typer.Option(min=0, help="Of every training.")] = 0,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="key=value for every GRPO run, such as steps=12.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Repeat a finding of MMDuet2 on TinyWorld, and print it beside the paper's.

    table2: SFT against RL. table6: a reward left out. table7: frame intervals.
    figure5: the course of a training. Every stage is a command, printed so
    that it can be run alone.
    """
    experiment = EXPERIMENTS[name]
    stages.run(plan(name, out, seed, settings or []), console.err if as_json else console.out)
    scores = {row.folder: _scored(out / row.folder) for row in experiment.rows}
    course = Course.of(out / experiment.course_of) if experiment.course_of else None
    if as_json:
        console.print_json(as_dict(experiment, scores) | ({"course": course.as_dict()} if course else {}))
        return
    console.out.print(_table(experiment, scores))
    told = [_told(experiment, finding, scores) for finding in experiment.findings]
    for line in filter(None, [*(course.lines() if course else []), *told, experiment.remark]):
        console.out.print(line, highlight=False)


def plan(name: str, out: Path, seed: int, settings: list[str]) -> list[Stage]:
    """The stages of an experiment: the warm start, trainings, what they play, and the page.

    Args:
        name: Of the experiment.
        out: The folder of all runs.
        seed: Of every training.
        settings: Laid over the config of every GRPO run.
    """
    experiment = EXPERIMENTS[name]
    needed = list(dict.fromkeys(["sft", *(row.training for row in experiment.rows)]))
    played = [str(out / row.folder) for row in experiment.rows]
    trained = [str(out / one) for one in needed if TRAININGS[one].recipe == "grpo"]
    drawn = [part for folder in trained for part in ("--training", folder)]
    same_turns = len({row.frame_interval for row in experiment.rows}) == 1
    return [
        *(_training(training, out, seed, settings) for training in needed),
        *(_playing(row, out) for row in experiment.rows),
        *([Stage("the page", 1, ["show", *played, *drawn, "--out", str(out / f"{name}.html")])] if same_turns else []),
    ]


def _training(name: str, out: Path, seed: int, settings: list[str]) -> Stage:
    training = TRAININGS[name]
    grpo = [f"model={out / 'sft'}", *settings] if training.recipe == "grpo" else []
    sets = [part for setting in [f"seed={seed}", *grpo, *training.settings] for part in ("--set", setting)]
    command = [training.recipe, "--config", "tinyworld", "--out", str(out / name), *sets]
    return Stage(f"train {name}", training.minutes, command)


def _playing(row: Row, out: Path) -> Stage:
    agent = f"transformers:{out / row.training}"
    interval = ["--frame-interval", str(row.frame_interval)]
    return Stage(f"test videos: {row.label}", 1, ["eval", "--agent", agent, *interval, "--out", str(out / row.folder)])


class Course(NamedTuple):
    """The held-out evaluations of a training, beside figure 5: the paper's PAUC and replies dip, then grow."""

    rows: list[dict[str, Any]]
    """The lines of `evaluations.jsonl`."""
    gains: dict[int, dict[str, dict[str, Any]]]
    """PAUC and replies minus those of step 0, by step: `{"difference": ..., "ci95": [low, high]}`, paired."""

    @classmethod
    def of(cls, training: Path) -> "Course":
        """That of the run in a folder."""
        evaluations = Evaluations(read_record(training, GrpoConfig), Folder(training))
        gains = {step: subsets["TINYWORLD"] for step, subsets in evaluations.gains().items()}
        return cls(
            [evaluations.rows[step] for step in sorted(evaluations.rows)],
            {
                step: {"PAUC": gain["pauc"]["0.5"], "replies": gain["replies_per_question"]}
                for step, gain in gains.items()
            },
        )

    def verdicts(self) -> dict[str, str]:
        """Whether the paper's stages are there, as far as the intervals tell."""
        seen = {}
        for name in ("PAUC", "replies"):
            bounds = [gain[name]["ci95"] for gain in self.gains.values()]
            seen[f"{name} below step 0 meanwhile"] = any(high < 0 for _, high in bounds)
            seen[f"{name} above step 0 at the end"] = bounds[-1][0] > 0
        return {stage: "as in the paper" if there else "not seen" for stage, there in seen.items()}

    def lines(self) -> list[str]:
        """All of it for people."""
        gained = (
            f"step {step} minus step 0: " + ", ".join(f"{name} {_signed(gain)}" for name, gain in gains.items())
            for step, gains in self.gains.items()
        )
        told = (f"{stage}: {verdict}" for stage, verdict in self.verdicts().items())
        return [*map(evaluation_line, self.rows), *gained, *told]

    def as_dict(self) -> dict[str, Any]:
        """All of it for machines."""
        return {"steps": self.rows, "minus_step_0": self.gains, "verdicts": self.verdicts()}


def _scored(folder: Path) -> Scores:
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


def _table(experiment: Experiment, scores: Mapping[str, Scores]) -> Table:
    judged = f"{_LEGEND}\n{judge_line(next(iter(scores.values())).judge)}"
    left: Any = {"title_justify": "left", "caption_justify": "left"}
    table = Table(title=experiment.title, caption=judged, box=SIMPLE_HEAD, padding=0, **left)
    for heading in ("", "PAUC [95 %]", "dup. % of n", "rep. %", "repl.", "paper\nPAUC", "paper\ndup.", "paper\nrepl."):
        table.add_column(heading, justify="right" if heading else "left")
    for row in experiment.rows:
        (numbers,) = scores[row.folder].as_dict()["subsets"].values()
        low, high = numbers["pauc_ci95"]
        table.add_row(
            row.label,
            f"{numbers['pauc']['0.5']:.1f} [{low:.0f}, {high:.0f}]",
            f"{_number(numbers['duplicates'])} of {numbers['repeatable']}",
            *map(_number, (numbers["repeated"], numbers["replies_per_question"], *row.paper)),
        )
    return table


def _number(number: float | None) -> str:
    return "-" if number is None else f"{number:.1f}"


def _told(experiment: Experiment, finding: Finding, scores: Mapping[str, Scores]) -> str:
    difference = _difference(experiment, finding, scores)
    row, than = (experiment.rows[index].label for index in (finding.row, finding.than))
    expected = {1: "higher than", -1: "lower than", 0: "beside"}[finding.sign]
    numbers = f"{_signed(difference)}, " if difference["ci95"] else ""
    return f"{finding.number} of {row} {expected} that of {than}: {numbers}{_verdict(finding, difference)}"


def _signed(difference: Mapping[str, Any]) -> str:
    low, high = difference["ci95"]
    return f"{difference['difference']:+.2f} [{low:+.2f}, {high:+.2f}]"


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
