"""Asks a judge each question once, ahead of time where it takes many at once, and counts what it could not answer."""

from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar

from proactive_env.errors import JudgeUnavailable
from proactive_env.rewards.judges.base import AsyncJudge, Judge
from proactive_env.serving import background

Answer = TypeVar("Answer")
Question = TypeVar("Question", bound=tuple[Any, ...])


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
        ask = self.judge.coverage_async if isinstance(self.judge, AsyncJudge) else self.judge.coverage
        answer = _kept(self._coverage, (question, gold, prediction, levels), ask)
        return 0 if self._ahead else answer.result()

    def repeats(self, earlier: Sequence[str], reply: str) -> bool | None:
        """See `Judge.repeats`."""
        ask = self.judge.repeats_async if isinstance(self.judge, AsyncJudge) else self.judge.repeats
        answer = _kept(self._repeats, (tuple(earlier), reply), ask)
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


def _kept(
    answers: dict[Question, Future[Answer]],
    question: Question,
    ask: Callable[..., Answer | Coroutine[Any, Any, Answer]],
) -> Future[Answer]:
    answer = answers.get(question)
    if answer is None:
        answer = answers[question] = _asked(question, ask)
    return answer


def _asked(question: tuple[Any, ...], ask: Callable[..., Answer | Coroutine[Any, Any, Answer]]) -> Future[Answer]:
    future: Future[Answer] = Future()
    try:
        answer = ask(*question)
        if isinstance(answer, Coroutine):
            return background.submit(answer)
        future.set_result(answer)
    except JudgeUnavailable as error:  # kept for whoever asks again, as the future of an AsyncJudge keeps it
        future.set_exception(error)
    return future
