"""What a model's answer is, once its thoughts are taken off: agents, judges and data construction read answers here."""

import re

_OPENED = r"(?:<\s*(?:think|thinking|thought|thoughts|reasoning)\s*>|\[THINK\]|◁\s*think\s*▷)"
_CLOSED = r"(?:<\s*/\s*(?:think|thinking|thought|thoughts|reasoning)\s*>|\[/THINK\]|◁\s*/\s*think\s*▷)"
_THOUGHTS = re.compile(rf"{_OPENED}.*?(?:{_CLOSED}|\Z)", re.DOTALL | re.IGNORECASE)
_END_OF_THOUGHTS = re.compile(_CLOSED, re.IGNORECASE)
_CHANNEL = "<|channel|>"
_FINAL = re.compile(r"<\|channel\|>\s*final\b.*?<\|message\|>(.*?)(?:<\|(?:end|return|start|channel)\|>|\Z)", re.DOTALL)


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
