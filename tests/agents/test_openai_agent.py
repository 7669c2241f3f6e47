"""The OpenAI-compatible agent over real HTTP: a scripted server that misbehaves on request, and vLLM's own."""

import asyncio
import base64
import hashlib
import io
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from chat_server import chat_server
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from vllm_server import MODEL

from proactive_env import agents, testing
from proactive_env.agents.models.dialogue import SYSTEM_PROMPT
from proactive_env.agents.openai import read_reply
from proactive_env.environment import PastTurn
from proactive_env.errors import ChatUnavailable, InputError
from proactive_env.serving.chat import Usage
from proactive_env.turn import NO_REPLY


@pytest.fixture
def server():
    with chat_server(answer) as running:
        yield running


@pytest.fixture(scope="module")
def quiet_server():
    with chat_server(lambda asked: NO_REPLY) as running:
        yield running


def answer(asked):
    """Another reply to every dialogue, and often none."""
    digest = hashlib.sha256(asked["dialogue"].encode()).hexdigest()
    return NO_REPLY if digest[0] < "8" else f"I see {digest}."


def load(server, **options):
    return agents.load("openai:m", url=server.url, **({"timeout": 2, "retries": 1} | options))


def turn(*levels, text="", time=1.0):
    """An observation of plain grey frames, which JPEG keeps as they are."""
    frames = np.stack([np.full((28, 56, 3), level, np.uint8) for level in levels])
    return {"frames": frames, "text": text, "time": np.array(time)}


def converse(agent, *observations, history=()):
    async def talk():
        conversation = agent.open(history)
        return [await conversation.respond(observation) for observation in observations]

    return asyncio.run(talk())


def frame(url):
    head, _, data = url.partition(",")
    assert head == "data:image/jpeg;base64"
    return np.array(Image.open(io.BytesIO(base64.b64decode(data, validate=True))))


def read(message):
    """A message as (role, what it shows and says): a frame is its grey level."""
    content = message["content"]
    if isinstance(content, str):
        return message["role"], content
    parts = []
    for part in content:
        if part["type"] == "image_url":
            picture = frame(part["image_url"]["url"])
            assert picture.shape == (28, 56, 3)
            assert picture.min() == picture.max()
            parts.append(int(picture[0, 0, 0]))
        else:
            parts.append(part["text"])
    return message["role"], *parts


def sent(server):
    system, *messages = [read(message) for message in server.bodies[-1]["messages"]]
    assert system == ("system", SYSTEM_PROMPT)
    return messages


TURNS = (turn(10, 20, text="What?"), turn(30, 40), turn(50, 60), turn(70, 80, text="Sub"), turn(90, 100))
REPLIES = [NO_REPLY, "A cat.", NO_REPLY, "A dog.", NO_REPLY]


class TestMessages:
    def test_a_turn_is_its_frames_then_its_text_and_silence_is_said(self, server):
        server.faults = ["No reply.", "A cat.", "", " A dog. ", NO_REPLY]
        replies = converse(load(server, temperature=0.5, max_new_tokens=7), *TURNS)
        assert [reply.text for reply in replies] == REPLIES
        assert sent(server) == [
            ("user", 10, 20, "What?"),
            ("assistant", "NO REPLY"),
            ("user", 30, 40),
            ("assistant", "A cat."),
            ("user", 50, 60),
            ("assistant", "NO REPLY"),
            ("user", 70, 80, "Sub"),
            ("assistant", "A dog."),
            ("user", 90, 100),
        ]
        last = server.bodies[-1]
        assert {name: last[name] for name in last if name != "messages"} == {
            "model": "m",
            "temperature": 0.5,
            "max_tokens": 7,
        }

    def test_turns_before_a_window_are_turns(self, server):
        server.faults = list(REPLIES)
        agent = load(server)
        converse(agent, *TURNS)
        played = server.bodies[-1]
        history = [PastTurn(observation, reply) for observation, reply in zip(TURNS, REPLIES, strict=True)][:-1]
        converse(agent, TURNS[-1], history=history)
        assert server.bodies[-1] == played

    @pytest.mark.parametrize(
        ("last_frames", "expected"),
        [
            (1, [("user", "What?"), ("assistant", "A cat."), ("user", "Sub"), ("assistant", "A dog."), ("user", 100)]),
            (
                4,
                [
                    ("user", "What?"),
                    ("assistant", "A cat."),
                    ("user", 70, 80, "Sub"),
                    ("assistant", "A dog."),
                    ("user", 90, 100),
                ],
            ),
            (
                5,
                [
                    ("user", "What?"),
                    ("assistant", "A cat."),
                    ("user", 60),
                    ("assistant", "NO REPLY"),
                    ("user", 70, 80, "Sub"),
                    ("assistant", "A dog."),
                    ("user", 90, 100),
                ],
            ),
        ],
    )
    def test_of_turns_whose_frames_have_left_texts_and_replies_stay(self, server, last_frames, expected):
        server.faults = list(REPLIES)
        converse(load(server, last_frames=last_frames), *TURNS)
        assert sent(server) == expected

    def test_replies_that_nothing_separates_are_one_message(self, server):
        server.faults = ["One.", "Two.", "Three."]
        converse(load(server, last_frames=1), turn(1), turn(2), turn(3), turn(4))
        assert sent(server) == [("user", ""), ("assistant", "One.\nTwo.\nThree."), ("user", 4)]

    def test_colours_survive(self, server, tinyworld):
        from proactive_env.environment import ProactiveVideoEnv

        observation, _ = ProactiveVideoEnv(tinyworld).reset(seed=0)
        converse(load(server), observation)
        parts = server.bodies[-1]["messages"][-1]["content"]
        shown = [frame(part["image_url"]["url"]) for part in parts if part["type"] == "image_url"]
        assert np.abs(np.stack(shown).astype(int) - observation["frames"]).mean() < 2

    def test_a_plain_question_has_no_system_message(self, server):
        server.faults = ["Two."]
        reply = asyncio.run(load(server).ask(turn(10, 20)["frames"], "How many?"))
        assert reply.text == "Two."
        assert [read(message) for message in server.bodies[-1]["messages"]] == [("user", 10, 20, "How many?")]


@settings(max_examples=40, deadline=None)
@given(
    turns=st.lists(st.tuples(st.integers(1, 3), st.booleans(), st.booleans()), min_size=1, max_size=8),
    last_frames=st.none() | st.integers(1, 12),
)
def test_every_history_alternates_and_loses_nothing_but_old_frames(quiet_server, turns, last_frames):
    history, level = [], 0
    for frames, asks, answers in turns:
        observation = turn(*range(level, level + frames), text=f"Question {level}?" if asks else "")
        history.append(PastTurn(observation, f"Answer {level}." if answers else NO_REPLY))
        level += frames
    *past, new = history
    converse(load(quiet_server, last_frames=last_frames), new.observation, history=past)
    messages = sent(quiet_server)
    roles = [role for role, *_ in messages]
    assert roles == [("user", "assistant")[number % 2] for number in range(len(roles))]
    assert roles[-1] == "user"
    shown = [part for role, *parts in messages if role == "user" for part in parts if isinstance(part, int)]
    assert shown == list(range(level))[-(last_frames or level) :]
    texts = [part for role, *parts in messages if role == "user" for part in parts if isinstance(part, str) and part]
    assert texts == [seen["text"] for seen, _ in history if seen["text"]]
    said = [line for role, text, *_ in messages if role == "assistant" for line in text.split("\n")]
    assert [line for line in said if line != NO_REPLY] == [reply for _, reply in past if reply != NO_REPLY]
    silent = [seen["frames"][-1, 0, 0, 0] for seen, reply in past if reply == NO_REPLY]
    assert said.count(NO_REPLY) == len([level for level in silent if level in shown])


@pytest.mark.parametrize(
    "spelled",
    ["NO REPLY", " no reply.\n", '"NO REPLY"', "**No Reply**", "`NO_REPLY`", "“NO REPLY.”", "No-reply", "", " \n"],
)
def test_silence_is_spelled_loosely(spelled):
    assert read_reply(spelled) is None


@pytest.mark.parametrize(
    ("said", "reply"),
    [
        ("There is no reply.", "There is no reply."),
        ("No reply needed: a cat.", "No reply needed: a cat."),
        ("No.", "No."),
        ("...", "..."),
        ("<think>NO REPLY?</think> A cat.", "A cat."),
        ("<think>A cat, or", None),
    ],
)
def test_replies_are_told_from_silence(said, reply):
    assert read_reply(said) == reply


class TestFaults:
    @pytest.mark.parametrize("fault", ["hang", "drop", 500, 429, "broken json"])
    def test_a_turn_without_an_answer_can_be_asked_again(self, server, fault):
        """A fault is retried where that helps; else the dialogue stands as it was, and the turn can be given again."""

        async def talk():
            conversation = load(server).open()
            await conversation.respond(TURNS[0])
            server.faults = [fault, fault]
            with pytest.raises(ChatUnavailable, match="m at http"):
                await conversation.respond(TURNS[1])
            server.faults = []
            await conversation.respond(TURNS[1])

        asyncio.run(talk())
        assert [role for role, *_ in sent(server)] == ["user", "assistant", "user"]

    @pytest.mark.parametrize("fault", ["drop", 500, 429])
    def test_a_passing_fault_is_not_seen(self, server, fault):
        server.faults = [fault, "A cat."]
        assert [reply.text for reply in converse(load(server), TURNS[0])] == ["A cat."]

    def test_a_refused_dialogue_says_what_may_be_wrong(self, server):
        server.faults = [400]
        with pytest.raises(InputError, match=r"rejects these messages: .* no; .*no images.*context: last_frames=N"):
            converse(load(server), TURNS[0])
        assert len(server.bodies) == 1

    def test_a_refused_key_is_named_and_not_shown(self, server, monkeypatch):
        monkeypatch.setenv("MY_KEY", "sk-secret")
        server.faults = [401]
        agent = load(server, api_key_env="MY_KEY")
        with pytest.raises(InputError, match=r"the key in \$MY_KEY") as caught:
            converse(agent, TURNS[0])
        assert server.keys == {"Bearer sk-secret"}
        assert "secret" not in str(caught.value) + str(vars(agent))

    @pytest.mark.parametrize(("fault", "text"), [("null content", NO_REPLY), ("cut A red", "A red")])
    def test_an_answer_is_what_it_is(self, server, fault, text):
        server.faults = [fault]
        assert [reply.text for reply in converse(load(server), TURNS[0])] == [text]


class TestUsage:
    def test_each_reply_and_all_together(self, server):
        agent = load(server, price=[1, 2])
        replies = converse(agent, *TURNS[:2])
        for reply in replies:
            seconds = reply.stats["seconds"]
            tokens = {"prompt_tokens": 100.0, "drawn_tokens": 2.0, "context_tokens": 102.0}
            assert reply.stats == {**tokens, "cost": pytest.approx(104e-6), "seconds": seconds}
        assert agent.usage == Usage(2, 0, 200, 4, pytest.approx(208e-6))

    def test_a_server_that_does_not_count(self, server):
        server.faults = ["odd usage"]
        (reply,) = converse(load(server, price=[1, 2]), TURNS[0])
        assert reply.stats.keys() == {"seconds"}

    def test_no_more_calls_at_once_than_allowed(self, server):
        server.delay = 0.05
        agent = load(server, concurrency=2, timeout=5.0)

        async def together():
            await asyncio.gather(*(agent.open().respond(TURNS[0]) for _ in range(8)))

        asyncio.run(together())
        assert server.most == 2


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("openai", "missing a required argument: 'model'"),
        ("openai:m?last_frames=0", "last_frames >= 1, found 0"),
        ("openai:m?temperature=hot", "temperature >= 0, found 'hot'"),
        ("openai:m?max_new_tokens=0", "max_new_tokens >= 1, found 0"),
        ("openai:m?url=ftp://x", "expected a URL such as"),
        ("openai:m?url=http://me:pw@x/v1", "must not hold a key"),
        ("openai:m?price=3", r"price=\[prompt, completion\]"),
        ("openai:m?format=open_turn", "there is no option 'format'"),
    ],
)
def test_bad_specs(spec, message):
    with pytest.raises(InputError, match=message):
        agents.load(spec)


def test_contract(server):
    testing.check_agent(load(server, timeout=10.0))


def test_a_run_keeps_its_transcripts_when_the_server_dies_and_goes_on(server, tmp_path):
    command = [Path(sys.executable).with_name("proactive"), "rollout", "--size", "6", "--concurrency", "2"]
    spec = f"openai:m?url={server.url}&retries=0&api_key_env=MY_KEY"

    def rollout(out):
        environment = os.environ | {"MY_KEY": "sk-secret", "COLUMNS": "200"}
        arguments = ["--agent", spec, "--out", str(tmp_path / out)]
        return subprocess.run(command + arguments, env=environment, capture_output=True, text=True, check=False)

    assert rollout("whole").returncode == 0
    calls, transcripts = len(server.bodies), tmp_path / "died" / "transcripts.jsonl"
    server.faults = [None] * (calls // 2) + ["drop"] * calls
    died = rollout("died")
    assert died.returncode == 1
    assert "Error: m at http" in died.stderr
    assert "while playing question_id" in died.stderr
    assert "Traceback" not in died.stderr
    kept = transcripts.read_bytes()
    assert 0 < kept.count(b"\n") < 6
    server.faults = []
    assert rollout("died").returncode == 0
    assert transcripts.read_bytes().startswith(kept)
    whole, resumed = ((tmp_path / name / "predictions.jsonl").read_bytes() for name in ("whole", "died"))
    assert whole == resumed
    written = [file.read_text() for file in tmp_path.rglob("*") if file.is_file()]
    assert not [text for text in written if "secret" in text]
    assert server.keys == {"Bearer sk-secret"}


class TestVllmServer:
    """Real requests to a real model."""

    def test_contract(self, vllm_url):
        testing.check_agent(agents.load(f"openai:{MODEL}", url=vllm_url, max_new_tokens=8))

    def test_it_reads_dialogues_as_the_librarys_own_engines_do(self, vllm_url, talkative_checkpoint):
        """The same replies, but for bytes at the end that are no character yet, which vLLM leaves out."""
        history = [PastTurn(observation, reply) for observation, reply in zip(TURNS, REPLIES, strict=True)]

        def replies(agent):
            news = [turn(level, text="What?") for level in (0, 40, 90, 140, 190, 250)]
            said = [converse(agent, new, history=history[:past]) for past, new in enumerate(news)]
            return [reply.text.rstrip("\ufffd") for (reply,) in said]

        there = replies(agents.load(f"openai:{MODEL}", url=vllm_url, max_new_tokens=6))
        with agents.load(f"transformers:{talkative_checkpoint}", max_new_tokens=6) as local:
            assert replies(local) == there
        assert len(set(there)) > 3

    def test_tokens_are_counted_and_read_again_from_its_cache(self, vllm_url):
        agent = agents.load(f"openai:{MODEL}", url=vllm_url, max_new_tokens=8, price=[1, 2])
        stats = [reply.stats for reply in converse(agent, *TURNS)]
        for before, after in pairwise(stats):
            assert after["prompt_tokens"] > before["prompt_tokens"]
            assert after["cached_tokens"] > before["prompt_tokens"] - 32
        assert agent.usage.prompt_tokens == sum(stat["prompt_tokens"] for stat in stats)
        assert agent.usage.cost == pytest.approx(sum(stat["cost"] for stat in stats))

    def test_too_many_frames_are_refused_with_a_way_out(self, vllm_url):
        many = [turn(*range(1, 35)), turn(*range(35, 70))]
        with pytest.raises(InputError, match=r"At most 64 image.*last_frames=N"):
            converse(agents.load(f"openai:{MODEL}", url=vllm_url, max_new_tokens=4), *many)
        assert converse(agents.load(f"openai:{MODEL}", url=vllm_url, max_new_tokens=4, last_frames=60), *many)

    def test_an_unknown_model_is_named(self, vllm_url):
        with pytest.raises(InputError, match="check the model 'other'"):
            converse(agents.load("openai:other", url=vllm_url), TURNS[0])


def test_no_answer_is_a_failed_turn_and_no_silence(server):
    def odd(content, finish="stop", **message):
        return {"choices": [{"index": 0, "finish_reason": finish, "message": {"content": content} | message}]}

    server.faults = [
        odd(None, "length", reasoning="The video shows"),
        odd(None, refusal="I cannot."),
        odd([{"type": "text", "text": "A cat."}]),
        odd("NO REPLY"),
    ]
    replies = converse(load(server), turn(0, text="What?"), *[turn(level) for level in (1, 2, 3)])
    assert [(reply.text, reply.failure) for reply in replies] == [
        (NO_REPLY, "cut off while thinking"),
        (NO_REPLY, "refused: I cannot."),
        ("A cat.", ""),
        (NO_REPLY, ""),
    ]
