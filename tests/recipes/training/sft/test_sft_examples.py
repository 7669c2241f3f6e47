"""An example is, token for token, what the agent would read and say; and only what it says is trained."""

import asyncio

import numpy as np
import pytest
from models import Recorder, pieces
from transformers import AutoProcessor

from proactive_env.agents.models.dialogue import FORMATS, SYSTEM_PROMPT
from proactive_env.agents.models.engine import Decoding
from proactive_env.agents.models.tape import Role, Speller, Tape
from proactive_env.environment import ProactiveVideoEnv
from proactive_env.errors import InputError
from proactive_env.recipes.training.sft.collator import IGNORED, Collator
from proactive_env.recipes.training.sft.config import SftConfig
from proactive_env.recipes.training.sft.examples import teach
from proactive_env.recipes.training.sft.prepare import class_balanced, label_episodes
from proactive_env.turn import NO_REPLY

CONFIG = SftConfig.model_validate({"model": "tiny", "train": {"benchmark": "tinyworld"}})


@pytest.fixture(scope="module")
def qwen(tiny_checkpoint):
    return AutoProcessor.from_pretrained(tiny_checkpoint)


@pytest.fixture(scope="module")
def llava(llava_checkpoint):
    return AutoProcessor.from_pretrained(llava_checkpoint)


@pytest.fixture(scope="module")
def dialogues(tinyworld):
    return label_episodes(tinyworld, CONFIG, on_episode=lambda: None)


def agents_own(processor, name, episode, turns):
    """The tokens that an agent's dialogue hands its engine when it says the labels, and the frames."""
    template = Speller(processor).template
    labels = iter(turns)

    def script(draw):
        if draw.allowed:
            wait, speak = draw.allowed
            reply = next(labels).reply
            speaking.append(reply)
            return (wait,) if reply is None else (speak,)
        reply = speaking.pop() if name == "open_turn" else next(labels).reply
        return tuple(template.tokens(reply or NO_REPLY))

    speaking = []
    engine = Recorder(processor, script)
    dialogue = FORMATS[name](engine, template, Decoding(format=name))
    env = ProactiveVideoEnv([episode])
    observation, _ = env.reset(options={"question_id": episode.question_id})

    async def converse():
        seen, over = observation, False
        while not over:
            seen, _, over, _, _ = env.step((await dialogue.respond(seen)).text)

    asyncio.run(converse())
    ids, frames = pieces(processor, engine.segments)
    return [token for piece in ids for token in piece], frames


@pytest.mark.parametrize(("family", "name"), [("qwen", "no_reply"), ("qwen", "open_turn"), ("llava", "no_reply")])
def test_an_example_is_what_the_agent_reads_when_it_says_the_labels(family, name, request, tinyworld, dialogues):
    processor = request.getfixturevalue(family)
    for episode, (turns, frames) in zip(tinyworld, dialogues, strict=True):
        (example,) = teach(Speller(processor), turns, frames, Decoding(format=name))
        handed, seen = agents_own(processor, name, episode, turns)
        assert example.ids[: len(handed)].tolist() == handed
        rest = processor.tokenizer.decode(example.ids[len(handed) :])
        last = turns[-1].reply
        assert rest == (f"{last or NO_REPLY}<|im_end|>" if name == "no_reply" or last else "<|vision_start|>")
        shown = example.pictures.load()
        assert [frame.tobytes() for frame in shown] == [frame.tobytes() for frame in seen]


def trained(processor, example):
    """The runs of trained tokens, as text."""
    runs, before = [], Role.READ
    for token, role in zip(example.ids, example.roles, strict=True):
        if role != Role.READ:
            text = processor.tokenizer.decode([token])
            runs = [*runs, text] if before == Role.READ or role != Role.TEXT else [*runs[:-1], runs[-1] + text]
        before = role
    return runs


def test_no_reply_trains_every_reply_with_its_end(qwen, dialogues):
    for turns, frames in dialogues:
        (example,) = teach(Speller(qwen), turns, frames, Decoding())
        assert trained(qwen, example) == [f"{turn.reply or NO_REPLY}<|im_end|>" for turn in turns]
        decisions = example.roles[np.isin(example.roles, [Role.SILENCE, Role.SPEECH])]
        assert decisions.tolist() == [Role.SILENCE if turn.reply is None else Role.SPEECH for turn in turns]


def test_open_turn_trains_decisions_and_replies_with_their_ends(qwen, dialogues):
    for turns, frames in dialogues:
        (example,) = teach(Speller(qwen), turns, frames, Decoding(format="open_turn"))
        expected = []
        for turn in turns:
            expected += ["<|vision_start|>"] if turn.reply is None else ["<|im_end|>", f"{turn.reply}<|im_end|>"]
        assert trained(qwen, example) == expected


def test_labels_of_a_batch_are_the_trained_tokens(qwen, dialogues):
    speller = Speller(qwen)
    examples = [example for turns, frames in dialogues for example in teach(speller, turns, frames, Decoding())]
    batch = Collator(qwen)(examples)
    for example, ids, labels, mask in zip(
        examples, batch["input_ids"], batch["labels"], batch["attention_mask"], strict=True
    ):
        count = len(example.ids)
        assert ids[:count].tolist() == example.ids.tolist()
        assert mask.tolist() == [1] * count + [0] * (len(ids) - count)
        assert (labels[labels != IGNORED]).tolist() == example.ids[example.roles != Role.READ].tolist()
    assert len(batch["image_grid_thw"]) == sum(len(example.pictures.load()) for example in examples)
    assert (batch["mm_token_type_ids"] == 1).sum() * 4 == len(batch["pixel_values"])
    assert set(batch["weights"].unique().tolist()) == {1.0}


def test_decisions_are_weighted_by_the_effective_number_of_their_class(qwen, dialogues):
    speller = Speller(qwen)
    examples = [example for turns, frames in dialogues for example in teach(speller, turns, frames, Decoding())]
    roles = np.concatenate([example.roles for example in examples])
    silent, spoken = (int((roles == role).sum()) for role in (Role.SILENCE, Role.SPEECH))
    even = class_balanced(examples, 0.0)
    assert even == {Role.SILENCE: 1.0, Role.SPEECH: 1.0}  # beta 0: every class counts alike, whatever its size
    weights = class_balanced(examples, 1 - 1e-9)
    assert weights[Role.SPEECH] / weights[Role.SILENCE] == pytest.approx(silent / spoken, rel=1e-3)
    assert sum(weights.values()) == pytest.approx(2)
    batch = Collator(qwen, weights)(examples)
    for example, row in zip(examples, batch["weights"], strict=True):
        expected = [weights.get(Role(role), 1.0) for role in example.roles]
        assert row[: len(expected)].tolist() == pytest.approx(expected)


@pytest.mark.parametrize("name", ["no_reply", "open_turn"])
def test_max_frames_begins_a_new_example_with_what_was_said(qwen, dialogues, name):
    for turns, frames in dialogues:
        examples = teach(Speller(qwen), turns, frames, Decoding(format=name), max_frames=6)
        assert [len(example.pictures.load()) for example in examples[:-1]] == [6] * (len(examples) - 1)
        whole = [run for example in examples for run in trained(qwen, example)]
        assert whole == trained(qwen, *teach(Speller(qwen), turns, frames, Decoding(format=name)))
        last = qwen.tokenizer.decode(examples[-1].ids)
        assert last.startswith(f"<|im_start|>system\n{SYSTEM_PROMPT}")
        assert turns[0].user_text in last


def test_max_tokens_lets_old_frames_leave_as_the_agent_does(qwen, dialogues):
    for turns, frames in dialogues:
        decoding = Decoding(max_context=320, max_new_tokens=16)
        examples = teach(Speller(qwen), turns, frames, decoding)
        assert len(examples) > 1
        assert max(len(example.ids) for example in examples) <= 320
        whole = [run for example in examples for run in trained(qwen, example)]
        assert whole == [f"{turn.reply or NO_REPLY}<|im_end|>" for turn in turns]


def test_a_tape_takes_only_what_was_said():
    tape = Tape()
    tape.read([1, 2])
    tape.say([3, 4])
    with pytest.raises(ValueError, match="expected tokens that begin with those said"):
        tape.read([3, 5])


def test_a_placeholder_in_a_text_is_no_picture(qwen):
    with pytest.raises(InputError, match="expected 0 pictures in a text, found 1 placeholders"):
        Speller(qwen).spell("What is an <|image_pad|>?", [])
