import asyncio
import threading

import gymnasium as gym
import numpy as np
import pytest
from builders import episode, gold, write_video

from proactive_env import agents
from proactive_env.agents.base import Agent, Conversation
from proactive_env.agents.rollout import rollout
from proactive_env.agents.transcript_log import TranscriptLog
from proactive_env.environment import ProactiveVideoEnv
from proactive_env.errors import InputError, VideoError
from proactive_env.turn import Reply


@pytest.fixture
def env(tmp_path):
    """Two-second turns up to 10 s; spans that hold turns 2 and 4; 4 and 6; none; 10."""
    golds = (gold(1, 4, "one"), gold(3.5, 7, "two"), gold(6.5, 7.5, "three"), gold(8.5, 10, "four"))
    return ProactiveVideoEnv([episode(*golds, duration=10, video=write_video(tmp_path / "v.mp4"))])


def replies(env, spec, **options):
    agent = agents.load(spec)
    observation, info = env.reset(options=options)
    agent.reset(info)
    done = False
    while not done:
        observation, _, done, _, _ = env.step(agent.act(observation))
    return {turn.end: turn.reply for turn in env.transcript.replies}


class TestScripted:
    def test_silent(self, env):
        assert replies(env, "silent") == {}

    def test_oracle_speaks_at_the_first_turn_inside_each_span(self, env):
        assert replies(env, "oracle") == {2: "one", 4: "two", 10: "four"}

    def test_late_speaks_at_the_last_turn_inside_each_span(self, env):
        assert replies(env, "late") == {4: "one", 6: "two", 10: "four"}

    def test_two_replies_of_one_turn_are_joined(self, tmp_path):
        made = episode(gold(1, 3, "one"), gold(1, 2, "two"), duration=10, video=write_video(tmp_path / "v.mp4"))
        assert replies(ProactiveVideoEnv([made]), "oracle") == {2: "one two"}

    def test_chatter_repeats_the_latest_gold_reply(self, env):
        assert replies(env, "chatter") == {2: "one", 4: "two", 6: "two", 8: "three", 10: "four"}

    def test_random_depends_on_its_seed_and_the_episode_only(self, env):
        assert replies(env, "random?p=0.5&seed=1") == replies(env, "random?p=0.5&seed=1")
        assert replies(env, "random?p=0") == {}
        assert len(replies(env, "random?p=1")) == 5
        assert len({str(replies(env, f"random?p=0.5&seed={seed}")) for seed in range(8)}) > 3

    def test_in_a_window_only_its_own_spans_are_answered(self, env):
        assert replies(env, "late", start=4, end=8) == {}  # "two" began before, "three" holds no turn
        assert replies(env, "oracle", start=2, end=10) == {4: "two", 10: "four"}

    def test_they_need_the_episode(self):
        with pytest.raises(InputError, match="reads the annotation"):
            agents.load("oracle").open()


class TestSpec:
    @pytest.mark.parametrize(
        ("spec", "message"),
        [
            ("orcale", "no agent 'orcale'; did you mean 'oracle'"),
            ("random?q=1", "unexpected keyword argument 'q'; expected .p: float"),
            ("no_such_kind:Qwen/Qwen2.5-VL-3B-Instruct", "no agent 'no_such_kind'"),
            ("silent:gpt", "too many positional arguments"),
            ("random?p=2", r"probability p in 0\.\.1"),
            ("nofile.py:Agent", "no such file"),
            ("no_such_module:Agent", "no module 'no_such_module'"),
            ("random?p=[", "probability p"),
            ("random?seed=-1", "seed >= 0"),
            ("collections:OrderedDict", "expected a subclass of Agent"),
        ],
    )
    def test_bad_specs_say_what_is_known(self, spec, message):
        with pytest.raises(InputError, match=message):
            agents.load(spec)

    def test_an_agent_from_a_file(self, env, tmp_path):
        file = tmp_path / "mine.py"
        file.write_text(
            "from proactive_env.agents.scripted import ScriptedAgent\n"
            "class Greeter(ScriptedAgent):\n"
            "    def __init__(self, text): self.text = text\n"
            "    def script(self, plan): return [(plan.turns[0].end, self.text)]\n"
        )
        assert replies(env, f"{file}:Greeter?text=Hi%20there") == {2: "Hi there"}

    def test_acting_before_reset_is_told(self, env):
        observation, _ = env.reset()
        with pytest.raises(RuntimeError, match=r"call agent\.reset\(info\)"):
            agents.load("silent").act(observation)

    def test_act_works_where_an_event_loop_runs(self, env):
        async def notebook():
            return replies(env, "oracle")

        assert asyncio.run(notebook()) == {2: "one", 4: "two", 10: "four"}


class Counting(Agent):
    """Says how many conversations are open at once, slowly."""

    def __init__(self):
        self.open_now = self.most = 0

    def open(self, history=(), episode=None):
        self.open_now += 1
        self.most = max(self.most, self.open_now)
        return Slow(self, len(episode.turns))


class Slow(Conversation):
    def __init__(self, agent, turns):
        self.agent, self.left = agent, turns

    async def respond(self, observation):
        await asyncio.sleep(0.01)
        self.left -= 1
        if self.left == 0:
            self.agent.open_now -= 1
        return Reply("hello", {"tokens": 3.0})


class Odd(Agent):
    """Numbers and texts as models make them."""

    def open(self, history=(), episode=None):
        return OddConversation()


class OddConversation(Conversation):
    async def respond(self, observation):
        return Reply("broken \ud800 surrogate", {"p": float("nan"), "logprob": np.float32(0.5)})


class Broken(Agent):
    def open(self, history=(), episode=None):
        raise KeyError("weights")


class TestRollout:
    def test_episodes_are_played_at_once_and_keep_their_stats(self, tinyworld):
        agent, done = Counting(), []
        rollout(agent, tinyworld, environment={}, on_transcript=done.append, on_bad_video=refuse, concurrency=3)
        assert agent.most == 3
        assert {transcript.episode.question_id for transcript in done} == {e.question_id for e in tinyworld}
        assert all(turn.stats == {"tokens": 3.0} for transcript in done for turn in transcript.turns)

    def test_odd_numbers_and_texts_can_be_written_and_read(self, tinyworld, tmp_path):
        log = TranscriptLog(tmp_path / "t.jsonl")
        rollout(Odd(), tinyworld[:1], environment={}, on_transcript=log.append, on_bad_video=refuse)
        (read,) = log.read({tinyworld[0].question_id: tinyworld[0]}).values()
        assert read.turns[0].stats == {"logprob": 0.5}
        assert read.turns[0].reply == "broken ? surrogate"

    def test_a_broken_video_ends_the_rollout_or_is_reported(self, tinyworld, tmp_path):
        episodes = [tinyworld[0], episode(question_id="bad", video=tmp_path / "missing.mp4"), tinyworld[1]]
        done, bad = [], []
        with pytest.raises(VideoError, match="missing"):
            rollout(agents.load("silent"), episodes, environment={}, on_transcript=done.append, on_bad_video=refuse)
        done, bad = [], []
        rollout(
            agents.load("silent"),
            episodes,
            environment={},
            on_transcript=done.append,
            on_bad_video=lambda name, error: bad.append(name),
        )
        assert (len(done), bad) == (2, ["bad"])

    def test_a_slow_environment_holds_up_nobody_else(self, tinyworld, monkeypatch):
        """Every first step waits until all episodes are in theirs: on one thread that would never be."""
        together = threading.Barrier(len(tinyworld), timeout=20)
        step = ProactiveVideoEnv.step

        def wait_then_step(env, action):
            if not env.transcript.turns:
                together.wait()
            return step(env, action)

        monkeypatch.setattr(ProactiveVideoEnv, "step", wait_then_step)
        done = []
        rollout(Counting(), tinyworld, environment={}, on_transcript=done.append, on_bad_video=refuse)
        assert len(done) == len(tinyworld)

    def test_it_runs_where_an_event_loop_runs(self, tinyworld):
        async def notebook():
            done = []
            rollout(Odd(), tinyworld[:1], environment={}, on_transcript=done.append, on_bad_video=refuse)
            return done

        assert len(asyncio.run(notebook())) == 1

    def test_an_agents_error_names_the_episode(self, tinyworld):
        with pytest.raises(KeyError) as caught:
            rollout(Broken(), tinyworld[:1], environment={}, on_transcript=print, on_bad_video=refuse)
        assert tinyworld[0].question_id in caught.value.__notes__[0]


def refuse(name, error):
    raise error


class TestTranscriptLog:
    def test_what_is_written_is_read(self, env, tmp_path):
        replies(env, "oracle", start=2, end=9)
        log = TranscriptLog(tmp_path / "t.jsonl")
        log.append(env.transcript)
        (read,) = log.read({"q": env.episodes[0]}).values()
        assert (read.turns, read.window) == (env.transcript.turns, env.transcript.window)

    @pytest.mark.parametrize("torn", ['{"question_id": "r", "turns": [{"in', "x", '{"question_id": "r", "turns": []}'])
    def test_a_torn_last_line_is_cut_off(self, env, tmp_path, torn):
        replies(env, "oracle")
        log = TranscriptLog(tmp_path / "t.jsonl")
        log.append(env.transcript)
        log.append(env.transcript)
        whole = log.file.read_bytes()
        log.file.write_bytes(whole + torn.encode())
        log.cut_torn_line()
        assert log.file.read_bytes() == whole

    def test_a_broken_line_inside_is_an_error_by_number(self, env, tmp_path):
        replies(env, "oracle")
        log = TranscriptLog(tmp_path / "t.jsonl")
        log.file.write_text("{}\n")
        with pytest.raises(InputError, match="line 1: expected a transcript"):
            log.question_ids()
        log.file.write_text('{"question_id": "q", "turns": [{"index": "x"}]}\n')
        with pytest.raises(InputError, match="line 1: expected a transcript"):
            log.read({"q": env.episodes[0]})


def test_the_readmes_loop(tinyworld):
    env = gym.make("TinyWorld-v0", size=2)
    agent = agents.load("oracle")
    observation, info = env.reset(seed=0)
    agent.reset(info)
    done = False
    while not done:
        observation, _, terminated, truncated, info = env.step(agent.act(observation))
        done = terminated or truncated
    assert info["proactive_episode"]["scores"]["replication"] == 1.0
