"""Judges say whether a reply covers a gold reply, and whether it only repeats what was said before.

A judge whose answer cannot be used returns None, and that point is dropped and counted; a judge that cannot be reached
raises `JudgeUnavailable`, and the score stays open. Neither ever turns into a number.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from proactive_env.plugin import Registry
from proactive_env.serving import background
from proactive_env.serving.chat import Usage

JudgeConfig = str | Mapping[str, Any]
"""`"lexical"`, `"chat:MODEL?url=URL"`, `"module:Class"` or `"file.py:Class"`, or a mapping with such a `kind` and the
class's arguments."""


LONGEST_TEXT = 8000
"""Characters of a text that judges look at."""


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


KINDS = Registry(
    "judge",
    {
        "lexical": "proactive_env.rewards.judges.lexical:LexicalJudge",
        "chat": "proactive_env.rewards.judges.chat:ChatJudge",
    },
)
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
    return KINDS.construct(str(arguments.pop("kind", "lexical")), Judge, **arguments)


def shorten(text: str, longest: int = LONGEST_TEXT) -> str:
    """`text`, without its middle if it has more than `longest` characters: first and last words count most."""
    return text if len(text) <= longest else f"{text[: longest // 2]} [...] {text[-longest // 2 :]}"
