"""Scenes as speech makes them: the sentences of the subtitles that lie beside a video."""

import html
import json
import re
from collections.abc import Callable, Iterable, Iterator
from glob import escape
from itertools import takewhile, zip_longest
from pathlib import Path
from typing import Any

from proactive_env.datasets.rows import OnBadRow, read_text
from proactive_env.errors import DatasetError
from proactive_env.extras import require
from proactive_env.recipes.data.scenes.config import SceneConfig
from proactive_env.recipes.data.scenes.rows import Row, scenes_of
from proactive_env.recipes.data.scenes.rules import fold
from proactive_env.recipes.data.scenes.scene import Scene

_SUFFIXES = (".srt", ".vtt", ".json")
_ROLLING_S = 0.1  # seconds between two cues that are still one picture of subtitles, rolling on
_NOT_SPEECH = re.compile(r"\{\\[^}]*\}|\[[^\]]*\]|\([^)]*\)|[♪♫]")  # {\an8} [music] (laughs)
_TAG = re.compile(r"</?(?:[ibusc]|v|font|span|lang)[.\s][^<>]*>|</?[a-z]\w*/?>|<\d[\d:.]*>", re.IGNORECASE)
"""Tags with attributes as SRT and VTT have them, any tag without, VTT's timestamps; other brackets are text."""
_SPEAKER = re.compile(r"^\s*(?:-(?!\d)|>>+)?\s*(?:(?:[A-Z][A-Z0-9_ .'’-]*)?:\s)?\s*")
_SENTENCE_END = re.compile(r"[.!?…。！？][\"'”’»]*$")


def read(video: Path, duration: float, config: SceneConfig, on_bad: OnBadRow) -> list[Scene]:
    """The sentences of the subtitles that lie beside `clip.mp4`: the first of `clip.srt`, `clip.vtt` and `clip.json`.

    Failing those, `clip.mp4.srt` and the like count, and with a language `clip.en.srt` and `clip.en.vtt`, the first by
    name; upper case is the same as lower.

    `clip.json` is what a whisper writes, further keys allowed: openai-whisper's and whisperX's `{"segments": [{"start":
    0.0, "end": 2.5, "text": "..."}]}` in seconds, faster-whisper's list of such segments, the `chunks` of Hugging
    Face's pipeline, or whisper.cpp's `transcription` in milliseconds.

    A cue of an SRT file goes on until the next one, whatever blank lines it has; one of a VTT file until a blank line.
    Tags, speaker labels (`- `, `>> `, `NAME: `) and what is in brackets are taken out, and so are lines that a rolling
    track repeats. Cues become sentences: a cue joins the one before it unless that ends with a full stop or the like,
    `min_seconds` lie between them, or the two last longer than `max_seconds`. A track without a single full stop keeps
    its cues.

    Raises:
        DatasetError: the file is not what its name says, or a bad cue that `on_bad` does not take.
        InputError: the package for SRT and VTT is missing.
    """
    file = _beside(video)
    if file is None:
        return []
    rows = _whisper_segments(file) if file.suffix.lower() == ".json" else _cues(file, on_bad)
    said = _without_repeats(scenes_of(rows, duration, on_bad))
    return _sentences(list(said), config)


def _beside(video: Path) -> Path | None:
    found = []
    for file in video.parent.glob(f"{escape(video.stem)}.*"):
        middle = file.stem[len(video.stem) :].lower()
        suffix = file.suffix.lower()
        own = middle in ("", video.suffix.lower())
        language = middle.count(".") == 1 and suffix != ".json"  # clip.info.json is no subtitle
        if suffix in _SUFFIXES and (own or language) and file.is_file():
            found.append(((bool(middle), not own, _SUFFIXES.index(suffix), file.name), file))
    return min(found)[1] if found else None


def _whisper_segments(file: Path) -> Iterator[Row]:
    try:
        content: Any = json.loads(read_text(file))
    except ValueError as error:
        raise DatasetError(f"{file}: expected JSON, found: {error}") from error
    lists = content if isinstance(content, dict) else {"segments": content}
    name, segments = next(((name, lists[name]) for name in _DIALECTS if isinstance(lists.get(name), list)), ("", []))
    if not name:
        raise DatasetError(
            f"{file}: expected what a whisper writes: a list of segments, or an object with one as "
            f"{' or '.join(_DIALECTS)}; move the file away if it is not"
        )
    for number, segment in enumerate(segments, start=1):
        found = segment if isinstance(segment, dict) else {}
        try:
            start, end = _DIALECTS[name](found)
        except (KeyError, TypeError, ValueError):
            start = end = None
        yield Row(f"{file}, segment {number}", start, end, found.get("text"))


_DIALECTS: dict[str, Callable[[dict[str, Any]], tuple[Any, Any]]] = {
    "segments": lambda segment: (segment["start"], segment["end"]),
    "chunks": lambda segment: tuple(segment["timestamp"]),
    "transcription": lambda segment: (segment["offsets"]["from"] / 1000, segment["offsets"]["to"] / 1000),
}
"""How each whisper writes (start, end) of a segment, by the name of its list."""


def _cues(file: Path, on_bad: OnBadRow) -> Iterator[Row]:
    require("scenes")
    import webvtt

    text = read_text(file)
    if "-->" not in text and text.strip() and not text.startswith("WEBVTT"):
        raise DatasetError(f"{file}: expected subtitles in SRT or VTT, found no cue; mend or remove the file")
    lines = text.split("\n")
    timings = [number for number, line in enumerate(lines) if "-->" in line]
    numbered = bool(timings) and timings[0] > 0 and lines[timings[0] - 1].strip().isdecimal()
    for number, following in zip_longest(timings, timings[1:]):
        where = f"{file}, line {number + 1}"
        said = lines[number + 1 : following]
        if file.suffix.lower() == ".vtt":
            said = list(takewhile(bool, said))
        elif following and numbered and said and said[-1].strip().isdecimal():
            said.pop()
        timing = lines[number].replace(",", ".")  # webvtt's own SRT reader drops cues without a number
        captions = webvtt.from_string("\n".join(["WEBVTT", "", timing, "..."])).captions
        if captions:
            start, end = (time.in_milliseconds() / 1000 for time in (captions[0].start_time, captions[0].end_time))
            yield Row(where, start, end, _TAG.sub("", "\n".join(filter(str.strip, said))))
        else:
            on_bad(DatasetError(f"{where}: expected 00:00:01.000 --> 00:00:02.000, found {lines[number].strip()!r}"))


def _without_repeats(cues: Iterable[Scene]) -> Iterator[Scene]:
    """Cues with clean text in one line, each line told once by a track that rolls; silent cues are left out."""
    shown: list[str] = []
    until = 0.0
    for cue in sorted(cues, key=lambda cue: cue.start):
        lines = [clean for line in cue.text.split("\n") if (clean := _clean(line))]
        earlier = shown if cue.start <= until + _ROLLING_S else []
        new = [line for line in lines if line not in earlier]
        if new:
            yield Scene(start=cue.start, end=cue.end, text=" ".join(new))
        shown, until = lines, cue.end


def _clean(line: str) -> str:
    spoken = _NOT_SPEECH.sub(" ", html.unescape(line))
    return " ".join(_SPEAKER.sub("", spoken, count=1).split())


def _sentences(cues: list[Scene], config: SceneConfig) -> list[Scene]:
    if not any(_SENTENCE_END.search(cue.text) for cue in cues):
        return cues

    def one_sentence(earlier: Scene, later: Scene) -> bool:
        return (
            not _SENTENCE_END.search(earlier.text)
            and later.start - earlier.end < config.min_seconds
            and later.end - earlier.start <= config.max_seconds
        )

    return fold(cues, one_sentence)
