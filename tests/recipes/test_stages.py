"""`proactive demo` and `proactive reproduce`: stages that run as printed, and stop where one fails."""

import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
import typer

from proactive_env.recipes import stages
from proactive_env.recipes.cli import demo
from proactive_env.recipes.record import load_config
from proactive_env.recipes.reproduce.experiments import EXPERIMENTS
from proactive_env.recipes.reproduce.plan import plan
from proactive_env.recipes.stages import Stage
from proactive_env.recipes.training.grpo.config import PRESETS as GRPO_PRESETS
from proactive_env.recipes.training.grpo.config import GrpoConfig
from proactive_env.recipes.training.sft.config import PRESETS as SFT_PRESETS
from proactive_env.recipes.training.sft.config import SftConfig

PLANS = {
    "demo": demo.plan(Path("out")),
    **{name: plan(name, Path("out"), seed=0, settings=[]) for name in EXPERIMENTS},
}


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_every_stage_uses_what_an_earlier_one_made(plan):
    made = set()
    for stage in plan:
        recipe, *rest = stage.command
        options = {flag: value for flag, value in pairwise(rest) if flag.startswith("--")}
        sets = [value for flag, value in pairwise(rest) if flag == "--set"]
        used = {one for one in rest if one.startswith("out/")} - {options.get("--out")}
        if recipe == "sft":
            load_config(options["--config"], SftConfig, sets, SFT_PRESETS)
        elif recipe == "grpo":
            used.add(load_config(options["--config"], GrpoConfig, sets, GRPO_PRESETS).model)
        elif options.get("--agent", "").startswith("transformers:"):
            used.add(options["--agent"].removeprefix("transformers:"))
        assert used <= made
        made |= {options["--out"]} if "--out" in options else set()


def test_the_demo_and_the_findings_share_their_runs():
    shared = {stage.command[stage.command.index("--out") + 1] for stage in PLANS["table2"]}
    assert {"out/sft", "out/grpo", "out/after-sft", "out/after-grpo"} <= shared
    assert {stage.command[stage.command.index("--out") + 1] for stage in PLANS["demo"][:4]} <= shared


def test_a_plan_runs_prints_its_commands_and_ends_where_one_fails(tmp_path, capfd):
    out = str(tmp_path / "silent")
    good = Stage("play", 1, ["eval", "--agent", "silent", "--size", "2", "--out", out])
    bad = Stage("score nothing", 0.5, ["score", str(tmp_path / "nothing")])
    stages.run([good])
    with pytest.raises(typer.Exit) as stopped:
        stages.run([good, bad, good])
    assert stopped.value.exit_code == 1
    printed, problems = capfd.readouterr()
    assert printed.count(f"proactive eval --agent silent --size 2 --out {out}\n") == 2
    assert "2 of 3: score nothing (about 0.5 min, 1.5 to the end)" in printed
    assert printed.count("PAUC by ProactiveVideoQA's rules") == 2
    assert "stage 2 ended with 1: when what it says above is mended, the same command goes on from here" in problems


def test_what_is_printed_can_be_typed():
    assert subprocess.run([stages.program(), "--help"], capture_output=True, check=False).returncode == 0


AGENT = """
import signal
import sys
import time
from pathlib import Path

def end(number, _):
    time.sleep(0.5)
    Path("ended").touch()
    sys.exit(1)

signal.signal(signal.SIGTERM, end)
Path("begun").touch()
time.sleep(60)
"""


def test_a_plan_that_is_ended_lets_its_stage_end_first(tmp_path):
    (tmp_path / "slow.py").write_text(AGENT)
    command = ["rollout", "--agent", "slow.py:Slow", "--size", "2", "--out", "out"]
    script = f"from proactive_env.recipes.stages import Stage, run; run([Stage('long', 1, {command})])"
    plan = subprocess.Popen([sys.executable, "-P", "-c", script], cwd=tmp_path, stdout=subprocess.DEVNULL)
    while not (tmp_path / "begun").exists():
        assert plan.poll() is None
        time.sleep(0.05)
    plan.terminate()
    assert plan.wait(30) == 128 + signal.SIGTERM
    assert (tmp_path / "ended").exists()


@pytest.mark.parametrize("command", [["demo", "--help"], ["reproduce", "--help"]])
def test_help_fits_a_terminal(command):
    done = subprocess.run(
        [sys.executable, "-m", "proactive_env.recipes.cli", *command], capture_output=True, text=True, check=True
    )
    assert max(map(len, done.stdout.splitlines())) <= 80
