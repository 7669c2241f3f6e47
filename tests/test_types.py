"""What editors and type checkers see from outside: misspelt arguments, and no `Any` where an object has a class."""

import re
import subprocess
import sys

from paths import ROOT

MISSPELT = """
from proactive_env.environment import ProactiveVideoEnv
from proactive_env.rewards import PaucReward, make
from proactive_env.agents.openai import OpenAIAgent

make("tinyworld", frame_intervall=3)
PaucReward(ProactiveVideoEnv("tinyworld"), levles=3)
OpenAIAgent("model", timeuot=3)
"""


def mypy(tmp_path, code, *options):
    (tmp_path / "snippet.py").write_text(code)
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--cache-dir",
        str(ROOT / ".mypy_cache" / "snippets"),
        *options,
        "snippet.py",
    ]
    return subprocess.run(
        command, cwd=tmp_path, env={"MYPYPATH": str(ROOT), "PATH": ""}, capture_output=True, text=True, check=False
    ).stdout


def test_misspelt_arguments_are_errors(tmp_path):
    found = mypy(tmp_path, MISSPELT, "--follow-imports=silent")
    assert re.findall(r'snippet.py:(\d+): error: Unexpected keyword argument "(\w+)"', found) == [
        ("6", "frame_intervall"),
        ("7", "levles"),
        ("8", "timeuot"),
    ], found


def test_the_readmes_example_has_types(tmp_path):
    """`gym.make` gives an Env[Any, Any], whatever is registered; all that this package gives has a class."""
    example = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[1]
    reveal = "\n".join(f"reveal_type({name})" for name in ("agent", "agent.act", "proactive_env.agents.load", "info"))
    found = mypy(tmp_path, f"{example}\n{reveal}\n", "--follow-imports=silent")
    types = re.findall(r"note: Revealed type is \"(.*)\"", found)
    assert "error" not in found, found
    assert len(types) == 4, found
    assert not [name for name in types if name == "Any"], types
    assert types[0].endswith("agents.base.Agent"), types
