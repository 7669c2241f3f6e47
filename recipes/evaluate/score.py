"""Scores of a set of transcripts: what `proactive score` and `proactive eval` print and write."""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

from proactive_env.errors import JudgeUnavailable
from proactive_env.recipes.evaluate.bootstrap import ratio_difference_interval, ratio_interval
from proactive_env.recipes.evaluate.rules.proactivevideoqa import (
    LEVELS,
    OMEGAS,
    QuestionScore,
    by_subset,
    pauc_sum,
    pool_subset,
    score_question,
)
from proactive_env.rewards.judges.base import AsyncJudge, Judge
from proactive_env.rewards.judges.pool import JudgePool
from proactive_env.serving.chat import Usage
from proactive_env.turn import Transcript


@dataclass
class Scores:
    """The scores of one run."""

    judge: dict[str, Any]
    """The judge's kind, model, prompt version and levels."""
    questions: list[QuestionScore] = field(default_factory=list)
    unscored: list[str] = field(default_factory=list)
    """Question ids for which the judge gave no answer."""
    reason: str = ""
    """Why the first of them is unscored."""
    skipped: list[str] = field(default_factory=list)
    """What is wrong with the rows and videos that were left out."""
    wall_time_s: float = 0.0
    usage: Usage | None = None
    """What the judge was asked, if it is one that counts."""

    def as_dict(self) -> dict[str, Any]:
        """What `--json` prints and `scores.json` holds."""
        return {
            "subsets": {name: pool_subset(questions) for name, questions in by_subset(self.questions).items()},
            "judge": self.judge,
            "unscored": self.unscored,
            "skipped": self.skipped,
            "wall_time_s": self.wall_time_s,
            **({"judge_usage": asdict(self.usage)} if self.usage else {}),
        }


def score(transcripts: Collection[Transcript], judge: Judge, *, on_question: Callable[[], None]) -> Scores:
    """Score transcripts by ProactiveVideoQA's rules.

    Args:
        transcripts: One a question.
        judge: Who is asked; a question for which it gives no answer stays unscored.
        on_question: Called after each question.
    """
    started = time.perf_counter()
    scores = Scores(judge={**judge.describe(), "levels": LEVELS})
    pool = judge if isinstance(judge, JudgePool) else JudgePool(judge)
    before = Usage()
    if isinstance(pool.judge, AsyncJudge):
        before = replace(pool.judge.usage)
        with pool.asking_ahead():
            for transcript in transcripts:
                score_question(transcript, pool)
    for transcript in transcripts:
        try:
            scores.questions.append(score_question(transcript, pool))
        except JudgeUnavailable as error:
            scores.unscored.append(transcript.episode.question_id)
            scores.reason = scores.reason or str(error)
        on_question()
    scores.wall_time_s = time.perf_counter() - started
    scores.usage = pool.judge.usage.since(before) if isinstance(pool.judge, AsyncJudge) else None
    return scores


def compare(first: Sequence[QuestionScore], second: Sequence[QuestionScore]) -> dict[str, Any]:
    """Paired differences, second minus first, over the questions that both have.

    Returns:
        For each subset `{"questions": n, "pauc": {"0.5": {"difference": d, "ci95": [low, high]}, ...},
        "mean_delay_s": {...}, "replies_per_question": {...}, "duplicates": {...}, "repeated": {...}}`; PAUC and
        the shares in percent, None where a share is not defined.
    """
    other = {question.question_id: question for question in second}
    pairs = by_subset(question for question in first if question.question_id in other)
    return {subset: _compare_subset([(one, other[one.question_id]) for one in ones]) for subset, ones in pairs.items()}


def _compare_subset(pairs: list[tuple[QuestionScore, QuestionScore]]) -> dict[str, Any]:
    spans = [len(one.spans) for one, _ in pairs]
    questions = [1] * len(pairs)

    def difference(sum_of: Callable[[QuestionScore], float], counts: list[int]) -> dict[str, Any]:
        gains = [sum_of(two) - sum_of(one) for one, two in pairs]
        return {
            "difference": sum(gains) / sum(counts) if sum(counts) else None,
            "ci95": ratio_interval(gains, counts) if sum(counts) else None,
        }

    return {
        "questions": len(pairs),
        "pauc": {f"{omega:g}": difference(partial(pauc_sum, omega=omega), spans) for omega in OMEGAS},
        "mean_delay_s": difference(lambda question: sum(span.delay_s for span in question.spans), spans),
        "replies_per_question": difference(lambda question: question.replies, questions),
        "duplicates": _shares(pairs, lambda question: (100 * question.duplicates, question.repeatable)),
        "repeated": _shares(pairs, lambda question: (100 * question.repeated, question.replies)),
    }


def _shares(
    pairs: list[tuple[QuestionScore, QuestionScore]], counts_of: Callable[[QuestionScore], tuple[int, int]]
) -> dict[str, Any]:
    """How a share differs; None where one of the two, or the interval, is not defined."""
    runs = zip(*pairs, strict=True)
    first, second = ([list(column) for column in zip(*map(counts_of, run), strict=True)] for run in runs)
    if not sum(first[1]) or not sum(second[1]):
        return {"difference": None, "ci95": None}
    difference = sum(second[0]) / sum(second[1]) - sum(first[0]) / sum(first[1])
    return {"difference": difference, "ci95": ratio_difference_interval(*first, *second)}
