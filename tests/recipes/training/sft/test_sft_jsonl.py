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


def said(answer):
    return {"messages": [{"role": "user", "content": "Hello?"}, answer]}


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
        (conversation("<video>?", "Yes.") | {"videos": ["v.mp4"]}, "videos: this key is not known"),
        (conversation("?", "Yes.") | {"audios": []}, "audios: this key is not known"),
        ({"conversations": [{"from": "human", "value": "?"}]}, "conversations: this key is not known"),
        (said({"role": "assistant", "content": "Yes.", "loss_mask": 0}), "messages.1.loss_mask: this key is not known"),
        (said({"role": "assistant", "content": "Yes.", "tool_calls": []}), "messages.1.tool_calls: this key is not"),
        (
            said({"role": "assistant", "content": "Yes.", "loss": "maybe"}),
            "messages.1.loss: Input should be a valid bo",
        ),
        (
            said({"role": "assistant", "content": "Yes.", "loss": False}),
            "expected a message of the assistant's that is",
        ),
        (said({"role": "assistant", "content": [{"type": "video"}]}), "messages.1.content.*'image' or 'text'"),
        (conversation("<image>?", "Yes.", images=[{"path": "black.jpg", "bytes": "AA"}]), "images.0.*bytes"),
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


def trained(speller, example):
    return speller.template.tokenizer.decode(example.ids[example.roles != Role.READ])


def test_an_answer_with_loss_false_is_read_and_not_trained(tmp_path, speller):
    row = conversation("a?", "bad one", "b?", "good")
    row["messages"][1]["loss"], row["messages"][3]["loss"] = False, True
    (example,) = jsonl.read(lines(tmp_path, row), speller)
    assert trained(speller, example) == "good<|im_end|>"
    assert "bad one<|im_end|>" in speller.template.tokenizer.decode(example.ids)
    row["messages"][1]["loss"], row["messages"][3]["loss"] = None, False
    (example,) = jsonl.read(lines(tmp_path, row), speller)
    assert trained(speller, example) == "bad one<|im_end|>"


def test_the_ways_of_writing_one_conversation(tmp_path, speller):
    plain = conversation("<image>Hi?", "Red.", images=["black.jpg"])
    parts = conversation([{"type": "image"}, {"type": "text", "text": "Hi?"}], "Red.", images=["black.jpg"])
    paths = conversation("<image>Hi?", "Red.", images=[{"path": "black.jpg", "bytes": None}])
    one, *others = jsonl.read(lines(tmp_path, plain, parts, paths), speller)
    assert [example.ids.tolist() for example in others] == [one.ids.tolist()] * 2
    without = conversation("Hi?", "Red.") | {"images": None}
    file = lines(tmp_path, without)
    plain_bytes = file.read_bytes()
    for content in (plain_bytes, b"\xef\xbb\xbf" + plain_bytes, plain_bytes.decode().encode("utf-16")):
        file.write_bytes(content.replace(b"\n", b"\r\n") if content is plain_bytes else content)
        assert trained(speller, *jsonl.read(file, speller)) == "Red.<|im_end|>"


def test_control_tokens_in_an_answer_are_text(tmp_path, speller, dialogues):
    (example,) = jsonl.read(lines(tmp_path, conversation("Hi?", "A <|im_end|> B")), speller)
    assert trained(speller, example) == "A < |im_end|> B<|im_end|>"
    (*turns, last), frames = dialogues[0]
    (example,) = teach(speller, [*turns, last.model_copy(update={"reply": "<|im_start|>"})], frames, Decoding())
    assert trained(speller, example).endswith("< |im_start|><|im_end|>")


def test_pictures_are_as_a_person_sees_them(tmp_path, speller):
    red, blue = (230, 20, 20), (20, 20, 230)
    upright = Image.new("RGB", (56, 112), red)
    upright.paste(blue, (0, 56, 56, 112))
    tag = Image.Exif()
    tag[0x0112] = 6
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "exif.jpg", exif=tag, quality=95)
    Image.fromarray(np.full((56, 56), 32768, np.uint16)).save(tmp_path / "deep.png")
    Image.new("RGBA", (56, 56), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    palette = Image.new("P", (56, 56), 1)
    palette.putpalette([0, 0, 0, *red])
    palette.save(tmp_path / "palette.gif")
    upright.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    names = ["exif.jpg", "deep.png", "clear.png", "palette.gif", "cmyk.jpg"]
    (example,) = jsonl.read(lines(tmp_path, conversation("<image>" * 5, "Yes.", images=names)), speller)
    turned, deep, clear, flat, ink = example.pictures.load()
    for picture in (turned, ink):
        assert picture.shape == (112, 56, 3)
        np.testing.assert_allclose(picture[[20, 90], 28], [red, blue], atol=25)
    np.testing.assert_allclose(
        [one.mean(axis=(0, 1)) for one in (deep, clear, flat)], [[127.5] * 3, [255] * 3, red], atol=1
    )


def test_a_picture_that_breaks_off_or_moves_is_named_before_the_first_step(tmp_path, speller):
    noise = np.random.default_rng(0).integers(0, 255, (56, 56, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:-40])
    moving = [Image.fromarray(noise), Image.fromarray(noise[::-1])]
    moving[0].save(tmp_path / "moving.gif", save_all=True, append_images=moving[1:])
    for name, problem in (("cut.png", "truncated"), ("moving.gif", "an animation of 2 pictures")):
        row = conversation("<image>?", "Yes.", images=[name])
        with pytest.raises(InputError, match=rf"rows.jsonl, line 1: .*{name}: expected a picture .*{problem}"):
            jsonl.read(lines(tmp_path, row), speller)
