"""The page of runs in a real browser: clicked through, by keyboard, on a phone, with hostile replies."""

import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest
from builders import episode, gold, transcript, write_video
from show_runs import HOSTILE, collected, play_real

from proactive_env import datasets
from proactive_env.recipes.show.page import MAX_CHARACTERS, THUMBNAILS, collect, render
from proactive_env.recipes.show.terms import terms_per_turn
from proactive_env.rewards import LexicalJudge
from proactive_env.rewards.make import WEIGHTS
from proactive_env.turn import Transcript

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
        page.set_default_timeout(30_000)
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


@pytest.fixture
def real(real_data, tmp_path):
    return play_real(real_data, tmp_path)


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
        table.get_by_role("row").nth(20).wait_for()
        assert table.get_by_role("row").count() == 21
        total = sum(sum(values) for values in terms.values())
        assert f"reward {total:.2f}" in page.locator(".run-heading").first.inner_text()


def evaluations(*paucs):
    return [
        {"step": 8 * n, "pauc": {"0.5": pauc}, "pauc_ci95": [pauc - 5, pauc + 5], "replies_per_question": n + 1.0,
         "mean_delay_s": 6.0 - n, "covered": 70.0, "repeated": None if n == 0 else 12.5, "reward": 5.5 + n,
         "reward_ci95": [5.0 + n, 6.0 + n], "p_speak_visible": 0.4, "p_speak_outside": 0.25}
        for n, pauc in enumerate(paucs)
    ]  # fmt: skip


def test_trainings_are_drawn_as_curves(tmp_path):
    one = episode(gold(1, 9))
    runs = {"run": {"q": transcript(one, {2: "A red circle."})}}
    trainings = {"first": evaluations(50.0, 55.0, 75.0), "<b>second</b>": evaluations(50.0, 45.0)}
    with opened(collect([one], runs, LexicalJudge(), trainings=trainings), tmp_path) as page:
        curves = page.locator("#curves figure")
        assert curves.count() == 8, "all but the sampled reward, which no training here has"
        assert page.locator("#trainings").inner_text().splitlines() == ["first", "<b>second</b>"]
        reward, pauc, _, _, repeated, replies, *_ = (
            curve.get_by_role("img").get_attribute("aria-label") for curve in curves.all()
        )
        assert "first: step 0 5.50, step 8 6.50, step 16 7.50" in reward
        assert curves.first.locator("figcaption").inner_text() == "held-out reward, 5.00 to 8.00, shaded: 95 %"
        assert "first: step 0 50.0, step 8 55.0, step 16 75.0; <b>second</b>: step 0 50.0, step 8 45.0" in pauc
        assert "replies a question" in replies
        assert "first: step 8 12.5, step 16 12.5" in repeated
        lines = [line.get_attribute("points") for line in curves.nth(1).locator("polyline").all()]
        assert lines == ["0,75 50,62.5 100,12.5", "0,75 50,87.5"], "between the intervals' ends, 40 and 80"
        assert curves.nth(4).locator("polyline").first.get_attribute("points") == "50,0 100,0"
        box = curves.first.locator(".plot").bounding_box()
        drawn = curves.first.locator("polyline").first.bounding_box()
        assert drawn["width"] == pytest.approx(box["width"], abs=10)  # half a stroke at each end
    with opened(collect([one], runs, LexicalJudge()), tmp_path) as page:
        assert page.locator("#training").is_hidden()


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
