"""`proactive reproduce`: its verdicts are what the intervals say."""

import json
import re
import shutil
from io import StringIO

import pytest
from rich.console import Console
from typer.testing import CliRunner

from proactive_env import agents, datasets
from proactive_env.recipes import stages
from proactive_env.recipes.cli import app
from proactive_env.recipes.reproduce.course import Course
from proactive_env.recipes.reproduce.experiments import EXPERIMENTS
from proactive_env.recipes.reproduce.verdicts import as_dict, findings, table
from proactive_env.recipes.training.held_out import HeldOut, scores_of


@pytest.fixture(scope="module")
def played():
    """Scores of scripted agents on TinyWorld."""
    held_out = HeldOut(datasets.load("tinyworld", size=8), {}, None)
    return {name: scores_of(held_out.play(agents.load(name))) for name in ("silent", "oracle", "chatter")}


def test_verdicts_follow_the_intervals(played):
    table6 = EXPERIMENTS["table6"]
    here = dict(zip([row.folder for row in table6.rows], ["silent", "chatter", "silent", "oracle"], strict=True))
    told = as_dict(table6, {0: {folder: played[name] for folder, name in here.items()}})["seeds"][0]
    assert [row["paper"][1] for row in told["rows"]] == [4.2, 17.3, 4.3, 9.6]
    assert told["rows"][0]["here"]["subsets"]["TINYWORLD"]["pauc"]["0.5"] == 25.0
    verdicts = {(one["row"], one["number"]): one["verdict"] for one in told["findings"]}
    assert verdicts[1, "replies_per_question"] == "as in the paper"
    assert verdicts[1, "duplicates"].startswith("not defined")
    assert verdicts[1, "repeated"].startswith("not defined")
    assert verdicts[2, "pauc"] == "no sign to compare with"
    assert verdicts[3, "pauc"] == "as in the paper"
    table2 = EXPERIMENTS["table2"]
    sft, grpo = (row.folder for row in table2.rows)
    worse = as_dict(table2, {0: {sft: played["oracle"], grpo: played["silent"]}})["seeds"][0]
    assert worse["findings"][0]["verdict"] == "the opposite of the paper"


def test_several_seeds_have_a_mean_and_a_spread(played):
    table2 = EXPERIMENTS["table2"]
    sft, grpo = (row.folder for row in table2.rows)
    scores = {
        0: {sft: played["silent"], grpo: played["oracle"]},
        7: {sft: played["silent"], grpo: played["silent"]},
    }
    best = played["oracle"].as_dict()["subsets"]["TINYWORLD"]["pauc"]["0.5"]
    mean = (best - 25) / 2
    line = findings(table2, scores)[0]
    assert re.fullmatch(
        rf"pauc of SFT \+ RL higher than that of SFT: \+{mean:.2f} in the mean; "
        rf"seed 0 \+{best - 25:.2f} \[.*\], as in the paper; seed 7 \+0.00 \[.*\], not seen: the interval holds 0",
        line,
    )
    console = Console(width=100, file=StringIO())
    console.print(table(table2, scores))
    shown = console.file.getvalue()
    assert f"{25 + mean:.1f} [25.0, {best:.1f}]" in shown
    assert "means over the trainings of 2 seeds" in shown


def test_seeds_have_folders_of_their_own_and_seed_0_has_the_demos(ran):
    out, planned = ran
    for folder in list(out.iterdir()):
        shutil.copytree(folder, out / "seed-2" / folder.name)
    told = CliRunner().invoke(app, ["reproduce", "table7", "--out", str(out), "--seeds", "0,2"])
    assert told.exit_code == 0, told.output
    sft = [stage.command for stage in planned if stage.command[0] == "sft"]
    assert [(command[4], command[6]) for command in sft if command[4].endswith("/sft")] == [
        (str(out / "sft"), "seed=0"),
        (str(out / "seed-2" / "sft"), "seed=2"),
    ]
    for wrong in ("", "0,0", "one", "-1"):
        assert CliRunner().invoke(app, ["reproduce", "table7", f"--seeds={wrong or ','}"]).exit_code == 1


@pytest.fixture
def ran(tmp_path, monkeypatch):
    """A folder in which all stages of table7 ran: coarse ones answered, fine ones did not; and what was planned."""
    planned = []
    monkeypatch.setattr(stages, "run", lambda plan, screen=None: planned.extend(plan))
    for row in EXPERIMENTS["table7"].rows:
        agent = "silent" if "fine" in row.training else "oracle"
        options = ["--size", "8", "--frame-interval", str(row.frame_interval), "--out", str(tmp_path / row.folder)]
        done = CliRunner().invoke(app, ["eval", "--agent", agent, *options])
        assert done.exit_code == 0, done.output
    return tmp_path, planned


def test_a_table_stands_beside_the_papers(ran):
    out, planned = ran
    command = ["reproduce", "table7", "--out", str(out), "--seed", "3", "--set", "steps=2"]
    told = CliRunner().invoke(app, command)
    assert told.exit_code == 0, told.output
    lines = told.output.splitlines()
    assert next(line for line in lines if "RL 1 s, play 1 s" in line).split()[-3:] == ["44.2", "1.7", "-"]
    text = " ".join(told.output.split())
    assert re.search(r"pauc of RL 1 s, play 1 s higher than that of RL 0.5 s, play 1 s: \+.* as in the paper", text)
    assert re.search(r"replies_per_question of SFT 0.5 s[^:]* lower than [^:]*: -[^:]*, as in the paper", text)
    assert re.search(r"pauc of RL 0.5 s[^:]* higher than [^:]*: \+0.00 \[[^:]*, not seen: the interval holds 0", text)
    trained = [stage.command for stage in planned if stage.command[0] in ("sft", "grpo")]
    assert all("seed=3" in command for command in trained)
    assert [command[0] for command in trained if "steps=2" in command] == ["grpo", "grpo"]

    found = json.loads(CliRunner().invoke(app, [*command, "--json"]).stdout)["seeds"]["3"]
    assert [row["paper"][0] for row in found["rows"]] == [37.6, None, 47.0, 39.4, 53.3, 44.2]
    assert [row["here"]["subsets"]["TINYWORLD"]["pauc"]["0.5"] for row in found["rows"]][1:4] == [25, 25, 25]


def test_the_course_of_a_training_dips_where_an_evaluation_is_surely_lower():
    def course(*intervals):
        changes = [{"difference": sum(one) / 2, "ci95": list(one)} for one in intervals]
        gains = {8 * step: {"PAUC": change, "replies": change} for step, change in enumerate(changes, 1)}
        return list(Course([], gains).verdicts().values())

    assert course((-5, -1), (1, 4)) == ["as in the paper"] * 4
    assert course((-5, 1), (-1, 4)) == ["not seen"] * 4


def test_an_unknown_finding_is_an_error():
    told = CliRunner().invoke(app, ["reproduce", "table9"])
    assert told.exit_code == 2
    assert "figure5" in told.output
