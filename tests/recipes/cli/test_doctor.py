"""`proactive doctor` as its users run it: the facts, the tables, and what makes it fail."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from proactive_env import agents
from proactive_env.recipes import doctor

PROACTIVE = str(Path(sys.executable).with_name("proactive"))


def run_doctor(*arguments, code=0, **environment):
    environment = {**os.environ, "COLUMNS": "80", **{name: str(value) for name, value in environment.items()}}
    command = [PROACTIVE, "doctor", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def write_benchmark(root, rows):
    (root / "WEB" / "videos").mkdir(parents=True)
    (root / "WEB" / "anno.json").write_text(json.dumps(rows))
    return root


ROW = {
    "question_id": "q",
    "video": "a.mp4",
    "duration": 10,
    "conversation": [{"content": "What appears?", "time": 0}],
    "answer": [{"content": "A dog.", "related_timespan": [1, 2], "reply_timespan": [1, 4]}],
}


def test_the_facts(tmp_path):
    root = write_benchmark(tmp_path / "benchmark", [ROW, {"question_id": "bad"}])
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "kept").write_bytes(b"12345")
    facts = json.loads(run_doctor("--json", PROACTIVEVIDEOQA_ROOT=root, PROACTIVE_ENV_CACHE=cache).stdout)
    for name in ("python", "proactive-env", "gymnasium", "numpy", "av", "ffmpeg"):
        assert facts["versions"][name]
    assert {"torch", "transformers", "vllm", "ray", "openrlhf", "openai", "huggingface_hub"} <= set(facts["versions"])
    assert "libavcodec" in facts["ffmpeg_libraries"]
    assert facts["machine"]["cpu_cores"] >= 1
    assert facts["machine"]["memory_bytes"] > 10**8
    assert facts["cache"] == {"folder": str(cache), "bytes": 5, "writable": True, "problem": None}
    assert set(facts["video"].values()) == {None}
    assert facts["proactivevideoqa"] == {"root": str(root), "episodes": 1, "bad_rows": 1, "problem": None}
    assert set(facts["agents"]) == set(agents.KINDS)
    assert facts["agents"]["oracle"] == {"runs": True, "missing": []}
    assert facts["judges"]["lexical"] == {"runs": True, "missing": []}
    assert facts["extras"]["hub"]["install"] == "pip install -e '.[hub]' in the checkout of proactive-env"
    assert facts["broken"] == []
    assert list(cache.iterdir()) == [cache / "kept"]


def test_the_tables_fit_80_columns(tmp_path):
    long = tmp_path / ("a folder with a long name " * 4).strip()
    root = write_benchmark(long, [ROW])
    shown = run_doctor(PROACTIVEVIDEOQA_ROOT=root, PROACTIVE_ENV_CACHE=long / "[cache]").stdout
    assert max(map(len, shown.splitlines())) <= 80
    for expected in (
        "gymnasium",
        "CPU cores",
        "hub",
        "libx264 encoding",
        "episodes: 1",
        "oracle",
        "lexical",
        "[cache]",
    ):
        assert expected in shown


@pytest.mark.parametrize(("content", "message"), [(None, "no such file or folder"), ([], "no usable episode")])
def test_a_broken_data_set_is_reported_and_breaks_nothing_else(tmp_path, content, message):
    root = tmp_path / "benchmark" if content is None else write_benchmark(tmp_path / "benchmark", content)
    real = json.loads(run_doctor("--json", PROACTIVEVIDEOQA_ROOT=root).stdout)["proactivevideoqa"]
    assert real["episodes"] == 0
    assert message in real["problem"]
    assert message in " ".join(run_doctor(PROACTIVEVIDEOQA_ROOT=root, COLUMNS=300).stdout.split())


def test_a_cache_that_cannot_be_written_fails(tmp_path):
    (tmp_path / "file").write_text("in the way")
    done = run_doctor("--json", code=1, PROACTIVE_ENV_CACHE=tmp_path / "file" / "cache")
    facts = json.loads(done.stdout)
    assert facts["cache"]["writable"] is False
    assert facts["broken"] == [done.stderr.strip()]
    assert str(tmp_path / "file" / "cache") in done.stderr
    assert "PROACTIVE_ENV_CACHE" in done.stderr


def test_requirements_are_told_apart_by_extra(monkeypatch):
    declared = [
        "numpy>=2",
        "pyyaml>=99",
        "no-such-distribution>=1 ; extra == 'train'",
        "rich>=14 ; extra == 'train'",
        "proactive-env[train] ; extra == 'all'",
        "pydantic>=99 ; sys_platform == 'never' and extra == 'all'",
    ]
    monkeypatch.setattr(doctor, "requires", lambda name: declared)
    assert doctor._missing("") == ["pyyaml>=99"]
    assert doctor._missing("train") == doctor._missing("all") == ["no-such-distribution>=1"]


def test_an_agent_whose_modules_are_missing_cannot_run(monkeypatch):
    monkeypatch.setattr(doctor, "_NEEDS", {"oracle": ("json", "no_such_module")})
    facts = doctor.collect()
    assert facts["agents"]["oracle"] == {"runs": False, "missing": ["no_such_module"]}
    assert facts["agents"]["silent"]["runs"]


def test_an_encoder_that_fails_is_told(monkeypatch):
    def fail(*arguments, **options):
        raise ValueError("no such codec")

    monkeypatch.setattr(doctor.av, "open", fail)
    encoding, decoding = doctor.collect()["broken"]
    assert encoding == "encoding with libx264: ValueError: no such codec"
    assert decoding.startswith("decoding H.264: not tried")


def test_gpus_are_those_that_nvidia_smi_lists(monkeypatch, tmp_path):
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'NVIDIA Fast, Inside, 81559'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(doctor, "find_spec", lambda module: None)
    assert doctor._gpu() == {
        "asked": "nvidia-smi",
        "devices": [{"name": "NVIDIA Fast, Inside", "memory_bytes": 81559 * 2**20}],
        "problem": None,
    }
    program.write_text("#!/bin/sh\nexit 9\n")
    assert "9" in doctor._gpu()["problem"]
