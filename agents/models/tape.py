"""Tokens in the order in which a model meets them, and what each of them is to the loss."""

from collections.abc import Sequence
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from proactive_env.agents.models.chat_template import ChatTemplate
from proactive_env.errors import InputError


class Role(IntEnum):
    """What a token is to the loss."""

    READ = 0
    """Not trained."""
    TEXT = 1
    """Part of a reply."""
    SILENCE = 2
    """The decision to say nothing."""
    SPEECH = 3
    """The decision to speak."""


class Speller:
    """Spells rendered text with the tokens of its pictures in their places.

    Args:
        processor: The checkpoint's processor.
    """

    def __init__(self, processor: Any) -> None:
        self.template = ChatTemplate(processor)
        self.end = self.template.tokens(self.template.to_user)[0]
        """The token that ends a reply."""
        self._placeholder = processor.tokenizer.convert_tokens_to_ids(processor.image_token)

    def spell(self, text: str, sizes: Sequence[tuple[int, int]]) -> list[int]:
        """The tokens of `text`, whose placeholders stand for pictures of these sizes, (height, width) in pixels.

        Raises:
            InputError: the text has more placeholders, or fewer.
        """
        tokens = self.template.tokens(text)
        places = [place for place, token in enumerate(tokens) if token == self._placeholder]
        if len(places) != len(sizes):
            raise InputError(
                f"expected {len(sizes)} pictures in a text, found {len(places)} placeholders: {text[-200:]!r}"
            )
        ids, done = list[int](), 0
        for place, size in zip(places, sizes, strict=True):
            ids += [*tokens[done:place], *self.template.picture(size)]
            done = place + 1
        return ids + tokens[done:]


class Tape:
    """A sequence that grows: what is read is not trained, what is said is, at the moment at which it is read."""

    def __init__(self) -> None:
        self._ids: list[int] = []
        self._roles: list[Role] = []
        self._said: list[tuple[int, Role]] = []

    def say(self, tokens: Sequence[int], first: Role = Role.TEXT) -> None:
        """The model says these tokens, of which the first has a role of its own; they stand first in what is read next.

        A reply's last token is the one that ends it.
        """
        self._said = [(token, Role.TEXT if place else first) for place, token in enumerate(tokens)]

    def read(self, tokens: Sequence[int]) -> None:
        """The model reads these tokens.

        Raises:
            ValueError: they do not begin with what was said.
        """
        said, self._said = self._said, []
        if list(tokens[: len(said)]) != [token for token, _ in said]:
            raise ValueError(f"expected tokens that begin with those said, {said}, found {list(tokens[: len(said)])}")
        self._ids += tokens
        self._roles += [role for _, role in said] + [Role.READ] * (len(tokens) - len(said))

    def cut(self) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
        """The tokens (n,) and their roles (n,) up to what was said last; what is read next begins a new tape."""
        self.read([token for token, _ in self._said])
        ids, roles = np.array(self._ids, np.int32), np.array(self._roles, np.uint8)
        self._ids, self._roles = [], []
        return ids, roles
