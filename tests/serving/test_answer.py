"""What a completion says, what is left of it without the thoughts before it, and when it is no answer."""

import pytest

from proactive_env.serving.answer import read_answer, token_counts, without_thoughts


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


def completion(content=None, finish="stop", **message):
    return {"choices": [{"finish_reason": finish, "message": {"role": "assistant", "content": content} | message}]}


@pytest.mark.parametrize(
    ("answered", "text", "problem"),
    [
        (completion("A cat."), "A cat.", ""),
        (completion("A cat that", "length"), "A cat that", ""),
        (completion([{"type": "text", "text": "A "}, {"type": "text", "text": "cat."}]), "A cat.", ""),
        (completion(["A cat."]), "A cat.", ""),
        (completion("<think>hm</think>A cat.", reasoning="hm"), "A cat.", ""),
        (completion(finish="length", reasoning="The video shows"), "", "cut off while thinking"),
        (completion("", "length", reasoning_content="The video"), "", "cut off while thinking"),
        (completion("<think>The video", "length"), "", "cut off while thinking"),
        (completion("<think>A cat?</think>"), "", "thoughts without an answer"),
        (completion(reasoning_content="A cat."), "", "thoughts without an answer"),
        (completion("", "length"), "", "cut off before its first word"),
        (completion(refusal="I cannot."), "", "refused: I cannot."),
        (completion("A c", "content_filter"), "", "filtered by the server"),
        (completion(tool_calls=[{"id": "1"}]), "", "called a tool"),
        (completion(function_call={"name": "look"}), "", "called a tool"),
        (completion(""), "", "empty"),
        (completion([]), "", "empty"),
    ],
)
def test_what_a_completion_says(answered, text, problem):
    assert read_answer(answered)[:2] == (text, problem)


@pytest.mark.parametrize(
    ("answered", "words"),
    [
        ({"error": "Unexpected endpoint or method. (POST /chat/completions)"}, "Unexpected endpoint or method"),
        ({"error": {"message": "model is loading", "code": 503}}, "model is loading"),
        ({"choices": None, "error": "no"}, "found no"),
        ({"choices": []}, "found {'choices': \\[\\]}"),
        ({"choices": ["A cat."]}, "A cat."),
        ({"choices": [{"message": "A cat."}]}, "A cat."),
        (completion({"level": 3}), "of type str, found dict"),
        (completion(3), "of type str, found int"),
        ("<html>Bad gateway</html>", "Bad gateway"),
        (None, "None"),
        ([], "\\[\\]"),
    ],
)
def test_no_completion_is_told_in_the_servers_words(answered, words):
    with pytest.raises(ValueError, match=words):
        read_answer(answered)


@pytest.mark.parametrize("usage", [None, 3, [], {"prompt_tokens": "7"}, {"prompt_tokens_details": 3}])
def test_odd_counts_of_tokens_are_none(usage):
    assert token_counts(completion("A cat.") | {"usage": usage}) == {}
