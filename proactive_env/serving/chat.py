"""A client for chat models behind any OpenAI-compatible server: answers, or an error that says whose turn it is.

A call without an answer raises `ChatUnavailable` after its retries: ask again later. Messages that the server refuses
raise `ChatRejected`: asking again does not help. A server that refuses every call (key, model, address) is an
`InputError`.
"""

import asyncio
import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, TypedDict
from urllib.parse import parse_qsl, urlsplit

from proactive_env.errors import ChatRejected, ChatUnavailable, InputError
from proactive_env.extras import require
from proactive_env.serving import background
from proactive_env.serving.answer import read_answer, token_counts

if TYPE_CHECKING:
    from openai import AsyncOpenAI
    from openai.types.chat import ChatCompletion

LONGEST_BACKOFF_S = 120.0
"""Seconds that a retry may wait because the server asks for it."""
COOL_DOWN_S = 30.0
"""Seconds for which nothing is asked after twice `concurrency` calls in a row have failed with all their retries."""
_REJECTIONS = (400, 413, 422)
_LIMIT = {"max_tokens": "max_completion_tokens"}  # what some models call it, and refuse the other name
_SECRET = re.compile(r"key|token|secret|password|sig(?:nature)?$|auth", re.IGNORECASE)


@dataclass
class Usage:
    """What a chat model was asked, and what it took."""

    calls: int = 0
    cached: int = 0
    """Questions answered from disk."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float | None = None
    """In the currency of the prices; None without prices."""
    rejected: int = 0
    """Calls whose messages the server refused."""

    def since(self, earlier: "Usage") -> "Usage":
        """What was added after `earlier`, an older copy of this."""
        return Usage(
            self.calls - earlier.calls,
            self.cached - earlier.cached,
            self.prompt_tokens - earlier.prompt_tokens,
            self.completion_tokens - earlier.completion_tokens,
            None if self.cost is None else self.cost - (earlier.cost or 0.0),
            self.rejected - earlier.rejected,
        )

    def plus(self, more: "Usage") -> "Usage":
        """The sum of both."""
        return Usage(
            self.calls + more.calls,
            self.cached + more.cached,
            self.prompt_tokens + more.prompt_tokens,
            self.completion_tokens + more.completion_tokens,
            None if self.cost is None and more.cost is None else (self.cost or 0.0) + (more.cost or 0.0),
            self.rejected + more.rejected,
        )


class ChatOptions(TypedDict, total=False):
    """How `ChatClient` asks; agents and judges on a server hand it on."""

    api_key_env: str
    concurrency: int
    timeout: float
    retries: int
    price: Sequence[float] | None
    extra: Mapping[str, Any] | None


class ChatClient:
    """Asks one model on one server; `usage` adds up what it took.

    All clients of a process that name the same server share one connection pool and one limit of concurrency.

    Args:
        model: The model's name on the server.
        url: The server's base URL, such as `http://localhost:8000/v1`, with a query such as `?api-version=...` where
            the server wants one; None: OpenAI's.
        api_key_env: The environment variable that holds the API key; servers that need none work without it.
        concurrency: How many calls are under way at once in a process.
        timeout: Seconds without a word from the server until a call is given up, and retried.
        retries: How often a call is retried after a timeout, a lost connection, or status 429 or 5xx, with backoff;
            what the server says in `Retry-After` is respected.
        price: What a million prompt tokens and a million completion tokens cost, for the report.
        extra: Further fields of every request, such as `{"chat_template_kwargs": {"enable_thinking": false}}`.

    Raises:
        InputError: an argument cannot be used.

    Example:
        >>> ChatClient("Qwen/Qwen3-8B", url="http://localhost:8000/v1").usage.calls
        0
    """

    def __init__(
        self,
        model: str,
        url: str | None = None,
        *,
        api_key_env: str = "OPENAI_API_KEY",
        concurrency: int = 16,
        timeout: float = 60.0,
        retries: int = 4,
        price: Sequence[float] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        if not model:
            raise InputError("expected the name of a model on the server, found ''")
        if not (concurrency >= 1 and timeout > 0 and retries >= 0):
            found = f"{concurrency=}, {timeout=}, {retries=}"
            raise InputError(f"expected concurrency >= 1, timeout > 0 seconds and retries >= 0, found {found}")
        if price is not None and not (isinstance(price, Sequence) and len(price) == 2):
            raise InputError(f"expected price=[prompt, completion], for a million tokens each, found {price!r}")
        if extra is not None and not isinstance(extra, Mapping):
            raise InputError(f"expected extra={{name: value}}, further fields of a request, found {extra!r}")
        _check_url(url, api_key_env)
        self.model = model
        self.usage = Usage(cost=0.0 if price else None)
        self._price = price
        self._extra = dict(extra or {})
        self._renames = False
        self._failed_in_a_row = 0
        self._closed_until = 0.0
        self._server = (url, api_key_env, concurrency, timeout, retries)

    async def complete(self, messages: Sequence[Mapping[str, Any]], **request: Any) -> "ChatCompletion":
        """Ask for the next message of a dialogue; can be awaited on any event loop.

        Args:
            messages: The dialogue in the chat-completions format.
            request: Further parameters of the request, such as `max_tokens`.

        Returns:
            A completion that `read_answer` takes.

        Raises:
            ChatUnavailable: there was no answer.
            ChatRejected: the server refuses these messages.
            InputError: the server refuses the key, the model or the address, or `openai` is not installed.
        """
        return await asyncio.wrap_future(background.submit(self._complete(messages, request)))

    async def _complete(self, messages: Any, request: dict[str, Any]) -> "ChatCompletion":
        url, api_key_env, concurrency, timeout, retries = self._server
        client, gate = _connect(os.getpid(), url, api_key_env, concurrency, timeout, retries)
        import openai

        name = f"{self.model} at {client.base_url}"
        async with gate:
            if time.monotonic() < self._closed_until:
                raise ChatUnavailable(f"{name}: too many calls failed in a row")
            self.usage.calls += 1
            try:
                async with asyncio.timeout((timeout + LONGEST_BACKOFF_S) * (retries + 1)):
                    completion = await self._create(client, messages, request)
                read_answer(completion)
            except (openai.AuthenticationError, openai.PermissionDeniedError, openai.NotFoundError) as error:
                raise InputError(
                    f"the server {client.base_url} refuses: {_masked(error.message, api_key_env)}; "
                    f"check the model {self.model!r}, the URL and the key in ${api_key_env}"
                ) from None
            except (openai.APIError, TimeoutError, ValueError, TypeError, IndexError, AttributeError) as error:
                if isinstance(error, openai.APIStatusError) and error.status_code in _REJECTIONS:
                    self.usage.rejected += 1
                    said = _masked(str(error), api_key_env)
                    raise ChatRejected(f"{name} rejects these messages: {said}") from None
                self._count_failure(concurrency)
                raise ChatUnavailable(f"{name}: {_masked(repr(error), api_key_env)}") from None
        self._failed_in_a_row = 0
        tokens = token_counts(completion)
        self._count_tokens(tokens.get("prompt_tokens", 0), tokens.get("completion_tokens", 0))
        return completion

    async def _create(self, client: "AsyncOpenAI", messages: Any, request: dict[str, Any]) -> "ChatCompletion":
        import openai

        asked = {_LIMIT[name] if name in _LIMIT and self._renames else name: value for name, value in request.items()}
        try:
            created: ChatCompletion = await client.chat.completions.create(
                model=self.model, messages=messages, extra_body=self._extra, **asked
            )
        except openai.BadRequestError as error:
            if self._renames or "max_tokens" not in asked or _LIMIT["max_tokens"] not in str(error):
                raise
            self._renames = True
            return await self._create(client, messages, request)
        return created

    def _count_failure(self, concurrency: int) -> None:
        self._failed_in_a_row += 1
        if self._failed_in_a_row >= 2 * concurrency:
            self._closed_until = time.monotonic() + COOL_DOWN_S

    def _count_tokens(self, prompt: int, completion: int) -> None:
        self.usage.prompt_tokens += prompt
        self.usage.completion_tokens += completion
        if self._price:
            self.usage.cost = (self.usage.cost or 0.0) + (prompt * self._price[0] + completion * self._price[1]) / 1e6


def _check_url(url: str | None, api_key_env: str) -> None:
    if url is None:
        return
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable:
        raise InputError(f"expected a URL such as http://localhost:8000/v1, found {url!r}")
    if parts.username or parts.password or any(_SECRET.search(name) for name, _ in parse_qsl(parts.query)):
        raise InputError(f"a server's URL must not hold a key: put it into the environment variable ${api_key_env}")


def _masked(text: str, api_key_env: str) -> str:
    """A server's words without the key, which some repeat."""
    key = os.environ.get(api_key_env)
    return text.replace(key, f"${api_key_env}") if key else text


def _read_key(api_key_env: str) -> str:
    key = os.environ.get(api_key_env) or "none"
    if not key.isascii() or not key.isprintable() or " " in key:
        raise InputError(f"the key in ${api_key_env} holds characters that no key has, such as spaces: copy it again")
    return key


@cache
def _connect(
    process: int,  # noqa: ARG001 (a fork needs its own)
    url: str | None,
    api_key_env: str,
    concurrency: int,
    timeout: float,
    retries: int,
) -> "tuple[AsyncOpenAI, asyncio.Semaphore]":
    """One client and one gate a process and server, whoever asks; both belong to the background loop."""
    require("openai")
    from openai import AsyncOpenAI

    query = urlsplit(url or "").query
    client = AsyncOpenAI(
        base_url=url.removesuffix(f"?{query}") if url else None,
        default_query=dict(parse_qsl(query)),
        api_key=_read_key(api_key_env),
        timeout=timeout,
        max_retries=retries,
    )
    return client, asyncio.Semaphore(concurrency)
