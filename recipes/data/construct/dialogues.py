"""Dialogues: half of the videos have one question at the start (1QnA), half several at any time (nQnA).

Questions stand at the start of a training turn. When one is raised, its answers in scenes that are over become one
immediate answer, and the answers of the question before end. Times are seconds of video time.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random

from proactive_env.episode import Episode, GoldReply, Timespan, UserTurn
from proactive_env.recipes.data.construct.ask import Asker, DroppedError, Fields, OneLine
from proactive_env.recipes.data.construct.config import BuildConfig
from proactive_env.recipes.data.construct.lines import Answer, Question, VideoDialogues, VideoQuestions

TURN_S = 4.0
"""Seconds of a turn in MMDuet2's training: two frames, two seconds apart."""
REPLY_SLACK_S = 1.0
"""Seconds after the end of its scene for which a reply still counts (ProactiveVideoQA)."""


class Summary(Fields):
    """The answer to `summary.txt`."""

    answer: OneLine


async def write_dialogues(video: VideoQuestions, config: BuildConfig, asker: Asker) -> VideoDialogues:
    """Make a video's dialogues from its questions; one without a gold reply is dropped.

    Raises:
        ChatUnavailable: there was no answer.
    """
    random = Random(f"{config.seed} {video.video}")
    dropped: Counter[str] = Counter()
    if random.random() < 0.5:
        raised = [[(0.0, question)] for question in video.questions]
    else:
        raised = [raise_questions(video.questions, video.duration, random)]
        dropped["question without a turn of its own"] = len(video.questions) - len(raised[0])
    episodes = []
    for number, questions in enumerate(raised):
        summaries = await _summarise(questions, asker, dropped)
        gold = gold_replies(questions, summaries, video.duration)
        if gold:
            episodes.append(_episode(f"{video.video}:{number}", video, questions, gold))
        else:
            dropped["dialogue without a gold reply"] += 1
    return VideoDialogues(video=video.video, dialogues=tuple(episodes), dropped=+dropped)


def raise_questions(questions: Sequence[Question], duration: float, random: Random) -> list[tuple[float, Question]]:
    """Draw when each question is raised: at different turns, as many as there is room for, in order of time."""
    turns = range(max(1, int(duration // TURN_S)))
    count = min(len(questions), len(turns))
    times = sorted(TURN_S * turn for turn in random.sample(turns, count))
    return list(zip(times, random.sample(questions, count), strict=True))


async def _summarise(raised: Sequence[tuple[float, Question]], asker: Asker, dropped: Counter[str]) -> list[str | None]:
    """What can be said about each question when it is raised; None: nothing."""
    summaries: list[str | None] = []
    for time, question in raised:
        over = [answer.text for answer in question.answers if answer.end <= time]
        summary = over[0] if over else None
        if len(over) > 1:
            lines = [f"Question: {question.text}", *(f"Answer {n}: {text}" for n, text in enumerate(over, start=1))]
            try:
                summary = (await asker.ask("summary", lines, Summary)).answer
            except DroppedError as error:
                summary = None
                dropped[str(error)] += 1
        summaries.append(summary)
    return summaries


def gold_replies(
    raised: Sequence[tuple[float, Question]], summaries: Sequence[str | None], duration: float
) -> list[GoldReply]:
    """The gold replies to questions raised at these times, in order.

    Args:
        raised: Questions with the times at which they are raised, ascending.
        summaries: The immediate answer to each, if there is one.
        duration: The video's length.
    """
    gold: list[GoldReply] = []
    ends = [*(time for time, _ in raised[1:]), duration]
    for (begin, question), end, summary in zip(raised, ends, summaries, strict=True):
        if summary is not None:
            immediate = Timespan(begin, min(begin + TURN_S, end))
            gold.append(GoldReply(text=summary, question=question.text, reply_span=immediate, related_span=immediate))
        due = (answer for answer in question.answers if answer.end > begin and answer.start < end)
        gold += [_gold_reply(question, answer, begin, end) for answer in due]
    return gold


def _gold_reply(question: Question, answer: Answer, begin: float, end: float) -> GoldReply:
    start = max(answer.start, begin)
    return GoldReply(
        text=answer.text,
        question=question.text,
        reply_span=Timespan(start, min(answer.end + REPLY_SLACK_S, end)),
        related_span=Timespan(start, min(answer.end, end)),
    )


def _episode(
    question_id: str, video: VideoQuestions, raised: Sequence[tuple[float, Question]], gold: Sequence[GoldReply]
) -> Episode:
    return Episode(
        question_id=question_id,
        video=Path("videos", video.video),
        duration=video.duration,
        user_turns=tuple(UserTurn(time=time, text=question.text) for time, question in raised),
        gold=tuple(gold),
        subset=video.subset,
    )
