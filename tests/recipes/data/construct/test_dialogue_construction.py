"""Dialogues and gates as pure functions: spans and questions for any answers whatever."""

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proactive_env.episode import Timespan
from proactive_env.recipes.data.construct.config import PRESETS, BuildConfig
from proactive_env.recipes.data.construct.dialogues import TURN_S, gold_replies, raise_questions
from proactive_env.recipes.data.construct.frames import frame_times
from proactive_env.recipes.data.construct.gates import similarity
from proactive_env.recipes.data.construct.lines import Answer, Line, Question
from proactive_env.recipes.data.construct.run import choose_held_out
from proactive_env.recipes.data.scenes.scene import Scene
from proactive_env.recipes.record import load_config


@st.composite
def videos(draw):
    """A video's length, and two to four questions whose answers lie in some of its scenes."""
    duration = draw(st.floats(1, 300))
    cuts = sorted(draw(st.sets(st.floats(0, duration), min_size=2, max_size=12)))
    scenes = [Scene(start=a, end=b) for a, b in pairwise(cuts)]
    questions = [
        Question(
            text=f"Question {number}?",
            answers=[
                Answer(start=scene.start, end=scene.end, text=f"Answer {number}.{n}")
                for n, scene in enumerate(scenes)
                if draw(st.booleans())
            ],
        )
        for number in range(draw(st.integers(1, 4)))
    ]
    return duration, questions


def held(duration, questions, seed):
    raised = raise_questions(questions, duration, Random(seed))
    over = [any(answer.end <= time for answer in question.answers) for time, question in raised]
    summaries = [f"So far {question.text}" if some else None for some, (_, question) in zip(over, raised, strict=True)]
    return raised, gold_replies(raised, summaries, duration)


@given(videos(), st.integers(0, 99))
def test_spans_are_ordered_and_lie_in_the_video_and_in_their_questions_time(video, seed):
    duration, questions = video
    raised, gold = held(duration, questions, seed)
    times = {question.text: time for time, question in raised}
    ends = dict(zip(times, [*list(times.values())[1:], duration], strict=True))
    assert [reply.reply_span.start for reply in gold] == sorted(reply.reply_span.start for reply in gold)
    for reply in gold:
        for span in (reply.reply_span, reply.related_span):
            assert times[reply.question] <= span.start < span.end <= ends[reply.question] <= duration
        assert reply.related_span.start == reply.reply_span.start
        assert reply.related_span.end <= reply.reply_span.end


@given(videos(), st.integers(0, 99))
def test_replies_are_their_own_questions_answers(video, seed):
    duration, questions = video
    raised, gold = held(duration, questions, seed)
    own = {question.text: {answer.text for answer in question.answers} for question in questions}
    assert all(reply.text in own[reply.question] | {f"So far {reply.question}"} for reply in gold)
    for (time, question), end in zip(raised, [*(time for time, _ in raised[1:]), duration], strict=True):
        due = [answer.text for answer in question.answers if answer.end > time and answer.start < end]
        summary = [f"So far {question.text}"] * any(answer.end <= time for answer in question.answers)
        assert [reply.text for reply in gold if reply.question == question.text] == summary + due


@given(videos(), st.integers(0, 99))
def test_questions_are_raised_at_turns_of_their_own(video, seed):
    duration, questions = video
    raised = raise_questions(questions, duration, Random(seed))
    times = [time for time, _ in raised]
    assert times == sorted(set(times))
    assert all(time % TURN_S == 0 for time in times)
    assert len(raised) == min(len(questions), max(1, int(duration // TURN_S)))
    assert raised == raise_questions(questions, duration, Random(seed))


def test_a_scene_that_runs_when_a_question_is_raised_belongs_to_it():
    """An immediate answer counts for 4 s, one to a scene until 1 s after its end, unless the next question comes."""
    answers = [
        Answer(start=0, end=6, text="Early."),
        Answer(start=6, end=14, text="Running."),
        Answer(start=14, end=20, text="Late."),
    ]
    one, other = Question(text="One?", answers=answers), Question(text="Other?", answers=answers)
    gold = gold_replies([(0.0, one), (8.0, other)], [None, "Early."], duration=20.0)
    assert [(reply.question, reply.text, reply.reply_span) for reply in gold] == [
        ("One?", "Early.", Timespan(0, 7)),
        ("One?", "Running.", Timespan(6, 8)),
        ("Other?", "Early.", Timespan(8, 12)),
        ("Other?", "Running.", Timespan(8, 15)),
        ("Other?", "Late.", Timespan(14, 20)),
    ]


@pytest.mark.parametrize(("preset", "gated"), [("default", True), ("mmduet2", False)])
def test_presets(preset, gated):
    config = load_config(preset, BuildConfig, ["model=m"], PRESETS)
    assert config.gates.guessable == config.gates.unsupported == config.gates.one_sided == gated
    assert [config.question_count(seconds) for seconds in (59, 60, 180)] == [2, 3, 4]


def test_videos_are_held_out_by_seed_and_subset():
    videos = [Line(video=f"{subset}/{n}.mp4") for subset in ("web", "ego") for n in range(20)]
    content = {line.video: line.video for line in videos}
    drawn = [
        choose_held_out(BuildConfig(model="m", seed=seed, rl_videos={"web": 5, "ego": 2}), videos, content)
        for seed in (0, 0, 1)
    ]
    assert drawn[0] == drawn[1] != drawn[2]
    assert [sum(video.startswith(subset) for video in drawn[0]) for subset in ("web", "ego")] == [5, 2]
    alone = choose_held_out(BuildConfig(model="m", rl_videos={"web": 5}), videos[:20], content)
    assert alone == {video for video in drawn[0] if video.startswith("web")}


@given(st.floats(0, 100), st.floats(0.1, 40), st.integers(1, 8))
def test_frames_of_a_scene_lie_in_it_a_second_apart(start, seconds, most):
    times = frame_times(Scene(start=start, end=start + seconds), most)
    assert len(times) == min(most, max(1, int(start + seconds - start)))
    assert all(start < time < start + seconds for time in times)
    assert all(later - time >= 1 - 1e-9 for time, later in pairwise(times))


@pytest.mark.parametrize(
    ("one", "other", "share"),
    [
        ("A cat.", "a cat", 1.0),
        ("A cat.", "A dog.", 1 / 3),
        ("", "", 1.0),
        ("cat", "", 0.0),
        ("Ein Kätzchen", "ein KÄTZCHEN", 1.0),
    ],
)
def test_similarity(one, other, share):
    assert similarity(one, other) == pytest.approx(share)
