"""A checkpoint's chat template, cut into the pieces between which a dialogue grows turn by turn."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from proactive_env.errors import InputError

_MARKS = ("first mark", "second mark", "third mark")
_VISION_TOKENS = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")


class ChatTemplate:
    """Renders turns as text with one placeholder a frame, and counts their tokens.

    Args:
        processor: The checkpoint's processor, with a chat template.

    Raises:
        InputError: the template does not render a turn independently of the turns before it, or does not end replies
            with a token of their own.
    """

    def __init__(self, processor: Any) -> None:
        self._processor = processor
        self.tokenizer = processor.tokenizer
        self.content = lru_cache(maxsize=256)(self._content)
        self.picture = lru_cache(maxsize=4096)(self._picture)
        """The tokens of a picture of a size, (height, width) in pixels."""
        self._specials = re.compile("|".join(re.escape(token) for token in self.tokenizer.all_special_tokens))
        _, self.to_assistant = self._split([_user(_MARKS[0])], _MARKS[0])
        dialogue = [_user(_MARKS[0]), _assistant(_MARKS[1]), _user(_MARKS[2])]
        self.to_user = self._split(dialogue, _MARKS[1])[1].partition(_MARKS[2])[0]
        whole = self.head(None) + _MARKS[0] + self.to_assistant + _MARKS[1] + self.to_user + _MARKS[2]
        if not self.to_user or self._render(dialogue) != whole + self.to_assistant:
            raise InputError("the checkpoint's chat template does not render each turn by itself: no dialogue grows so")
        end = self.tokens(self.to_user)[0]
        if end not in self.tokenizer.all_special_ids:
            raise InputError(f"expected a chat template that ends replies with a special token, found {self.to_user!r}")
        vocabulary = self.tokenizer.get_vocab()
        self.ends = frozenset({end, self.tokenizer.eos_token_id, vocabulary.get("<|endoftext|>", end)})
        """Tokens that end a reply."""
        placeholders = {*_VISION_TOKENS, processor.image_token}
        self.vision_tokens = tuple(sorted(vocabulary[token] for token in placeholders if token in vocabulary))
        """Tokens that stand for pictures, which no reply may hold."""

    def head(self, system: str | None) -> str:
        """What stands before the first turn; without a system message the template may bring its own."""
        messages = [] if system is None else [{"role": "system", "content": [{"type": "text", "text": system}]}]
        return self._split([*messages, _user(_MARKS[0])], _MARKS[0])[0]

    def plain(self, text: str) -> str:
        """`text` with a space in whatever the tokenizer would take for a control token."""
        return self._specials.sub(lambda match: f"{match[0][0]} {match[0][1:]}", text)

    def _content(self, frames: int, text: str) -> str:
        """A user turn of so many frames and then text, in which control tokens are text."""
        text = self.plain(text)
        parts: list[dict[str, str]] = [{"type": "image"}] * frames
        if text or not frames:
            parts = [*parts, {"type": "text", "text": text}]
        rendered = self._render([{"role": "user", "content": parts}])
        return rendered.removeprefix(self.head(None)).removesuffix(self.to_assistant)

    def decisions(self) -> tuple[int, int]:
        """The tokens of `open_turn`: the next frame's first one, and the end of the user's turn.

        Raises:
            InputError: frames or user turns of this template have none of their own.
        """
        wait, speak = self.tokens(self.content(1, ""))[0], self.tokens(self.to_assistant)[0]
        special = set(self.tokenizer.all_special_ids) - {
            self.tokenizer.convert_tokens_to_ids(self._processor.image_token)
        }
        if not {wait, speak} <= special or wait == speak:
            raise InputError(
                "format open_turn needs a chat template whose frames begin, and whose user turns end, with a special "
                "token, such as <|vision_start|> and <|im_end|>: use format=no_reply with this checkpoint"
            )
        return wait, speak

    def tokens(self, text: str) -> list[int]:
        """The tokens of a rendered text, one for each placeholder."""
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def reply(self, text: str) -> list[int]:
        """The tokens of what the assistant says, in which control tokens are text."""
        return self.tokens(self.plain(text))

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of drawn tokens, stripped."""
        return str(self.tokenizer.decode(list(tokens), skip_special_tokens=True)).strip()

    def count(self, text: str, frames: Sequence[NDArray[np.uint8]]) -> int:
        """How many tokens the model sees for a rendered text and its frames."""
        return len(self.tokens(text)) + sum(len(self.picture(frame.shape[:2])) - 1 for frame in frames)

    def _picture(self, size: tuple[int, int]) -> list[int]:
        blank = np.zeros((*size, 3), np.uint8)
        read = self._processor(text=[self._processor.image_token], images=[blank], add_special_tokens=False)
        return [int(token) for token in read["input_ids"][0]]

    def _render(self, messages: list[dict[str, Any]]) -> str:
        return str(self._processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))

    def _split(self, messages: list[dict[str, Any]], mark: str) -> tuple[str, str]:
        before, _, after = self._render(messages).partition(mark)
        return before, after


def _user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "text", "text": text}]}


def _assistant(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": [{"type": "text", "text": text}]}
