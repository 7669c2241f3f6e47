"""`proactive demo`, with a few steps of everything: its stages run as printed, stop where one fails, and go on."""

import json
import re
import subprocess
import sys

from proactive_env.recipes.demo import plan


def demo(folder, *options):
    command = [sys.executable, "-m", "proactive_env.recipes.cli", "demo", *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_a_model_is_trained_played_compared_and_shown(tmp_path):
    done = demo(tmp_path, "--quick")
    assert done.returncode == 0, done.stderr
    out = tmp_path / "runs" / "demo-quick"
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', (out / "page.html").read_text())
    page = json.loads(data[1])
    assert [run["name"] for run in page["runs"]] == ["after-sft", "after-grpo", "silent", "oracle"]
    assert [run["subsets"]["TINYWORLD"]["pauc"]["0.5"] for run in page["runs"][2:]] == [25.0, 100.0]
    assert [row["step"] for row in page["training"][0]["rows"]] == [0, 2]
    for stage in plan(out.relative_to(tmp_path), quick=True):
        assert f"$ proactive {stage.command[0]} " in done.stdout
    assert "PAUC and delay minus those of after-sft" in done.stdout
    assert done.stdout.rstrip().endswith("--set train.data=data/grpo.jsonl")


def test_a_stage_that_fails_ends_it(tmp_path):
    (tmp_path / "sft").write_text("in the way")
    done = demo(tmp_path, "--quick", "--out", str(tmp_path))
    assert done.returncode != 0
    assert "stage 1 ended with" in done.stderr
    assert "$ proactive grpo" not in done.stdout
