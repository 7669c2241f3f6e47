"""ProactiveVideoQA's rules (arXiv 2507.09313): how replies become a subset's numbers.

A reply counts in every reply span that holds it, ends included. The judge sees all different replies of a span so far,
joined, and gives three levels. A subset's PAUC is the mean over all of its gold spans.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from proactive_env.episode import GoldReply
from proactive_env.recipes.evaluate.bootstrap import ratio_interval
from proactive_env.rewards.counts import in_some_span, is_repeat, later_in_span, repeated
from proactive_env.rewards.judges.base import Judge
from proactive_env.rewards.judges.pool import JudgePool
from proactive_env.rewards.pauc import pauc
from proactive_env.turn import Transcript, Turn

LEVELS = 3
"""The judge's levels; scores run from 0 to 2."""
OMEGAS = (0.0, 0.5, 1.0)
"""The published score is that of omega 0.5."""


@dataclass(frozen=True)
class SpanScore:
    """One gold span."""

    pauc: tuple[float, ...]
    """0..1, for each of `OMEGAS`."""
    delay_s: float
    """From the span's start to the first reply with the top score, or to its end if there is none."""
    covered: bool
    """Whether a reply has the top score."""


@dataclass(frozen=True)
class QuestionScore:
    """One question."""

    question_id: str
    subset: str
    spans: tuple[SpanScore, ...]
    replies: int
    out_of_span: int
    repeatable: int
    """Replies in some span that are the first in none, and were judged."""
    duplicates: int
    """Those of them that only repeat earlier ones."""
    repeated: int
    """Replies in the words of an earlier one, wherever they are."""
    judge_failures: int
    failed_turns: int
    """Turns at which the agent gave no answer."""


def score_question(transcript: Transcript, judge: Judge) -> QuestionScore:
    """Score one question.

    Raises:
        JudgeUnavailable: the judge gave no answer.
    """
    pool = JudgePool(judge)
    gold = transcript.episode.gold
    spans = tuple(_score_span(transcript.replies, reply, pool) for reply in gold)
    repeats = [flag for flag in _duplicates(transcript, pool) if flag is not None]
    return QuestionScore(
        question_id=transcript.episode.question_id,
        subset=transcript.episode.subset,
        spans=spans,
        replies=len(transcript.replies),
        out_of_span=sum(not in_some_span(turn.end, gold) for turn in transcript.replies),
        repeatable=len(repeats),
        duplicates=sum(repeats),
        repeated=sum(map(bool, repeated(transcript, lambda *_: False))),
        judge_failures=pool.failures,
        failed_turns=len(transcript.failed_turns),
    )


def points(replies: Sequence[Turn], gold: GoldReply, judge: Judge) -> list[tuple[float, int]]:
    """The (time, score) pairs that count in a gold span.

    Of equal replies in the span only the first counts, of several at one time the last. A reply whose judgement cannot
    be used drops out. A reply after the end of the related span is dropped if its score is lower than the last one
    until then.
    """
    said: list[str] = []
    scored: dict[float, int] = {}
    for turn in replies:
        text = turn.reply or ""
        if gold.reply_span.contains(turn.end) and text not in said:
            said.append(text)
            level = judge.coverage(gold.question, gold.text, " ".join(said), LEVELS)
            if level is not None:
                scored[turn.end] = level
    in_time = [level for time, level in scored.items() if time <= gold.related_span.end]
    last = in_time[-1] if in_time else 0
    return [(time, level) for time, level in scored.items() if time <= gold.related_span.end or level >= last]


def pool_subset(questions: Sequence[QuestionScore]) -> dict[str, Any]:
    """A subset's row: shares in percent, undefined numbers None, `pauc_ci95` a bootstrap over questions."""
    spans = [span for question in questions for span in question.spans]
    span_counts = [len(question.spans) for question in questions]
    replies = sum(question.replies for question in questions)
    repeatable = sum(question.repeatable for question in questions)
    means = np.mean([span.pauc for span in spans], axis=0) * 100 if spans else [None] * len(OMEGAS)
    return {
        "questions": len(questions),
        "spans": len(spans),
        "pauc": {f"{omega:g}": _number(mean) for omega, mean in zip(OMEGAS, means, strict=True)},
        "pauc_ci95": ratio_interval([pauc_sum(question, 0.5) for question in questions], span_counts)
        if spans
        else None,
        "duplicates": _share(sum(question.duplicates for question in questions), repeatable),
        "repeatable": repeatable,
        "repeated": _share(sum(question.repeated for question in questions), replies),
        "replies_per_question": replies / len(questions),
        "out_of_span": _share(sum(question.out_of_span for question in questions), replies),
        "mean_delay_s": float(np.mean([span.delay_s for span in spans])) if spans else None,
        "covered": _share(sum(span.covered for span in spans), len(spans)),
        "judge_failures": sum(question.judge_failures for question in questions),
        "failed_turns": sum(question.failed_turns for question in questions),
    }


def by_subset(questions: Iterable[QuestionScore]) -> dict[str, list[QuestionScore]]:
    """The questions of each subset, in order of appearance."""
    subsets: dict[str, list[QuestionScore]] = {}
    for question in questions:
        subsets.setdefault(question.subset, []).append(question)
    return subsets


def pauc_sum(question: QuestionScore, omega: float) -> float:
    """The sum of a question's PAUCs in percent: what a subset's mean is pooled from."""
    return 100 * sum(span.pauc[OMEGAS.index(omega)] for span in question.spans)


def _score_span(replies: Sequence[Turn], gold: GoldReply, judge: Judge) -> SpanScore:
    counted = points(replies, gold, judge)
    start, end = gold.reply_span
    covering = [time for time, level in counted if level == LEVELS - 1]
    return SpanScore(
        pauc=tuple(pauc(counted, gold.reply_span, max_score=LEVELS - 1, omega=omega) for omega in OMEGAS),
        delay_s=min([*covering, end]) - start,
        covered=bool(covering),
    )


def _duplicates(transcript: Transcript, judge: Judge) -> list[bool | None]:
    texts = [turn.reply or "" for turn in transcript.replies]
    later = later_in_span([turn.end for turn in transcript.replies], transcript.episode.gold)
    return [
        is_repeat(texts[place], dict.fromkeys(texts[:place]), judge.repeats)
        for place, again in enumerate(later)
        if again
    ]


def _share(part: int, whole: int) -> float | None:
    return 100 * part / whole if whole else None


def _number(value: float | None) -> float | None:
    return None if value is None else float(value)
