"""TinyWorld's files are decoded and read by eye, so to speak: what is seen must be what the annotation says."""

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proactive_env.datasets.tinyworld.film import BACKGROUND, COLOURS, SHAPES
from proactive_env.datasets.tinyworld.stories import SPLITS, _plan, load
from proactive_env.episode import Episode

SIZE = 16
NOWHERE = Path("never-written")


def decode(path: Path) -> np.ndarray:
    with av.open(path) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]).astype(int)


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> tuple[Episode, ...]:
    return load(tmp_path_factory.mktemp("world"), size=SIZE)


@pytest.fixture(scope="module")
def videos(world) -> list[np.ndarray]:
    return [decode(episode.video) for episode in world]


@pytest.fixture(scope="module")
def acts(world, videos):
    """Every gold reply with its video and the pictures of its related span."""
    return [
        (gold, video, round(gold.related_span.start * 8), round(gold.related_span.end * 8))
        for episode, video in zip(world, videos, strict=True)
        for gold in episode.gold
    ]


def mask(picture: np.ndarray) -> np.ndarray:
    """Where the object is: pixels at least half way to an object's colour."""
    return np.abs(picture - BACKGROUND).max(axis=-1) > 80


def is_bare(picture: np.ndarray) -> bool:
    return bool(np.abs(picture - BACKGROUND).max() < 12)


def colour(picture: np.ndarray) -> str:
    median = np.median(picture[mask(picture)], axis=0)
    return min(COLOURS, key=lambda name: np.abs(median - COLOURS[name]).sum())


def box(picture: np.ndarray) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the object, pixels."""
    rows, columns = np.nonzero(mask(picture))
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def width(picture: np.ndarray) -> int:
    left, _, right, _ = box(picture)
    return right - left


def shape(picture: np.ndarray) -> str:
    left, top, right, bottom = box(picture)
    inside = mask(picture)[top:bottom, left:right]
    if inside.mean() > 0.7:
        return "square" if inside.mean() > 0.9 else "circle"
    return "triangle" if inside[-3].mean() > 0.7 else "cross"


def place(picture: np.ndarray) -> str:
    left, top, right, bottom = box(picture)
    sides = {"left": 28 - right, "right": left - 28, "top": 28 - bottom, "bottom": top - 28}
    side = max(sides, key=sides.__getitem__)
    return side if sides[side] > 0 else "centre"


def seen(picture: np.ndarray, question: str) -> str:
    """The answer to a question, as a single picture shows it."""
    match question.split():
        case ["What", "appears?"]:
            return f"A {colour(picture)} {shape(picture)}."
        case ["Where", *_]:
            return f"To the {place(picture)}."
        case ["What", "does", "the", asked, *_] if asked != colour(picture):
            return f"It turns {colour(picture)}."
    return "It grows." if width(picture) > 26 else "It shrinks." if width(picture) < 14 else "Nothing yet."


def test_files_are_what_they_should_be(world):
    for episode in world:
        with av.open(episode.video) as container:
            stream = container.streams.video[0]
            assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
            assert (stream.width, stream.height, stream.average_rate) == (56, 56, 8)
            assert container.duration / av.time_base == episode.duration == stream.frames / 8
            assert [frame.time for frame in container.decode(stream)] == [i / 8 for i in range(stream.frames)]


def test_the_answer_is_seen_from_the_first_to_the_last_picture_of_the_related_span(acts):
    for gold, video, start, end in acts:
        assert {seen(picture, gold.question) for picture in video[start:end]} == {gold.text}


def test_the_first_picture_of_the_related_span_shows_the_change_complete(acts):
    for gold, video, start, end in acts:
        if gold.question == "What appears?":
            steps = np.abs(np.diff([box(picture) for picture in video[start : start + 4]], axis=0))
            assert steps.max() <= 1, "a gentle drift, no more sliding"
        else:
            assert np.abs(video[start] - video[end - 1]).max() < 20


def test_objects_are_fully_inside_during_the_related_span(acts):
    for _, video, start, end in acts:
        inside = mask(video[start:end])
        assert not inside[:, [0, -1]].any()
        assert not inside[:, :, [0, -1]].any()


def test_the_background_is_bare_from_the_end_of_the_related_span_until_the_next_entrance(world, videos):
    for episode, video in zip(world, videos, strict=True):
        bare = [is_bare(picture) for picture in video]
        end = 0
        for gold in episode.gold:
            entrance = bare.index(False, end)
            assert 8 <= entrance - end <= 24 + 6, "a pause of 1 to 3 s, and up to 6 pictures until a slide is in sight"
            end = round(gold.related_span.end * 8)
            assert entrance < gold.related_span.start * 8
            assert not any(bare[entrance:end])
        assert all(bare[end:])
        assert len(bare) - end >= 12


def test_an_object_that_is_asked_about_is_plain_before_it_changes_or_moves(acts):
    for gold, video, start, _ in acts:
        if gold.question == "What appears?":
            continue
        asked_colour, asked_shape = gold.question.split()[3:5]
        plain = video[max(i for i in range(start) if is_bare(video[i])) + 1 : start - 5]
        assert 8 < len(plain) <= 17
        assert {(colour(picture), shape(picture)) for picture in plain} == {(asked_colour, asked_shape)}
        assert all(18 <= width(picture) <= 21 for picture in plain)
        assert {place(picture) for picture in plain} == {"centre"}
        assert seen(plain[-1], gold.question) != gold.text


@given(st.integers(0, 2**40), st.sampled_from(SPLITS), st.integers(0, 99999))
def test_stories_keep_the_rules(seed, split, index):
    episode, film = _plan(seed, split, index, NOWHERE)
    assert episode.question_id == f"tinyworld-{seed}-{split}-{index:05d}"
    assert (episode.subset, episode.frames_per_turn) == ("TINYWORLD", 2)
    assert 15 <= episode.duration == film.pictures / 8 <= 40
    assert len(episode.gold) == len(film.acts) in (2, 3)
    assert len({gold.text for gold in episode.gold}) == len(episode.gold)
    entrances = [min(act.keyframes) / 8 for act in film.acts]
    exits = [max(act.keyframes) / 8 for act in film.acts]
    for gold, entrance, end in zip(episode.gold, entrances, exits, strict=True):
        assert gold.question == [turn.text for turn in episode.user_turns if turn.time < entrance][-1]
        assert entrance < gold.related_span.start == gold.reply_span.start
        assert gold.reply_span.end == gold.related_span.end + 1
        assert gold.reply_span.end * 8 % 1 == gold.reply_span.start * 8 % 1 == 0
        assert 4 <= end - gold.related_span.start <= 9
        assert end % 2 == 1, (
            "so that a turn of one or of two seconds that ends with the reply span shows the bare picture"
        )
        if gold.related_span.end != end:
            assert split == "train"
            assert gold.reply_span.start + 1.5 <= gold.reply_span.end <= end
    for earlier, later in pairwise(episode.gold):
        assert earlier.reply_span.end < later.reply_span.start
    assert episode.user_turns[0].time == 0
    for turn in episode.user_turns[1:]:
        assert turn.text != episode.user_turns[0].text
        assert any(end + 1 <= turn.time < entrance for end, entrance in zip(exits, entrances[1:], strict=False))


def test_every_kind_of_story_occurs():
    episodes = [_plan(0, "test", index, NOWHERE)[0] for index in range(400)]
    single = sum(len(episode.user_turns) == 1 for episode in episodes) / len(episodes)
    assert 0.42 < single < 0.58
    assert {len(episode.user_turns) for episode in episodes} == {1, 2}
    assert {len(episode.gold) for episode in episodes} == {2, 3}
    answers = {gold.text for episode in episodes for gold in episode.gold}
    assert answers == {
        *(f"A {name} {kind}." for name in COLOURS for kind in SHAPES),
        *(f"It turns {name}." for name in COLOURS),
        *("It grows.", "It shrinks."),
        *(f"To the {side}." for side in ("left", "right", "top", "bottom")),
    }


@pytest.mark.parametrize(("split", "low", "high"), [("train", 0.36, 0.44), ("validation", 0, 0), ("test", 0, 0)])
def test_only_the_train_split_is_coarse(split, low, high):
    coarse = [
        gold.related_span.end != max(act.keyframes) / 8
        for episode, film in (_plan(0, split, index, NOWHERE) for index in range(400))
        for gold, act in zip(episode.gold, film.acts, strict=True)
    ]
    assert low <= np.mean(coarse) <= high


def test_splits_and_seeds_share_no_stories():
    stories = [
        str(_plan(seed, split, index, NOWHERE)[1]) for seed in (0, 1) for split in SPLITS for index in range(100)
    ]
    assert len(set(stories)) == len(stories)


def test_defaults_are_64_episodes_of_the_test_split_in_the_cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("PROACTIVE_ENV_CACHE", str(tmp_path))
    monkeypatch.setattr("proactive_env.datasets.tinyworld.stories.Film.write", lambda film, path: None)
    episodes = load()
    assert len(episodes) == 64
    assert episodes[63].video == tmp_path / "tinyworld" / "v1" / "0-test" / "00063.mp4"


def test_a_larger_size_keeps_earlier_episodes_and_their_files(tmp_path):
    first = load(tmp_path, split="train", size=2, seed=3)
    written = [episode.video.stat() for episode in first]
    assert load(tmp_path, split="train", size=3, seed=3)[:2] == first
    assert [episode.video.stat()[:9] for episode in first] == [stat[:9] for stat in written]


def test_processes_at_once_write_the_same_bytes_as_one(world, tmp_path):
    code = "import sys; from proactive_env.datasets import load; load('tinyworld', sys.argv[1], size=2)"
    writers = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) for _ in range(2)]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0]
    files = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert [path.name for path in files] == [f"{index:05d}.mp4" for index in range(2)], "and no temporary file is left"
    assert [path.read_bytes() for path in files] == [episode.video.read_bytes() for episode in world[:2]]
    again = load(tmp_path, size=2)
    assert [e.model_copy(update={"video": w.video}) for e, w in zip(again, world, strict=False)] == list(world[:2])


def test_a_failed_write_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(film, path):
        path.write_bytes(b"half a video")
        raise OSError("no space left on device")

    monkeypatch.setattr("proactive_env.datasets.tinyworld.stories.Film._encode", fail)
    with pytest.raises(OSError, match="no space left"):
        load(tmp_path, size=1)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "tests"}, r"no split 'tests'; did you mean 'test'\? known: test, train, validation"),
        ({"split": "x"}, "no split 'x'; known: test, train, validation"),
        ({"size": 0}, "size must be at least 1 .* found size=0"),
        ({"seed": -1}, "seed at least 0, .* seed=-1"),
    ],
)
def test_bad_arguments_are_named(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        load(tmp_path, **arguments)


def test_a_root_that_is_a_file_is_an_os_error(tmp_path):
    (tmp_path / "root").touch()
    with pytest.raises(OSError, match="root"):
        load(tmp_path / "root", size=1)
