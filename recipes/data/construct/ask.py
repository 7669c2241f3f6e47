"""Questions to the model: every answer is kept on disk, and one that does not fit is asked for again.

Every text in a message stands on one line, after a label, so that a subtitle cannot pose as anything else.
"""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, TypeVar
from weakref import WeakValueDictionary

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from proactive_env.agents.openai import read_reply
from proactive_env.errors import ChatRejected, ChatUnavailable, InputError
from proactive_env.recipes.data.construct.config import BuildConfig
from proactive_env.recipes.data.construct.prompts import read_prompt
from proactive_env.serving.answer import read_answer, without_thoughts
from proactive_env.serving.cache import AnswerCache
from proactive_env.serving.chat import ChatClient, Usage
from proactive_env.video import cache_folder

ATTEMPTS = 3
"""How often a question is asked until there is an answer, and until it fits."""
FAILURES_IN_A_ROW = 32
"""How many questions, one after the other, may be dropped for want of an answer until the build stops."""
PROBE = "Hello."
"""The message by which a server that is down is told from one that fails on a single message."""
LONGEST_TEXT = 2000
"""Characters of a text in a message or an answer, at most."""
TOKENS_OF_A_TEXT = 64
"""Tokens by which each text in a list of them may lengthen an answer, with the JSON around it."""
NO_ANSWER = "no answer from the server"
"""Why a question is dropped that the server does not answer while it answers others."""


Result = TypeVar("Result")


class DroppedError(Exception):
    """The model gives nothing that can be used; the message is the reason to count."""


async def all_of(calls: Iterable[Awaitable[Result]]) -> list[Result]:
    """Await all of these together; if some fail, the first failure, but only once none is under way."""
    results = await asyncio.gather(*calls, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if not isinstance(result, BaseException)]


def one_line(text: str) -> str:
    """`text` on one line, without the marks of chat templates (`<|im_end|>`), and cut off if it is very long."""
    return " ".join(text.split()).replace("<|", "< |")[:LONGEST_TEXT]


def said_in(text: str | None) -> str | None:
    """`text` on one line; None if it is empty or a `NO REPLY`, however spelled."""
    return read_reply(one_line(text or "")) or None


def _says_something(text: str) -> str:
    if not (said := said_in(text)):
        raise ValueError(f"expected a text, found {text!r}")
    return said


OneLine = Annotated[str, AfterValidator(_says_something)]
"""The type of a text in an answer."""
OneLineOrSilence = Annotated[str | None, AfterValidator(said_in)]
"""The type of a text that may be missing: empty, null or `NO REPLY`."""


class Fields(BaseModel):
    """The JSON object that a prompt asks for; keys it does not ask for are not looked at."""

    model_config = ConfigDict(frozen=True)


AnyFields = TypeVar("AnyFields", bound=Fields)


class Asker:
    """Asks the model that a build names.

    Args:
        config: The build's.

    Raises:
        InputError: the model or the server cannot be used.
    """

    def __init__(self, config: BuildConfig) -> None:
        self._client = ChatClient(config.model, **dict(config.server))
        self._answer_tokens = config.answer_tokens
        self._cache = AnswerCache(cache_folder() / "build.sqlite")
        self._reported = replace(self._client.usage)
        self._gate = asyncio.Semaphore(config.server.concurrency)
        self._failed_in_a_row = 0
        self._failure: ChatUnavailable | InputError | None = None
        self._asking: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def ask(
        self,
        prompt: str,
        lines: Sequence[str],
        answer: type[AnyFields],
        *,
        images: Sequence[str] = (),
        texts: int = 0,
        context: Mapping[str, Any] | None = None,
    ) -> AnyFields:
        """Ask until the answer fits.

        Args:
            prompt: The prompt's name.
            lines: The message.
            answer: What the answer must be.
            images: Pictures as data URLs, shown before the message.
            texts: Of an answer that is a list, how many texts are in it.
            context: Passed to the validators of `answer`.

        Raises:
            DroppedError: no answer fits, the server refuses the message, or answers others and not this one.
            ChatUnavailable: the server does not answer.
            InputError: the server or the cache cannot be used.
        """
        messages = _messages(prompt, lines, images)
        limit = self._answer_tokens + TOKENS_OF_A_TEXT * texts
        identity = json.dumps([self._client.model, messages, limit]).encode()
        key = hashlib.sha256(identity).hexdigest()
        async with self._asking.setdefault(key, asyncio.Lock()):  # who asks the same meanwhile finds the answer on disk
            for attempt in range(ATTEMPTS):
                text = await self._text(f"{key}-{attempt}", messages, limit)
                if (fields := _read(text, answer, context)) is not None:
                    return fields
        raise DroppedError("no usable answer")

    async def _text(self, key: str, messages: Sequence[Mapping[str, Any]], limit: int) -> str:
        kept: str | None = await asyncio.to_thread(self._cache.get, key)
        if kept is not None:
            self._client.usage.cached += 1
            return kept
        async with self._gate:
            text = await self._complete(messages, limit)
        await asyncio.to_thread(self._cache.put, key, text)
        return text

    async def _complete(self, messages: Sequence[Mapping[str, Any]], limit: int) -> str:
        for _ in range(ATTEMPTS):
            if self._failure:  # calls under way are finished, no other is begun
                raise self._failure
            try:
                completion = await self._client.complete(messages, max_completion_tokens=limit)
            except ChatRejected as error:
                raise DroppedError("rejected by the server") from error
            except ChatUnavailable as error:
                if self._failed_in_a_row >= FAILURES_IN_A_ROW or not await self._is_up():
                    self._failure = error
                    raise
            except InputError as error:
                self._failure = error
                raise
            else:
                self._failed_in_a_row = 0
                return read_answer(completion).text
        self._failed_in_a_row += 1
        raise DroppedError(NO_ANSWER)

    async def _is_up(self) -> bool:
        """Whether the server answers another message."""
        try:
            await self._client.complete([{"role": "user", "content": PROBE}], max_completion_tokens=self._answer_tokens)
        except ChatUnavailable:
            return False
        except ChatRejected:
            pass
        return True

    def usage(self) -> Usage:
        """What was asked since the last call of this."""
        before, self._reported = self._reported, replace(self._client.usage)
        return self._reported.since(before)


def _messages(prompt: str, lines: Sequence[str], images: Sequence[str]) -> list[dict[str, Any]]:
    text = "\n".join(lines)
    pictures = [{"type": "image_url", "image_url": {"url": url}} for url in images]
    content = [*pictures, {"type": "text", "text": text}] if pictures else text
    return [{"role": "system", "content": read_prompt(prompt)}, {"role": "user", "content": content}]


def _read(text: str, answer: type[AnyFields], context: Mapping[str, Any] | None) -> AnyFields | None:
    """The JSON object in a text, whatever stands around it; None if it does not fit."""
    final = without_thoughts(text)
    try:
        return answer.model_validate_json(final[final.find("{") : final.rfind("}") + 1], context=context)
    except (ValidationError, UnicodeError):
        return None
