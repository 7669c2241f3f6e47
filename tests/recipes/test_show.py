"""The page of runs: its data against the library's own scores and rewards, and itself in a real browser."""

import json
import re
import shutil
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from builders import FixedJudge, episode, gold, transcript, write_video
from typer.testing import CliRunner

from proactive_env import datasets
from proactive_env.datasets import jsonl
from proactive_env.errors import InputError
from proactive_env.recipes.evaluate.proactivevideoqa import LEVELS, pauc_sum, score_question
from proactive_env.recipes.evaluate.run import RolloutConfig, Run
from proactive_env.recipes.show.command import load_runs, show
from proactive_env.recipes.show.page import MAX_CHARACTERS, THUMBNAILS, collect, render
from proactive_env.recipes.show.terms import terms_per_turn
from proactive_env.rewards import JudgeUnavailable, LexicalJudge
from proactive_env.rewards.judge import AsyncJudge, Usage
from proactive_env.rewards.make import WEIGHTS, make
from proactive_env.turn import NO_REPLY, Transcript, Turn

HOSTILE = {
    2: "</script><script>document.title = 'broken'; fetch('http://example.com')</script>",
    3: "<img src=x onerror=\"document.title = 'broken'\"> ' \" ` ${document.title} <!-- {{script}}",
    4: "👩‍🚀 sees a red circle 🔴 \ud800 \u2028",
    6: "word " * 200_000,
}


def play(folder, agent, **config):
    chosen = RolloutConfig(**{"benchmark": "tinyworld", "agent": agent, **config})
    Run(folder).play(chosen, on_start=lambda total, done: None, on_episode=lambda: None)
    return folder


def collected(*folders, data=None):
    episodes, played, _ = load_runs(folders, data)
    return collect(episodes, played, LexicalJudge())


def embedded(html):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)[1])


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    return [play(folder / agent.partition("?")[0], agent, size=4) for agent in ("oracle", "chatter", "random?p=0.3")]


@pytest.fixture
def real(real_data, tmp_path):
    config = {"benchmark": "proactivevideoqa", "data": str(real_data / "proactivevideoqa")}
    return [play(tmp_path / agent, agent, **config) for agent in ("oracle", "late", "chatter", "silent")]


# ---- the data --------------------------------------------------------------------------------------------------------


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


# ---- the page in a browser -------------------------------------------------------------------------------------------

CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--no-first-run",
]


@contextmanager
def opened(data, folder, **context):
    """The page in Chromium; at the end, nothing but the file was requested, and the console is empty."""
    from playwright.sync_api import sync_playwright

    programs = map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))
    chromium = next((program for program in programs if program), None)
    file = folder / "show.html"
    file.write_text(render(data), encoding="utf-8")
    requests, complaints = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, headless=True, args=CHROMIUM_FLAGS)
        page = browser.new_context(**context).new_page()
        page.set_default_timeout(5000)
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(file.as_uri())
        yield page
        browser.close()
    assert complaints == []
    assert {url for url in requests if not url.startswith("data:")} == {file.as_uri()}


def listed(page):
    return page.locator(".question:visible").evaluate_all("cards => cards.map(card => card.dataset.id)")


def focused(page):
    return page.evaluate("document.activeElement.closest('.question')?.dataset.id")


def test_filters_change_what_is_listed(real, tmp_path):
    data = collected(*real)
    ids = [question["id"] for question in data["questions"]]
    paucs = {q["id"]: [dialogue["judged"]["pauc"] for dialogue in q["runs"]] for q in data["questions"]}
    with opened(data, tmp_path) as page:
        assert "oracle · late · chatter · silent" in page.locator("h1").inner_text()
        assert "not comparable with published results" in page.locator("#judge").inner_text()
        assert page.locator("#scores tbody tr").count() == 4 * 3
        assert listed(page) == ids

        page.get_by_role("button", name="Worst first").click()
        assert page.get_by_role("button", name="Worst first").get_attribute("aria-pressed") == "true"
        assert listed(page) == ids  # the silent run has 25 everywhere: order of the data set
        page.locator("#run").select_option("late")
        assert listed(page) == sorted(ids, key=lambda one: paucs[one][1])
        page.get_by_role("button", name="Worst first").click()

        page.get_by_role("button", name="Silent", exact=True).click()
        assert listed(page) == []
        assert page.get_by_text("No question matches").is_visible()
        page.locator("#run").select_option("any")
        assert listed(page) == ids
        page.locator("#run").select_option("chatter")
        page.get_by_role("button", name="Silent", exact=True).click()
        page.get_by_role("button", name="Repeated", exact=True).click()
        repeating = [q["id"] for q in data["questions"] if any(q["runs"][2]["judged"]["repeated"])]
        assert listed(page) == repeating != []
        page.get_by_role("button", name="Repeated", exact=True).click()

        page.get_by_label("Subset").select_option("VAD")
        assert listed(page) == ["Explosion016_x264.mp4"]
        assert page.locator("#count").inner_text() == "1 of 4 questions"
        page.get_by_label("Subset").select_option("all")
        page.get_by_label("Search").fill("DONKEY")
        assert listed(page) == ["LGgaMq1eZGw.52.mp4"]


def test_the_page_is_usable_by_keyboard(real, tmp_path):
    data = collected(*real)
    ids = [question["id"] for question in data["questions"]]
    with opened(data, tmp_path) as page:
        page.keyboard.press("j")
        assert focused(page) == ids[0]
        page.keyboard.press("j")
        page.keyboard.press("ArrowDown")
        assert focused(page) == ids[2]
        page.keyboard.press("ArrowUp")
        page.keyboard.press("k")
        page.keyboard.press("k")
        assert focused(page) == ids[0]
        page.keyboard.press("j")
        second = page.locator(".question").nth(1)
        button = second.locator("h3 button")
        assert button.get_attribute("aria-expanded") == "false"
        page.keyboard.press("Enter")
        assert button.get_attribute("aria-expanded") == "true"
        page.keyboard.press("Space")
        assert button.get_attribute("aria-expanded") == "false"
        page.keyboard.press("Enter")

        lanes = second.get_by_role("group", name="Replies of")
        assert lanes.count() == 4
        for _ in range(20):
            if page.evaluate("document.activeElement.closest('[role=group]')?.ariaLabel") == "Replies of chatter":
                break
            page.keyboard.press("Tab")
        detail = second.get_by_role("region", name="Chosen reply")
        assert "chatter at 1.0 s: score 2 of 2" in detail.inner_text()
        page.keyboard.press("End")
        assert "chatter at 10.0 s" in detail.inner_text()
        assert "repeated" in detail.inner_text()
        page.keyboard.press("ArrowLeft")
        assert "chatter at 9.0 s" in detail.inner_text()
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid"

        page.get_by_label("Search").focus()
        page.keyboard.type("jk")
        assert page.get_by_label("Search").input_value() == "jk"


def test_a_question_shows_spans_scores_rewards_and_statistics(tmp_path):
    one = episode(gold(0, 5), gold(4, 9, text="A blue square."), video=write_video(tmp_path / "video.mp4", seconds=20))
    said = transcript(one, {2: "A circle.", 5: "A red circle.", 7: "A red circle.", 12: "A blue square."})
    turns = tuple(turn.model_copy(update={"stats": {"p_speak": 0.05 * turn.index}}) for turn in said.turns)
    data = collect([one], {"run": {"q": Transcript(one, turns)}, "absent": {}}, LexicalJudge())
    with opened(data, tmp_path) as page:
        assert page.locator(".lane.video img").count() == THUMBNAILS
        assert page.locator(".lane.video img").last.evaluate("image => image.complete && image.naturalWidth > 0")
        assert page.locator(".lane.gold .box").all_inner_texts() == ["1 A red circle.", "2 A blue square."]
        replies = page.locator(".lane.replies .reply")
        assert replies.all_inner_texts() == ["1", "2", "–", "×"]
        assert "repeated" in replies.nth(2).get_attribute("class")
        assert "absent" in page.locator(".run-heading").last.inner_text()
        assert page.locator(".lane.score .value").count() == 2
        assert page.locator(".lane.reward rect").count() == 20 * len(WEIGHTS)
        assert page.locator(".lane.stat rect").count() == 20
        replies.nth(3).click()
        detail = page.get_by_role("region", name="Chosen reply").inner_text()
        terms = terms_per_turn(said, LexicalJudge())
        for wanted in ("run at 12.0 s: out of span", "A blue square.", "p_speak\n0.55", "pauc × 3\n0, so far"):
            assert wanted in detail
        assert f"reward of this turn\n{sum(values[11] for values in terms.values()):+.3f}".replace("-", "−") in detail
        page.get_by_text("Every turn of run").click()
        table = page.get_by_role("region", name="Every turn of run").get_by_role("table")
        assert table.get_by_role("row").count() == 21
        total = sum(sum(values) for values in terms.values())
        assert f"reward {total:.2f}" in page.locator(".run-heading").first.inner_text()


def test_hostile_replies_are_shown_as_text(tmp_path):
    one = episode(gold(1, 9), question_id="</script>")
    data = collect([one], {"<b>run</b>": {"</script>": transcript(one, HOSTILE)}}, LexicalJudge())
    with opened(data, tmp_path) as page:
        assert "video.mp4" in page.locator(".lane.video .problem").inner_text()
        replies = page.locator(".lane.replies .reply")
        for index, text in enumerate(HOSTILE.values()):
            replies.nth(index).click()
            quoted = page.locator("blockquote").evaluate("quote => quote.firstChild.data.toWellFormed()")
            assert quoted == text[:MAX_CHARACTERS].replace("\ud800", "\ufffd")
        assert "cut: 998,000 more characters" in page.locator("blockquote").inner_text()
        assert page.title() == "proactive show: <b>run</b>"
        assert page.locator(".question img, h1 b").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_scrolls_in_one_direction_only(real, tmp_path, scheme):
    with opened(collected(*real), tmp_path, viewport={"width": 360, "height": 740}, color_scheme=scheme) as page:
        for button in page.locator(".question h3 button").all()[1:]:
            button.click()
        for table in page.locator(".question details summary").all():
            table.click()
        page.locator(".lane.replies .reply").last.click()
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert background == {"light": "rgb(246, 245, 242)", "dark": "rgb(20, 22, 26)"}[scheme]


def test_a_full_benchmark_stays_a_page(tmp_path):
    stories = [story.model_copy(update={"video": Path("gone.mp4")}) for story in datasets.load("tinyworld", size=4)]
    many = [
        story.model_copy(update={"question_id": f"q{copy}-{i}"})
        for copy in range(250)
        for i, story in enumerate(stories)
    ]
    runs = {"run": {one.question_id: transcript(one, {3: "A dog.", 4: "A cat."}) for one in many}}
    with opened(collect(many, runs, LexicalJudge()), tmp_path) as page:
        assert len(listed(page)) == 1000
        page.get_by_label("Search").fill("q249-3")
        assert listed(page) == ["q249-3"]
