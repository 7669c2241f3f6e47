"""Asks a judge each question once, and counts the answers that could not be used."""

from collections.abc import Sequence

from proactive_env.rewards.judge import Judge


class JudgePool:
    """A judge that remembers its answers.

    Args:
        judge: Who is asked.
    """

    def __init__(self, judge: Judge) -> None:
        self.judge = judge
        self._coverage: dict[tuple[str, str, str, int], int | None] = {}
        self._repeats: dict[tuple[tuple[str, ...], str], bool | None] = {}

    @property
    def failures(self) -> int:
        """How many questions got an answer that cannot be used."""
        return sum(answer is None for answers in (self._coverage, self._repeats) for answer in answers.values())

    def describe(self) -> dict[str, str | None]:
        """See `Judge.describe`."""
        return self.judge.describe()

    def coverage(self, question: str, gold: str, prediction: str, levels: int) -> int | None:
        """See `Judge.coverage`."""
        key = (question, gold, prediction, levels)
        if key not in self._coverage:
            self._coverage[key] = self.judge.coverage(*key)
        return self._coverage[key]

    def repeats(self, earlier: Sequence[str], reply: str) -> bool | None:
        """See `Judge.repeats`."""
        key = (tuple(earlier), reply)
        if key not in self._repeats:
            self._repeats[key] = self.judge.repeats(*key)
        return self._repeats[key]
