"""`proactive demo` and `proactive reproduce`: stages that run as printed, and stop where one fails."""

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import typer

from proactive_env.recipes import demo, reproduce, stages
from proactive_env.recipes.config import load_config
from proactive_env.recipes.grpo.command import PRESETS as GRPO_PRESETS
from proactive_env.recipes.grpo.config import GrpoConfig
from proactive_env.recipes.sft.command import PRESETS as SFT_PRESETS
from proactive_env.recipes.sft.config import SftConfig
from proactive_env.recipes.stages import Stage

PLANS = {
    "demo": demo.plan(Path("out")),
    **{name: reproduce.plan(name, Path("out"), seed=0, settings=[]) for name in reproduce.EXPERIMENTS},
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
    assert printed.count(f"$ proactive eval --agent silent --size 2 --out {out}\n") == 2
    assert "2 of 3: score nothing (about 0.5 min, 1.5 to the end)" in printed
    assert printed.count("PAUC by ProactiveVideoQA's rules") == 2
    assert "stage 2 ended with 1; the same command goes on from here" in problems


@pytest.mark.parametrize("command", [["demo", "--help"], ["reproduce", "--help"]])
def test_help_fits_a_terminal(command):
    done = subprocess.run(
        [sys.executable, "-m", "proactive_env.recipes.cli", *command], capture_output=True, text=True, check=True
    )
    assert max(map(len, done.stdout.splitlines())) <= 80
