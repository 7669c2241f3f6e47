"""`proactive reproduce`: its verdicts are what the intervals say."""

import pytest
from typer.testing import CliRunner

from proactive_env import agents, datasets
from proactive_env.recipes.cli import app
from proactive_env.recipes.reproduce import EXPERIMENTS, as_dict
from proactive_env.recipes.sft.held_out import HeldOut, scores_of


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
