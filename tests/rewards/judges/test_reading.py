"""What a chat judge's words say: a level, yes or no, or nothing that can be used."""

import pytest

from proactive_env.rewards.judges.chat import read_level, read_yes_or_no


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("3", 2),
        (" 2.", 1),
        ("**1**", 0),
        ("Score: 3", 2),
        ("2/3", 1),
        ("3 out of 3", 2),
        ("<think>1? 2?</think>3", 2),
        ("thinking aloud 1 2</think>3", 2),
        ("<think>3 is", None),
        ("", None),
        ("4", None),
        ("0", None),
        ("33", None),
        ("2.5", None),
        ("1 or 2", None),
        ("-1", None),
        ("1,5", None),
        ("2-3", None),
        ("three", None),
        # one level, said in many ways
        ("Level 2", 1),
        ("_2_", 1),
        ("(3)", 2),
        ('"3"', 2),
        ("3!", 2),
        ("3\n", 2),
        ("Rating: 3/3.", 2),
        ("2 / 3", 1),
        ("2 of 3", 1),
        ("I give 3, since 3 is best", 2),
        ("3, the answer is right", 2),
        ("The answer is right.\n\n3", 2),
        ("**Score:** 2", 1),
        ("2 (partly)", 1),
        ("Answer = 1", 0),
        # the scale alone, or another one
        ("0 of 3", None),
        ("0/3", None),
        ("out of 3", None),
        ("3/10", None),
        ("3 out of 10", None),
        ("2 of 5", None),
        ("8/10", None),
        ("3%", None),
        ("3 %", None),
        ("100 %", None),
        ("On a scale of 1 to 3: 2", None),
        # bounds, doubts and negations
        ("not 3", None),
        ("It isn't a 3", None),
        ("no level 3", None),
        ("at least 2", None),
        ("at most 2", None),
        ("less than 2", None),
        (">2", None),
        ("≥ 2", None),
        ("about 2", None),
        ("between 1 and 2", None),
        ("1-2", None),
        ("2, perhaps 3", None),
        # numbers that are none
        ("2.0", None),
        ("3rd", None),
        ("v3", None),
        ("03", None),
        ("−1", None),
        ("2,3", None),
        ("Question 1: 2", None),
        ("1. It names the shape. 2. It names the colour.", None),
        # thoughts, in all spellings
        ("<thinking>it covers 1</thinking>", None),
        ("<THINK>1?</THINK> 2", 1),
        ("<thought>3</thought>2", 1),
        ("<reasoning>3</reasoning>2", 1),
        ("[THINK]3[/THINK]2", 1),
        ("◁think▷3◁/think▷2", 1),
        ("<|channel|>analysis<|message|>covers 2<|end|>", None),
        ("<|channel|>analysis<|message|>2?<|end|><|start|>assistant<|channel|>final<|message|>3<|return|>", 2),
    ],
)
def test_reading_levels(text, level):
    assert read_level(text, 3) == level


@pytest.mark.parametrize(
    ("text", "flag"),
    [
        ("yes", True),
        ("No.", False),
        ("<think>no</think>YES", True),
        ("Yes, there is no new information.", True),
        ("No: yes would need all of it.", False),
        ("The answer is yes.", True),
        ("yes and no", None),
        ("yes/no", None),
        ("I cannot say yes or no", None),
        ("nobody", None),
        ("", None),
    ],
)
def test_reading_yes_or_no(text, flag):
    assert read_yes_or_no(text) is flag
