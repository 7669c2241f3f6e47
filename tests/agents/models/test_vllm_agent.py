"""A real vLLM engine: its child process, its caches, and its probabilities beside those of transformers."""

import asyncio
import os
import signal
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from models import Forcing, play_real
from test_transformers_agent import Model, converse, forced, gaps

from proactive_env import agents, testing
from proactive_env.agents.models.agent import ModelAgent
from proactive_env.agents.models.dialogue import FORMATS
from proactive_env.agents.models.engine import Decoding, Draw, Segment
from proactive_env.errors import EngineError, InputError
from proactive_env.serving import background
from proactive_env.turn import NO_REPLY

pytestmark = pytest.mark.xdist_group("engines")
TOLERANCE = 1e-3
"""Of log-probabilities, both engines in float32; measured: below 1e-4."""
WATCHED = 120
"""vLLM gives the log-probabilities of this many tokens."""


@pytest.fixture(scope="module")
def agent(tiny_checkpoint):
    with agents.load(
        f"vllm:{tiny_checkpoint}?dtype=float32&max_model_len=16384&max_frames=80&max_new_tokens=8"
    ) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def qwen(tiny_checkpoint):
    return Model(tiny_checkpoint)


def processes_below(pid):
    """All living descendants of a process."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            _, _, fields = stat.read_text().rpartition(") ")
        except FileNotFoundError:
            continue
        parents[int(stat.parent.name)] = int(fields.split()[1])
    below, found = [pid], set()
    while below:
        below = [child for child, parent in parents.items() if parent in below]
        found.update(below)
    return found


@pytest.mark.parametrize("name", FORMATS)
def test_sixty_turns_equal_transformers_reencoding_everything(name, agent, qwen, sixty_turns):
    decoding = Decoding(format=name)
    engine = Forcing(agent.engine, forced(qwen.template, seed=0), watched=WATCHED)
    replies = asyncio.run(converse(qwen, engine, decoding, sixty_turns))
    assert len(replies) >= 60
    assert gaps(qwen, engine.conversations[0]).max() < TOLERANCE


def test_greedy_replies_are_those_of_the_transformers_agent(agent, qwen, sixty_turns):
    """A differing token would be allowed only where the top two lie within 1e-3; there is none."""
    decoding = Decoding(max_new_tokens=8)
    engine = qwen.engine()
    there = asyncio.run(converse(qwen, engine, decoding, sixty_turns[:20]))
    here = asyncio.run(converse(qwen, agent.engine, decoding, sixty_turns[:20]))
    engine.close()
    assert [reply.text for reply in here] == [reply.text for reply in there]
    for one, other in zip(here, there, strict=True):
        assert one.stats["p_speak"] == pytest.approx(other.stats["p_speak"], abs=TOLERANCE)
        assert one.stats["drawn_tokens"] == other.stats["drawn_tokens"]
        assert one.stats["context_tokens"] == other.stats["context_tokens"]


def test_contract(agent):
    testing.check_agent(agent)
    testing.check_agent(ModelAgent(agent.engine, Decoding(format="open_turn", max_new_tokens=4)))


def test_frames_are_received_once_and_again_when_the_core_has_lost_them(agent, qwen, sixty_turns):
    """Only the core loses them: this process believes that it still holds them, and learns otherwise."""
    received = []
    cache = agent.engine.llm.renderer.mm_processor_cache
    keep = cache.get_and_update_item
    cache.get_and_update_item = lambda item, key: (received.append(item is not None), keep(item, key))[1]
    decoding = Decoding(format="open_turn", threshold=1.0)
    dialogue = FORMATS["open_turn"](agent.engine, qwen.template, decoding)
    shown = [dimmed(observation) for observation in sixty_turns[:6]]
    different = [len({observation["frames"].tobytes() for observation in shown[:count]}) for count in (5, 6)]

    async def play():
        for observation in shown[:5]:
            await dialogue.respond(observation)
        assert sum(received) == different[0]
        await agent.engine.llm.reset_prefix_cache()
        await agent.engine.llm.engine_core.call_utility_async("reset_mm_cache")
        return await dialogue.respond(shown[5])

    late = background.submit(play()).result()
    cache.get_and_update_item = keep
    assert sum(received) >= different[0] + different[1]
    straight = asyncio.run(converse(qwen, agent.engine, decoding, shown))
    assert late.stats["p_speak"] == pytest.approx(straight[-1].stats["p_speak"], abs=TOLERANCE)


def dimmed(observation):
    """The same frames, darker and turned: no other test has shown them."""
    return observation | {"frames": np.ascontiguousarray(observation["frames"][:, ::-1] // 2 + 7)}


def test_what_was_read_before_is_not_computed_again(agent, qwen, sixty_turns):
    """vLLM itself says how many tokens of a request it found in its cache."""
    cached = []
    generate = agent.engine.llm.generate

    async def watch(*arguments):
        async for output in generate(*arguments):
            cached.append((output.num_cached_tokens, len(output.prompt_token_ids)))
            yield output

    agent.engine.llm.generate = watch
    shown = [observation | {"frames": 255 - observation["frames"]} for observation in sixty_turns[:12]]
    asyncio.run(converse(qwen, agent.engine, Decoding(format="open_turn", threshold=1.0), shown))
    agent.engine.llm.generate = generate
    for (_, before), (found, _) in pairwise(cached):
        assert found > before - 64, "a block of 32 tokens may be read again, and no more than that and its neighbour"


def test_the_same_seed_draws_the_same(agent, qwen, sixty_turns):
    def said(seed):
        decoding = Decoding(temperature=1.0, max_new_tokens=8, seed=seed)
        return [reply.text for reply in asyncio.run(converse(qwen, agent.engine, decoding, sixty_turns[:4]))]

    assert said(1) == said(1) != said(2)


def test_forbidden_tokens_are_not_drawn_and_only_allowed_ones_are(agent, qwen):
    head = Segment(text=qwen.template.head(None) + "Hello" + qwen.template.to_assistant)

    async def first(**options):
        return (await agent.engine.open(0).sample(head, Draw(1, **options))).tokens[0]

    free = asyncio.run(first())
    assert asyncio.run(first(banned=(free,))) != free
    assert asyncio.run(first(allowed=(7, 9))) in (7, 9)
    end = min(qwen.template.ends)
    assert asyncio.run(first(ends=frozenset({end}), allowed=(end,))) == end


def test_real_videos(agent, real_data):
    play_real(agent, real_data)


class TestLimits:
    """Told before the engine sees them, while the conversation's earlier turns stand."""

    def test_too_many_frames(self, agent, qwen, sixty_turns):
        many = [observation | {"frames": observation["frames"][:, :28, :28]} for observation in sixty_turns * 2]
        with pytest.raises(InputError, match=r"has 81 frames, but the engine takes 80: .*max_frames"):
            asyncio.run(converse(qwen, agent.engine, Decoding(threshold=1.0), many))

    def test_too_long_a_context(self, agent, qwen, sixty_turns):
        decoding = Decoding(max_new_tokens=16384)
        with pytest.raises(InputError, match=r"takes 16384: let old frames leave \(max_context\)"):
            asyncio.run(converse(qwen, agent.engine, decoding, sixty_turns))

    def test_with_max_context_it_plays_on(self, agent, qwen, sixty_turns):
        decoding = Decoding(threshold=1.0, max_context=2000)
        replies = asyncio.run(converse(qwen, agent.engine, decoding, sixty_turns))
        assert {reply.text for reply in replies} == {NO_REPLY}
        assert max(reply.stats["context_tokens"] for reply in replies) <= 2000


def test_an_engine_that_does_not_start_says_so(tiny_checkpoint):
    before = processes_below(os.getpid())
    with pytest.raises(InputError, match="vLLM does not start with"):
        agents.load(f"vllm:{tiny_checkpoint}?dtype=float31")
    assert processes_below(os.getpid()) <= before


def test_its_processes_end_with_it_and_a_killed_one_fails_the_conversation(tiny_checkpoint, qwen, sixty_turns):
    before = processes_below(os.getpid())
    agent = agents.load(f"vllm:{tiny_checkpoint}?max_model_len=4096&max_new_tokens=4")
    children = processes_below(os.getpid()) - before
    assert children
    conversation = agent.open()
    asyncio.run(conversation.respond(sixty_turns[0]))
    for child in children:
        os.kill(child, signal.SIGKILL)
    with pytest.raises(EngineError, match="vLLM's process has ended"):
        asyncio.run(conversation.respond(sixty_turns[1]))
    agent.close()
    deadline = time.monotonic() + 20
    while processes_below(os.getpid()) - before and time.monotonic() < deadline:
        time.sleep(0.1)
    assert processes_below(os.getpid()) <= before
