"""Classes named by strings: by path, or by the names that installed packages bring."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from proactive_env import agents, datasets
from proactive_env.agents.base import Agent
from proactive_env.errors import InputError
from proactive_env.plugin import Registry, load_class
from proactive_env.rewards import make
from proactive_env.rewards.judges.base import make_judge

PACKAGE = """
from proactive_env.agents.scripted import Silent
from proactive_env.datasets import Dataset, load
from proactive_env.rewards import ComponentReward, LexicalJudge

class Parrot(Silent): ...
class Strict(LexicalJudge): ...

class Brevity(ComponentReward):
    def score(self, transcript):
        return 1.0

class Clips(Dataset):
    def read(self, root, subset, on_bad):
        return load("tinyworld", size=int((root / "size").read_text()))
"""
ENTRY_POINTS = """
[proactive_env.agents]
parrot = a_package:Parrot
[proactive_env.judges]
strict = a_package:Strict
[proactive_env.rewards]
brevity = a_package:Brevity
[proactive_env.datasets]
clips = a_package:Clips
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed package that brings one of each."""
    site = tmp_path / "site"
    info = site / "a_package-1.dist-info"
    info.mkdir(parents=True)
    (site / "a_package.py").write_text(PACKAGE)
    (info / "METADATA").write_text("Name: a-package\nVersion: 1\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.syspath_prepend(site)
    return site


def test_installed_packages_bring_agents_judges_rewards_and_data_sets(package, tmp_path):
    """In a process of its own: names are read once."""
    (tmp_path / "size").write_text("2")
    code = (
        "import sys; from proactive_env import agents, datasets; from proactive_env.rewards import make;"
        "from proactive_env.rewards.judges.base import make_judge;"
        "print(type(agents.load('parrot')).__name__, type(make_judge('strict')).__name__, "
        "make('tinyworld', size=1, rewards={'brevity': 1}).name, len(datasets.load('clips', sys.argv[1])))"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(package)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["Parrot", "Strict", "brevity", "2"]


def test_a_name_that_is_taken_is_refused(package):
    with pytest.raises(InputError, match=r"two packages bring the agent 'parrot': mine:Parrot and a_package:Parrot"):
        Registry("agent", {"parrot": "mine:Parrot"}).load("parrot", Agent)


def test_a_data_set_of_ones_own_is_named_by_its_file(package, tmp_path):
    (tmp_path / "size").write_text("3")
    path = f"{package / 'a_package.py'}:Clips"
    assert len(datasets.load(path, tmp_path)) == 3
    assert len(datasets.load(path, tmp_path, size=2)) == 2
    env = make(path, data=str(tmp_path), rewards={})
    env.reset(seed=0)
    assert env.step("NO REPLY")[1] == 0.0


@pytest.mark.parametrize(
    ("load", "name", "words"),
    [
        (agents.load, "oracel", "there is no agent 'oracel'; did you mean 'oracle'"),
        (make_judge, "lexicl", "there is no judge 'lexicl'; did you mean 'lexical'"),
        (datasets.load, "tinyword", "there is no data set 'tinyword'; did you mean 'tinyworld'"),
        (lambda name: make("tinyworld", rewards={name: 1}), "pauk", "there is no reward 'pauk'; did you mean 'pauc'"),
        (agents.load, "proactive_env.turn:Turn", "expected a subclass of Agent, found Turn"),
        (datasets.load, "proactive_env.turn:Turn", "expected a subclass of Dataset, found Turn"),
        (
            lambda name: make("tinyworld", rewards={"pauc": {name: 3}}),
            "levles",
            "'pauc': there is no option 'levles'; did you mean 'levels'",
        ),
        (lambda name: make("tinyworld", rewards={"replication": {name: 3}}), "levles", "unexpected keyword argument"),
        (agents.load, "openai:model?timeuot=3", "there is no option 'timeuot'; did you mean 'timeout'"),
    ],
)
def test_what_cannot_be_found_is_named_with_what_is_near(load, name, words):
    with pytest.raises(InputError, match=words):
        load(name)


def test_threads_that_load_a_file_at_once_get_one_class(tmp_path):
    file = tmp_path / "slow.py"
    file.write_text("import time\n\ntime.sleep(0.2)\n\n\nclass Mine: ...\n")
    together = Barrier(4)

    def load(_):
        together.wait()
        return load_class(f"{file}:Mine")

    with ThreadPoolExecutor(4) as threads:
        assert len(set(threads.map(load, range(4)))) == 1
