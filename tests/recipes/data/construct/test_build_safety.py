"""What a build does not fall for: loose silences, copies, odd names, and servers that fail on some messages or all."""

import json
import os
import shutil
import time
from collections import Counter

import pytest
from builders import write_video
from chat_server import chat_server
from scripted_model import ScriptedModel, contents, make_videos
from test_data_build import build, build_nothing, dropped, fresh_cache, lines, model, server  # noqa: F401 (fixtures)
from vllm_server import free_port

from proactive_env.errors import InputError
from proactive_env.recipes.data.construct.ask import PROBE, one_line
from proactive_env.recipes.data.construct.config import BuildConfig
from proactive_env.recipes.data.construct.dialogues import Summary
from proactive_env.recipes.data.construct.gates import _merge, similarity
from proactive_env.recipes.data.construct.lines import Line
from proactive_env.recipes.data.construct.questions import QuestionLists
from proactive_env.recipes.data.construct.run import choose_held_out, list_videos
from proactive_env.recipes.data.scenes.scene import CaptionedScene

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
    build_nothing(server, folder, *NONE_HELD_OUT, cwd=tmp_path)
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
    with FileLock(tmp_path / "out/.lock"), pytest.raises(InputError, match="another process is at work"):
        build(server, folder, *NONE_HELD_OUT, cwd=tmp_path)
    assert not (tmp_path / "out/config.yaml").exists()


def test_an_empty_grpo_is_explained(server, tmp_path):  # noqa: F811
    folder = make_videos(tmp_path / "videos", ["a.mp4"])
    assert "grpo.jsonl is empty: --set rl_videos.SUBSET=N" in build(server, folder, *NONE_HELD_OUT, cwd=tmp_path).stdout


def test_another_model_is_asked_anew(server, tmp_path):  # noqa: F811
    folder = make_videos(tmp_path / "videos", ["a.mp4"])
    build(server, folder, *NONE_HELD_OUT, cwd=tmp_path)
    calls = len(server.asked)
    build(server, folder, *NONE_HELD_OUT, "--set", "model=other", cwd=tmp_path, out="other")
    assert len(server.asked) == 2 * calls


def test_scenes_that_only_look_different_are_asked_about_each(server, tmp_path):  # noqa: F811
    """Two videos with one subtitle: the texts of their messages are equal, the pictures are not."""
    folder = make_videos(tmp_path / "videos", ["a.mp4"], seconds=10)
    write_video(folder / "b.mp4", seconds=10, rate=3, size=(56, 56))
    shutil.copy(folder / "a.srt", folder / "b.srt")
    build(server, folder, *NONE_HELD_OUT, cwd=tmp_path)
    captions = [content for content in server.asked if content.startswith("Scene: ")]
    assert len(captions) == 2 * len(set(captions)) == 4


@pytest.mark.parametrize("tokens", [2048, 300])
def test_answers_have_room_for_so_many_tokens(server, tmp_path, tokens):  # noqa: F811
    """A question's list may be longer, by 64 tokens for each of its two questions' eight scenes."""
    folder = make_videos(tmp_path / "videos", ["a.mp4"])
    options = () if tokens == 2048 else ("--set", f"answer_tokens={tokens}")
    build(server, folder, *NONE_HELD_OUT, *options, cwd=tmp_path)
    limits = Counter(body["max_completion_tokens"] for body in server.bodies)
    assert limits == {tokens: len(server.bodies) - 1, tokens + 64 * 2 * 8: 1}


def test_with_more_room_an_answer_is_asked_for_again(server, model, tmp_path):  # noqa: F811
    folder = make_videos(tmp_path / "videos", ["a.mp4"], seconds=10)
    model.own["caption"] = lambda asked: '{"caption": "cut o'
    build_nothing(server, folder, *NONE_HELD_OUT, "--set", "answer_tokens=5", cwd=tmp_path)
    del model.own["caption"]
    more = ("--set", "answer_tokens=50", "--set", "gates.one_sided=false")
    build(server, folder, *NONE_HELD_OUT, *more, cwd=tmp_path, out="more")
    assert dropped(tmp_path / "more")["captions"] == {}


class GreetingsOnly(ScriptedModel):
    """Answers eight questions, then greetings only."""

    failed = 0

    def __call__(self, asked):
        if asked["system"] == PROBE or len(self.answered) < 8:
            return super().__call__(asked)
        self.failed += 1
        return 0  # no text, and so no chat completion


def test_a_server_that_only_answers_greetings_stops_the_build_and_loses_nothing(tmp_path, monkeypatch):
    """After 32 questions, one after the other, the rest is not tried, and those are not taken for done."""
    folder = make_videos(tmp_path / "videos", [f"{n}.mp4" for n in range(8)])
    plain, down, up = ScriptedModel(), GreetingsOnly(), ScriptedModel()
    monkeypatch.setenv("PROACTIVE_ENV_CACHE", str(tmp_path / "other"))
    with chat_server(plain) as running:
        build(running, folder, *NONE_HELD_OUT, cwd=tmp_path, out="whole")
    monkeypatch.setenv("PROACTIVE_ENV_CACHE", str(tmp_path / "cache"))
    quick = ("--set", "server.retries=0", "--set", "server.concurrency=4")
    with (
        chat_server(down) as failing,
        pytest.raises(
            InputError, match=r"^m at http.*expected an answer of type str.*\nWhat is done is kept: start again"
        ),
    ):
        build(failing, folder, *NONE_HELD_OUT, *quick, cwd=tmp_path)
    assert 3 * 32 < down.failed <= 3 * (32 + 4)
    with chat_server(up) as running:
        build(running, folder, *NONE_HELD_OUT, cwd=tmp_path)
    assert Counter(down.answered) + Counter(up.answered) == Counter(plain.answered)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_a_server_that_is_not_there_is_told_at_once(server, tmp_path):  # noqa: F811
    folder = make_videos(tmp_path / "videos", ["a.mp4"])
    gone = ("--set", f"server.url=http://127.0.0.1:{free_port()}/v1", "--set", "server.retries=0")
    began = time.monotonic()
    with pytest.raises(InputError, match=r"^m at http.*Connection error.*\nWhat is done is kept: start again"):
        build(server, folder, *NONE_HELD_OUT, *gone, cwd=tmp_path)
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("options", [(), ("--dry-run",), ("--engine", "ray")], ids=["build", "dry run", "Ray"])
def test_wrong_annotations_end_the_build_before_its_first_stage(server, tmp_path, options):  # noqa: F811
    folder = make_videos(tmp_path / "videos", ["web/a.mp4", "ego/a.mp4"], seconds=5)

    def error(name, rows=None):
        if rows is not None:
            (tmp_path / name).write_text(f"video,start,end,text\n{rows}")
        annotations = ("--set", f"scenes.annotations={tmp_path / name}")
        with pytest.raises(InputError) as caught:
            build(server, folder, *NONE_HELD_OUT, *annotations, *options, cwd=tmp_path)
        assert not (tmp_path / "out").exists()
        return str(caught.value)

    assert "gone.csv: expected a file of annotations, found: No such file or directory" in error("gone.csv")
    assert "two.csv, line 2: 'a.mp4' may be " in error("two.csv", "a.mp4,0,5,Ambiguous.\n")
    assert "others.csv: expected rows that name one of the 2 videos" in error("others.csv", "b.mp4,0,5,Of another.\n")


def test_rows_of_annotations_that_are_left_out_are_told_and_counted(server, tmp_path):  # noqa: F811
    folder = make_videos(tmp_path / "videos", ["a.mp4"], seconds=15)
    (folder / "a.srt").unlink()
    file = tmp_path / "scenes.jsonl"
    rows = [{"video": "a", "start": n, "end": n + 5, "text": f"Row {n}."} for n in (0, 5, 10, 20)]
    file.write_text("\n".join([*map(json.dumps, rows), "{", *['{"video": "b"}'] * 7]))
    for options in ((), ("--dry-run",)):
        done = build(server, folder, *NONE_HELD_OUT, "--set", f"scenes.annotations={file}", *options, cwd=tmp_path)
        assert done.stderr.count(f"left out: {file}, line 5: expected an object with the keys video, start") == 1
        assert done.stderr.count("there is no video 'b'") == 5
        assert "left out: annotations: row of no video: 7\n" in done.stderr
    counts = dropped(tmp_path / "out")
    assert counts["annotations"] == {"row that cannot be read": 1, "row of no video": 7}
    assert counts["scenes"] == {"row of subtitles or annotations": 1}
