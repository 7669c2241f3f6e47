"""What a model's answer is, and what is none: agents, judges and data construction read completions here."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

_OPENED = r"(?:<\s*(?:think|thinking|thought|thoughts|reasoning)\s*>|\[THINK\]|◁\s*think\s*▷)"
_CLOSED = r"(?:<\s*/\s*(?:think|thinking|thought|thoughts|reasoning)\s*>|\[/THINK\]|◁\s*/\s*think\s*▷)"
_THOUGHTS = re.compile(rf"{_OPENED}.*?(?:{_CLOSED}|\Z)", re.DOTALL | re.IGNORECASE)
_END_OF_THOUGHTS = re.compile(_CLOSED, re.IGNORECASE)
_LONGEST_WORDS = 300  # characters of a server's own words in a message
_CHANNEL = "<|channel|>"
_FINAL = re.compile(r"<\|channel\|>\s*final\b.*?<\|message\|>(.*?)(?:<\|(?:end|return|start|channel)\|>|\Z)", re.DOTALL)


class Answer(NamedTuple):
    """What a completion says."""

    text: str
    """Thoughts taken off; may be empty."""
    problem: str = ""
    """Why this is no answer, if it is none: cut off while thinking, refused, filtered, a tool's call, empty."""
    cut_off: bool = False
    """Whether the model had more to say than it had tokens for."""


def read_answer(completion: Any) -> Answer:
    """The answer in a chat completion, whatever a server made of it.

    Raises:
        ValueError: it holds no message; the server's own words, as in an error that came with status 200.
    """
    body = _plain(completion)
    choices = body.get("choices") if isinstance(body, Mapping) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, Mapping) else None
    if not isinstance(choice, Mapping) or not isinstance(message, Mapping):
        words = (body.get("error") or body) if isinstance(body, Mapping) else body
        raise ValueError(f"expected an answer, found {str(words)[:_LONGEST_WORDS]}")
    content = _text(message.get("content"))
    said, cut_off = without_thoughts(content).strip(), choice.get("finish_reason") == "length"
    if choice.get("finish_reason") == "content_filter":
        return Answer("", "filtered by the server")
    return Answer(said, "" if said else _nothing(message, content, cut_off), cut_off)


def token_counts(completion: Any) -> dict[str, int]:
    """`prompt_tokens`, `completion_tokens` and `cached_tokens`, as far as the server reports them as numbers."""
    body = _plain(completion)
    usage = body.get("usage") if isinstance(body, Mapping) else None
    if not isinstance(usage, Mapping):
        return {}
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, Mapping) else None
    counts = {name: usage.get(name) for name in ("prompt_tokens", "completion_tokens")} | {"cached_tokens": cached}
    return {name: count for name, count in counts.items() if isinstance(count, int)}


def _plain(completion: Any) -> Any:
    """The completion as plain data: the client's own types hold whatever the server sent, unchecked."""
    return completion.to_dict(mode="python", warnings=False) if hasattr(completion, "to_dict") else completion


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    if content is None:
        return ""
    if isinstance(content, list):
        parts = [part.get("text") if isinstance(part, Mapping) else part for part in content]
        return "".join(part for part in parts if isinstance(part, str))
    raise ValueError(f"expected an answer of type str, found {type(content).__name__}")


def _nothing(message: Mapping[str, Any], content: str, cut_off: bool) -> str:
    if message.get("refusal"):
        return f"refused: {str(message['refusal'])[:_LONGEST_WORDS]}"
    if message.get("tool_calls") or message.get("function_call"):
        return "called a tool"
    if content.strip() or message.get("reasoning") or message.get("reasoning_content"):
        return "cut off while thinking" if cut_off else "thoughts without an answer"
    return "cut off before its first word" if cut_off else "empty"


def without_thoughts(text: str) -> str:
    """What a thinking model says after it has thought; nothing if its thoughts were cut off.

    Thoughts stand in `<think>`, `<thinking>`, `<thought>` or `<reasoning>`, in any case, in `[THINK]` (Mistral), in
    `◁think▷` (Kimi), or in the channels of Harmony, of which `final` is said. Servers may leave the opening mark out.

    Example:
        >>> without_thoughts("<think>3 or 2?</think> 2"), without_thoughts("[THINK]hm[/THINK]A cat.")
        ('  2', ' A cat.')
        >>> without_thoughts("<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>2")
        '2'
    """
    if _CHANNEL in text:
        return " ".join(_FINAL.findall(text))
    return _END_OF_THOUGHTS.split(_THOUGHTS.sub(" ", text))[-1]
