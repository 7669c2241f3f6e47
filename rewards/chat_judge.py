"""A language model as judge, behind any OpenAI-compatible server.

An answer that cannot be read is asked for again twice, then None. A call without an answer raises `JudgeUnavailable`
after its retries. A server that refuses the call for good (key, model, address) is an `InputError`.
"""

import asyncio
import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from proactive_env.errors import InputError
from proactive_env.frame_cache import cache_folder
from proactive_env.rewards.judge import LONGEST_TEXT, AsyncJudge, JudgeUnavailable, Usage, shorten
from proactive_env.rewards.judge_cache import JudgeCache

if TYPE_CHECKING:
    from openai import AsyncOpenAI

PROMPTS = Path(__file__).parent / "prompts"
"""The library's prompts: `coverage3.txt`, `coverage5.txt`, `repeats.txt`."""
LONGEST_EARLIER_TEXT = 1000
"""Characters of each earlier reply that the judge sees when it is asked about repetition."""
ATTEMPTS = 3
"""How often a question is asked until its answer can be read."""
LONGEST_BACKOFF_S = 60.0
"""Seconds that a retry may wait because the server asks for it."""
COOL_DOWN_S = 30.0
"""Seconds for which nothing is asked after twice `concurrency` calls in a row have failed with all their retries."""

Answer = TypeVar("Answer", int, bool)


class ChatJudge(AsyncJudge):
    """Asks a chat model for a digit, or for yes or no.

    Each text stands on one line of the message, so that a reply cannot pose as another field, and the system message
    says that it is text to be judged. Answers are kept on disk by model, prompts and content.

    Args:
        model: The model's name on the server.
        url: The server's base URL, such as `http://localhost:8000/v1`; None: OpenAI's.
        api_key_env: The environment variable that holds the API key; servers that need none work without it.
        prompts: A folder, as an absolute path, with files that replace the library's prompts of the same name.
        concurrency: How many calls are under way at once in a process.
        timeout: Seconds without a word from the server until a call is given up, and retried.
        retries: How often a call is retried after a timeout, a lost connection, or status 429 or 5xx, with backoff;
            what the server says in `Retry-After` is respected.
        price: What a million prompt tokens and a million completion tokens cost, for the report.

    Raises:
        InputError: an argument cannot be used, or `openai` is not installed.

    Example:
        >>> judge = ChatJudge("Qwen/Qwen3-8B", url="http://localhost:8000/v1")
        >>> judge.describe()["model"]
        'Qwen/Qwen3-8B'
    """

    def __init__(
        self,
        model: str = "",
        url: str | None = None,
        *,
        api_key_env: str = "OPENAI_API_KEY",
        prompts: str | None = None,
        concurrency: int = 16,
        timeout: float = 60.0,
        retries: int = 4,
        price: Sequence[float] | None = None,
    ) -> None:
        if not model:
            raise InputError("a chat judge needs the model's name: 'chat:MODEL?url=URL', or --judge-model")
        if not (concurrency >= 1 and timeout > 0 and retries >= 0):
            found = f"{concurrency=}, {timeout=}, {retries=}"
            raise InputError(f"expected concurrency >= 1, timeout > 0 seconds and retries >= 0, found {found}")
        if price is not None and not (isinstance(price, Sequence) and len(price) == 2):
            raise InputError(f"expected price=[prompt, completion], for a million tokens each, found {price!r}")
        _check_url(url)
        self.model = model
        self.usage = Usage(cost=0.0 if price else None)
        self.last_text = ""
        self._price = price
        self._failed_in_a_row = 0
        self._closed_until = 0.0
        self._server = (url, api_key_env, concurrency, timeout, retries)
        self._prompts = _read_prompts(prompts)
        self._version = hashlib.sha256(json.dumps(self._prompts, sort_keys=True).encode()).hexdigest()[:12]
        self._cache = JudgeCache(cache_folder() / "judge.sqlite")

    async def coverage_async(self, question: str, gold: str, prediction: str, levels: int) -> int | None:
        """See `Judge.coverage`; there are prompts for 3 and 5 levels."""
        if f"coverage{levels}" not in self._prompts:
            raise InputError(f"the chat judge has prompts for 3 and 5 levels, found levels={levels}")
        texts = {"Question": question, "Ground Truth Answer": gold, "Predicted Answer": prediction}
        lines = {label: _one_line(text) for label, text in texts.items()}
        return await self._ask(f"coverage{levels}", lines, lambda text: read_level(text, levels))

    async def repeats_async(self, earlier: Sequence[str], reply: str) -> bool | None:
        """See `Judge.repeats`."""
        said = dict.fromkeys(_one_line(text, LONGEST_EARLIER_TEXT) for text in earlier)
        lines = {"Previous Turns": " | ".join(said), "New Turn": _one_line(reply)}
        answer = await self._ask("repeats", lines, read_yes_or_no)
        return None if answer is None else bool(answer)

    def describe(self) -> dict[str, str | None]:
        """See `Judge.describe`."""
        return {"kind": "chat", "model": self.model, "prompt_version": self._version}

    async def _ask(
        self, prompt: str, lines: dict[str, str], read: Callable[[str], Answer | None]
    ) -> Answer | int | None:
        content = "\n".join(f"{label}: {text}" for label, text in lines.items())
        identity = json.dumps([self.model, self._version, prompt, content])
        key = hashlib.sha256(identity.encode()).hexdigest()
        kept = await asyncio.to_thread(self._cache.get, key)
        if kept is not None:
            self.usage.cached += 1
            return kept
        messages = [{"role": "system", "content": self._prompts[prompt]}, {"role": "user", "content": content}]
        for _ in range(ATTEMPTS):
            answer = read(await self._complete(messages))
            if answer is not None:
                await asyncio.to_thread(self._cache.put, key, int(answer))
                return answer
        return None

    async def _complete(self, messages: Any) -> str:
        client, gate = _connect(os.getpid(), *self._server)
        _, _, _, timeout, retries = self._server
        import openai

        async with gate:
            if time.monotonic() < self._closed_until:
                raise JudgeUnavailable(f"judge {self.model} at {client.base_url}: too many calls failed in a row")
            self.usage.calls += 1
            try:
                async with asyncio.timeout((timeout + LONGEST_BACKOFF_S) * (retries + 1)):
                    completion = await client.chat.completions.create(model=self.model, messages=messages)
                text = _answer(completion)
            except (openai.AuthenticationError, openai.PermissionDeniedError, openai.NotFoundError) as error:
                raise InputError(
                    f"the judge's server {client.base_url} refuses: {error.message}; "
                    f"check the model {self.model!r}, the URL and the key in ${self._server[1]}"
                ) from error
            except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                raise JudgeUnavailable(
                    f"judge {self.model} at {client.base_url} rejects a question: {error}"
                ) from error
            except (openai.APIError, TimeoutError, ValueError, TypeError, IndexError, AttributeError) as error:
                self._count_failure(gate_width=self._server[2])
                raise JudgeUnavailable(f"judge {self.model} at {client.base_url}: {error!r}") from error
        self._failed_in_a_row = 0
        self.last_text = text
        tokens = completion.usage.model_dump() if completion.usage else {}
        self._count_tokens(tokens.get("prompt_tokens") or 0, tokens.get("completion_tokens") or 0)
        return text

    def _count_failure(self, gate_width: int) -> None:
        self._failed_in_a_row += 1
        if self._failed_in_a_row >= 2 * gate_width:
            self._closed_until = time.monotonic() + COOL_DOWN_S

    def _count_tokens(self, prompt: int, completion: int) -> None:
        self.usage.prompt_tokens += prompt
        self.usage.completion_tokens += completion
        if self._price:
            self.usage.cost = (self.usage.cost or 0.0) + (prompt * self._price[0] + completion * self._price[1]) / 1e6


def read_level(text: str, levels: int) -> int | None:
    """The level, from 0, in a judge's answer of 1..`levels`; None unless exactly one such digit stands in it.

    Example:
        >>> read_level("<think>3 or 2?</think> **2** out of 3", levels=3), read_level("1 or 2", levels=3)
        (1, None)
    """
    answer = re.sub(rf"(?:/|out of)\s*{levels}\b", " ", _final(text))
    numbers = re.findall(r"(?<![\d.,–-])\d+(?![.,–-]?\d)", answer)
    digits = {int(number) for number in numbers} & set(range(1, levels + 1))
    return digits.pop() - 1 if len(digits) == 1 else None


def read_yes_or_no(text: str) -> bool | None:
    """Whether a judge's answer says yes; None unless it says just one of the two.

    Example:
        >>> read_yes_or_no("<think>no?</think> Yes."), read_yes_or_no("maybe")
        (True, None)
    """
    words = set(re.findall(r"\b(yes|no)\b", _final(text).casefold()))
    return words == {"yes"} if len(words) == 1 else None


def _final(text: str) -> str:
    """What a thinking model says after it has thought; nothing if its thoughts were cut off."""
    return re.sub(r"<think>.*?(?:</think>|\Z)", " ", text, flags=re.DOTALL).rpartition("</think>")[2]


def _answer(completion: Any) -> str:
    """What the model says; nothing if it was cut off, since then it may still have been thinking."""
    choice = completion.choices[0]
    content = choice.message.content
    if not isinstance(content, str | None):
        raise TypeError(f"expected an answer of type str, found {type(content).__name__}")
    return "" if content is None or choice.finish_reason == "length" else content


def _one_line(text: str, longest: int = LONGEST_TEXT) -> str:
    return shorten(" ".join(text.split()), longest)


def _read_prompts(folder: str | None) -> dict[str, str]:
    files = {name: PROMPTS / f"{name}.txt" for name in ("coverage3", "coverage5", "repeats")}
    if folder is not None:
        own = {file.stem: file for file in Path(folder).glob("*.txt")}
        if not Path(folder).is_absolute() or not own or not own.keys() <= files.keys():
            expected = ", ".join(f"{name}.txt" for name in files)
            found = ", ".join(sorted(file.name for file in own.values())) or "none"
            raise InputError(
                f"{folder}: expected the absolute path of a folder with prompts ({expected}), found {found}"
            )
        files |= own
    try:
        return {name: file.read_text(encoding="utf-8").strip() for name, file in files.items()}
    except UnicodeDecodeError as error:
        raise InputError(f"{folder}: expected prompts in UTF-8; {error}") from error


def _check_url(url: str | None) -> None:
    if url is None:
        return
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable:
        raise InputError(f"expected a URL such as http://localhost:8000/v1, found {url!r}")
    if parts.username or parts.password:
        raise InputError("a judge's URL must not hold a key: put it into the environment variable $OPENAI_API_KEY")


def _read_key(api_key_env: str) -> str:
    key = os.environ.get(api_key_env) or "none"
    if not key.isascii() or not key.isprintable() or " " in key:
        raise InputError(f"the key in ${api_key_env} holds characters that no key has, such as spaces: copy it again")
    return key


@lru_cache
def _connect(
    process: int,  # noqa: ARG001 (a fork needs its own)
    url: str | None,
    api_key_env: str,
    concurrency: int,
    timeout: float,
    retries: int,
) -> "tuple[AsyncOpenAI, asyncio.Semaphore]":
    """One client and one gate a process and server, whichever rewards ask."""
    try:
        from openai import AsyncOpenAI
    except ImportError as error:
        raise InputError("chat judges need the package openai: pip install 'proactive-env[openai]'") from error
    client = AsyncOpenAI(base_url=url, api_key=_read_key(api_key_env), timeout=timeout, max_retries=retries)
    return client, asyncio.Semaphore(concurrency)
