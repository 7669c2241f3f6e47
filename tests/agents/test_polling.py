"""The polling baseline over a chat server whose answers are scripted, over an agent from a file, and over vLLM."""

import asyncio
import base64
import io

import numpy as np
import pytest
from chat_server import chat_server
from PIL import Image
from vllm_server import MODEL

from proactive_env import agents, testing
from proactive_env.agents.polling import ANSWER, WHETHER
from proactive_env.environment import PastTurn
from proactive_env.errors import InputError
from proactive_env.turn import NO_REPLY


@pytest.fixture
def server():
    with chat_server(lambda asked: "No.") as running:
        yield running


def load(server, **options):
    return agents.load("polling:openai:m", url=server.url, **options)


def turns(count, texts=None, seconds=1, start=0):
    """Turns of one-second frames; frame k is of grey level k; `texts` maps a turn's number to what the user says."""
    for number in range(count):
        first = start + number * seconds
        frames = [np.full((28, 28, 3), level, np.uint8) for level in range(first, first + seconds)]
        text = (texts or {}).get(number, "")
        yield {"frames": np.stack(frames), "text": text, "time": np.array(float(first + seconds))}


def converse(agent, observations, history=()):
    async def talk():
        conversation = agent.open(history)
        return [await conversation.respond(observation) for observation in observations]

    return asyncio.run(talk())


def asked(server):
    """What the server was asked: the grey levels shown and the text, question by question."""
    return [shown_and_said(*body["messages"]) for body in server.bodies]


def shown_and_said(message):
    *images, text = message["content"]
    urls = (image["image_url"]["url"] for image in images)
    pictures = (Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) for url in urls)
    return [np.array(picture)[0, 0, 0] for picture in pictures], text["text"]


def whether(question):
    return WHETHER.format(question=question)


def final(question):
    return ANSWER.format(question=question)


def test_each_chunk_is_asked_about_and_an_answer_is_asked_for(server):
    server.faults = ["No.", "Yes, it does.", "A cat.", "yes", "No reply."]
    replies = converse(load(server), turns(7, {0: "What?"}))
    assert asked(server) == [
        ([0, 1], whether("What?")),
        ([2, 3], whether("What?")),
        ([2, 3], final("What?")),
        ([4, 5], whether("What?")),
        ([4, 5], final("What?")),
    ]
    assert [reply.text for reply in replies] == [*[NO_REPLY] * 3, "A cat.", *[NO_REPLY] * 3]


def test_later_texts_stand_above_the_question_with_their_own_chunk(server):
    converse(load(server), turns(6, {0: "What?", 1: "One.", 2: "Two.", 3: "Three."}))
    assert [text for _, text in asked(server)] == [
        whether("One.\nWhat?"),
        whether("Two.\nThree.\nWhat?"),
        whether("What?"),
    ]


def test_before_a_question_nothing_is_asked(server):
    converse(load(server), turns(6, {3: "What?"}))
    assert asked(server) == [([2, 3], whether("What?")), ([4, 5], whether("What?"))]


@pytest.mark.parametrize(
    ("chunk", "seconds", "ends"), [(5, 2, [6, 10, 16, 20]), (1, 2, list(range(2, 21, 2))), (0.1, 1, range(1, 21))]
)
def test_a_chunk_ends_with_the_turn_that_reaches_its_end(server, chunk, seconds, ends):
    converse(load(server, chunk=chunk), turns(20 // seconds, {0: "What?"}, seconds))
    assert [levels[-1] + 1 for levels, _ in asked(server)] == list(ends)
    assert [level for levels, _ in asked(server) for level in levels] == list(range(20))


def test_in_a_window_chunks_count_from_its_start(server):
    history = [PastTurn(observation, NO_REPLY) for observation in turns(3, {1: "What?"})]
    converse(load(server), turns(4, start=3), history)
    assert asked(server) == [([3, 4], whether("What?")), ([5, 6], whether("What?"))]


def test_the_stats_add_up_both_questions(server):
    server.faults = ["no", "yes", "A cat."]
    first, silent, second, both = converse(load(server, price=[1, 2]), turns(4, {0: "What?"}))
    assert first.stats == second.stats == {}
    for reply, questions in ((silent, 1), (both, 2)):
        assert reply.stats.pop("seconds") > 0
        assert reply.stats == {
            "prompt_tokens": 100 * questions,
            "drawn_tokens": 2 * questions,
            "cost": pytest.approx(104e-6 * questions),
        }


MINE = """
from proactive_env.agents.base import ChatAgent
from proactive_env.turn import Reply

class Mine(ChatAgent):
    def __init__(self, word):
        self.word, self.closed = word, False
    def open(self, history=(), episode=None):
        raise AssertionError("it is only asked")
    async def ask(self, frames, text):
        return Reply(f"Yes, {self.word}.", {"p_speak": 1.0})
    def close(self):
        self.closed = True
"""


def test_any_agent_that_can_be_asked_and_it_is_closed_too(tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    with agents.load(f"polling:{tmp_path / 'mine.py'}:Mine?word=well&chunk=1") as agent:
        assert [(reply.text, reply.stats) for reply in converse(agent, turns(1, {0: "What?"}))] == [("Yes, well.", {})]
        assert not agent.agent.closed
    assert agent.agent.closed


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("polling", "missing a required argument: 'agent'"),
        ("polling:oracle", "such as openai:MODEL.*'oracle' takes no questions"),
        ("polling:polling:openai:m", "'polling:openai:m' takes no questions"),
        ("polling:opnai:gpt-4", "no agent 'opnai'; did you mean 'openai'"),
        ("polling:openai:m?chunk=0", "more than 0 seconds, found 0"),
        ("polling:openai:m?chunk=5&speed=1", "'openai:m': there is no option 'speed'"),
    ],
)
def test_bad_specs(spec, message):
    with pytest.raises(InputError, match=message):
        agents.load(spec)


def test_contract(server):
    testing.check_agent(load(server))


def test_contract_over_vllm(vllm_url):
    testing.check_agent(load_remote(vllm_url, chunk=4))


def test_vllm_is_asked_about_every_chunk(vllm_url):
    agent = load_remote(vllm_url)
    replies = converse(agent, turns(4, {0: "What?"}))
    assert [bool(reply.stats) for reply in replies] == [False, True, False, True]
    assert agent.agent.usage.calls >= 2


def load_remote(url, **options):
    return agents.load(f"polling:openai:{MODEL}", url=url, max_new_tokens=8, **options)
