"""Asks a judge each question once, ahead of time where it takes many at once, and counts what it could not answer."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TypeVar

from proactive_env.errors import JudgeUnavailable
from proactive_env.rewards.judges.base import AsyncJudge, Judge
from proactive_env.serving import background

Answer = TypeVar("Answer")


class JudgePool(Judge):
    """A judge that remembers its answers, its failures too.

    Inside `asking_ahead()` questions to an `AsyncJudge` are only sent, and answered by placeholders (0, False): run the
    computation that will ask them, forget its result, and run it again when the answers are wanted.

    Args:
        judge: Who is asked.

    Example:
        >>> from proactive_env.rewards import LexicalJudge
        >>> pool = JudgePool(LexicalJudge())
        >>> pool.coverage("What appears?", "A red circle.", "A red square.", levels=3)
        1
    """

    def __init__(self, judge: Judge) -> None:
        self.judge = judge
        self._coverage: dict[tuple[str, str, str, int], Future[int | None]] = {}
        self._repeats: dict[tuple[tuple[str, ...], str], Future[bool | None]] = {}
        self._ahead = False

    @property
    def failures(self) -> int:
        """How many questions got an answer that cannot be used; waits for all that were asked.

        Raises:
            JudgeUnavailable: a question got no answer.
        """
        return sum(answer is None for answer in (*self.levels.values(), *self.flags.values()))

    @property
    def levels(self) -> dict[tuple[str, str, str, int], int | None]:
        """The answers to `coverage`, by question; raises as `failures`."""
        return {key: future.result() for key, future in self._coverage.items()}

    @property
    def flags(self) -> dict[tuple[tuple[str, ...], str], bool | None]:
        """The answers to `repeats`, by question; raises as `failures`."""
        return {key: future.result() for key, future in self._repeats.items()}

    def coverage(self, question: str, gold: str, prediction: str, levels: int) -> int | None:
        """See `Judge.coverage`."""
        key = (question, gold, prediction, levels)
        answer = self._coverage.get(key)
        if answer is None:
            if isinstance(self.judge, AsyncJudge):
                answer = background.submit(self.judge.coverage_async(*key))
            else:
                answer = _answered(lambda: self.judge.coverage(*key))
            self._coverage[key] = answer
        return 0 if self._ahead else answer.result()

    def repeats(self, earlier: Sequence[str], reply: str) -> bool | None:
        """See `Judge.repeats`."""
        key = (tuple(earlier), reply)
        answer = self._repeats.get(key)
        if answer is None:
            if isinstance(self.judge, AsyncJudge):
                answer = background.submit(self.judge.repeats_async(*key))
            else:
                answer = _answered(lambda: self.judge.repeats(*key))
            self._repeats[key] = answer
        return False if self._ahead else answer.result()

    def describe(self) -> dict[str, str | None]:
        """See `Judge.describe`."""
        return self.judge.describe()

    @contextmanager
    def asking_ahead(self) -> Iterator[None]:
        """Send questions without waiting for their answers."""
        self._ahead = isinstance(self.judge, AsyncJudge)
        try:
            yield
        finally:
            self._ahead = False


def _answered(ask: Callable[[], Answer]) -> Future[Answer]:
    future: Future[Answer] = Future()
    try:
        future.set_result(ask())
    except JudgeUnavailable as error:  # kept for whoever asks again, as the future of an AsyncJudge keeps it
        future.set_exception(error)
    return future
