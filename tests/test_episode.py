import pytest
from builders import episode, gold
from pydantic import ValidationError

from proactive_env.episode import Episode, Timespan


def test_spans_are_closed_at_both_ends():
    span = Timespan(1.0, 2.0)
    assert span.contains(1.0)
    assert span.contains(2.0)
    assert not span.contains(2.0001)


@pytest.mark.parametrize(("start", "end"), [(5, 4), (3, 3), (-1, 2), (float("nan"), 2), (1, float("inf"))])
def test_a_span_that_does_not_run_forward_is_refused(start, end):
    with pytest.raises(ValidationError, match="start < end|finite"):
        gold(start, end)


@pytest.mark.parametrize("span", [(20.0, 20.5), (19.0, 21.1)])
def test_a_gold_span_outside_the_video_is_refused_by_name(span):
    with pytest.raises(ValidationError, match=r"gold\.0\.reply_span must lie inside the video of 20"):
        episode(gold(*span), duration=20.0)


def test_annotations_may_pass_the_end_by_a_second():
    assert episode(gold(19.0, 21.0), duration=20.0).gold


def test_episodes_are_frozen_and_round_trip_as_json():
    made = episode(gold(1, 5), play=(0.0, 9.0))
    with pytest.raises(ValidationError, match="frozen"):
        made.duration = 3.0
    assert Episode.model_validate_json(made.model_dump_json()) == made


def test_a_duration_filled_in_later_is_checked_too():
    unknown = episode(gold(15, 18), duration=None)
    assert unknown.with_duration(18.0).duration == 18.0
    with pytest.raises(ValueError, match="inside the video"):
        unknown.with_duration(10.0)
