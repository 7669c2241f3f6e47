"""Conversations in the form of ms-swift and TRL: out and in again, and what is wrong with them."""

import json

import numpy as np
import pytest
from PIL import Image
from transformers import AutoProcessor

from proactive_env.agents.models.engine import Decoding
from proactive_env.agents.models.tape import Role, Speller
from proactive_env.errors import InputError
from proactive_env.recipes.training.sft import jsonl
from proactive_env.recipes.training.sft.config import MixConfig, SftConfig
from proactive_env.recipes.training.sft.examples import teach
from proactive_env.recipes.training.sft.prepare import label_episodes, make_examples

CONFIG = SftConfig.model_validate({"model": "tiny", "train": {"benchmark": "tinyworld"}})


@pytest.fixture(scope="module")
def speller(tiny_checkpoint):
    return Speller(AutoProcessor.from_pretrained(tiny_checkpoint))


@pytest.fixture(scope="module")
def dialogues(tinyworld):
    return label_episodes(tinyworld, CONFIG, on_episode=lambda: None)


def conversation(*contents, images=(), system=None):
    roles = ["user", "assistant"] * len(contents)
    messages = [{"role": role, "content": content} for role, content in zip(roles, contents, strict=False)]
    return {"messages": [*([{"role": "system", "content": system}] if system else []), *messages], "images": images}


def lines(folder, *rows):
    Image.fromarray(np.zeros((60, 90, 3), np.uint8)).save(folder / "black.jpg")
    file = folder / "rows.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in rows))
    return file


def test_a_dialogue_comes_back_as_the_same_tokens_and_pictures(tmp_path, speller, dialogues):
    file = tmp_path / "sft.jsonl"
    (first, *turns), frames = dialogues[0]
    odd = first.model_copy(update={"reply": "Line breaks\u2028of\u0085other\x0ckinds."})
    dialogues = [((odd, *turns), frames), *dialogues[1:]]
    jsonl.write(file, dialogues)
    back = jsonl.read(file, speller)
    for (turns, frames), example in zip(dialogues, back, strict=True):
        (expected,) = teach(speller, turns, frames, Decoding())
        assert example.ids.tolist() == expected.ids.tolist()
        assert example.roles.tolist() == expected.roles.tolist()
        for picture, frame in zip(example.pictures.load(), expected.pictures.load(), strict=True):
            np.testing.assert_array_equal(picture, frame)


def test_only_the_frames_that_are_shown_are_written(tmp_path, speller, dialogues):
    file = tmp_path / "late.jsonl"
    jsonl.write(file, [(turns[2:], frames) for turns, frames in dialogues])
    for (turns, _), example in zip(dialogues, jsonl.read(file, speller), strict=True):
        assert len(example.pictures.load()) == turns[-1].end - turns[2].start


def test_a_written_line_is_what_ms_swift_reads(tmp_path, dialogues):
    file = tmp_path / "sft.jsonl"
    jsonl.write(file, dialogues[:1])
    row = json.loads(file.read_text())
    assert [message["role"] for message in row["messages"][:3]] == ["system", "user", "assistant"]
    assert row["messages"][1]["content"].startswith("<image><image>What")
    assert sum(message["content"].count("<image>") for message in row["messages"]) == len(row["images"])
    assert all((tmp_path / image).is_file() for image in row["images"])


def test_offline_questions_get_the_models_own_system_message_and_train_the_answers(tmp_path, speller):
    row = conversation("<image>\nWhat is it?", "A cat.", "Sure?", "Yes.", images=["black.jpg"])
    (example,) = jsonl.read(lines(tmp_path, row), speller)
    decode = speller.template.tokenizer.decode
    text = decode(example.ids)
    assert text.startswith("<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n<|vision_st")
    assert text.endswith("\nWhat is it?<|im_end|>\n<|im_start|>assistant\nA cat.<|im_end|>\n<|im_start|>user\nSure?"
                         "<|im_end|>\n<|im_start|>assistant\nYes.<|im_end|>")  # fmt: skip
    assert decode(example.ids[example.roles != Role.READ]) == "A cat.<|im_end|>Yes.<|im_end|>"
    assert set(example.roles) == {Role.READ, Role.TEXT}  # nothing is decided: an offline model always answers
    assert text.count("<|image_pad|>") == 2 * 3
    assert [picture.shape for picture in example.pictures.load()] == [(56, 84, 3)]


def test_pictures_stand_where_their_placeholders_are(tmp_path, speller):
    row = conversation("First <image>, then <image>.", "Equal.", images=["black.jpg", "black.jpg"])
    (example,) = jsonl.read(lines(tmp_path, row), speller, max_pixels=28 * 28)
    picture = "<|vision_start|><|image_pad|><|vision_end|>"
    assert f"user\nFirst {picture}, then {picture}.<|im_end|>" in speller.template.tokenizer.decode(example.ids)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (conversation("<image>?", "Yes.", images=["black.jpg"] * 2), "an image for each <image>, found 2 for 1"),
        (conversation("<image><image>?", "Yes.", images=["black.jpg"]), "an image for each <image>, found 1 for 2"),
        (conversation("Hello?"), "List should have at least 2 items"),
        (conversation("Hello?", system="Be kind."), "the assistant last, found user"),
        (conversation("<image>?", "Yes.", images=["white.jpg"]), "white.jpg"),
        (conversation("<image>?", "Yes.", images=["rows.jsonl"]), "cannot identify image file"),
        (conversation("<image>?", "Yes.", images=["../black.jpg"]), "must stay inside the data folder"),
        ({"messages": [{"role": "tool", "content": ""}] * 2}, "Input should be 'system', 'user' or 'assistant'"),
        ([], "Input should be an object"),
    ],
)
def test_a_bad_line_is_named(tmp_path, speller, row, problem):
    file = lines(tmp_path, conversation("Hello?", "Hi."), row)
    with pytest.raises(InputError, match=f"{file.name}, line 2: .*{problem}"):
        jsonl.read(file, speller)


def test_what_max_tokens_has_no_room_for_is_named(tmp_path, speller, dialogues):
    file = lines(tmp_path, conversation("Hello?", "Hi."), conversation("Hello?", "Hi. " * 300))
    mixed = CONFIG.model_copy(update={"mix": (MixConfig(file=file, ratio=1),), "max_tokens": 1000})
    with pytest.raises(
        InputError, match=r"rows.jsonl, line 2: expected at most 1000 tokens \(max_tokens\), found 1\d\d\d"
    ):
        make_examples(dialogues, speller, mixed)
    (*turns, last), frames = dialogues[0]
    long = [((*turns, last.model_copy(update={"reply": "It grows. " * 300})), frames)]
    config = CONFIG.model_copy(update={"max_tokens": 1000})
    with pytest.raises(InputError, match=rf"{frames.video.name}, '{turns[0].user_text[:4]}.*': expected at most 1000"):
        make_examples(long, speller, config)


def test_a_file_without_conversations_is_an_error(tmp_path, speller):
    with pytest.raises(InputError, match="expected conversations, found none"):
        jsonl.read(lines(tmp_path), speller)
    with pytest.raises(InputError, match="expected JSON lines"):
        jsonl.read(tmp_path / "missing.jsonl", speller)


@pytest.mark.parametrize(("ratio", "expected"), [(0.5, 2), (2.0, 8), (2.25, 9)])
def test_conversations_are_mixed_in_by_ratio(tmp_path, speller, dialogues, ratio, expected):
    file = lines(tmp_path, *(conversation("<image>?", f"It is {n}.", images=["black.jpg"]) for n in range(4)))
    config = CONFIG.model_copy(update={"mix": (MixConfig(file=file, ratio=ratio),)})
    examples = make_examples(dialogues, speller, config)
    assert len(examples) == len(dialogues) + expected
    answers = [speller.template.decode(example.ids[example.roles != Role.READ]) for example in examples[4:]]
    assert max(answers.count(answer) for answer in answers) == -(-expected // 4)  # all of them before one comes again
