"""Runs as plain data, and the one HTML file that shows them without a server or a network.

All that the page says is computed here, by the benchmark's rules and the library's own rewards; its script only draws
and filters. Replies are a model's output: they stay data until the browser shows them as text.
"""

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from proactive_env.episode import Episode, Timespan
from proactive_env.errors import JudgeUnavailable, VideoError
from proactive_env.recipes.evaluate.rules.proactivevideoqa import LEVELS, OMEGAS, pauc_sum, points, score_question
from proactive_env.recipes.evaluate.score import Scores, score
from proactive_env.recipes.evaluate.tables import judge_line
from proactive_env.recipes.pictures import jpeg_url
from proactive_env.recipes.show.terms import terms_per_turn
from proactive_env.rewards.counts import in_some_span, repeated
from proactive_env.rewards.judges.base import AsyncJudge, Judge
from proactive_env.rewards.judges.pool import JudgePool
from proactive_env.rewards.make import WEIGHTS
from proactive_env.turn import Transcript
from proactive_env.video import FrameCache

OMEGA = 0.5
"""The page draws and sorts by the published score."""
THUMBNAILS = 12
MAX_CHARACTERS = 2000
"""Longer texts are cut; the page says so."""

_START_SCORE = 0.5  # the height of PAUC's curve before the first reply
_THUMBNAIL_PIXELS = 96 * 54
_JPEG_QUALITY = 60
_FOLDER = Path(__file__).parent


def collect(
    episodes: Iterable[Episode],
    runs: Mapping[str, Mapping[str, Transcript]],
    judge: Judge,
    *,
    trainings: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    on_question: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """All that the page shows, as plain JSON; times in seconds, PAUC in percent.

    Args:
        episodes: The data set, in its order; questions that no run has played are left out.
        runs: The transcripts by question id, by the run's name.
        judge: Is asked each question once, all at once if it can be.
        trainings: The evaluations of trainings, by name: a `pool_subset` with its `step` each.
        on_question: Called after each question of the page.
    """
    pool = JudgePool(judge)
    if isinstance(judge, AsyncJudge):
        with pool.asking_ahead():
            for transcript in (one for played in runs.values() for one in played.values()):
                _judged(transcript, pool)
    questions = []
    for episode in episodes:
        dialogues = [played.get(episode.question_id) for played in runs.values()]
        if any(dialogues):
            questions.append(_question(episode, dialogues, pool))
            on_question()
    scores = {name: score(played.values(), pool, on_question=lambda: None) for name, played in runs.items()}
    notes = (note for name, found in scores.items() for note in _gaps(name, found, len(questions)))
    return {
        "judge": "; ".join([judge_line({**judge.describe(), "levels": LEVELS}), *notes]),
        "levels": LEVELS,
        "omega": OMEGA,
        "weights": WEIGHTS,
        "runs": [{"name": name, "subsets": found.as_dict()["subsets"]} for name, found in scores.items()],
        "training": [{"name": name, "rows": rows} for name, rows in (trainings or {}).items()],
        "questions": questions,
    }


def render(data: Mapping[str, Any]) -> str:
    """The page: style, script and data in one file, which may run this script and nothing else, and load nothing."""
    page, style, script = (
        (_FOLDER / name).read_text(encoding="utf-8") for name in ("template.html", "template.css", "template.js")
    )
    parts = {
        "style-hash": _digest(style),
        "script-hash": _digest(script),
        "style": style,
        "script": script,
        "data": json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c"),
    }
    for name, part in parts.items():  # the data last: whatever stands in it is not replaced
        page = page.replace(f"{{{{{name}}}}}", part)
    return page


def _gaps(name: str, scores: Scores, questions: int) -> Iterator[str]:
    """What the numbers of a run leave out."""
    failures = sum(question.judge_failures for question in scores.questions)
    missing = questions - len(scores.questions) - len(scores.unscored)
    failed = sum(question.failed_turns for question in scores.questions)
    if failures:
        yield f"{name}: {failures} judgements could not be used"
    if failed:
        yield f"{name}: {failed} turns failed: the agent gave no answer, which counts as silence"
    if scores.unscored:
        yield f"{name}: {len(scores.unscored)} questions are unscored"
    if missing:
        yield f"{name}: {missing} of {questions} questions were not played"


def _question(episode: Episode, dialogues: Sequence[Transcript | None], judge: JudgePool) -> dict[str, Any]:
    axis = _axis([transcript for transcript in dialogues if transcript])
    return {
        "id": episode.question_id,
        "subset": episode.subset,
        "axis": axis,
        "user": [{"time": asked.time, **_text(asked.text)} for asked in episode.user_turns],
        "gold": [
            {**_text(gold.text), "reply_span": gold.reply_span, "related_span": gold.related_span}
            for gold in episode.gold
        ],
        "thumbnails": _thumbnails(episode.video, axis),
        "runs": [_dialogue(transcript, judge) if transcript else None for transcript in dialogues],
    }


def _axis(played: Sequence[Transcript]) -> Timespan:
    """From the first turn to the end of the last turn or scored span, of all runs, in seconds."""
    turns = [turn for transcript in played for turn in transcript.turns]
    spans = [gold.reply_span for transcript in played for gold in transcript.scored]
    start = min((turn.start for turn in turns), default=0.0)
    return Timespan(start, max([start + 1.0, *(turn.end for turn in turns), *(span.end for span in spans)]))


def _dialogue(transcript: Transcript, judge: JudgePool) -> dict[str, Any]:
    """One run's part of a question; `judged` is None where the judge gave no answer."""
    names = dict.fromkeys(name for turn in transcript.turns for name in turn.stats)
    try:
        judged = _judged(transcript, judge)
    except JudgeUnavailable:
        judged = None
    return {
        "turns": [(turn.start, turn.end) for turn in transcript.turns],
        "stats": {name: [turn.stats.get(name) for turn in transcript.turns] for name in names},
        "replies": [
            {
                "turn": position,
                "time": turn.end,
                "out_of_span": not in_some_span(turn.end, transcript.episode.gold),
                **_text(turn.reply),
            }
            for position, turn in enumerate(transcript.turns)
            if turn.reply is not None
        ],
        "judged": judged,
    }


def _judged(transcript: Transcript, judge: JudgePool) -> dict[str, Any]:
    """Scores and rewards. `levels` holds, for each reply, its level by span; None where it does not count.

    Raises:
        JudgeUnavailable: the judge gave no answer.
    """
    scored = score_question(transcript, judge)
    gold = transcript.episode.gold
    reached = [points(transcript.replies, reply, judge) for reply in gold]
    return {
        "pauc": pauc_sum(scored, OMEGA) / len(gold) if gold else None,
        "spans": [
            {
                "pauc": 100 * span.pauc[OMEGAS.index(OMEGA)],
                "steps": _steps(reply.reply_span, levels, 0.0),
                "counted_steps": _steps(reply.reply_span, levels, OMEGA),
            }
            for reply, span, levels in zip(gold, scored.spans, reached, strict=True)
        ],
        "levels": [
            {
                index: dict(reached[index]).get(turn.end)
                for index, reply in enumerate(gold)
                if reply.reply_span.contains(turn.end)
            }
            for turn in transcript.replies
        ],
        "repeated": repeated(transcript, judge.repeats),
        "terms": terms_per_turn(transcript, judge),
    }


def _steps(span: Timespan, reached: Sequence[tuple[float, int]], omega: float) -> list[tuple[float, float]]:
    """The (time, height) at which each step of the curve begins, delays scaled by 1 - omega as in `pauc`."""
    return [
        (span.start, _START_SCORE),
        *((span.start + (1 - omega) * (time - span.start), level) for time, level in reached),
    ]


def _thumbnails(video: Path, axis: Timespan) -> dict[str, Any]:
    """Small pictures, evenly spaced over the time axis, or what is wrong with the video."""
    interval = (axis.end - axis.start) / THUMBNAILS
    first = round(axis.start / interval)
    try:
        frames = FrameCache().frames(
            video,
            count=first + THUMBNAILS,
            frame_interval=interval,
            max_pixels=_THUMBNAIL_PIXELS,
            size_multiple=2,
        )
    except VideoError as error:
        return {"images": [], "problem": str(error)}
    return {"images": [jpeg_url(frame, _JPEG_QUALITY) for frame in frames[first:]], "problem": None}


def _text(text: str) -> dict[str, Any]:
    return {"text": text[:MAX_CHARACTERS], "cut_characters": max(0, len(text) - MAX_CHARACTERS)}


def _digest(source: str) -> str:
    """What a Content-Security-Policy calls an inline style or script that is allowed."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"
