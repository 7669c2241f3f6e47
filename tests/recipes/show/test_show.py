"""The page of runs: its data against the library's own scores and rewards."""

import json
import re
from itertools import pairwise

import pytest
from builders import FixedJudge, episode, gold, transcript, write_video
from show_runs import HOSTILE, collected, play, play_real
from typer.testing import CliRunner

from proactive_env.datasets import jsonl
from proactive_env.errors import InputError, JudgeUnavailable
from proactive_env.recipes.cli.show import load_runs, show
from proactive_env.recipes.evaluate.rules.proactivevideoqa import LEVELS, pauc_sum, score_question
from proactive_env.recipes.show.page import MAX_CHARACTERS, THUMBNAILS, collect, render
from proactive_env.recipes.show.terms import terms_per_turn
from proactive_env.rewards import LexicalJudge
from proactive_env.rewards.judges.base import AsyncJudge
from proactive_env.rewards.make import WEIGHTS, make
from proactive_env.serving.chat import Usage
from proactive_env.turn import NO_REPLY, Transcript, Turn


def embedded(html):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)[1])


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    return [play(folder / agent.partition("?")[0], agent, size=4) for agent in ("oracle", "chatter", "random?p=0.3")]


@pytest.fixture
def real(real_data, tmp_path):
    return play_real(real_data, tmp_path)


@pytest.mark.parametrize("runs", ["tiny", "real"])
def test_scores_are_those_of_the_benchmarks_rules(runs, request):
    folders = request.getfixturevalue(runs)
    page = embedded(render(collected(*folders)))
    episodes, played, _ = load_runs(folders)
    assert [run["name"] for run in page["runs"]] == list(played)
    assert [question["id"] for question in page["questions"]] == [episode.question_id for episode in episodes]
    for question in page["questions"]:
        assert len(question["thumbnails"]["images"]) == THUMBNAILS
        for name, dialogue in zip(played, question["runs"], strict=True):
            scored = score_question(played[name][question["id"]], LexicalJudge())
            judged = dialogue["judged"]
            assert judged["pauc"] == pytest.approx(pauc_sum(scored, 0.5) / len(scored.spans))
            assert len(dialogue["replies"]) == scored.replies
            assert sum(reply["out_of_span"] for reply in dialogue["replies"]) == scored.out_of_span
            for shown, span, reply_span in zip(
                judged["spans"], scored.spans, (one["reply_span"] for one in question["gold"]), strict=True
            ):
                assert shown["pauc"] == pytest.approx(100 * span.pauc[1])
                assert area(shown["steps"], reply_span) == pytest.approx(span.pauc[0])
                assert area(shown["counted_steps"], reply_span) == pytest.approx(span.pauc[1])


def area(steps, span):
    """What is under the curve that the page draws, of all that could be."""
    start, end = span
    under = sum((after - time) * height for (time, height), (after, _) in pairwise([*steps, (end, 0)]))
    return under / ((end - start) * (LEVELS - 1))


def test_terms_are_those_that_an_environment_pays(tiny):
    _, played, _ = load_runs(tiny)
    env = make("tinyworld", size=4)
    for one in (one for transcripts in played.values() for one in transcripts.values()):
        env.reset(options={"question_id": one.episode.question_id})
        for turn in one.turns:
            *_, info = env.step(turn.reply or NO_REPLY)
        paid = info["proactive_episode"]
        terms = terms_per_turn(one, LexicalJudge())
        assert terms == paid["terms_per_turn"]
        assert {name: sum(values) for name, values in terms.items()} == pytest.approx(paid["terms"])
        assert terms.keys() == WEIGHTS.keys()


def test_levels_repeats_and_spans_of_each_reply():
    one = episode(gold(0, 5), gold(4, 9, text="A blue square."))
    said = {2: "A circle.", 5: "A red circle.", 6: "a red circle", 12: "A blue square."}
    page = collect([one], {"run": {"q": transcript(one, said)}}, LexicalJudge())
    dialogue = page["questions"][0]["runs"][0]
    assert [reply["time"] for reply in dialogue["replies"]] == [2, 5, 6, 12]
    assert [reply["out_of_span"] for reply in dialogue["replies"]] == [False, False, False, True]
    assert dialogue["judged"]["levels"] == [{0: 1}, {0: 2, 1: 0}, {1: 0}, {}]
    assert dialogue["judged"]["repeated"] == [False, False, True, False]
    assert page["questions"][0]["axis"] == (0, 20)


def test_statistics_of_turns_are_shown_and_may_be_missing():
    one = episode(gold(0, 5))
    turns = (Turn(index=0, start=0, end=1, stats={"p": 0.2}), Turn(index=1, start=1, end=2, stats={"tokens": 3}))
    page = collect([one], {"run": {"q": Transcript(one, turns)}}, LexicalJudge())
    assert page["questions"][0]["runs"][0]["stats"] == {"p": [0.2, None], "tokens": [None, 3.0]}


def test_a_question_without_an_answer_of_the_judge_stays_unscored():
    class Down(FixedJudge):
        def repeats(self, earlier, reply):
            raise JudgeUnavailable("connection refused")

    one = episode(gold(0, 5))
    runs = {"some": {"q": transcript(one, {2: "A circle.", 3: "A square."})}, "none": {"q": transcript(one, {})}}
    some, none = collect([one], runs, Down())["questions"][0]["runs"]
    assert some["judged"] is None
    assert [reply["text"] for reply in some["replies"]] == ["A circle.", "A square."]
    assert none["judged"]["pauc"] == 25.0


class Remote(AsyncJudge):
    """The lexical judge, as if it were far away."""

    def __init__(self):
        self.asked, self.usage = [], Usage()

    async def coverage_async(self, *question):
        self.asked.append(question)
        return LexicalJudge().coverage(*question)

    async def repeats_async(self, *question):
        self.asked.append(question)
        return LexicalJudge().repeats(*question)

    def describe(self):
        return {"kind": "chat", "model": "far", "prompt_version": "0"}


def test_a_judge_that_takes_many_questions_is_asked_each_once(tiny):
    remote = Remote()
    episodes, played, _ = load_runs(tiny)
    page = collect(episodes, played, remote)
    assert len(remote.asked) == len(set(remote.asked))
    assert page["judge"] == "judge far, prompts 0, 3 levels"
    assert page["questions"] == collected(*tiny)["questions"]


def test_a_run_that_has_not_played_a_question_is_shown_so(tmp_path):
    both = play(tmp_path / "both", "oracle", size=2)
    part = play(tmp_path / "part", "oracle", size=1)
    page = collected(part, both)
    assert [[bool(dialogue) for dialogue in question["runs"]] for question in page["questions"]] == [
        [True, True],
        [False, True],
    ]


def test_hostile_and_endless_texts_stay_inside_the_data():
    one = episode(gold(1, 9), question_id="</script>")
    html = render(collect([one], {"<b>": {"</script>": transcript(one, HOSTILE)}}, LexicalJudge()))
    assert html.count("</script>") == 2
    assert "<img" not in html
    assert html.encode("utf-8")  # no lone surrogate
    assert len(html) < 100_000
    replies = embedded(html)["questions"][0]["runs"][0]["replies"]
    assert [reply["text"] for reply in replies] == [text[:MAX_CHARACTERS] for text in HOSTILE.values()]
    assert [reply["cut_characters"] for reply in replies] == [0, 0, 0, 1_000_000 - MAX_CHARACTERS]


@pytest.mark.parametrize("broken", [True, False])
def test_a_missing_or_broken_video_costs_its_pictures_only(tmp_path, broken):
    video = tmp_path / "video.mp4"
    if broken:
        video.write_bytes(b"not a video")
    one = episode(gold(0, 5), video=video)
    question = collect([one], {"run": {"q": transcript(one, {2: "A red circle."})}}, LexicalJudge())["questions"][0]
    assert question["thumbnails"]["images"] == []
    assert str(video) in question["thumbnails"]["problem"]
    assert question["runs"][0]["judged"]["pauc"] > 50


def test_runs_of_different_data_sets_are_refused(tmp_path, tiny):
    other = play(tmp_path / "other", "oracle", size=1, seed=1)
    with pytest.raises(InputError, match="different data sets: they share no question"):
        load_runs([tiny[0], other])
    write_video(tmp_path / "video.mp4", seconds=20)
    for name, end in (("one", 5), ("two", 6)):
        jsonl.write([episode(gold(0, end), video=tmp_path / "video.mp4")], tmp_path / f"{name}.jsonl")
        play(tmp_path / name, "oracle", benchmark="jsonl", data=str(tmp_path / f"{name}.jsonl"))
    with pytest.raises(InputError, match="different data sets: question 'q' is annotated differently"):
        load_runs([tmp_path / "one", tmp_path / "two"])
    _, played, _ = load_runs([tmp_path / "one", tmp_path / "two"], tmp_path / "two.jsonl")
    assert list(played) == ["one", "two"]
    with pytest.raises(InputError, match="given twice"):
        load_runs([tiny[0], tiny[0]])
    with pytest.raises(InputError, match="expected the record of a run"):
        load_runs([tmp_path / "nowhere"])


def test_runs_of_one_name_are_told_apart_by_their_paths(tmp_path):
    folders = [play(tmp_path / place / "oracle", "oracle", size=1) for place in ("here", "there")]
    assert list(load_runs(folders)[1]) == [str(folder) for folder in folders]


def run_command(*arguments):
    import typer

    app = typer.Typer()
    app.command()(show)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_command_writes_one_file_and_prints_its_path(tiny, tmp_path):
    out = tmp_path / "pages" / "show.html"
    done = run_command(*tiny, "--out", out)
    assert done.exit_code == 0, done.output
    assert str(out) in done.output
    assert list(out.parent.iterdir()) == [out]
    assert "lexical judge: not comparable with published results" in embedded(out.read_text("utf-8"))["judge"]


def test_the_command_fails_after_writing_if_the_judge_is_down(tiny, tmp_path):
    (tmp_path / "down.py").write_text(
        "from proactive_env.rewards import JudgeUnavailable, LexicalJudge\n"
        "class Down(LexicalJudge):\n"
        "    def coverage(self, question, gold, prediction, levels):\n"
        "        raise JudgeUnavailable('connection refused')\n"
    )
    done = run_command(tiny[0], "--out", tmp_path / "show.html", "--judge", f"{tmp_path / 'down.py'}:Down")
    assert done.exit_code == 1
    assert "4 dialogues are unscored" in done.output
    assert len(embedded((tmp_path / "show.html").read_text("utf-8"))["questions"]) == 4
