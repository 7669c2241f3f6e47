"""Runs of a few steps: they can be killed, shared between processes, and what they write loads as an agent."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch
import yaml
from filelock import FileLock
from safetensors.torch import load_file
from typer.testing import CliRunner

from proactive_env import agents
from proactive_env.errors import InputError
from proactive_env.recipes.cli import app
from proactive_env.recipes.record import load_config
from proactive_env.recipes.training.sft.config import PRESETS, SftConfig
from proactive_env.recipes.training.sft.run import train

FEW = {
    "model": "tiny",
    "train": {"benchmark": "tinyworld", "split": "train", "size": 12},
    "learning_rate": 1e-3,
    "warmup": 0.0,
    "steps": 4,
    "batch_size": 2,
    "accumulation": 2,
    "log_every": 1,
    "save_every": 1,
    "report_to": [],
}

HELD_OUT = {"benchmark": "tinyworld", "split": "validation", "size": 2}


def config_file(folder, **changes):
    file = folder / "few.yaml"
    file.write_text(yaml.safe_dump(FEW | changes))
    return file


def begin(file, out, *launcher):
    """A run in processes of its own, each with one thread: sums depend on how many there are."""
    command = [sys.executable, *launcher, "-m", "proactive_env.recipes.cli", "sft", "--config", file, "--out", out]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)


def finish(run):
    _, errors = run.communicate(timeout=600)
    assert run.returncode == 0, errors


def losses(out):
    state = max(out.glob("checkpoints/checkpoint-*/trainer_state.json"), key=lambda file: file.stat().st_mtime)
    return [entry["loss"] for entry in json.loads(state.read_text())["log_history"] if "loss" in entry]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """Six steps, four an epoch, some of whose batches have no pictures."""
    file = tmp_path_factory.mktemp("mixed") / "chat.jsonl"
    file.write_text('{"messages": [{"role": "user", "content": "Hello?"}, {"role": "assistant", "content": "Hi."}]}')
    return {"mix": [{"file": str(file), "ratio": 1 / 3}], "steps": 6}


@pytest.fixture(scope="module")
def whole(tmp_path_factory, mixed):
    """The folder of an uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole")
    finish(begin(config_file(folder, **mixed), folder / "out"))
    return folder / "out"


def test_a_run_that_was_killed_goes_on_to_the_same_weights(tmp_path, whole, mixed):
    out = tmp_path / "out"
    run = begin(config_file(tmp_path, **mixed), out)
    while not list(out.glob("checkpoints/checkpoint-2/trainer_state.json")):
        assert run.poll() is None
        time.sleep(0.01)
    os.killpg(run.pid, signal.SIGKILL)
    run.communicate()
    assert not (out / "model.safetensors").exists()
    finish(begin(config_file(tmp_path, **mixed), out))
    assert losses(out) == losses(whole)
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (out, whole))
    assert ours.keys() == theirs.keys()
    for name, weights in ours.items():
        assert torch.equal(weights, theirs[name]), name


def test_two_processes_even_if_killed_do_what_one_does_with_twice_the_accumulation(tmp_path, whole, mixed):
    out = tmp_path / "out"
    file = config_file(tmp_path, accumulation=1, held_out=HELD_OUT, **mixed)
    for _ in range(2):
        finish(begin(file, out, "-m", "torch.distributed.run", "--nproc-per-node", "2"))
        assert losses(out) == pytest.approx(losses(whole), rel=1e-4)
        assert losses(out)[-1] < losses(out)[0]
        ours, theirs = (load_file(folder / "model.safetensors") for folder in (out, whole))
        for name, weights in ours.items():
            torch.testing.assert_close(weights, theirs[name], rtol=0, atol=1e-4)
        shutil.rmtree(out / "checkpoints/checkpoint-6")  # the next one goes on inside the second epoch
        (out / "result.json").unlink()


def test_what_is_written_loads_as_an_agent_and_records_its_config(whole, tinyworld):
    recorded = yaml.safe_load((whole / "config.yaml").read_text())
    assert recorded["config"]["steps"] == 6
    assert json.loads((whole / "generation_config.json").read_text())["do_sample"] is False
    with agents.load(f"transformers:{whole}") as agent:
        assert agent.engine.longest_context > 0


def test_a_finished_run_refuses_another_config(whole, tmp_path):
    with pytest.raises(InputError, match=r"learning_rate: 0\.001 then, 0\.01 now"):
        start(tmp_path, whole, learning_rate=0.01)


def start(folder, out, **changes):
    """A run in this process."""
    config = load_config(str(config_file(folder, **changes)), SftConfig, [], folder)
    return train(config, out, on_start=lambda total, done: None, on_episode=lambda: None)


def weights_of(out):
    return load_file(out / "model.safetensors")


def test_frozen_parts_stay_and_the_others_move(tmp_path):
    start(tmp_path, tmp_path / "out", freeze=["vision", "language"], steps=1, accumulation=1, report_to=["tensorboard"])
    before = weights_of(tiny(tmp_path))
    moved = {name for name, weights in weights_of(tmp_path / "out").items() if not torch.equal(weights, before[name])}
    assert moved
    assert all("merger" in name for name in moved)
    assert list((tmp_path / "out").rglob("events.out.tfevents*"))


def tiny(folder):
    from proactive_env.recipes.training.tiny import make_tiny

    make_tiny(folder / "tiny")
    return folder / "tiny"


def test_adapters_are_merged_into_the_final_checkpoint(tmp_path):
    start(tmp_path, tmp_path / "out", lora={"rank": 2, "alpha": 4}, steps=1, accumulation=1, learning_rate=0.1)
    before = weights_of(tiny(tmp_path))
    after = weights_of(tmp_path / "out")
    moved = {name for name, weights in after.items() if not torch.equal(weights, before[name])}
    assert after.keys() == before.keys()
    assert moved
    assert all(".layers." in name and "visual" not in name for name in moved)


def test_adapters_go_on_from_a_checkpoint(tmp_path):
    changes = {"lora": {"rank": 2, "alpha": 4, "dropout": 0.1}, "steps": 2, "accumulation": 1}
    start(tmp_path, tmp_path / "out", **changes)
    expected = weights_of(tmp_path / "out")
    shutil.rmtree(tmp_path / "out/checkpoints/checkpoint-2")
    (tmp_path / "out/result.json").unlink()
    start(tmp_path, tmp_path / "out", **changes)
    found = weights_of(tmp_path / "out")
    for name, weights in expected.items():
        assert torch.equal(found[name], weights), name


def test_bfloat16_and_recomputed_activations_give_nearly_the_same_loss(tmp_path):
    start(tmp_path, tmp_path / "plain", steps=1, accumulation=1)
    start(tmp_path, tmp_path / "spare", steps=1, accumulation=1, bf16=True, gradient_checkpointing=True)
    assert losses(tmp_path / "spare") == pytest.approx(losses(tmp_path / "plain"), rel=0.01)
    assert losses(tmp_path / "spare") != losses(tmp_path / "plain")


def printed(file, out, *options):
    done = CliRunner().invoke(app, ["sft", "--config", str(file), "--out", str(out), *options])
    assert done.exit_code == 0, done.output
    return done.stdout


def contents(folder):
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_a_finished_run_is_not_trained_again(tmp_path):
    out = tmp_path / "out"
    file = config_file(
        tmp_path, steps=2, accumulation=1, held_out=HELD_OUT, format="open_turn", max_tokens=2000, frame_interval=0.5
    )
    first, before = printed(file, out, "--json"), contents(out)
    assert printed(file, out, "--json") == first
    told = printed(file, out)
    assert f"proactive eval --agent 'transformers:{out}?format=open_turn&max_context=2000'" in told
    assert told.endswith("--frame-interval 0.5 --benchmark tinyworld\n")
    assert contents(out) == before
    (out / "result.json").unlink()  # as if it was killed after its last step
    again = json.loads(printed(file, out, "--json"))
    assert again["summary"] == pytest.approx(json.loads(first)["summary"], rel=1e-4)
    assert contents(out / "checkpoints").items() <= before.items()
    assert contents(out)[out / "model.safetensors"] == before[out / "model.safetensors"]


@pytest.mark.parametrize("form", ["no_reply", "open_turn"])
def test_held_out_episodes_are_played_by_the_model_as_it_is(tmp_path, form):
    file = config_file(
        tmp_path,
        format=form,
        steps=2,
        accumulation=1,
        balance=0.99,
        evaluate_every=1,
        held_out=HELD_OUT,
    )
    result = json.loads(printed(file, tmp_path / "out", "--json"))
    assert result["runs"]["oracle"]["subsets"]["TINYWORLD"]["pauc"]["0.5"] > 90
    assert set(result["summary"]) >= {"pauc", "replies", "silent_turns", "p_speak_visible"}
    state = json.loads((tmp_path / "out/checkpoints/checkpoint-2/trainer_state.json").read_text())
    played = [entry for entry in state["log_history"] if "eval_pauc" in entry]
    assert [entry["step"] for entry in played] == [1, 2]
    assert 0 <= played[-1]["eval_p_speak_visible"] <= 1


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"learning_rat": 1}, "no key learning_rat; did you mean 'learning_rate'"),
        ({"train": {"benchmark": "jsonl", "data": "empty.jsonl"}}, "holds no usable episode"),
        ({"train": {"benchmark": "jsonl", "data": "outside.jsonl"}}, "must lie inside the video"),
        ({"model": "bare"}, "its processor cannot be loaded"),
        ({"model": "./nowhere"}, "'./nowhere' is neither the folder of a checkpoint nor"),
        ({"report_to": ["wandb"]}, "the config names wandb: pip install wandb"),
        ({"max_tokens": 100}, "max_tokens: Input should be greater than or equal to 256"),
    ],
)
def test_bad_input_is_an_error_before_the_first_step(tmp_path, monkeypatch, tinyworld, changes, problem):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.jsonl").touch()
    video = tinyworld[0].video
    (tmp_path / video.name).write_bytes(video.read_bytes())
    outside = tinyworld[0].model_copy(update={"video": video.name, "duration": None}).model_dump(mode="json")
    outside["gold"][0]["reply_span"] = outside["gold"][0]["related_span"] = [500, 510]
    (tmp_path / "outside.jsonl").write_text(json.dumps(outside))
    (tmp_path / "bare").mkdir()
    config = json.loads((tiny(tmp_path) / "config.json").read_text())
    (tmp_path / "bare" / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=problem):
        start(tmp_path, tmp_path / "out", **changes)
    assert not (tmp_path / "out").exists()


def test_two_processes_do_not_train_into_one_folder(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    with FileLock(out / ".lock"), pytest.raises(InputError, match="another process is at work in this folder"):
        start(tmp_path, out)
    assert not (out / "config.yaml").exists()


@pytest.mark.parametrize("preset", ["tinyworld", "mmduet2"])
def test_presets_are_configs(preset):
    assert load_config(preset, SftConfig, [], PRESETS).format == "no_reply"
