"""The rules that scenes of every source follow."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from proactive_env.recipes.data.scenes import SceneConfig
from proactive_env.recipes.data.scenes.rules import arrange
from proactive_env.recipes.data.scenes.scene import Scene

MILLISECOND = 0.001 + 1e-9


def scenes(*bounds):
    return [Scene(start=start, end=end, text=f"{start:g}") for start, end in bounds]


def arranged(*bounds, duration=20.0, shortest=2.0, longest=8.0):
    config = SceneConfig(min_seconds=shortest, max_seconds=longest)
    return [(scene.start, scene.end, scene.text) for scene in arrange(scenes(*bounds), duration, config)]


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        pytest.param([(15, 30), (25, 26)], [(15, 20, "15")], id="cut at the end of the video"),
        pytest.param([(0, 4), (3, 7)], [(0, 3, "0"), (3, 7, "3")], id="an overlap belongs to the later"),
        pytest.param([(0, 3), (0, 5)], [(0, 5, "0 0")], id="one scene if they start together"),
        pytest.param([(4, 8), (0, 3)], [(0, 4, "0"), (4, 8, "4")], id="a short gap is closed"),
        pytest.param([(0, 3), (5, 8)], [(0, 3, "0"), (5, 8, "5")], id="a long gap stays"),
        pytest.param([(0, 1), (1, 5)], [(0, 5, "0 1")], id="a short scene joins the next"),
        pytest.param([(0, 4), (4, 5), (8, 12)], [(0, 5, "0 4"), (8, 12, "8")], id="a short last one the one before"),
        pytest.param([(0, 1), (1, 2), (2, 3), (3, 4)], [(0, 2, "0 1"), (2, 4, "2 3")], id="joined only as needed"),
        pytest.param([(5, 5.5), (9, 12)], [(5, 7, "5"), (9, 12, "9")], id="alone it runs on into the gap"),
        pytest.param([(0, 3), (19, 19.5)], [(0, 3, "0")], id="unless the video ends first"),
        pytest.param([(0, 18)], [(0, 6, "0"), (6, 12, "0"), (12, 18, "0")], id="a long scene becomes equal parts"),
        pytest.param([], [], id="nothing"),
    ],
)
def test_rules(bounds, expected):
    assert arranged(*bounds) == expected


def test_a_video_shorter_than_the_shortest_scene_has_none():
    assert arranged((0, 1.5), duration=1.5) == []


times = st.floats(min_value=0, max_value=100, allow_nan=False)
bounds = st.tuples(times, times).filter(lambda pair: pair[0] < pair[1])


@given(
    st.lists(bounds, max_size=30),
    st.floats(min_value=0.01, max_value=90),
    st.floats(min_value=0.1, max_value=10),
    st.floats(min_value=2, max_value=10),
)
@example([(0.1, 0.2), (98.0, 99.0)], 90.0, 0.3, 2.0)
def test_scenes_are_ordered_disjoint_inside_the_video_and_of_the_right_length(
    pairs, duration, shortest, times_shortest
):
    longest = shortest * times_shortest
    found = arrange(scenes(*pairs), duration, SceneConfig(min_seconds=shortest, max_seconds=longest))
    at = 0.0
    for scene in found:
        assert at <= scene.start < scene.end <= duration
        assert shortest - MILLISECOND <= scene.seconds <= longest + MILLISECOND
        at = scene.end
    assert {word for scene in found for word in scene.text.split()} <= {f"{start:g}" for start, _ in pairs}


@given(st.lists(st.tuples(st.integers(0, 80), st.integers(1, 20)), min_size=1, max_size=20))
def test_no_text_is_lost_inside_the_video(pairs):
    given_scenes = scenes(*((start, start + seconds) for start, seconds in pairs))
    found = arrange(given_scenes, 110.0, SceneConfig(min_seconds=2, max_seconds=8))
    assert {word for scene in found for word in scene.text.split()} == {scene.text for scene in given_scenes}


@given(st.lists(bounds, max_size=20))
def test_arranging_twice_changes_nothing(pairs):
    config = SceneConfig(min_seconds=2, max_seconds=8)
    once = arrange(scenes(*((round(start, 3), round(end, 3) + 0.001) for start, end in pairs)), 100.0, config)
    again = arrange(once, 100.0, config)
    assert [scene.text for scene in again] == [scene.text for scene in once]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"min_seconds": 5, "max_seconds": 9}, "at least twice min_seconds, 10"),
        ({"source": "annotations"}, "needs the path of a file"),
        ({"source": "speech"}, "'auto', 'subtitles', 'annotations' or 'shots'"),
        ({"minimum": 5}, "Extra inputs are not permitted"),
    ],
)
def test_what_cannot_be_is_no_configuration(fields, message):
    with pytest.raises(ValidationError, match=message):
        SceneConfig(**fields)


def test_a_scene_runs_forward():
    with pytest.raises(ValidationError, match=r"must end after it starts, found \[3.0, 3.0\]"):
        Scene(start=3, end=3)
