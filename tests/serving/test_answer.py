"""What is left of an answer without the thoughts before it."""

import pytest

from proactive_env.serving.answer import without_thoughts


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("A cat.", "A cat."),
        ("<think>hm</think>A cat.", "A cat."),
        ("<thinking>hm</thinking>A cat.", "A cat."),
        ("<thought>nothing new</thought>NO REPLY", "NO REPLY"),
        ("<thoughts>hm</thoughts>A cat.", "A cat."),
        ("<reasoning>hm</reasoning>A cat.", "A cat."),
        ("<THINK>hm</THINK>A cat.", "A cat."),
        ("< think >hm</ think >A cat.", "A cat."),
        ("[THINK]hm[/THINK]A cat.", "A cat."),
        ("◁think▷hm◁/think▷A cat.", "A cat."),
        ("hm</think>A cat.", "A cat."),  # a template that begins with the opening mark
        ("hm</thinking>A cat.", "A cat."),
        ("<think>one</think><think>two</think>A cat.", "A cat."),
        ("<think>cut off", ""),
        ("<thinking>cut off", ""),
        ("[THINK]cut off", ""),
        ("<|channel|>analysis<|message|>cut off", ""),
        (
            "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>A cat.<|return|>",
            "A cat.",
        ),
        ("<|channel|>final<|message|>A cat.", "A cat."),
        ("I think [it] is <b>a cat</b>.", "I think [it] is <b>a cat</b>."),
        ("A thinking cap: thought I.", "A thinking cap: thought I."),
    ],
)
def test_thoughts_are_not_said(text, said):
    assert without_thoughts(text).strip() == said
