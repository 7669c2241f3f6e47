"""Findings of MMDuet2 (arXiv 2512.06810) on TinyWorld, as data: rows, trainings, and what the paper reports.

All experiments in a folder share one warm start, one seed and one number of steps; what is there is not run again.
"""

from typing import NamedTuple

COARSE, FINE = 1.0, 0.5
"""Seconds a frame: what the preset trains with, and half of it, as the paper's 2 s and 1 s."""


QUESTIONS = 256
"""Of the test split, on which every row is played."""


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
