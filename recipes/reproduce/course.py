"""The course of a training, beside figure 5."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from proactive_env.recipes.record import read_record
from proactive_env.recipes.training.grpo.config import GrpoConfig
from proactive_env.recipes.training.grpo.folder import Folder
from proactive_env.recipes.training.grpo.follow.evaluations import Evaluations, evaluation_line


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
            f"step {step} minus step 0: " + ", ".join(f"{name} {signed(gain)}" for name, gain in gains.items())
            for step, gains in self.gains.items()
        )
        told = (f"{stage}: {verdict}" for stage, verdict in self.verdicts().items())
        return [*map(evaluation_line, self.rows), *gained, *told]

    def as_dict(self) -> dict[str, Any]:
        """All of it for machines."""
        return {"steps": self.rows, "minus_step_0": self.gains, "verdicts": self.verdicts()}


def signed(difference: Mapping[str, Any]) -> str:
    """A difference with its interval, for people."""
    low, high = difference["ci95"]
    return f"{difference['difference']:+.2f} [{low:+.2f}, {high:+.2f}]"
