"""Judges say whether a reply covers a gold reply, and whether it only repeats what was said before.

A judge whose answer cannot be used returns None, and that point is dropped and counted; a judge that cannot be reached
raises `JudgeUnavailable`, and the score stays open. Neither ever turns into a number.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from proactive_env import background
from proactive_env.chat import Usage
from proactive_env.errors import InputError
from proactive_env.plugin import Spec, construct, did_you_mean, load_class

JudgeConfig = str | Mapping[str, Any]
"""`"lexical"`, `"chat:MODEL?url=URL"`, `"module:Class"` or `"file.py:Class"`, or a mapping with such a `kind` and the
class's arguments."""


LONGEST_TEXT = 8000
"""Characters of a text that judges look at."""


class JudgeUnavailable(RuntimeError):  # noqa: N818 (a state of the judge's, which passes)
    """The judge gave no answer: it cannot be reached, or still fails after its own retries."""


class Judge(ABC):
    """What rewards and scores ask. Judges are built from configuration where they are used."""

    @abstractmethod
    def coverage(self, question: str, gold: str, prediction: str, levels: int) -> int | None:
        """How much of the gold reply the prediction covers: 0 (none, or wrong) to `levels` - 1 (all key points).

        None if the judge's answer cannot be used.

        Raises:
            JudgeUnavailable: there was no answer.
        """

    @abstractmethod
    def repeats(self, earlier: Sequence[str], reply: str) -> bool | None:
        """Whether all that the reply says was said in the earlier replies; None if the answer cannot be used.

        Raises:
            JudgeUnavailable: there was no answer.
        """

    @abstractmethod
    def describe(self) -> dict[str, str | None]:
        """The judge's `kind`, `model` and `prompt_version`: what every result carries."""


class AsyncJudge(Judge):
    """A judge that takes many questions at once. Subclasses write the asynchronous methods and bound their number."""

    usage: Usage
    """Added up over the judge's life."""

    @abstractmethod
    async def coverage_async(self, question: str, gold: str, prediction: str, levels: int) -> int | None:
        """See `Judge.coverage`."""

    @abstractmethod
    async def repeats_async(self, earlier: Sequence[str], reply: str) -> bool | None:
        """See `Judge.repeats`."""

    def coverage(self, question: str, gold: str, prediction: str, levels: int) -> int | None:
        """See `Judge.coverage`."""
        return background.run(self.coverage_async(question, gold, prediction, levels))

    def repeats(self, earlier: Sequence[str], reply: str) -> bool | None:
        """See `Judge.repeats`."""
        return background.run(self.repeats_async(earlier, reply))


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
        return bool(words) and any(words <= _content_words(text) for text in earlier)

    def describe(self) -> dict[str, str | None]:
        """See `Judge.describe`."""
        return {"kind": "lexical", "model": None, "prompt_version": "1"}


KINDS = {
    "lexical": "proactive_env.rewards.judge:LexicalJudge",
    "chat": "proactive_env.rewards.chat_judge:ChatJudge",
}
"""The judges that have names; all others are named by `module:Class` or `file.py:Class`."""


def make_judge(config: JudgeConfig) -> Judge:
    """The judge that a configuration describes.

    Raises:
        InputError: there is no such kind or class, or the arguments do not fit.

    Example:
        >>> make_judge("lexical").describe()["kind"]
        'lexical'
    """
    arguments = dict(config) if isinstance(config, Mapping) else {"kind": config}
    spec = Spec.parse(str(arguments.pop("kind", "lexical")))
    if spec.kind in KINDS:
        cls, positional = load_class(KINDS[spec.kind]), [spec.argument] if spec.argument else []
    elif spec.argument:
        cls, positional = load_class(spec.head), []
    else:
        raise InputError(f"there is no judge {spec.kind!r}{did_you_mean(spec.kind, tuple(KINDS))}, or 'module:Class'")
    if not issubclass(cls, Judge):
        raise InputError(f"judge {config!r}: expected a subclass of Judge, found {cls.__name__}")
    judge: Judge = construct(cls, str(config), *positional, **(spec.options | arguments))
    return judge


_FUNCTION_WORDS = frozenset(
    "a an the this that these those there here it its it's he his him she her they them their we our us "  # noqa: SIM905
    "you your i my me is are was were be been being am do does did has have had will would can could shall should may "
    "might must of in on at to from by with for and or but as into onto then now so some".split()
)


def shorten(text: str, longest: int = LONGEST_TEXT) -> str:
    """`text`, without its middle if it has more than `longest` characters: first and last words count most."""
    return text if len(text) <= longest else f"{text[: longest // 2]} [...] {text[-longest // 2 :]}"


def _content_words(text: str) -> frozenset[str]:
    words = [word.removesuffix("'s") for word in re.findall(r"\w+(?:'\w+)?", shorten(text).casefold())]
    content = [word for word in words if word not in _FUNCTION_WORDS]
    return frozenset(_singular(word) for word in content or words)


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
