"""A language model as judge, behind any OpenAI-compatible server.

An answer that cannot be read is asked for again twice, then None. A call without an answer, or with a question that
the server rejects, raises `JudgeUnavailable`; `ChatClient` says which retries come before that.
"""

import asyncio
import hashlib
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar, Unpack

from proactive_env.errors import ChatRejected, ChatUnavailable, InputError, JudgeUnavailable
from proactive_env.rewards.judges.base import LONGEST_TEXT, AsyncJudge, shorten
from proactive_env.serving.answer import read_answer, without_thoughts
from proactive_env.serving.cache import AnswerCache
from proactive_env.serving.chat import ChatClient, ChatOptions
from proactive_env.video import cache_folder

PROMPTS = Path(__file__).parent / "prompts"
"""The library's prompts: `coverage3.txt`, `coverage5.txt`, `repeats.txt`."""
LONGEST_EARLIER_TEXT = 1000
"""Characters of each earlier reply that the judge sees when it is asked about repetition."""
ATTEMPTS = 3
"""How often a question is asked until its answer can be read."""

Answer = TypeVar("Answer", int, bool)


class ChatJudge(AsyncJudge):
    """Asks a chat model for a digit, or for yes or no.

    Each text stands on one line of the message, so that a reply cannot pose as another field, and the system message
    says that it is text to be judged. Answers are kept on disk by model, prompts and content.

    Args:
        model: The model's name on the server.
        prompts: A folder, as an absolute path, with files that replace the library's prompts of the same name.
        url: The server's base URL; see `ChatClient`.
        server: How it is asked; see `ChatClient`.

    Raises:
        InputError: an argument cannot be used.

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
        prompts: str | None = None,
        **server: Unpack[ChatOptions],
    ) -> None:
        if not model:
            raise InputError("a chat judge needs the model's name: 'chat:MODEL?url=URL', or --judge-model")
        self.model = model
        self.last_text = ""
        self._client = ChatClient(model, url, **server)
        self.usage = self._client.usage
        self._prompts = _read_prompts(prompts)
        self._version = hashlib.sha256(json.dumps(self._prompts, sort_keys=True).encode()).hexdigest()[:12]
        self._cache = AnswerCache(cache_folder() / "judge.sqlite")

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
        kept: int | None = await asyncio.to_thread(self._cache.get, key)
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

    async def _complete(self, messages: Sequence[dict[str, str]]) -> str:
        try:
            answer = read_answer(await self._client.complete(messages))
        except (ChatUnavailable, ChatRejected) as error:
            raise JudgeUnavailable(f"judge {error}") from error
        self.last_text = "" if answer.cut_off else answer.text
        return self.last_text


_HEDGES = r"(?:\b(?:not|no|never|neither|nor|than|least|most|about|around|nearly|almost|between)\b|n't|[<>≤≥~])"


def read_level(text: str, levels: int) -> int | None:
    """The level, from 0, in a judge's answer of 1..`levels`; None unless the answer is one level, and only one.

    The scale may be named (`2 out of 3`, `2/3`); any other number, a share, a bound or a negation makes it unreadable.

    Example:
        >>> read_level("<think>3 or 2?</think> **2** out of 3", levels=3), read_level("0 of 3", levels=3)
        (1, None)
    """
    answer = re.sub(rf"(?:/|\b(?:out\s+)?of)\s*{levels}(?![\w.,]*\d)", " ", without_thoughts(text))
    found = {number.strip("_").rstrip(".,") for number in re.findall(r"\w*[-−–]?\d[\w.,]*(?:\s*%)?", answer)}
    (number,) = found if len(found) == 1 else ("",)
    if re.search(rf"{_HEDGES}\W*(?:(?:a|an|level|score)\W+)*{re.escape(number or 'no number')}", answer, re.IGNORECASE):
        return None
    return int(number) - 1 if number in map(str, range(1, levels + 1)) else None


def read_yes_or_no(text: str) -> bool | None:
    """Whether a judge's answer says yes: the word that it begins with, or the only one of the two in it; else None.

    Example:
        >>> read_yes_or_no("<think>no?</think> Yes, nothing new: no."), read_yes_or_no("yes and no")
        (True, None)
    """
    answer = without_thoughts(text).casefold()
    if begins := re.match(r"\W*(yes|no)\b(?!(?:\s*/\s*|\W+(?:and|or)\W+)(?:yes|no)\b)", answer):
        return begins[1] == "yes"
    words = set(re.findall(r"\b(yes|no)\b", answer))
    return words == {"yes"} if len(words) == 1 else None


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
