"""Where gold replies are put."""

import pytest
from builders import episode, gold
from hypothesis import given
from hypothesis import strategies as st

from proactive_env.clock import Clock, plan, turns_inside
from proactive_env.recipes.training.sft.labels import label


def planned(*golds, duration=20.0, frames_per_turn=2, **fields):
    annotated = episode(*golds, duration=duration, **fields)
    clock = Clock.of(annotated, frame_interval=1.0, frames_per_turn=frames_per_turn)
    return plan(annotated, clock.turns(annotated))


def said(turns):
    return {turn.end: turn.reply for turn in turns if turn.reply is not None}


def test_at_the_end_is_the_last_turn_inside_the_span():
    assert said(label(planned(gold(3, 9.5)))) == {8.0: "A red circle."}


def test_a_turn_that_decides_as_the_span_ends_is_inside():
    assert said(label(planned(gold(3, 8)))) == {8.0: "A red circle."}


def test_a_span_without_a_turn_is_answered_at_the_first_after_its_start():
    assert said(label(planned(gold(4.5, 5.5), gold(10, 12, "It grows.")))) == {6.0: "A red circle.", 12.0: "It grows."}


def test_two_replies_in_one_turn_are_joined_by_a_space():
    assert said(label(planned(gold(2, 8), gold(3, 8.5, "It grows.")))) == {8.0: "A red circle. It grows."}


def test_a_span_that_starts_after_the_last_turn_is_not_answered():
    assert said(label(planned(gold(2, 6), gold(9.2, 9.4, "Late."), duration=9.5))) == {6.0: "A red circle."}


spans = st.tuples(st.floats(0, 30), st.floats(0.5, 20)).map(lambda span: (span[0], span[0] + span[1]))


@given(spans, st.integers(1, 3), st.sampled_from(["end", "middle"]), st.integers(0, 5))
def test_a_reply_is_said_once_and_inside_its_span_where_a_turn_decides_there(span, frames, reply_at, seed):
    annotated = planned(gold(*span), duration=60.0, frames_per_turn=frames)
    turns = label(annotated, reply_at, seed)
    times = list(said(turns))
    inside = [turn.end for turn in turns_inside(turns, annotated.episode.gold[0])]
    assert len(times) == 1
    assert times[0] in inside if inside else times[0] == min(turn.end for turn in turns if turn.end > span[0])
    assert turns == label(annotated, reply_at, seed)


@given(st.integers(0, 1000))
def test_the_middle_is_the_turn_after_50_to_75_percent_of_the_span(seed):
    (time,) = said(label(planned(gold(10, 50), duration=60.0, frames_per_turn=1), "middle", seed))
    assert 30 <= time <= 41


def test_the_middle_differs_between_seeds_and_episodes():
    def times(question_id, seed):
        annotated = planned(gold(10, 50), duration=60.0, frames_per_turn=1, question_id=question_id)
        return tuple(said(label(annotated, "middle", seed)))

    assert len({times("q", seed) for seed in range(8)}) > 1
    assert len({times(f"q{number}", 0) for number in range(8)}) > 1


@pytest.mark.parametrize("reply_at", ["end", "middle"])
def test_what_is_shown_and_asked_stays(reply_at):
    before = planned(gold(3, 9))
    turns = label(before, reply_at)
    assert [turn.model_copy(update={"reply": None}) for turn in turns] == list(before.turns)
