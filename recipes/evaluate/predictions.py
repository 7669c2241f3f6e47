"""The benchmark's prediction files: `{"question_id", "model_response_list": [{"role", "content", "time"}]}` a line."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from proactive_env.episode import Episode
from proactive_env.errors import InputError
from proactive_env.turn import Transcript, Turn, spoken


class _Response(BaseModel):
    content: str
    time: float = Field(ge=0, allow_inf_nan=False)


_OTHERS = ("user", "system")
"""Who else speaks: files repeat their words in forms of their own."""


def _assistants(items: Any) -> Any:
    """Without what others said; an item without a role is the assistant's."""
    if not isinstance(items, list):
        return items
    roles = [item.get("role", "assistant") if isinstance(item, dict) else "assistant" for item in items]
    for role in roles:
        if role not in ("assistant", *_OTHERS):
            raise ValueError(f"expected the role assistant, {' or '.join(_OTHERS)}, or none, found {role!r}")
    return [item for item, role in zip(items, roles, strict=True) if role == "assistant"]


class _Row(BaseModel):
    question_id: str
    model_response_list: Annotated[list[_Response], BeforeValidator(_assistants)]


def write_predictions(transcripts: Iterable[Transcript], file: Path) -> None:
    """Write one row a transcript, in the given order, all or nothing."""
    partial = file.with_suffix(".partial")
    with partial.open("w", encoding="utf-8") as out:
        for transcript in transcripts:
            responses = [{"role": "assistant", "content": turn.reply, "time": turn.end} for turn in transcript.replies]
            row = {"question_id": transcript.episode.question_id, "model_response_list": responses}
            out.write(json.dumps(row, ensure_ascii=False) + "\n")
    partial.replace(file)


def read_predictions(file: Path, episodes: Sequence[Episode]) -> dict[str, Transcript]:
    """A transcript for each row about one of `episodes`, with a turn a reply; rows about others are left out.

    Raises:
        InputError: the file cannot be read, or a row is bad or stands twice; the message names row and field.
    """
    by_id = {episode.question_id: episode for episode in episodes}
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: expected a file of predictions; {error}") from error
    rows: dict[str, _Row] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = _Row.model_validate_json(line)
        except ValidationError as error:
            fields = "; ".join(f"{'.'.join(map(str, item['loc'])) or 'row'}: {item['msg']}" for item in error.errors())
            raise InputError(f"{file}, line {number}: {fields}") from error
        if row.question_id in rows:
            raise InputError(f"{file}, line {number}: question_id {row.question_id!r} stands twice")
        rows[row.question_id] = row
    return {name: _transcript(row, by_id[name]) for name, row in rows.items() if name in by_id}


def _transcript(row: _Row, episode: Episode) -> Transcript:
    responses = sorted(row.model_response_list, key=lambda response: response.time)
    replies = ((item.time, text) for item in responses if (text := spoken(item.content)) is not None)
    turns = (Turn(index=index, start=time, end=time, reply=text) for index, (time, text) in enumerate(replies))
    return Transcript(episode, tuple(turns))
