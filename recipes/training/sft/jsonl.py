"""Conversations as ms-swift and TRL know them: a JSON line of `messages`, with an `<image>` for each of `images`.

Dialogues are written in the format `no_reply`; what is read comes back as sequences to train on.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from proactive_env.agents.models.dialogue import SYSTEM_PROMPT
from proactive_env.agents.models.tape import Role, Speller, Tape
from proactive_env.datasets.rows import inside, read_text
from proactive_env.errors import DatasetError, InputError
from proactive_env.recipes.pictures import open_picture
from proactive_env.recipes.training.sft.examples import EpisodeFrames, Example, ShownFrames, frame_numbers
from proactive_env.turn import NO_REPLY, Turn
from proactive_env.video import MAX_PIXELS, frame_size

PLACEHOLDER = "<image>"


_Read = ConfigDict(extra="forbid")  # what is read and not used is an error


class _Part(BaseModel):
    model_config = _Read
    type: Literal["image", "text"]
    text: str = ""


def _one_text(content: Any) -> Any:
    """The content of a message in parts, as TRL writes it, as ms-swift does."""
    if not isinstance(content, list):
        return content
    parts = TypeAdapter(list[_Part]).validate_python(content)
    return "".join(PLACEHOLDER if part.type == "image" else part.text for part in parts)


class _Message(BaseModel):
    model_config = _Read
    role: Literal["system", "user", "assistant"]
    content: Annotated[str, BeforeValidator(_one_text)]
    loss: bool | None = None
    """Of the assistant's: whether it is trained; None: it is."""


class _Image(BaseModel):
    model_config = _Read
    path: str
    bytes: None = None


def _path(image: Any) -> Any:
    return _Image.model_validate(image).path if isinstance(image, dict) else image


class _Conversation(BaseModel):
    model_config = _Read
    messages: list[_Message] = Field(min_length=2)
    images: Annotated[list[Annotated[str, BeforeValidator(_path)]], BeforeValidator(lambda given: given or [])] = []


@dataclass(frozen=True)
class Files:
    """Pictures in files, each scaled as a frame would be."""

    paths: tuple[Path, ...]
    sizes: tuple[tuple[int, int], ...]
    """(height, width) in pixels."""

    def load(self) -> list[NDArray[np.uint8]]:
        """See `Pictures.load`."""
        return [_picture(path, size) for path, size in zip(self.paths, self.sizes, strict=True)]


def write(file: Path, dialogues: Iterable[tuple[Sequence[Turn], EpisodeFrames]]) -> None:
    """Write labelled dialogues, and their frames as PNG files into a folder beside, named like the file.

    Args:
        file: The file of JSON lines.
        dialogues: The turns with their replies, and the frames, of each.
    """
    folder = file.parent / file.stem
    folder.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8") as out:
        for place, (turns, frames) in enumerate(dialogues):
            numbers = tuple(number for turn in turns for number in frame_numbers(turn, frames))
            names = [f"{folder.name}/{place:06d}-{number:04d}.png" for number in numbers]
            for name, frame in zip(names, ShownFrames(frames, numbers).load(), strict=True):
                Image.fromarray(frame).save(file.parent / name)
            messages = [{"role": "system", "content": SYSTEM_PROMPT}]
            for turn in turns:
                pictures = PLACEHOLDER * len(frame_numbers(turn, frames))
                messages.append({"role": "user", "content": pictures + turn.user_text})
                messages.append({"role": "assistant", "content": turn.reply or NO_REPLY})
            out.write(json.dumps({"messages": messages, "images": names}, ensure_ascii=False) + "\n")


def read(file: Path, speller: Speller, max_pixels: int = MAX_PIXELS, max_tokens: int | None = None) -> list[Example]:
    """The conversations of a file; all replies of the assistant are trained but those with `"loss": false`.

    A message's content is a text with `<image>` for each picture, or a list of parts, `{"type": "image"}` and `{"type":
    "text", "text": ...}`; an image is a path or `{"path": ...}`. Any other key is an error: nothing is left out
    silently. A conversation without a system message gets the chat template's own, if it has one.

    Args:
        file: JSON lines; images are paths relative to its folder.
        speller: Of the checkpoint that is trained.
        max_pixels: Pictures are scaled to at most this many pixels.
        max_tokens: Tokens of a conversation, at most; None: any number.

    Raises:
        InputError: a line that is no such conversation, is too long, or names a picture that cannot be read.
    """
    try:
        lines = read_text(file).split("\n")  # no other line break ends a line of JSON
    except DatasetError as error:
        raise InputError(f"expected JSON lines of messages and images; {error}") from error
    examples = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                example = _example(_Conversation.model_validate_json(line), file.parent, speller, max_pixels)
                examples.append(example.fitting(max_tokens))
            except ValueError as error:
                problem = _problem(error) if isinstance(error, ValidationError) else error
                raise InputError(f"{file}, line {number}: {problem}") from error
    if not examples:
        raise InputError(f"{file}: expected conversations, found none")
    return examples


def _problem(error: ValidationError) -> str:
    unknown_first = sorted(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
    first = unknown_first[0]
    where = ".".join(map(str, first["loc"]))
    unknown = first["type"] == "extra_forbidden"
    said = "this key is not known, and what it asks for would not be done; take it out" if unknown else first["msg"]
    return f"{where}: {said}" if where else said


def _example(conversation: _Conversation, folder: Path, speller: Speller, max_pixels: int) -> Example:
    template = speller.template
    first, *rest = conversation.messages
    system, turns = (first.content, rest) if first.role == "system" else (None, conversation.messages)
    roles = [turn.role for turn in turns]
    if not turns or roles != ["user", "assistant"] * (len(turns) // 2):
        raise ValueError(f"expected user and assistant in turn, and the assistant last, found {', '.join(roles)}")
    if any(turn.loss is not None for turn in conversation.messages if turn.role != "assistant"):
        raise ValueError("messages: expected loss at the assistant's messages only: no other is trained")
    if not any(turn.loss is not False for turn in turns if turn.role == "assistant"):
        raise ValueError("messages: expected a message of the assistant's that is trained, found loss false at each")
    asked = sum(turn.content.count(PLACEHOLDER) for turn in turns if turn.role == "user")
    if asked != len(conversation.images):
        raise ValueError(f"expected an image for each {PLACEHOLDER}, found {len(conversation.images)} for {asked}")
    paths = tuple(inside(folder, image) for image in conversation.images)
    files = Files(paths, tuple(_size(path, max_pixels) for path in paths))
    proactive = system == SYSTEM_PROMPT
    picture, sizes = template.content(1, ""), iter(files.sizes)
    tape, between, reply = Tape(), template.head(system), list[int]()
    for turn in turns:
        if turn.role == "user":
            parts = turn.content.split(PLACEHOLDER)
            text = picture.join(template.content(0, part) if part else "" for part in parts)
            shown = [next(sizes) for _ in parts[1:]]
            tape.read([*reply, *speller.spell(between + text + template.to_assistant, shown)])
        else:
            decision = Role.SILENCE if turn.content == NO_REPLY else Role.SPEECH
            reply, between = template.reply(turn.content), template.to_user
            if turn.loss is not False:
                tape.say([*reply, speller.end], decision if proactive else Role.TEXT)
    return Example(*tape.cut(), files)


def _size(path: Path, max_pixels: int) -> tuple[int, int]:
    width, height = frame_size(*open_picture(path).size, max_pixels=max_pixels)
    return height, width


def _picture(path: Path, size: tuple[int, int]) -> NDArray[np.uint8]:
    height, width = size
    return np.asarray(open_picture(path).resize((width, height), Image.Resampling.BICUBIC))
