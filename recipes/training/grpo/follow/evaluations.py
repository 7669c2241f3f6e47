"""Held-out episodes before, during and after a training: scored by the benchmark's rules, compared with the first."""

from collections.abc import Mapping, Sequence
from typing import Any

from proactive_env.episode import Episode
from proactive_env.errors import InputError
from proactive_env.recipes.evaluate.rules.proactivevideoqa import QuestionScore, pool_subset
from proactive_env.recipes.evaluate.score import Scores, compare, score
from proactive_env.recipes.training.grpo.config import GrpoConfig
from proactive_env.recipes.training.grpo.folder import SCORES, Folder
from proactive_env.recipes.training.held_out import summary
from proactive_env.rewards.judges.base import make_judge
from proactive_env.turn import Transcript


class Evaluations:
    """The evaluations of a run; each is scored once, by the run's own judge.

    Args:
        config: Of the run.
        folder: Its folder.

    Raises:
        InputError: the run has no held-out episodes.
    """

    def __init__(self, config: GrpoConfig, folder: Folder) -> None:
        if config.held_out is None:
            raise InputError(f"{folder.path}: this run has no held-out episodes (held_out)")
        self._config = config
        self._folder = folder
        self._episodes: Sequence[Episode] = config.held_out.load(lambda _: None)
        self._judge = make_judge(config.play.judge)
        self._scores: dict[int, Scores] = {}
        there = folder.evaluated()
        rows = folder.rows(SCORES)
        self.rows = {row["step"]: row for row in rows if row["step"] in there and not row["unscored"]}
        """What is written of each, by step."""

    def update(self) -> list[dict[str, Any]]:
        """Score what is not scored yet; returns what was added."""
        added = []
        for step in self._folder.evaluated():
            if step not in self.rows:
                self.rows[step] = self._row(step)
                added.append(self.rows[step])
        if added:
            self._folder.write_rows(SCORES, [self.rows[step] for step in sorted(self.rows)])
        return added

    def gains(self) -> dict[int, dict[str, Any]]:
        """Each later evaluation minus the first, paired by question, by step; see `evaluate.score.compare`."""
        first, *later = sorted(self.rows) or [0]
        return {step: compare(self._scored(first).questions, self._scored(step).questions) for step in later}

    def scores(self) -> dict[str, dict[str, Any]]:
        """`Scores.as_dict` of each evaluation, by a name for tables."""
        return {f"step {step}": self._scored(step).as_dict() for step in sorted(self.rows)}

    def _row(self, step: int) -> dict[str, Any]:
        """An evaluation's line: `step`, the row of `pool_subset` over all questions, and what sft logs beside it."""
        scores = self._scored(step)
        transcripts = list(self._transcripts(step).values())
        seen = summary(transcripts, self._config.play.frame_interval)
        beside = {name: value for name, value in seen.items() if name in ("silent_turns", "p_speak_visible")}
        return {"step": step, **_pooled(scores.questions), **beside, "unscored": len(scores.unscored)}

    def _scored(self, step: int) -> Scores:
        if step not in self._scores:
            self._scores[step] = score(self._transcripts(step).values(), self._judge, on_question=lambda: None)
        return self._scores[step]

    def _transcripts(self, step: int) -> dict[str, Transcript]:
        """In the data set's order, on which the bootstrap's draws depend."""
        by_id = {episode.question_id: episode for episode in self._episodes}
        played = self._folder.evaluation(step).read(by_id)
        return {question_id: played[question_id] for question_id in by_id if question_id in played}


def evaluation_line(row: Mapping[str, Any]) -> str:
    """A line of `evaluations.jsonl` for people."""
    names = {"duplicates": "duplicates %", "mean_delay_s": "delay s", "replies_per_question": "replies"}
    numbers = [f"{label} {row[name]:.3g}" for name, label in names.items() if row.get(name) is not None]
    if row.get("pauc"):
        low, high = row["pauc_ci95"]
        paucs = [f"PAUC(0.5) {row['pauc']['0.5']:.1f} [{low:.1f}, {high:.1f}]", f"PAUC(0) {row['pauc']['0']:.1f}"]
        numbers = [*paucs, *numbers]
    if row["unscored"]:
        numbers.append(f"{row['unscored']} questions without the judge's answer")
    return f"held-out episodes after step {row['step']}: {', '.join(numbers)}"


def _pooled(questions: Sequence[QuestionScore]) -> dict[str, Any]:
    return pool_subset(questions) if questions else {}
