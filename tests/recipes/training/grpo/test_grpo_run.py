"""A real run of OpenRLHF, Ray, DeepSpeed and vLLM on a CPU: killed, it goes on, and what it writes loads."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.request import urlopen

import psutil
import pytest
import torch
import yaml
from safetensors.torch import load_file
from typer.testing import CliRunner

from proactive_env import agents, datasets
from proactive_env.recipes.cli import app
from proactive_env.recipes.training.grpo.folder import Folder
from proactive_env.recipes.training.grpo.follow.jobs import end_session
from proactive_env.recipes.training.grpo.trainer.launch import CPU

pytestmark = pytest.mark.xdist_group("engines")
STEPS = 4
REWARD = '''
from proactive_env.rewards import ComponentReward

class Letters(ComponentReward):
    """The share of the letters n and o."""

    def score(self, transcript):
        text = "".join(turn.reply or "" for turn in transcript.turns)
        return sum(text.count(letter) for letter in "no") / max(len(text), 1)
'''
FEW = {
    "train": {"benchmark": "tinyworld", "split": "train", "size": 8},
    "held_out": {"benchmark": "tinyworld", "split": "validation", "size": 2},
    "play": {"max_new_tokens": 6, "max_tokens": 1536},
    "window": [4, 6],
    "credit": "turn",
    "discount": 0.5,
    "group": 4,
    "windows_per_step": 2,
    "micro_batch": 8,
    "steps": STEPS,
    "learning_rate": 1e-3,
    "freeze_vision": False,
    "importance_correction": True,
    "gpu_memory": 0.2,
    "keep": "best",
    "save_every": 1,
    "evaluate_every": STEPS,
}
SECONDS_TO_COME_UP = 120
SECONDS = 900
"""For anything that a run does: the first minute goes by before a busy machine has imported it all."""


@pytest.fixture
def begin(tmp_path, talkative_checkpoint):
    """Starts `proactive grpo` in a process of its own; afterwards nothing of it may be left."""
    (tmp_path / "mine.py").write_text(REWARD)
    config = FEW | {"model": str(talkative_checkpoint)}
    config["play"] |= {"rewards": {"pauc": 3, f"{tmp_path}/mine.py:Letters": 10}}
    (tmp_path / "few.yaml").write_text(yaml.safe_dump(config))
    started = []

    def begin(out, *settings):
        command = [sys.executable, "-m", "proactive_env.recipes.cli", "grpo", "--config", tmp_path / "few.yaml"]
        sets = [word for setting in settings for word in ("--set", setting)]
        run = subprocess.Popen(
            [*command, "--out", out, "--json", *sets],
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(run)
        return run

    yield begin
    for run in started:
        run.kill()
        run.communicate()
    wait_for(lambda: not sessions_of(tmp_path))


def sessions_of(folder):
    """The sessions of the trainers whose run is in `folder`."""
    launched = (process for process in psutil.process_iter(["cmdline"]) if process.info["cmdline"])
    return {
        os.getsid(process.pid)
        for process in launched
        if "proactive_env.recipes.training.grpo.trainer.launch" in process.info["cmdline"]
        and str(folder) in process.info["cmdline"][-1]
    }


def processes_of(session, name=""):
    """The living processes of a session, by a part of their command line."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found += [process] if name in " ".join(process.cmdline()) else []
        except (psutil.Error, ProcessLookupError):
            continue
    return found


def wait_for(condition, run=None):
    assert comes_true(condition, SECONDS, run), condition


def comes_true(condition, seconds, run=None):
    """Whether a condition holds within so many seconds; `run` must not end before."""
    until = time.monotonic() + seconds
    while not condition():
        if run and run.poll() is not None:
            pytest.fail(run.communicate()[1])
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def test_a_killed_run_goes_on_and_ends_as_a_checkpoint(begin, tmp_path, talkative_checkpoint):
    out = tmp_path / "out"
    folder = Folder(out)

    run = begin(out)
    wait_for(lambda: folder.resumes_from >= 1, run)
    (session,) = sessions_of(tmp_path)
    run.kill()
    wait_for(lambda: processes_of(session) == [])
    first = folder.resumes_from
    assert 1 <= first < STEPS
    run.communicate()

    run = begin(out)
    printed, errors = run.communicate(timeout=SECONDS)
    assert run.returncode == 0, errors
    assert f"going on after step {first} of {STEPS}" in errors
    assert not sessions_of(tmp_path)

    result = json.loads(printed)
    assert [step["step"] for step in result["steps"]] == list(range(1, STEPS + 1))
    assert all(step["term_letters"] >= 0 for step in result["steps"])
    assert any(step["group_reward_std"] > 0 for step in result["steps"])
    assert max(abs(step["vllm_kl"]) for step in result["steps"]) < 0.1  # 0.29 where the engine gets no weights
    assert [row["step"] for row in result["evaluations"]] == [0, STEPS]
    assert set(result["gain"]["TINYWORLD"]["pauc"]) == {"0", "0.5", "1"}
    assert list((out / "tensorboard").rglob("events.out.tfevents*"))

    assert all(step["advantage_scale"] > 0 for step in result["steps"]), "credit was given by turn"

    rewards = {row["step"]: row["reward"] for row in result["evaluations"]}
    assert all(row["reward"] == pytest.approx(sum(row["terms"].values())) for row in result["evaluations"])
    assert set(result["evaluations"][0]["terms"]) == {"pauc", "letters"}
    assert folder.kept == max(rewards, key=rewards.get)
    places = (talkative_checkpoint, folder.weights_of(STEPS))
    before, after, kept = (load_file(place / "model.safetensors") for place in (*places, out))
    assert kept.keys() == before.keys()
    assert {weights.dtype for weights in kept.values()} == {torch.float32}
    moved = [name for name, weights in before.items() if not torch.equal(weights, after[name].float())]
    assert any("visual" in name for name in moved)
    chosen = after if folder.kept else before
    assert all(torch.equal(weights, chosen[name].float()) for name, weights in kept.items())
    for place in (out, folder.weights_of(STEPS)):
        with agents.load(f"transformers:{place}") as agent:
            assert agent.engine.longest_context > 0

    # The engine plays otherwise after the updates; that it holds all of what is sent is the next test.
    by_id = {episode.question_id: episode for episode in datasets.load("tinyworld", split="validation", size=2)}
    before, after = (said(folder.evaluation(step).read(by_id).values()) for step in (0, STEPS))
    assert before != after

    again = CliRunner().invoke(app, ["grpo", "--config", str(tmp_path / "few.yaml"), "--out", str(out), "--json"])
    assert again.exit_code == 0, again.output
    assert "this run is finished" in again.stderr
    assert json.loads(again.stdout) == result


def test_an_engine_that_gets_weights_is_one_that_loads_them(talkative_checkpoint, tmp_path):
    cpu_mode = {
        "PYTHONPATH": str(CPU.parent),
        "DS_ACCELERATOR": "cpu",
        "TORCHDYNAMO_DISABLE": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    }
    script = Path(__file__).parent / "read_back.py"
    command = [sys.executable, "-P", str(script), str(talkative_checkpoint), str(tmp_path / "moved")]
    done = subprocess.run(
        command, env=os.environ | cpu_mode, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    read = json.loads(done.stdout.splitlines()[-1])
    assert len(read["parameters"]) > 50
    assert read["before"]["differ"] == read["parameters"]
    assert read["after"]["differ"] == []
    assert len(set(read["after"]["log_probs"])) == 1 < len(set(read["before"]["log_probs"]))


def said(transcripts):
    return {one.episode.question_id: [turn.reply for turn in one.turns] for one in transcripts}


@pytest.fixture
def cluster():
    """A Ray cluster of one node, with a place for one process that trains: its dashboard's address, its session."""
    folder = tempfile.mkdtemp(prefix="ray-")  # of its own; in tmp_path the names of its sockets would be too long
    address, session = next(filter(None, (start_head(folder) for _ in range(3))), (None, None))
    assert address, "Ray did not come up in three attempts"
    yield address, session
    end_session(session)
    shutil.rmtree(folder)


def start_head(folder):
    """The dashboard's address and the session of a Ray head; None if it did not come up.

    On a busy machine it may not have time, and beside another Ray one of the ports it draws may be taken meanwhile.
    """
    ports = [free_port() for _ in range(3)]
    options = [f"--port={ports[0]}", f"--dashboard-port={ports[1]}", f"--ray-client-server-port={ports[2]}"]
    options += ["--dashboard-agent-listen-port=0", f"--temp-dir={folder}"]
    scripts = Path(sys.executable).parent
    head = subprocess.Popen(
        [scripts / "ray", "start", "--head", "--num-cpus=4", "--num-gpus=1", *options],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PATH": f"{scripts}:{os.environ['PATH']}"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    address = f"http://127.0.0.1:{ports[1]}"
    if head.wait() == 0 and comes_true(lambda: is_up(f"{address}/api/version"), SECONDS_TO_COME_UP):
        return address, head.pid
    end_session(head.pid)
    return None


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def is_up(url):
    try:
        with urlopen(url, timeout=5):
            return True
    except OSError:
        return False


def test_a_cluster_gets_the_wheel_and_an_engine_that_dies_is_named(begin, cluster, tmp_path):
    from ray.job_submission import JobSubmissionClient

    out = tmp_path / "out"
    address, session = cluster
    run = begin(out, f"address={address}", "steps=200", "held_out=null", "keep=last")
    wait_for(lambda: Folder(out).resumes_from >= 1, run)
    (engine,) = processes_of(session, "EngineCore")
    engine.kill()
    _, errors = run.communicate(timeout=SECONDS)
    assert run.returncode == 1
    assert re.search(
        r"the trainer ended before its last step. RuntimeError: tinyworld.*played twice.*EngineDead", errors
    )
    assert f"the same command goes on from step {Folder(out).resumes_from}" in errors
    (job,) = JobSubmissionClient(address).list_jobs()
    assert job.status == "FAILED"
    assert job.runtime_env["py_modules"][0].endswith(".whl")
