"""What was built: its numbers, and its contact sheet in a real browser."""

import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest
from builders import episode, gold, write_video
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from show_runs import HOSTILE
from test_show_browser import CHROMIUM_FLAGS

from proactive_env import datasets
from proactive_env.episode import UserTurn
from proactive_env.errors import VideoError
from proactive_env.recipes.data.report import contact_sheet, statistics, statistics_table
from proactive_env.recipes.data.scenes.scene import CaptionedScene


def asked(*questions):
    return tuple(UserTurn(time=time, text=text) for time, text in questions)


def test_statistics_by_subset():
    one = episode(gold(0, 4, "A red circle."), gold(2, 6, "It moves to the left."), question_id="one", subset="web")
    two = episode(
        gold(8, 12, "Two."),
        question_id="two",
        subset="ego",
        video="other.mp4",
        user_turns=asked((0, "What appears?"), (7, "How many?")),
    )
    silent = episode(question_id="three", subset="ego", video="other.mp4")
    found = statistics([one, two, silent])
    assert list(found) == ["web", "ego", "all together"]
    assert found["web"].model_dump() == {
        "videos": 1,
        "dialogues": 1,
        "one_question": 1,
        "several_questions": 0,
        "turns": 2,  # to the end of the last reply span, 6 s, at 4 s a turn
        "replies": 2,
        "span_seconds": 4,
        "inside": 30,  # 0 to 6 of 20 s: time inside two spans counts once
        "words": 4,
    }
    assert found["ego"].model_dump(exclude={"span_seconds", "words"}) == {
        "videos": 1,
        "dialogues": 2,
        "one_question": 1,
        "several_questions": 1,
        "turns": 4,  # 3 to the end of the last reply span, 5 of the silent one's whole video
        "replies": 0.5,
        "inside": 10,
    }
    assert found["all together"].videos == 2
    assert found["all together"].inside == pytest.approx(100 * 10 / 60)


def test_statistics_of_nothing_said_are_undefined():
    found = statistics([episode()])["ALL"]
    assert (found.replies, found.span_seconds, found.inside, found.words) == (0, None, 0, None)
    assert statistics([]) == {}


def test_a_missing_duration_is_the_videos_own(tmp_path):
    video = write_video(tmp_path / "clip.mp4", seconds=10)
    assert statistics([episode(gold(0, 5), duration=None, video=video)])["ALL"].inside == 50
    with pytest.raises(VideoError, match=r"gone.mp4"):
        statistics([episode(gold(0, 5), duration=None, video="gone.mp4")])


spans = st.lists(st.tuples(st.integers(0, 18), st.integers(1, 10)).map(lambda p: (p[0], min(20, sum(p)))), max_size=8)


@given(spans)
def test_the_time_inside_spans_is_counted_once(pairs):
    seconds = {second for start, end in pairs for second in range(start, end)}
    found = statistics([episode(*(gold(*pair) for pair in pairs))])["ALL"]
    assert found.inside == pytest.approx(100 * len(seconds) / 20)


def test_the_table_fits_a_terminal():
    console = Console(width=80)
    with console.capture() as capture:
        console.print(statistics_table(statistics([*datasets.load("tinyworld", size=4), episode(duration=9)])))
    lines = [line.split() for line in capture.get().splitlines()]
    assert ["TINYWORLD", "4", "4", "1", "3", "6.8", "2.5", "7.0", "65.3", "2.8"] in lines
    assert ["ALL", "1", "1", "1", "0", "2.0", "0.0", "-", "0.0", "-"] in lines


@contextmanager
def opened(file, **context):
    """A page in Chromium; at the end, nothing but the file was requested, and the console is empty."""
    from playwright.sync_api import sync_playwright

    programs = map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))
    chromium = next((program for program in programs if program), None)
    requests, complaints = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, headless=True, args=CHROMIUM_FLAGS)
        page = browser.new_context(**context).new_page()
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(file.as_uri())
        yield page
        browser.close()
    assert complaints == []
    assert {url for url in requests if not url.startswith("data:")} == {file.as_uri()}


def captioned(*scenes):
    return [CaptionedScene(start=start, end=end, text=text, caption=caption) for start, end, text, caption in scenes]


def test_the_sheet_shows_scenes_and_answers(tmp_path):
    video = write_video(tmp_path / "clip.mp4", seconds=20)
    scenes = captioned((0, 5, "", "A grey field."), (5, 12, "It gets brighter.", "A bright field."))
    turns = asked((0, "What appears?"), (10, "How bright?"))
    first = episode(
        gold(5, 13, "A field."), gold(11, 15, "Very.", question="How bright?"), video=video, user_turns=turns
    )
    second = episode(gold(1, 2, "Grey."), video=video, question_id="another")
    contact_sheet([first, second], {video: scenes}, tmp_path / "out" / "sheet.html")
    with opened(tmp_path / "out" / "sheet.html") as page:
        assert "videos: 1, dialogues: 2" in page.locator("header").inner_text()
        pictures = page.locator(".scenes img")
        assert pictures.count() == 2
        assert pictures.last.evaluate("image => image.complete && image.naturalWidth > 0")
        assert page.locator(".scenes li").all_inner_texts() == [
            "0.0–5.0 s\n\nA grey field.",
            "5.0–12.0 s\n\nA bright field.\n\nIt gets brighter.",
        ]
        assert page.locator("article h3").all_inner_texts() == ["q · ALL", "another · ALL"]
        dialogue = page.locator("article").first
        assert dialogue.locator(".said li").all_inner_texts() == [
            "0.0 s What appears?",
            "5.0–13.0 s A field.",
            "10.0 s How bright?",
            "11.0–15.0 s Very.",
        ]
        track = dialogue.locator("svg").bounding_box()
        span = dialogue.locator("rect.reply-span.question-1").bounding_box()
        assert (span["x"] - track["x"]) / track["width"] == pytest.approx(11 / 20, abs=0.01)
        assert span["width"] / track["width"] == pytest.approx(4 / 20, abs=0.01)
        assert dialogue.locator("rect.scene").count() == 2


def test_hostile_texts_are_shown_as_text(tmp_path):
    texts = [text.replace("\ud800", "") for text in list(HOSTILE.values())[:3]]
    scenes = captioned(*((index, index + 1, text, text) for index, text in enumerate(texts)))
    golds = (gold(index, index + 1, text, question=text) for index, text in enumerate(texts))
    turns = asked(*((index, text) for index, text in enumerate(texts)))
    one = episode(*golds, question_id="</style><script>", user_turns=turns, video="<img src=x>\udcff.mp4")
    contact_sheet([one], {one.video: scenes}, tmp_path / "sheet.html")
    with opened(tmp_path / "sheet.html") as page:
        shown = page.locator(".scenes p").evaluate_all("nodes => nodes.map(node => node.textContent)")
        assert shown == texts
        assert page.locator("h2").inner_text() == "<img src=x>?.mp4"
        assert "<img src=x>?.mp4: expected a video" in page.locator(".problem").inner_text()
        assert page.title() == "proactive data: contact sheet"
        assert page.locator("script, img, h2 *, h3 *, .scenes p *").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_scrolls_in_one_direction_only(tmp_path, scheme):
    stories = datasets.load("tinyworld", size=2)
    scenes = {story.video: captioned((0, 4, "", "word " * 40), (4, 8, "x" * 200, "y")) for story in stories}
    contact_sheet(stories, scenes, tmp_path / "sheet.html")
    with opened(tmp_path / "sheet.html", viewport={"width": 360, "height": 740}, color_scheme=scheme) as page:
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert background == {"light": "rgb(246, 245, 242)", "dark": "rgb(20, 22, 26)"}[scheme]


def test_videos_without_dialogues_or_scenes_are_on_the_sheet(tmp_path):
    video = write_video(tmp_path / "clip.mp4")
    unscened = episode(gold(0, 5), video=Path("unscened.mp4"))
    contact_sheet([unscened], {video: captioned((0, 5, "", "A field."))}, tmp_path / "sheet.html")
    html = (tmp_path / "sheet.html").read_text()
    assert html.index("clip.mp4") < html.index("A field.") < html.index("unscened.mp4") < html.index("A red circle.")
