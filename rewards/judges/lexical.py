"""A judge that compares content words."""

import re
import threading
from collections.abc import Sequence
from functools import lru_cache

from proactive_env.rewards.judges.base import Judge, shorten

_FUNCTION_WORDS = frozenset(
    "a an the this that these those there here it its it's he his him she her they them their we our us "  # noqa: SIM905
    "you your i my me is are was were be been being am do does did has have had will would can could shall should may "
    "might must of in on at to from by with for and or but as into onto then now so some".split()
)


class LexicalJudge(Judge):
    """Compares content words: offline, deterministic, free.

    Coverage is the share of the gold reply's content words that the prediction has, times `levels` - 1, rounded down:
    the top level needs every one of them. A reply repeats if one earlier reply has all of its content words. Case,
    punctuation, plural s and function words do not count. It can tell exact wording from missing or other words, which
    is enough for TinyWorld. It cannot tell paraphrases from errors, word order or negation, and gives full marks to a
    prediction that names everything: its scores are not comparable with published results.

    Example:
        >>> LexicalJudge().coverage("What appears?", "A red circle.", "There is a blue circle", levels=3)
        1
        >>> LexicalJudge().repeats(["A red circle appears."], "the red circle!")
        True
    """

    def coverage(self, question: str, gold: str, prediction: str, levels: int) -> int | None:
        """See `Judge.coverage`."""
        wanted = _content_words(gold)
        if not wanted:
            return levels - 1 if prediction.strip() == gold.strip() else 0
        return len(wanted & _content_words(prediction)) * (levels - 1) // len(wanted)

    def repeats(self, earlier: Sequence[str], reply: str) -> bool | None:
        """See `Judge.repeats`."""
        words = _content_words(reply)
        said = _said.by_word(tuple(earlier))
        return bool(words) and any(words <= one for one in min((said.get(word, []) for word in words), key=len))

    def describe(self) -> dict[str, str | None]:
        """See `Judge.describe`."""
        return {"kind": "lexical", "model": None, "prompt_version": "1"}


class _Said(threading.local):
    """The content words of the replies asked about last, found by a word: a dialogue grows by a reply at a time."""

    def __init__(self) -> None:
        self._texts: tuple[str, ...] = ()
        self._by_word: dict[str, list[frozenset[str]]] = {}

    def by_word(self, texts: tuple[str, ...]) -> dict[str, list[frozenset[str]]]:
        known, by_word = self._texts, self._by_word
        if texts[: len(known)] != known:
            known, by_word = (), {}
        self._texts, self._by_word = (), {}  # until it is complete: an interrupt must not leave half a dialogue
        for text in texts[len(known) :]:
            words = _content_words(text)
            for word in words:
                by_word.setdefault(word, []).append(words)
        self._texts, self._by_word = texts, by_word
        return by_word


_said = _Said()


@lru_cache(maxsize=4096)
def _content_words(text: str) -> frozenset[str]:
    words = [word.removesuffix("'s") for word in re.findall(r"\w+(?:'\w+)?", shorten(text).casefold())]
    content = [word for word in words if word not in _FUNCTION_WORDS]
    return frozenset(_singular(word) for word in content or words)


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
