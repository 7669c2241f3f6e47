"""`proactive reproduce`: its stages fit together, and its verdicts are what the intervals say."""

from itertools import pairwise
from pathlib import Path

import pytest
from typer.testing import CliRunner

from proactive_env import agents, datasets
from proactive_env.recipes.cli import app
from proactive_env.recipes.config import load_config
from proactive_env.recipes.grpo.command import PRESETS as GRPO_PRESETS
from proactive_env.recipes.grpo.config import GrpoConfig
from proactive_env.recipes.reproduce import EXPERIMENTS, as_dict, plan
from proactive_env.recipes.sft.command import PRESETS as SFT_PRESETS
from proactive_env.recipes.sft.config import SftConfig
from proactive_env.recipes.sft.held_out import HeldOut, scores_of


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_stage_uses_what_an_earlier_one_made(name):
    made = set()
    for stage in plan(name, Path("out"), seed=3, settings=["steps=5"]):
        recipe, *rest = stage.command
        options = {flag: value for flag, value in pairwise(rest) if flag.startswith("--")}
        sets = [value for flag, value in pairwise(rest) if flag == "--set"]
        if recipe == "sft":
            assert load_config(options["--config"], SftConfig, sets, SFT_PRESETS).seed == 3
        elif recipe == "grpo":
            chosen = load_config(options["--config"], GrpoConfig, sets, GRPO_PRESETS)
            assert (chosen.seed, chosen.steps) == (3, 5)
            assert chosen.model in made
        elif recipe == "eval":
            assert options["--agent"].removeprefix("transformers:") in made
        else:
            assert {one for one in rest if one.startswith("out/")} <= made | {options["--out"]}
        assert options["--out"] not in made
        made.add(options["--out"])
    assert {f"out/{row.folder}" for row in EXPERIMENTS[name].rows} <= made


@pytest.fixture(scope="module")
def played():
    """Scores of scripted agents on TinyWorld."""
    held_out = HeldOut(datasets.load("tinyworld", size=8), {}, None)
    return {name: scores_of(held_out.play(agents.load(name))) for name in ("silent", "oracle", "chatter")}


def test_verdicts_follow_the_intervals(played):
    table6 = EXPERIMENTS["table6"]
    here = dict(zip([row.folder for row in table6.rows], ["silent", "chatter", "silent", "oracle"], strict=True))
    told = as_dict(table6, {folder: played[name] for folder, name in here.items()})
    assert [row["paper"][1] for row in told["rows"]] == [4.2, 17.3, 4.3, 9.6]
    assert told["rows"][0]["here"]["subsets"]["TINYWORLD"]["pauc"]["0.5"] == 25.0
    verdicts = {(one["row"], one["number"]): one["verdict"] for one in told["findings"]}
    assert verdicts[1, "replies_per_question"] == "as in the paper"
    assert verdicts[1, "duplicates"].startswith("not defined")
    assert verdicts[3, "pauc"] == "as in the paper"
    table2 = EXPERIMENTS["table2"]
    sft, grpo = (row.folder for row in table2.rows)
    worse = as_dict(table2, {sft: played["oracle"], grpo: played["silent"]})
    assert worse["findings"][0]["verdict"] == "the opposite of the paper"


def test_an_unknown_finding_is_an_error():
    told = CliRunner().invoke(app, ["reproduce", "table9"])
    assert told.exit_code == 2
    assert "figure5" in told.output
