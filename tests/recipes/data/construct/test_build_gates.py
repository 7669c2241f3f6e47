"""What the gates keep out and count, and what the model is shown for it."""

import pytest
from chat_server import text_and_images
from scripted_model import answer, make_videos
from test_build_safety import NONE_HELD_OUT
from test_data_build import build, build_nothing, dropped, fresh_cache, lines, model, server  # noqa: F401 (fixtures)


@pytest.fixture
def folder(tmp_path):
    """A video of eight scenes; the model's question 0 is answered in six of them, its question 1 in five."""
    return make_videos(tmp_path / "videos", ["a.mp4"])


def questions(*answers):
    """What the model says instead: for each question a text for each of the eight scenes, or None."""
    rows = [[{"scene": n, "answer": text} for n, text in enumerate(texts, start=1)] for texts in answers]
    return {"questions": [{"question": f"Q{n}?", "answers": row} for n, row in enumerate(rows)]}


def test_answers_that_can_be_guessed_are_counted(server, model, folder, tmp_path):  # noqa: F811
    model.own["guessed"] = lambda asked: {"scenes": [2, 5, 5]}
    build(server, folder, *NONE_HELD_OUT, cwd=tmp_path)
    assert dropped(tmp_path / "out")["questions"] == {"answer can be guessed without the video": 4}
    kept = [[a["text"] for a in row["answers"]] for row in lines(tmp_path / "out", "questions")[0]["questions"]]
    assert kept == [[answer(n) for n in (1, 4, 7, 8)], [answer(n) for n in (3, 6, 8)]]
    blind = [content for content in server.asked if "Guess: " in content or content == "Question: What is new 0?"]
    assert len(blind) == 2 + 1
    assert not any("says line" in content for content in blind)
    assert server.images == (8 + 4 + 3) * 4  # of captions and of what is not guessed


def test_answers_that_their_scene_does_not_show_are_counted(server, model, folder, tmp_path):  # noqa: F811
    model.own["supported"] = lambda asked: {"supported": asked["Answer"] not in (answer(2), answer(5))}
    build(server, folder, *NONE_HELD_OUT, cwd=tmp_path)
    assert dropped(tmp_path / "out")["questions"] == {"answer is not supported by its scene": 4}
    kept = [[a["text"] for a in row["answers"]] for row in lines(tmp_path / "out", "questions")[0]["questions"]]
    assert kept == [[answer(n) for n in (1, 4, 7, 8)], [answer(n) for n in (3, 6, 8)]]


def test_whether_a_scene_shows_an_answer_is_judged_by_its_own_frames(server, folder, tmp_path):  # noqa: F811
    build(server, folder, *NONE_HELD_OUT, cwd=tmp_path)
    messages = [text_and_images(body["messages"][-1]["content"]) for body in server.bodies]
    frames = {text.split("\n")[1]: images for text, images in messages if text.startswith("Scene: ")}
    judged = [(text.split("\n")[0], images) for text, images in messages if "\nCaption: " in text]
    assert len(judged) == 6 + 5
    assert all(len(images) == 4 and images == frames[subtitle] for subtitle, images in judged)
    assert len({tuple(images) for images in frames.values()}) > 1


def test_one_sided_questions_are_counted(server, model, folder, tmp_path):  # noqa: F811
    everywhere, nowhere = [answer(n) for n in range(8)], [None] * 8
    model.own["questions"] = lambda asked: questions(everywhere, nowhere)
    build_nothing(server, folder, *NONE_HELD_OUT, cwd=tmp_path)
    counts = {"question with an answer in every scene": 1, "question with no answer": 1}
    assert dropped(tmp_path / "out")["questions"] == counts


def test_a_video_with_one_scene_is_not_asked_about(server, model, tmp_path):  # noqa: F811
    """Whatever is asked, all of its scenes would have an answer, or none."""
    folder = make_videos(tmp_path / "videos", ["a.mp4"], seconds=5)
    build_nothing(server, folder, *NONE_HELD_OUT, cwd=tmp_path)
    assert dropped(tmp_path / "out")["questions"] == {"video with one scene": 1}
    assert model.asked["questions"] == 0


def test_merged_answers_are_counted(server, model, folder, tmp_path):  # noqa: F811
    same = ["It rains.", "It rains!", "it rains", None, "It rains.", "It snows.", "It rains.", "It rains."]
    model.own["questions"] = lambda asked: questions(same, [answer(1), *[None] * 7])
    build(server, folder, *NONE_HELD_OUT, cwd=tmp_path)
    assert dropped(tmp_path / "out")["questions"] == {"answer merged with its neighbour": 3}
    first, _ = lines(tmp_path / "out", "questions")[0]["questions"]
    assert [(a["start"], a["end"]) for a in first["answers"]] == [(0, 15), (20, 25), (25, 30), (30, 40)]


def test_a_question_whose_answers_cannot_be_judged_is_dropped(server, model, folder, tmp_path):  # noqa: F811
    model.own["supported"] = lambda asked: "?" if asked["Answer"] == answer(1) else {"supported": True}
    build(server, folder, *NONE_HELD_OUT, cwd=tmp_path)
    assert dropped(tmp_path / "out")["questions"] == {"no usable answer": 1}
    assert len(lines(tmp_path / "out", "questions")[0]["questions"]) == 1
