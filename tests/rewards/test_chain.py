"""A chain of rewards pays the sum of its terms, whatever the order; it is data, and it travels."""

import itertools
import json
import math
import os
import pickle
import subprocess
import sys

import gymnasium as gym
import pytest
from gymnasium.envs.registration import EnvSpec
from hypothesis import given, settings
from hypothesis import strategies as st

from proactive_env.errors import InputError, JudgeUnavailable
from proactive_env.plugin import load_class
from proactive_env.rewards import ComponentReward, LexicalJudge
from proactive_env.rewards.make import REWARDS

USER_REWARD = '''
from proactive_env.rewards import ComponentReward


class Brevity(ComponentReward):
    """Minus the mean length of replies, in hundreds of characters."""

    def score(self, transcript):
        return -sum(len(turn.reply) for turn in transcript.replies) / 100
'''


class LastWord(ComponentReward):
    """1 if the agent spoke at the last turn played: a score whose credits go up and down."""

    def score(self, transcript):
        return float(transcript.turns[-1].reply is not None)


class DeadJudge(LexicalJudge):
    def coverage(self, question, gold, prediction, levels):
        raise JudgeUnavailable("connection refused")


class MumblingJudge(LexicalJudge):
    def coverage(self, question, gold, prediction, levels):
        return None


LAST_WORD = f"{__name__}:LastWord"


@pytest.fixture
def user_file(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(USER_REWARD)
    return file


def play(env, actions, seed=0):
    env.reset(seed=seed)
    steps = []
    for action in itertools.cycle(actions):
        _, reward, terminated, truncated, info = env.step(action)
        steps.append((reward, info))
        if terminated or truncated:
            return steps


def make(rewards, **arguments):
    return gym.make("TinyWorld-v0", size=2, rewards=rewards, **arguments)


actions = st.lists(
    st.sampled_from(["NO REPLY", "A red circle.", "It grows.", "To the left.", "y" * 60]), min_size=1, max_size=9
)
configs = st.fixed_dictionaries(
    {},
    optional={
        name: st.fixed_dictionaries(
            {"weight": st.floats(-5, 5)},
            optional={"pay": st.sampled_from(["end", "turn"])}
            | ({} if name == LAST_WORD else {"formula": st.sampled_from(["paper", "code"])}),
        )
        for name in (*REWARDS, LAST_WORD)
    },
).filter(bool)


@settings(max_examples=40, deadline=None)
@given(config=configs, said=actions, order=st.randoms(use_true_random=False))
def test_reward_is_the_sum_of_terms_in_any_order(config, said, order):
    steps = play(make(config), said)
    shuffled = list(config.items())
    order.shuffle(shuffled)
    for (reward, info), (other, other_info) in zip(steps, play(make(dict(shuffled)), said), strict=True):
        assert reward == pytest.approx(sum(info["reward_terms"].values()), abs=1e-9)
        assert reward == pytest.approx(other, abs=1e-9)
        assert info["reward_terms"] == pytest.approx(other_info["reward_terms"], abs=1e-9)
        assert info["reward_terms"].keys() == info["reward_scores"].keys()
    record = steps[-1][1]["proactive_episode"]
    for name, term in record["terms"].items():
        assert sum(record["terms_per_turn"][name]) == pytest.approx(term, abs=1e-9)
        assert sum(info["reward_terms"][name] for _, info in steps) == pytest.approx(term, abs=1e-9)
        assert len(record["terms_per_turn"][name]) == len(steps)


def test_pay_at_the_end_and_by_turn():
    said = ["NO REPLY", "A red circle."]
    at_end, by_turn = (play(make(None, pay=pay), said) for pay in ("end", "turn"))
    assert all(reward == 0.0 for reward, _ in at_end[:-1])
    assert all(set(info["reward_terms"].values()) == {0.0} for _, info in at_end[:-1])
    assert sum(reward != 0.0 for reward, _ in by_turn) > 1
    split = at_end[-1][1]["proactive_episode"]["terms_per_turn"]
    for turn, (_, info) in enumerate(by_turn):
        assert info["reward_terms"] == pytest.approx({name: terms[turn] for name, terms in split.items()}, abs=1e-9)


class Hesitant(gym.Wrapper):
    """Stays silent for a turn after each action."""

    def step(self, action):
        first = super().step(action)
        return first if first[2] else super().step("NO REPLY")


@pytest.mark.parametrize("name", [*REWARDS, LAST_WORD])
def test_a_wrapper_below_may_play_several_turns_a_step(name):
    """All of the turns are paid, in the step that played them."""
    paid = {}
    for pay in ("end", "turn"):
        env = (LastWord if name == LAST_WORD else REWARDS[name])(Hesitant(make({})), pay=pay)
        steps = play(env, ["A red circle.", "A dog."])
        record = steps[-1][1]["proactive_episode"]
        transcript = env.get_wrapper_attr("transcript")
        assert len(record["terms_per_turn"][env.name]) == len(transcript.turns) > len(steps)
        assert record["scores"][env.name] == pytest.approx(env.score(transcript), abs=1e-9)
        paid[pay] = sum(reward for reward, _ in steps)
    assert paid["turn"] == pytest.approx(paid["end"], abs=1e-9) == pytest.approx(record["terms"][env.name], abs=1e-9)


def test_the_default_is_the_papers_sum():
    _, info = play(make(None), ["NO REPLY"])[-1]
    record = info["proactive_episode"]
    assert record["scores"] == {"pauc": 0.125, "replication": 1.0, "in_span": 1.0, "prefix": 1.0}
    assert record["terms"] == {"pauc": 0.375, "replication": 2.0, "in_span": 0.5, "prefix": 2.0}
    assert record["counts"] == {"turns": 10, "replies": 0, "out_of_span": 0, "repeated": 0, "judge_failures": 0} | {
        "turns": record["counts"]["turns"]
    }
    assert record["valid"] is True


def test_the_one_preset_is_the_authors_code():
    record = play(make("mmduet2-code"), ["NO REPLY"])[-1][1]["proactive_episode"]
    assert record["scores"] == {"pauc": 0.125, "replication": 0.0, "in_span": 0.0, "prefix": 0.0}


def test_counts():
    record = play(make(None), ["A red circle.", "The red circle!", "NO REPLY"])[-1][1]["proactive_episode"]
    counts = record["counts"]
    replies = counts["turns"] - counts["turns"] // 3
    assert counts["replies"] == replies
    assert counts["repeated"] == replies - 1
    exact = play(make({"in_span": 1}), ["A red circle.", "The red circle!", "NO REPLY"])[-1][1]["proactive_episode"]
    assert exact["counts"]["repeated"] == replies - 2  # without a judge only equal texts are known to repeat


def test_a_judge_that_cannot_be_reached_makes_the_episode_invalid():
    rewards = {"pauc": {"judge": f"{__name__}:DeadJudge"}, "in_span": 1}
    reward, info = play(make(rewards), ["A red circle."])[-1]
    record = info["proactive_episode"]
    assert math.isnan(reward)
    assert math.isnan(record["terms"]["pauc"])
    assert not math.isnan(record["terms"]["in_span"])
    assert record["valid"] is False


def test_a_judge_that_answers_nonsense_loses_points_only():
    record = play(make({"pauc": {"judge": f"{__name__}:MumblingJudge"}}), ["A red circle."])[-1][1]["proactive_episode"]
    assert record["valid"] is True
    assert record["scores"] == {"pauc": 0.125}
    assert record["counts"]["judge_failures"] > 0


def test_a_users_file_reward_travels(user_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    env = make({"pauc": 3, "mine.py:Brevity": {"weight": 2.0}})
    expected = [reward for reward, _ in play(env, ["A red circle."])]
    assert env.spec.kwargs["rewards"] == {"pauc": 3, f"{user_file}:Brevity": {"weight": 2.0}}
    monkeypatch.chdir("/")
    code = (
        "import sys, json, pickle, gymnasium as gym, proactive_env\n"
        "from gymnasium.envs.registration import EnvSpec\n"
        "for env in (gym.make(EnvSpec.from_json(open(sys.argv[1]).read())), pickle.load(open(sys.argv[2], 'rb'))):\n"
        "    env.reset(seed=0); rewards = []; done = False\n"
        "    while not done:\n"
        "        _, reward, done, _, _ = env.step('A red circle.'); rewards.append(float(reward))\n"
        "    print(json.dumps(rewards))\n"
    )
    (tmp_path / "spec.json").write_text(env.spec.to_json())
    (tmp_path / "env.pickle").write_bytes(pickle.dumps(env))
    command = [sys.executable, "-c", code, str(tmp_path / "spec.json"), str(tmp_path / "env.pickle")]
    lines = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ).stdout.splitlines()
    assert [json.loads(line) for line in lines] == [expected, expected]


def test_a_users_judge_file_travels(tmp_path, monkeypatch):
    (tmp_path / "judge.py").write_text(
        "from proactive_env.rewards import LexicalJudge\nclass Mine(LexicalJudge):\n    pass\n"
    )
    monkeypatch.chdir(tmp_path)
    env = make({"pauc": 3}, judge="judge.py:Mine")
    monkeypatch.chdir("/")
    for copy in (gym.make(EnvSpec.from_json(env.spec.to_json())), pickle.loads(pickle.dumps(env))):
        assert play(copy, ["A red circle."])[-1][0] == play(env, ["A red circle."])[-1][0]


def test_a_file_reward_wrapped_by_hand_travels(user_file, tmp_path):
    env = load_class(f"{user_file}:Brevity")(gym.make("TinyWorld-v0", size=2), weight=0.5)
    (tmp_path / "spec.json").write_text(env.spec.to_json())
    code = (
        "import sys, gymnasium as gym, proactive_env\n"
        "from gymnasium.envs.registration import EnvSpec\n"
        "env = gym.make(EnvSpec.from_json(open(sys.argv[1]).read()))\n"
        "env.reset(seed=0); print(sorted(env.step('Hello.')[4]['reward_terms']))\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "spec.json")]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ, cwd="/").stdout
    assert "'brevity'" in printed


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_a_users_file_reward_runs_in_worker_processes(user_file, context):
    envs = gym.make_vec(
        "TinyWorld-v0",
        num_envs=8,
        vectorization_mode="async",
        vector_kwargs={"shared_memory": False, "context": context},
        size=2,
        rewards={f"{user_file}:Brevity": {"pay": "turn"}},
    )
    envs.reset(seed=0)
    assert envs.step(["x" * 100, "NO REPLY"] * 4)[1].tolist() == [-1.0, 0.0] * 4
    envs.close()


def test_a_chain_made_by_hand_is_a_spec_too():
    env = gym.make("TinyWorld-v0", size=2, rewards={})
    env = LastWord(REWARDS["pauc"](env, 3.0, omega=0.0), weight=0.5, name="tail")
    copy = gym.make(EnvSpec.from_json(env.spec.to_json()))
    assert [r for r, _ in play(copy, ["A red circle."])] == [r for r, _ in play(env, ["A red circle."])]


class TestErrors:
    def test_two_rewards_of_one_name(self):
        env = gym.make("TinyWorld-v0", size=1)
        with pytest.raises(InputError, match="two rewards are named 'pauc': pass name="):
            REWARDS["pauc"](env)
        assert REWARDS["pauc"](env, name="pauc_again").name == "pauc_again"

    @pytest.mark.parametrize(
        ("rewards", "message"),
        [
            ({"puac": 1}, "no reward 'puac'; did you mean 'pauc'"),
            ("mmduet2", "no preset of rewards 'mmduet2'; did you mean 'mmduet2-code'"),
            ({"missing.py:R": 1}, "no such file"),
            ({"builtins:dict": 1}, "expected a subclass of ComponentReward"),
            ({"proactive_env.rewards:PaucRewards": 1}, "no class 'PaucRewards'; did you mean 'PaucReward'"),
            ({"pauc": {"pay": "never"}}, "expected pay='end' or pay='turn'"),
            ({"in_span": {"formula": "papr"}}, "expected formula='paper' or formula='code', found 'papr'"),
            ({"pauc": {"levels": 1}}, "expected levels >= 2"),
            ({"pauc": {"judge": "lexicl"}}, "no judge 'lexicl'; did you mean 'lexical'"),
        ],
    )
    def test_bad_specs_say_what_is_known(self, rewards, message):
        with pytest.raises(InputError, match=message):
            make(rewards)

    def test_a_reward_must_have_a_score(self):
        class Forgot(ComponentReward):
            pass

        with pytest.raises(TypeError, match="abstract method"):
            Forgot(gym.make("TinyWorld-v0", size=1))

    def test_arguments_must_be_plain_json(self):
        with pytest.raises(TypeError, match="plain JSON"):
            REWARDS["pauc"](gym.make("TinyWorld-v0", size=1, rewards={}), judge={"kind": object()})

    def test_only_this_environment_is_wrapped(self):
        with pytest.raises(TypeError, match="ProactiveVideoEnv"):
            LastWord(gym.make("CartPole-v1"))


def test_an_episode_that_is_cut_short_pays_what_was_earned():
    whole = play(make({"in_span": 1}), ["A red circle."])
    env = make({"in_span": 1}, truncate_after=3)
    reward, info = play(env, ["A red circle."])[-1]
    assert info["proactive_episode"]["counts"]["turns"] == 3
    assert reward == pytest.approx(info["proactive_episode"]["scores"]["in_span"])
    assert sum(whole[-1][1]["proactive_episode"]["terms_per_turn"]["in_span"][:3]) == pytest.approx(reward)


def test_a_time_limit_around_the_rewards_is_told_that_it_pays_nothing():
    env = gym.wrappers.TimeLimit(make({"in_span": 1}), 2)
    env.reset(seed=0)
    env.step("A red circle.")
    assert env.step("NO REPLY")[1:4] == (0.0, False, True)
    with pytest.warns(UserWarning, match="nothing was paid for it; .* pass truncate_after=TURNS"):
        env.reset(seed=0)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_a_reward_that_is_not_finite_is_named(value):
    class Odd(ComponentReward):
        def score(self, transcript):
            return value

    record = play(Odd(make({"in_span": 1})), ["NO REPLY"])[-1][1]["proactive_episode"]
    assert record["valid"] is False
    assert record["not_finite"] == ["odd"]
