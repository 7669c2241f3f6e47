"""Built dialogues as one HTML page without scripts: what each scene shows, what is asked, and when answers count.

Captions, subtitles and answers are other people's and models' text: the page is put together as a tree, so that text
stays text, and its policy allows no script and no request.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from operator import itemgetter
from pathlib import Path
from xml.etree.ElementTree import Element, tostring

from proactive_env.episode import Episode
from proactive_env.errors import VideoError
from proactive_env.recipes import show
from proactive_env.recipes.data.scenes.scene import CaptionedScene
from proactive_env.recipes.pictures import jpeg_url
from proactive_env.video import FrameCache

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_FRAME_PIXELS = 192 * 108
_JPEG_QUALITY = 70
_COLORS = 5  # for the questions of a dialogue, in contact_sheet.css
_STYLES = (Path(show.__file__).parent / "template.css", Path(__file__).parent / "contact_sheet.css")


def contact_sheet(episodes: Iterable[Episode], scenes: Mapping[Path, Sequence[CaptionedScene]], out: Path) -> None:
    """Write the page.

    A video shows the middle frame, the caption and the text of each scene; each of its dialogues its questions and
    replies on a time line, and in words. Without a video only its frames are missing.

    Args:
        episodes: The dialogues.
        scenes: The scenes by video, with paths as in `Episode.video`.
        out: The HTML file; it is complete and can be mailed.
    """
    dialogues: dict[Path, list[Episode]] = {video: [] for video in scenes}
    for episode in episodes:
        dialogues.setdefault(episode.video, []).append(episode)
    count = f"videos: {len(dialogues)}, dialogues: {sum(map(len, dialogues.values()))}"
    head = _node(
        "head",
        _node("meta", charset="utf-8"),
        _node("meta", name="viewport", content="width=device-width, initial-scale=1"),
        _node("meta", **{"http-equiv": "Content-Security-Policy", "content": _POLICY}),
        _node("link", rel="icon", href="data:,"),
        _node("title", "proactive data: contact sheet"),
        _node("style", "".join(style.read_text(encoding="utf-8") for style in _STYLES)),
    )
    header = _node(
        "header", _node("p", "proactive data", cls="brand"), _node("h1", "Contact sheet"), _node("p", count, cls="note")
    )
    main = _node("main", *(_video(video, scenes.get(video, ()), mine) for video, mine in dialogues.items()))
    page = _node("html", head, _node("body", header, main), lang="en")
    out.parent.mkdir(parents=True, exist_ok=True)
    html = "<!doctype html>\n" + tostring(page, encoding="unicode", method="html")
    partial = out.with_suffix(".partial")
    partial.write_bytes(html.encode("utf-8", "replace"))
    partial.replace(out)


def _node(tag: str, *children: "Element | str", cls: str = "", **attributes: str) -> Element:
    """An element with its children, texts among them; `cls` is its class."""
    node = Element(tag, attributes | ({"class": cls} if cls else {}))
    for child in children:
        if isinstance(child, Element):
            node.append(child)
        elif len(node):
            node[-1].tail = (node[-1].tail or "") + child
        else:
            node.text = (node.text or "") + child
    return node


def _video(video: Path, scenes: Sequence[CaptionedScene], dialogues: Sequence[Episode]) -> Element:
    ends = [scene.end for scene in scenes] + [gold.reply_span.end for one in dialogues for gold in one.gold]
    duration = max([1.0, *ends, *(episode.duration or 0.0 for episode in dialogues)])
    try:
        frames, problem = _middle_frames(video, scenes), []
    except VideoError as error:
        frames, problem = [], [_node("p", str(error), cls="note problem")]
    return _node(
        "section",
        _node("h2", video.name),
        *problem,
        _node("ol", *(_scene(*pair) for pair in zip_longest(scenes, frames)), cls="scenes"),
        *(_dialogue(episode, scenes, duration) for episode in dialogues),
    )


def _middle_frames(video: Path, scenes: Sequence[CaptionedScene]) -> list[str]:
    """The frame at the last full second before the middle of each scene, as JPEG data URLs."""
    seconds = [int((scene.start + scene.end) / 2) for scene in scenes]
    if not seconds:
        return []
    frames = FrameCache().frames(
        video, count=max(seconds) + 1, frame_interval=1.0, max_pixels=_FRAME_PIXELS, size_multiple=2
    )
    return [jpeg_url(frames[second], _JPEG_QUALITY) for second in seconds]


def _scene(scene: CaptionedScene, frame: str | None) -> Element:
    time = _span(scene.start, scene.end)
    return _node(
        "li",
        *([_node("img", src=frame, alt=f"Frame of {time}")] if frame else []),
        _node("span", time, cls="note"),
        _node("p", scene.caption),
        *([_node("blockquote", scene.text)] if scene.text else []),
    )


def _dialogue(episode: Episode, scenes: Sequence[CaptionedScene], duration: float) -> Element:
    questions = dict.fromkeys([*(turn.text for turn in episode.user_turns), *(gold.question for gold in episode.gold)])
    color = {question: f"question-{index % _COLORS}" for index, question in enumerate(questions)}

    def bar(text: str, start: float, end: float, cls: str) -> Element:
        left, width = f"{start / duration:.3%}", f"{(end - start) / duration:.3%}"
        return _node("rect", _node("title", text), x=left, width=width, cls=cls)

    def line(time: str, text: str, cls: str) -> Element:
        return _node("li", _node("span", time, cls="note"), f" {text}", cls=cls)

    bars = [bar(scene.caption, scene.start, scene.end, "scene") for scene in scenes]
    lines = []
    for turn in episode.user_turns:
        bars.append(bar(turn.text, turn.time, turn.time, f"raised {color[turn.text]}"))
        lines.append((turn.time, line(f"{turn.time:.1f} s", turn.text, f"raised {color[turn.text]}")))
    for gold in episode.gold:
        bars.append(bar(gold.text, *gold.reply_span, f"reply-span {color[gold.question]}"))
        lines.append((gold.reply_span.start, line(_span(*gold.reply_span), gold.text, color[gold.question])))
    label = f"{len(episode.gold)} reply spans in {duration:.1f} s"
    return _node(
        "article",
        _node("h3", f"{episode.question_id} · {episode.subset}"),
        _node("svg", *bars, **{"role": "img", "aria-label": label}),
        _node("ul", *(item for _, item in sorted(lines, key=itemgetter(0))), cls="said"),
    )


def _span(start: float, end: float) -> str:
    return f"{start:.1f}–{end:.1f} s"
