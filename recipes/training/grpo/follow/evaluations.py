"""Held-out episodes before, during and after a training: scored by the benchmark's rules, compared with the first."""

from collections.abc import Mapping, Sequence
from typing import Any

from proactive_env.episode import Episode
from proactive_env.errors import InputError
from proactive_env.recipes.evaluate.bootstrap import ratio_interval
from proactive_env.recipes.evaluate.rules.proactivevideoqa import QuestionScore, pool_subset
from proactive_env.recipes.evaluate.score import Scores, compare, score
from proactive_env.recipes.training.grpo.config import GrpoConfig
from proactive_env.recipes.training.grpo.folder import SCORES, Folder
from proactive_env.recipes.training.grpo.follow.held_out_rewards import terms_of
from proactive_env.recipes.training.held_out import summary
from proactive_env.rewards.judges.base import make_judge
from proactive_env.turn import Transcript

_BESIDE = ("silent_turns", "p_speak_visible", "p_speak_outside")


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

    def best(self) -> int | None:
        """The step with the highest reward, the earliest of equals; None while an evaluation is unscored."""
        if not self.rows or any(row["unscored"] or "reward" not in row for row in self.rows.values()):
            return None
        rewards: dict[int, float] = {step: self.rows[step]["reward"] for step in sorted(self.rows)}
        return max(rewards, key=rewards.__getitem__)

    def gains(self) -> dict[int, dict[str, Any]]:
        """Each later evaluation minus the first, paired by question, by step; see `evaluate.score.compare`."""
        first, *later = sorted(self.rows) or [0]
        return {step: compare(self._scored(first).questions, self._scored(step).questions) for step in later}

    def scores(self) -> dict[str, dict[str, Any]]:
        """`Scores.as_dict` of each evaluation, by a name for tables."""
        return {f"step {step}": self._scored(step).as_dict() for step in sorted(self.rows)}

    def _row(self, step: int) -> dict[str, Any]:
        """An evaluation's line: `step`, the reward, `pool_subset` over all questions, and what sft logs beside it."""
        scores = self._scored(step)
        transcripts = list(self._transcripts(step).values())
        terms = terms_of(transcripts, self._config.play)
        seen = summary(transcripts, self._config.play.frame_interval)
        beside = {name: value for name, value in seen.items() if name in _BESIDE}
        unscored = max(len(scores.unscored), len(transcripts) - len(terms))
        return {"step": step, **_reward(terms), **_pooled(scores.questions), **beside, "unscored": unscored}

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
    names = {
        "mean_delay_s": "delay s",
        "covered": "covered %",
        "repeated": "repeated %",
        "replies_per_question": "replies",
    }
    numbers = [f"{label} {row[name]:.3g}" for name, label in names.items() if row.get(name) is not None]
    if row.get("pauc"):
        low, high = row["pauc_ci95"]
        paucs = [f"PAUC(0.5) {row['pauc']['0.5']:.1f} [{low:.1f}, {high:.1f}]", f"PAUC(0) {row['pauc']['0']:.1f}"]
        numbers = [*paucs, *numbers]
    if "reward" in row:
        low, high = row["reward_ci95"]
        numbers = [f"reward {row['reward']:.2f} [{low:.2f}, {high:.2f}]", *numbers]
    if row["unscored"]:
        numbers.append(f"{row['unscored']} questions without the judge's answer")
    return f"held-out episodes after step {row['step']}: {', '.join(numbers)}"


def _reward(terms: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """The mean over the episodes, its interval, and the mean of each term."""
    if not terms:
        return {}
    totals = [sum(of_one.values()) for of_one in terms.values()]
    return {
        "reward": sum(totals) / len(totals),
        "reward_ci95": ratio_interval(totals, [1.0] * len(totals)),
        "terms": {name: sum(one[name] for one in terms.values()) / len(terms) for name in next(iter(terms.values()))},
    }


def _pooled(questions: Sequence[QuestionScore]) -> dict[str, Any]:
    return pool_subset(questions) if questions else {}
