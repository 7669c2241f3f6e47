"""A turn as a picture, and a dialogue as text, for `env.render()`; a dialogue as a table, for notebooks."""

from collections.abc import Iterable, Sequence
from html import escape
from textwrap import wrap

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from proactive_env.turn import Transcript, Turn

_FONT_PX = 14
_LINE_PX = 18
_LINES = 8
_MARGIN_PX = 8
_LEAST_WIDTH_PX = 448
_LONGEST_TEXT = 300


def picture(frames: NDArray[np.uint8], plan: Transcript, turns: Sequence[Turn], most: int) -> NDArray[np.uint8]:
    """The frames side by side above the time, the user's first and newest text, and the latest replies.

    Args:
        frames: (n, height, width, 3) RGB with n >= 1.
        plan: The episode's planned turns.
        turns: Those already played.
        most: Frames for which there is room, so that all pictures of an episode have one size.

    Returns:
        (height, width, 3) RGB.
    """
    room = np.full((most - len(frames), *frames.shape[1:]), 255, np.uint8)
    strip = Image.fromarray(np.concatenate([*frames, *room], axis=1))
    if strip.width < _LEAST_WIDTH_PX:
        factor = -(-_LEAST_WIDTH_PX // strip.width)
        strip = strip.resize((strip.width * factor, strip.height * factor), Image.Resampling.NEAREST)
    canvas = Image.new("RGB", (strip.width, strip.height + _LINES * _LINE_PX + 2 * _MARGIN_PX), "white")
    canvas.paste(strip, (0, 0))
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(_FONT_PX)
    shown = plan.turns[: len(turns) + 1]
    time = shown[-1].end if len(turns) < len(plan.turns) else turns[-1].end
    asked = [line for turn in (*plan.history, *shown) for line in turn.user_text.splitlines()]
    replied = [(turn.end, turn.reply) for turn in (*plan.history, *turns) if turn.reply is not None][-3:]
    columns = int((strip.width - 2 * _MARGIN_PX) / draw.textlength("x", font))
    lines = [f"{time:.1f} s"]
    lines += _lines((f"User: {text}" for text in (*asked[:1], *asked[1:][-1:])), columns)[: _LINES - 4]
    lines += _lines((f"{end:.1f} s: {reply}" for end, reply in replied), columns)[-(_LINES - len(lines)) :]
    for number, line in enumerate(lines):
        draw.text((_MARGIN_PX, strip.height + _MARGIN_PX + number * _LINE_PX), line, fill="black", font=font)
    return np.asarray(canvas)


def dialogue(plan: Transcript, turns: Sequence[Turn]) -> str:
    """The dialogue so far, a line for each thing said."""
    lines = []
    for turn in (*plan.history, *turns):
        lines += [f"[{turn.start:7.1f} s] User: {text}" for text in turn.user_text.splitlines()]
        if turn.reply is not None:
            lines.append(f"[{turn.end:7.1f} s] Assistant: {turn.reply[:_LONGEST_TEXT]}")
    if len(turns) < len(plan.turns):
        shown = plan.turns[len(turns)]
        lines += [f"[{shown.start:7.1f} s] User: {text}" for text in shown.user_text.splitlines()]
        lines.append(f"[{shown.end:7.1f} s] ...")
    return "\n".join(lines)


def table(transcript: Transcript) -> str:
    """The dialogue as an HTML table: what was said, beside the gold replies whose spans hold the time."""
    rows = []
    for turn in (*transcript.history, *transcript.turns):
        due = [gold.text for gold in transcript.episode.gold if gold.reply_span.contains(turn.end)]
        said = [*(f"User: {text}" for text in turn.user_text.splitlines()), turn.reply or ""]
        cells = (f"{turn.end:.1f} s", "\n".join(filter(None, said)), "\n".join(due))
        rows.append("".join(f"<td>{escape(cell[:_LONGEST_TEXT]).replace(chr(10), '<br>')}</td>" for cell in cells))
    heading = "".join(f"<th>{escape(name)}</th>" for name in ("time", transcript.episode.question_id, "gold replies"))
    return f"<table>{''.join(f'<tr>{row}</tr>' for row in [heading, *rows])}</table>"


def _lines(texts: Iterable[str], columns: int) -> list[str]:
    return [line for text in texts for line in wrap(text[:_LONGEST_TEXT], columns)]
