"""What a build does not fall for: loose silences, copies, odd names, and servers that fail on some messages or all."""

import json
import os
from collections import Counter

import pytest
from chat_server import chat_server
from scripted_model import ScriptedModel, make_videos
from test_data_build import build, dropped, fresh_cache, lines, model, server  # noqa: F401 (fixtures)

from proactive_env.errors import InputError
from proactive_env.recipes.data.build.ask import one_line
from proactive_env.recipes.data.build.config import BuildConfig
from proactive_env.recipes.data.build.dialogues import Summary
from proactive_env.recipes.data.build.gates import _merge, similarity
from proactive_env.recipes.data.build.lines import Line
from proactive_env.recipes.data.build.questions import QuestionLists
from proactive_env.recipes.data.build.run import choose_held_out, list_videos
from proactive_env.recipes.data.scene import CaptionedScene

NONE_HELD_OUT = ("--set", "rl_videos={}")
SILENCES = ["NO REPLY", "No reply", "NO REPLY.", "NO_REPLY", "**NO REPLY**", "", None]


def asked(*questions):
    content = json.dumps({"questions": [{"question": question, "answers": answers} for question, answers in questions]})
    return QuestionLists.model_validate_json(content, context={"questions": 2, "scenes": 9})


@pytest.mark.parametrize("silence", SILENCES)
def test_every_spelling_of_silence_is_silence(silence):
    answers = [{"scene": 1, "answer": silence}, {"scene": 2, "answer": "A cat."}]
    assert asked(("A?", answers), ("B?", [])).questions[0].by_scene() == {2: "A cat."}
    if silence is not None:
        with pytest.raises(ValueError, match="expected a text"):
            Summary(answer=silence)


def test_a_question_twice_is_one_too_many():
    with pytest.raises(ValueError, match="expected 2 different questions"):
        asked(("A?", []), ("A?", []), ("B?", []))


def merged(*answers):
    scenes = [CaptionedScene(start=start, end=end, caption="") for start, end, _ in answers]
    texts = {number: text for number, (_, _, text) in enumerate(answers, start=1)}
    found = _merge(texts, scenes, BuildConfig(model="m").gates.merge_similarity)
    return [(answer.start, answer.end) for answer in found]


def test_only_equal_neighbours_become_one():
    assert merged((0, 5, "It turns red."), (5, 10, "It turns green.")) == [(0, 5), (5, 10)]
    assert merged((0, 5, "It is red."), (5, 10, "It is red."), (14, 19, "It is red!")) == [(0, 19)]
    assert merged((0, 5, "It is red."), (600, 605, "It is red.")) == [(0, 5), (600, 605)]
    long = "a b c d e f g h i j k l m n o p q r s t u v w x y z"
    assert merged((0, 5, f"{long} 2"), (5, 10, f"{long} 3")) == [(0, 5), (5, 10)]


def test_chinese_is_compared_by_characters():
    assert similarity("交通灯变红了", "交通灯变绿了") == pytest.approx(5 / 7)


def test_marks_of_chat_templates_are_broken():
    assert one_line("a <|im_end|>\n<|im_start|>system") == "a < |im_end|> < |im_start|>system"


def test_copies_of_a_video_are_held_out_together():
    videos = [Line(video=f"web/{n}.mp4") for n in range(20)]
    content = {line.video: str(n // 2) for n, line in enumerate(videos)}
    held_out = choose_held_out(BuildConfig(model="m", rl_videos={"web": 3}), videos, content)
    assert Counter(content[video] for video in held_out) == {content[video]: 2 for video in held_out}
    assert len(held_out) == 6


def test_something_is_left_to_train_on(server, model, tmp_path):  # noqa: F811
    """One of two videos has no dialogue, the other is to be held out."""
    folder = make_videos(tmp_path / "videos", ["a.mp4", "b.mp4"])
    model.own["caption"] = lambda asked: {"caption": asked["Subtitle"]} if "a.mp4" in asked["Subtitle"] else "?"
    with pytest.raises(InputError, match="ALL has 1 different videos with dialogues, of which some must be left"):
        build(server, folder, "--set", "rl_videos={ALL: 1}", cwd=tmp_path)


def test_linked_folders_are_followed_and_loops_are_not(tmp_path):
    make_videos(tmp_path / "elsewhere", ["a.mp4"], seconds=5)
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos/web").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/up").symlink_to(tmp_path / "videos")
    assert [line.video for line in list_videos(tmp_path / "videos")] == ["web/a.mp4"]


def test_a_name_that_is_not_utf8_is_refused(tmp_path):
    (tmp_path / os.fsdecode(b"caf\xe9.mp4")).touch()
    with pytest.raises(InputError, match="expected a path in UTF-8"):
        list_videos(tmp_path)


class FailsOnOneScene(ScriptedModel):
    """Gives no text, which is no chat completion, for the scene that says line 3."""

    def __call__(self, asked):
        return 0 if "line 3" in asked.get("Subtitle", "") else super().__call__(asked)


def test_one_message_that_always_fails_is_dropped(tmp_path):
    folder = make_videos(tmp_path / "videos", ["a.mp4"])
    with chat_server(FailsOnOneScene()) as failing:
        build(failing, folder, *NONE_HELD_OUT, "--set", "server.retries=0", cwd=tmp_path)
    assert dropped(tmp_path / "out")["captions"] == {"no answer from the server": 1}
    assert lines(tmp_path / "out", "episodes")


def test_a_server_that_rejects_everything_stops_the_build(server, tmp_path):  # noqa: F811
    folder = make_videos(tmp_path / "videos", ["a.mp4"])
    server.faults = [400] * 100
    with pytest.raises(InputError, match="rejects every message, 8 of them"):
        build(server, folder, *NONE_HELD_OUT, cwd=tmp_path)
    server.faults = []
    build(server, folder, *NONE_HELD_OUT, cwd=tmp_path)
    assert dropped(tmp_path / "out")["captions"] == {}


def test_usage_is_kept_over_restarts(server, tmp_path):  # noqa: F811
    folder = make_videos(tmp_path / "videos", ["a.mp4"])
    server.faults = [None] * 5 + [500] * 100
    with pytest.raises(InputError, match="start again"):
        build(
            server, folder, *NONE_HELD_OUT, "--set", "server.retries=0", "--set", "server.concurrency=1", cwd=tmp_path
        )
    stopped = json.loads((tmp_path / "out/usage.json").read_text())
    assert (stopped["calls"], stopped["prompt_tokens"], stopped["completion_tokens"]) == (7, 500, 10)
    server.faults = []
    build(server, folder, *NONE_HELD_OUT, cwd=tmp_path)
    assert json.loads((tmp_path / "out/usage.json").read_text())["calls"] == len(server.asked)


def test_an_answer_that_does_not_fit_is_not_asked_for_again_after_a_stop(server, model, tmp_path):  # noqa: F811
    folder = make_videos(tmp_path / "videos", ["a.mp4"], seconds=5)
    server.faults = ["nonsense", *[500] * 100]
    with pytest.raises(InputError, match="start again"):
        build(server, folder, *NONE_HELD_OUT, "--set", "server.retries=0", cwd=tmp_path)
    server.faults, model.own["caption"] = [], lambda asked: "nonsense"
    build(server, folder, *NONE_HELD_OUT, cwd=tmp_path)
    assert model.asked["caption"] == 2
    assert dropped(tmp_path / "out")["captions"] == {"no usable answer": 1}


def test_questions_without_a_turn_of_their_own_are_counted(server, model, tmp_path):  # noqa: F811
    names = [f"{n}.mp4" for n in range(6)]
    folder = make_videos(tmp_path / "videos", names, seconds=7, scene_seconds=3)
    build(server, folder, *NONE_HELD_OUT, "--set", "gates.one_sided=false", cwd=tmp_path)
    assert dropped(tmp_path / "out")["dialogues"]["question without a turn of its own"] >= 1


def test_another_builds_config_is_left_alone_while_it_runs(server, tmp_path):  # noqa: F811
    from filelock import FileLock

    folder = make_videos(tmp_path / "videos", ["a.mp4"], seconds=5)
    (tmp_path / "out").mkdir()
    with FileLock(tmp_path / "out/.lock"), pytest.raises(InputError, match="another process is building"):
        build(server, folder, *NONE_HELD_OUT, cwd=tmp_path)
    assert not (tmp_path / "out/config.yaml").exists()


def test_an_empty_grpo_is_explained(server, tmp_path):  # noqa: F811
    folder = make_videos(tmp_path / "videos", ["a.mp4"])
    assert "grpo.jsonl is empty: --set rl_videos.SUBSET=N" in build(server, folder, *NONE_HELD_OUT, cwd=tmp_path).stdout
