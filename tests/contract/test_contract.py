"""One suite over everything public that users can also write: rewards, judges, data sets, agents."""

import pytest
from builders import FixedJudge

from proactive_env import agents, datasets, testing
from proactive_env.agents.scripted import Silent
from proactive_env.environment import ProactiveVideoEnv
from proactive_env.rewards import ComponentReward, LexicalJudge
from proactive_env.rewards.judges.pool import JudgePool
from proactive_env.rewards.make import REWARDS
from proactive_env.turn import Reply


class Impure(ComponentReward):
    """Counts how often it is asked: not a function of the transcript."""

    calls = 0

    def score(self, transcript):
        self.calls += 1
        return float(self.calls)


class AllAtOnce(ComponentReward):
    """Puts all credit on the first turn, though its sum is right."""

    def score(self, transcript):
        return float(len(transcript.replies))

    def _record(self, episode):
        super()._record(episode)
        split = episode["terms_per_turn"][self.name]
        episode["terms_per_turn"][self.name] = [sum(split), *[0.0] * (len(split) - 1)]


class OneBehind(ComponentReward):
    """Carries its score on one turn late, and ends right."""

    def score(self, transcript):
        return float(len(transcript.replies))

    def running_scores(self, plan, turns):
        replies = 0
        for turn in turns:
            yield float(replies)
            replies += turn.reply is not None


class NoHistory(ComponentReward):
    """Carries on a score that forgets what was said before the window."""

    def score(self, transcript):
        return float(len(transcript.earlier_replies) + len(transcript.replies))

    def running_scores(self, plan, turns):
        replies = 0
        for turn in turns:
            replies += turn.reply is not None
            yield float(replies)


class Forgetful(Silent):
    """Conversations share one counter."""

    said = 0

    def open(self, history=(), episode=None):
        return Shared(self)


class Shared:
    def __init__(self, agent):
        self.agent = agent

    async def respond(self, observation):
        self.agent.said += 1
        return Reply(str(self.agent.said))


@pytest.mark.parametrize("formula", ["paper", "code"])
@pytest.mark.parametrize("name", REWARDS)
def test_rewards(name, formula):
    testing.check_reward(name, formula=formula)


def test_a_users_reward(tmp_path):
    file = tmp_path / "user.py"
    file.write_text(
        "from proactive_env.rewards import ComponentReward\n"
        "class Mine(ComponentReward):\n"
        "    '''Replies a turn.'''\n"
        "    def score(self, transcript):\n"
        "        return len(transcript.replies) / len(transcript.turns)\n"
    )
    testing.check_reward(f"{file}:Mine", weight=0.5)


@pytest.mark.parametrize("judge", [LexicalJudge(), JudgePool(LexicalJudge())])
def test_judges(judge):
    testing.check_judge(judge)


@pytest.mark.parametrize("kind", ["silent", "oracle", "late", "chatter", "random"])
def test_scripted_agents(kind):
    """Agents with a model, server or engine run the same check in tests/agents."""
    testing.check_agent(agents.load(kind))


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_tinyworld(split):
    testing.check_dataset(datasets.load("tinyworld", split=split, size=5))


def test_real_benchmark(real_data):
    episodes = datasets.load("proactivevideoqa", real_data / "proactivevideoqa")
    testing.check_dataset(episodes)
    env = ProactiveVideoEnv(episodes)
    for episode in episodes:
        _, info = env.reset(options={"question_id": episode.question_id})
        assert info["plan"].episode == episode


@pytest.mark.parametrize(
    ("check", "subject", "message"),
    [
        (testing.check_reward, f"{__name__}:Impure", "pure function"),
        (testing.check_reward, f"{__name__}:AllAtOnce", "splits its term over the turns as"),
        (testing.check_reward, f"{__name__}:OneBehind", "running_scores gives|pays another sum"),
        (testing.check_reward, f"{__name__}:NoHistory", "running_scores gives"),
        (testing.check_judge, FixedJudge(lambda text: 1), "must get level 2"),
        (testing.check_judge, FixedJudge(lambda text: 2), "less than 2|must get level"),
        (testing.check_dataset, (), "must hold an episode"),
        (testing.check_agent, Forgetful(), "must not mix"),
    ],
)
def test_the_checks_find_what_is_wrong(check, subject, message):
    with pytest.raises(AssertionError, match=message):
        check(subject)
