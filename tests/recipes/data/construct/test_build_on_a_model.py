"""A build on a real server with a real, useless model; and what a good build gives is trained on and played."""

import json

import pytest
from scripted_model import make_videos
from test_build_safety import NONE_HELD_OUT
from test_cli import proactive
from test_data_build import build, dropped, fresh_cache, lines, model, server  # noqa: F401 (fixtures)
from vllm_server import MODEL

from proactive_env.recipes.record import load_config
from proactive_env.recipes.training.sft.config import SftConfig
from proactive_env.recipes.training.sft.run import train
from proactive_env.rewards.make import make

SCENES, ATTEMPTS = 2, 3


def test_the_nonsense_of_a_real_model_is_rejected_cleanly(vllm_url, tmp_path):
    folder = make_videos(tmp_path / "videos", ["a.mp4"], seconds=5 * SCENES)
    sets = (f"model={MODEL}", f"server.url={vllm_url}", "answer_tokens=32")
    command = ["data", "build", folder, "--out", "out", *(word for one in sets for word in ("--set", one))]
    done = proactive(*command, cwd=tmp_path, code=1)
    assert done.stdout == ""
    assert f"model: {SCENES * ATTEMPTS} calls, 0 answers from disk" in done.stderr
    assert f"left out: captions: no usable answer: {SCENES}\n" in done.stderr
    assert "Error: not one dialogue was made: out/dropped.json counts" in done.stderr
    assert "Traceback" not in done.stderr
    assert dropped(tmp_path / "out")["captions"] == {"no usable answer": SCENES}
    assert [lines(tmp_path / "out", name) for name in ("episodes", "sft", "grpo")] == [[], [], []]
    usage = json.loads((tmp_path / "out" / "usage.json").read_text())
    assert (usage["calls"], usage["rejected"]) == (SCENES * ATTEMPTS, 0)
    assert 0 < usage["completion_tokens"] <= 32 * SCENES * ATTEMPTS
    again = proactive(*command, cwd=tmp_path, code=1)
    assert "model: 0 calls" in again.stderr


@pytest.fixture
def built(server, tmp_path):  # noqa: F811
    """A build of four videos, one of them held out."""
    folder = make_videos(tmp_path / "videos", [f"web/{n}.mp4" for n in range(4)])
    build(server, folder, *NONE_HELD_OUT, "--set", "rl_videos.web=1", cwd=tmp_path)
    return tmp_path / "out"


def test_a_step_is_trained_on_the_sft_set(built, tiny_checkpoint, tmp_path):
    from safetensors.torch import load_file

    few = [f"model={tiny_checkpoint}", f"train.data={built / 'sft.jsonl'}", "steps=1", "bf16=false", "workers=0"]
    file = tmp_path / "sft.yaml"
    file.write_text("train: {benchmark: jsonl}\nframe_interval: 2.0\nframes_per_turn: 2\nreport_to: []\nwarmup: 0.0\n")
    prepared = []
    train(
        load_config(str(file), SftConfig, few, tmp_path),
        tmp_path / "trained",
        on_start=lambda total, _: prepared.append(total),
        on_episode=lambda: prepared.append(1),
    )
    assert prepared == [len(lines(built, "sft")), *[1] * len(lines(built, "sft"))]
    before, after = (load_file(folder / "model.safetensors") for folder in (tiny_checkpoint, tmp_path / "trained"))
    assert any(not before[name].equal(weights) for name, weights in after.items())


def test_a_window_of_the_grpo_set_is_played_and_rewarded(built):
    env = make("jsonl", data=str(built / "grpo.jsonl"), frame_interval=2.0, frames_per_turn=2)
    (row, *_) = [row for row in lines(built, "grpo") if any(12 <= gold["reply_span"][0] < 24 for gold in row["gold"])]
    window = {"question_id": row["question_id"], "start": 12.0, "end": 24.0}
    _, info = env.reset(options=window)
    assert len(info["history"]) == 3
    gold = {gold["reply_span"][0]: gold["text"] for gold in row["gold"]}
    totals, done = [], False
    while not done:
        said = [text for start, text in gold.items() if 0 <= 12.0 + 4 * (len(totals) + 1) - start < 4]
        _, reward, terminated, truncated, info = env.step(" ".join(said) or "NO REPLY")
        totals.append(reward)
        done = terminated or truncated
    assert len(totals) == 3
    assert info["proactive_episode"]["valid"]
    assert set(info["reward_terms"]) == {"pauc", "replication", "in_span", "prefix"}
    assert info["proactive_episode"]["scores"]["pauc"] > 0.5
    assert totals[-1] == pytest.approx(sum(info["reward_terms"].values()))
