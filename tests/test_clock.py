"""The design's clock: n frames, turns that decide at b * dt, texts by due time, windows on turn boundaries."""

import math
from fractions import Fraction

import pytest
from builders import episode, gold
from hypothesis import example, given
from hypothesis import strategies as st

from proactive_env.clock import Clock, plan
from proactive_env.episode import UserTurn
from proactive_env.errors import InputError

milliseconds = st.integers(500, 500_000).map(lambda count: Fraction(count, 1000))
turns = st.integers(1, 5)


def clock(the_episode, dt=1.0, frames_per_turn=2, **options):
    return Clock.of(the_episode, frame_interval=dt, frames_per_turn=frames_per_turn, **options)


@given(duration=milliseconds, end=milliseconds, dt=st.sampled_from(["0.5", "1", "2", "0.3", "0.1"]), per_turn=turns)
@example(duration=Fraction(1, 2), end=Fraction(2611, 1000), dt="0.5", per_turn=1)  # 1.611 + 1 < 2.611 in floats
def test_frame_count_is_the_designs_formula(duration, end, dt, per_turn):
    """In exact arithmetic: three tenths of a second are three steps of a tenth."""
    duration = max(duration, end - 1)
    made = episode(gold(float(min(end, duration) / 2), float(end)), duration=float(duration))
    played = clock(made, float(dt), per_turn)
    step = Fraction(dt)
    assert played.frame_count == max(1, min(math.floor(duration / step), math.ceil(min(duration, end) / step)))
    assert clock(made, float(dt), per_turn, full_video=True).frame_count == max(1, math.floor(duration / step))
    planned = played.turns(made)
    assert [frame for turn in planned for frame in range(*played.frames(turn.index))] == list(range(played.frame_count))
    assert [turn.end for turn in planned] == [float(played.frames(turn.index)[1] * step) for turn in planned]


def test_the_stream_stops_where_the_last_gold_span_ends():
    made = episode(gold(2, 6.5), duration=30)
    assert clock(made).frame_count == 7
    assert [turn.end for turn in clock(made).turns(made)] == [2, 4, 6, 7]


def test_a_video_without_gold_plays_to_its_end():
    assert clock(episode(duration=12.9)).frame_count == 12


def test_user_texts_come_with_the_frames_during_which_they_are_due():
    texts = [
        (0, "at once"),
        (1.9, "first turn"),
        (2.0, "second turn"),
        (2.5, "joined"),
        (6.9, "last"),
        (7.0, "dropped"),
    ]
    made = episode(gold(2, 6.5), user_turns=tuple(UserTurn(time=time, text=text) for time, text in texts))
    assert [turn.user_text for turn in clock(made).turns(made)] == [
        "at once\nfirst turn",
        "second turn\njoined",
        "",
        "last",
    ]
    assert clock(made).dropped_texts(made) == 1


def test_a_benchmark_clip_starts_inside_the_video():
    made = episode(gold(8, 12), play=(5.5, 14.0), user_turns=(UserTurn(time=5.5, text="Say GOAL"),))
    made_clock = clock(made, frames_per_turn=2)
    turns = made_clock.turns(made)
    assert (turns[0].start, turns[0].end, turns[-1].end) == (4, 6, 14)
    assert turns[0].user_text == "Say GOAL"


def windowed(window, *golds):
    made = episode(*golds, duration=20)
    return plan(made, clock(made).turns(made), window)


def test_windows_snap_outwards_to_turn_boundaries():
    planned = windowed((5.1, 9.9), gold(1, 4), gold(5, 18))
    assert planned.window == (4, 10)
    assert [turn.index for turn in planned.turns] == [2, 3, 4]


def test_a_window_scores_the_spans_that_start_in_it_and_cuts_them_at_its_end():
    planned = windowed((4, 10), gold(3, 9, "began earlier"), gold(4, 20, "cut"), gold(10, 12, "begins after"))
    assert [(reply.text, *reply.reply_span) for reply in planned.scored] == [("cut", 4, 10)]


def test_history_has_gold_replies_of_spans_that_are_over():
    planned = windowed((10, 20), gold(1, 5.5, "A."), gold(2, 4.5, "B."), gold(6, 13, "not over"), gold(12, 18))
    assert [turn.reply for turn in planned.history] == [None, "A. B.", None, None, None]


def test_a_span_without_a_turn_inside_stays_silent_in_history():
    planned = windowed((10, 20), gold(4.5, 5.5), gold(12, 18))
    assert [turn.reply for turn in planned.history] == [None] * 5


def test_without_a_window_there_is_no_history():
    assert windowed(None, gold(1, 5)).history == ()


@pytest.mark.parametrize("window", [(6, 6), (9, 5), (50, 60), (-5, 0)])
def test_a_window_without_turns_is_refused(window):
    with pytest.raises(InputError, match=r"window with start < end that meets 0.*found"):
        windowed(window, gold(2, 18))
