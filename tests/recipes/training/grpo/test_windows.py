"""Windows tile an episode, hold something to score each, and name what they are made of."""

from itertools import pairwise

import pytest
from builders import episode, gold, write_video
from hypothesis import given, settings
from hypothesis import strategies as st

from proactive_env.environment import ProactiveVideoEnv
from proactive_env.errors import InputError
from proactive_env.recipes.training.grpo.config import GrpoConfig
from proactive_env.recipes.training.grpo.prepare.windows import check_apart, held_out, windows
from proactive_env.recipes.training.grpo.task import Task

LENGTH_S = 90


@pytest.fixture(scope="session")
def video(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("windows") / "long.mp4", seconds=LENGTH_S, rate=1)


def config(window=(20.0, 40.0), seed=0, **play):
    source = {"benchmark": "tinyworld"}
    fields = {"model": "tiny", "train": source, "held_out": source, "window": window, "seed": seed, "play": play}
    return GrpoConfig.model_validate(fields)


def tasks(rows):
    return [Task.model_validate_json(row["label"]) for row in rows]


def never(problem):
    raise AssertionError(problem)


spans = st.lists(
    st.tuples(st.integers(0, LENGTH_S - 12), st.integers(1, 12)).map(lambda pair: gold(pair[0], sum(pair))),
    min_size=1,
    max_size=6,
)
lengths = st.tuples(st.floats(3, 30), st.floats(0, 30)).map(lambda pair: (pair[0], sum(pair)))


@given(golds=spans, window=lengths, frames=st.integers(1, 3), seed=st.integers(0, 3))
@settings(deadline=None, max_examples=60)
def test_every_gold_reply_is_scored_in_one_window_and_every_window_scores_one(video, golds, window, frames, seed):
    played = episode(*golds, duration=float(LENGTH_S), video=video)
    chosen = config(window, seed, frames_per_turn=frames)
    rows = windows(chosen, [played], never)
    assert rows == windows(chosen, [played], never)
    assert len({row["input"] for row in rows}) == len(rows)
    env = ProactiveVideoEnv([played], frames_per_turn=frames)
    scored, bounds = [], []
    for task in tasks(rows):
        _, info = env.reset(options=task.options)
        assert info["plan"].scored
        scored += [(reply.reply_span.start, reply.text) for reply in info["plan"].scored]
        bounds.append(info["window"])
        if task.start is not None:
            assert info["window"] == (task.start, task.end), "windows lie on turn boundaries"
    _, whole = env.reset(options={"question_id": played.question_id})
    playable = [reply for reply in golds if reply.reply_span.start < whole["window"][1]]
    assert sorted(scored) == sorted((reply.reply_span.start, reply.text) for reply in playable)
    assert all(before[1] <= after[0] for before, after in pairwise(bounds))
    shortest, longest = window
    for start, end in bounds:
        assert end - start >= shortest - frames or (start, end) == whole["window"]
        assert end - start < longest + shortest + frames


def test_the_seed_draws_the_lengths_and_no_other_episode_changes_them(video):
    first, second = (
        episode(gold(5, 9), gold(40, 44), gold(80, 88), duration=90.0, video=video, question_id=name) for name in "ab"
    )
    drawn = [tasks(windows(config(seed=seed), [first, second], never)) for seed in range(8)]
    assert len({tuple(task.name for task in some) for some in drawn}) > 4
    assert tasks(windows(config(seed=3), [second], never)) == [task for task in drawn[3] if task.question_id == "b"]


def test_short_episodes_and_those_without_a_window_length_are_played_whole(video):
    short = episode(gold(3, 9), duration=90.0, video=video)
    long = episode(gold(3, 9), gold(80, 88), duration=90.0, video=video)
    for window, played in (((20.0, 40.0), short), (None, long)):
        (task,) = tasks(windows(config(window), [played], never))
        assert (task.start, task.end, task.name) == (None, None, "q")


def test_held_out_episodes_are_played_whole_and_marked(video):
    long = episode(gold(3, 9), gold(80, 88), duration=90.0, video=video)
    (row,) = held_out(config(), [long], never)
    (task,) = tasks([row])
    assert (row["input"], task.held_out, task.options) == ("q", True, {"question_id": "q"})


def test_an_episode_that_cannot_be_played_is_left_out_and_reported(video, tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    bad = [
        episode(gold(3, 9), question_id="missing", duration=None, video=tmp_path / "none.mp4"),
        episode(gold(3, 9), question_id="broken", video=tmp_path / "broken.mp4"),
        episode(gold(3, 9), question_id="short", duration=LENGTH_S + 5.0, video=video),
        episode(gold(200, 209), question_id="beyond", duration=None, video=video),
        episode(question_id="mute", duration=90.0, video=video),
    ]
    good = episode(gold(3, 9), duration=None, video=video)
    problems = []
    (task,) = tasks(windows(config(), [*bad, good], problems.append))
    assert task.question_id == "q"
    for one, expected in zip(
        problems, ("none.mp4", "broken.mp4", "expected 95 s of video", "inside the video", "found none"), strict=True
    ):
        assert expected in one
    assert [one.split("'")[1] for one in problems] == ["missing", "broken", "short", "beyond", "mute"]
    with pytest.raises(InputError, match="expected episodes of tinyworld with a video"):
        windows(config(), bad, problems.append)


def test_a_video_in_both_sets_is_an_error_under_any_name(video, tmp_path):
    (tmp_path / "link.mp4").symlink_to(video)
    here, there = episode(gold(3, 9), video=video), episode(gold(3, 9), video=tmp_path / "link.mp4")
    with pytest.raises(InputError, match=r"found 1 in both, such as .*long\.mp4"):
        check_apart([here], [there])
    check_apart([here], [episode(gold(3, 9), video=tmp_path / "other.mp4")])


def test_frame_intervals_are_drawn_by_the_seed_for_training_alone(video):
    episodes = [
        episode(gold(2, 6), duration=float(LENGTH_S), video=video).model_copy(update={"question_id": f"q{number}"})
        for number in range(20)
    ]
    mixed = config(None, mixed_frame_intervals=[0.5, 1.0, 2.0], frame_interval=1.5)
    drawn = [task.frame_interval for task in tasks(windows(mixed, episodes, never))]
    assert drawn == [task.frame_interval for task in tasks(windows(mixed, episodes, never))]
    assert set(drawn) == {0.5, 1.0, 2.0}
    other = config(None, seed=1, mixed_frame_intervals=[0.5, 1.0, 2.0])
    assert drawn != [task.frame_interval for task in tasks(windows(other, episodes, never))]
    assert {task.frame_interval for task in tasks(held_out(mixed, episodes, never))} == {1.5}
    with pytest.raises(ValueError, match="expected seconds above 0"):
        config(None, mixed_frame_intervals=[0.0])
