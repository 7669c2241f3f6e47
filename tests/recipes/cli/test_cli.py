"""The command line as its users run it: a process, its output, its files, its exit code."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from chat_server import chat_server

PROACTIVE = [str(Path(sys.executable).with_name("proactive"))]


def proactive(*arguments, cwd, code=0):
    command = [*PROACTIVE, *map(str, arguments)]
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "100"}
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.fixture
def benchmark(real_data):
    return real_data / "proactivevideoqa"


def evaluate(benchmark, agent, cwd, *options):
    arguments = ("--benchmark", "proactivevideoqa", "--data", benchmark, "--agent", agent, "--json", *options)
    return json.loads(proactive("eval", *arguments, cwd=cwd).stdout)


def test_silence_scores_exactly_25_on_the_real_videos(benchmark, tmp_path):
    result = evaluate(benchmark, "silent", tmp_path)
    assert result["judge"] == {"kind": "lexical", "model": None, "prompt_version": "1", "levels": 3}
    assert {name: row["pauc"] for name, row in result["subsets"].items()} == {
        name: {"0": 25.0, "0.5": 25.0, "1": 25.0} for name in ("WEB", "TV", "VAD")
    }


def test_the_scripted_agents_are_ordered_on_the_real_videos(benchmark, tmp_path):
    results = {agent: evaluate(benchmark, agent, tmp_path)["subsets"] for agent in ("oracle", "late", "chatter")}
    for name in ("WEB", "TV", "VAD"):
        oracle, late, chatter = (results[agent][name] for agent in ("oracle", "late", "chatter"))
        assert oracle["pauc"]["1"] == late["pauc"]["1"] == 100.0
        assert oracle["pauc"]["0"] >= late["pauc"]["0"]
        assert oracle["mean_delay_s"] <= late["mean_delay_s"]
        assert oracle["out_of_span"] == 0.0
        assert chatter["replies_per_question"] >= oracle["replies_per_question"]
    assert results["chatter"]["WEB"]["duplicates"] == 100.0


def test_ego_centric_questions_are_played_and_pooled(tmp_path):
    from builders import write_video
    from paths import ROOT

    root = shutil.copytree(ROOT / "tests" / "data" / "proactivevideoqa", tmp_path / "benchmark")
    write_video(root / "EGO" / "videos" / "kitchen.mp4", seconds=10)
    assert evaluate(root, "silent", tmp_path)["subsets"]["EGO"]["pauc"]["0.5"] == 25.0
    oracle = evaluate(root, "oracle", tmp_path)["subsets"]["EGO"]
    # frames a second, two a turn: the spans [1, 5] and [6, 10] are first met at 2 s and at 6 s
    assert (oracle["spans"], oracle["mean_delay_s"], oracle["pauc"]["0"]) == (2, 0.5, 100 * (0.8125 + 1) / 2)


def test_a_run_folder_scores_again_without_its_videos(benchmark, tmp_path):
    first = evaluate(benchmark, "oracle", tmp_path, "--out", "run")
    assert sorted(path.name for path in (tmp_path / "run").glob("[!.]*")) == [
        "config.yaml",
        "predictions.jsonl",
        "scores.json",
        "transcripts.jsonl",
    ]
    annotations = tmp_path / "annotations only"
    for subset in ("WEB", "TV", "VAD"):
        (annotations / subset).mkdir(parents=True)
        (annotations / subset / "anno.json").write_bytes((benchmark / subset / "anno.json").read_bytes())
    again = json.loads(proactive("score", "run", "--data", annotations, "--json", cwd=tmp_path).stdout)
    from_file = ("score", "--predictions", "run/predictions.jsonl", "--data", annotations, "--json")
    predictions = json.loads(proactive(*from_file, cwd=tmp_path).stdout)
    assert first["subsets"] == again["subsets"] == predictions["subsets"]
    row = json.loads((tmp_path / "run" / "predictions.jsonl").read_text().splitlines()[0])
    assert set(row) == {"question_id", "model_response_list"}
    assert set(row["model_response_list"][0]) == {"role", "content", "time"}


SLOW_AGENT = '''
import asyncio
from proactive_env.agents.scripted import Random
from proactive_env.agents.base import Conversation


class Slow(Random):
    """Random, but takes its time."""

    def open(self, history=(), episode=None):
        return Slowly(super().open(history, episode))


class Slowly(Conversation):
    def __init__(self, inner):
        self.inner = inner

    async def respond(self, observation):
        await asyncio.sleep(0.004)
        return await self.inner.respond(observation)
'''


def test_a_killed_rollout_resumes_to_the_same_bytes(tmp_path):
    (tmp_path / "slow.py").write_text(SLOW_AGENT)
    arguments = ("rollout", "--agent", "slow.py:Slow?p=0.4", "--size", "40", "--concurrency", "3", "--out")
    proactive(*arguments, "whole", cwd=tmp_path)
    draw = random.Random(0)
    transcripts = tmp_path / "killed" / "transcripts.jsonl"
    kills = 0
    while kills < 4:
        process = subprocess.Popen([*PROACTIVE, *arguments, "killed"], cwd=tmp_path, stdout=subprocess.DEVNULL)
        rows = draw.randint(1, 6) + (transcripts.read_bytes().count(b"\n") if transcripts.exists() else 0)
        while not (transcripts.exists() and transcripts.read_bytes().count(b"\n") >= rows):
            assert process.poll() is None, "the rollout ended before it could be killed"
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
        with transcripts.open("ab") as file:
            file.write(b'{"question_id": "torn')
    assert not (tmp_path / "killed" / "predictions.jsonl").exists()
    proactive(*arguments, "killed", cwd=tmp_path)
    whole, killed = ((tmp_path / name / "predictions.jsonl").read_bytes() for name in ("whole", "killed"))
    assert whole == killed
    assert transcripts.read_bytes().count(b"\n") == 40


def test_a_changed_config_is_refused_by_key(tmp_path):
    proactive("rollout", "--agent", "silent", "--size", 2, "--out", "run", cwd=tmp_path)
    options = ("--agent", "silent", "--size", 2, "--frame-interval", 2, "--out", "run")
    done = proactive("rollout", *options, cwd=tmp_path, code=1)
    assert "frame_interval: 1.0 then, 2.0 now" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_config_without_results_may_be_mended(tmp_path):
    run = ("rollout", "--size", 2, "--out", "run", "--agent")
    proactive(*run, "orcale", cwd=tmp_path, code=1)
    (tmp_path / "run" / "config.yaml").write_text("")  # as a process killed while writing would leave it
    proactive(*run, "oracle", cwd=tmp_path)


def test_two_processes_do_not_play_into_one_folder(tmp_path):
    (tmp_path / "slow.py").write_text(SLOW_AGENT)
    arguments = ("rollout", "--agent", "slow.py:Slow?p=0.4", "--size", "40", "--out", "run")
    first = subprocess.Popen([*PROACTIVE, *arguments], cwd=tmp_path, stdout=subprocess.DEVNULL)
    while not (tmp_path / "run" / "transcripts.jsonl").exists():
        time.sleep(0.01)
    first.send_signal(signal.SIGSTOP)
    done = proactive(*arguments, cwd=tmp_path, code=1)
    assert "another process is at work in this folder" in done.stderr
    (tmp_path / "run" / "transcripts.jsonl").rename(tmp_path / "played")  # as if it had no results yet
    recorded = (tmp_path / "run" / "config.yaml").read_text()
    proactive(*arguments, "--frame-interval", 2, cwd=tmp_path, code=1)
    assert (tmp_path / "run" / "config.yaml").read_text() == recorded
    first.kill()
    first.wait()


def test_a_killed_run_is_not_scored_silently(tmp_path):
    proactive("rollout", "--agent", "late", "--size", 3, "--out", "run", cwd=tmp_path)
    transcripts = tmp_path / "run" / "transcripts.jsonl"
    lines = transcripts.read_bytes().splitlines(keepends=True)
    transcripts.write_bytes(b"".join(lines[:2]) + "{torn é".encode()[:-1])
    assert "1 of 3 questions have no predictions" in proactive("score", "run", cwd=tmp_path, code=1).stderr


def test_a_run_is_scored_by_subset_or_not_at_all_by_other_options(benchmark, tmp_path):
    evaluate(benchmark, "late", tmp_path, "--out", "run")
    result = json.loads(proactive("score", "run", "--subset", "TV", "--json", cwd=tmp_path).stdout)
    assert list(result["subsets"]) == ["TV"]
    done = proactive("score", "run", "--benchmark", "tinyworld", cwd=tmp_path, code=1)
    assert "was played with benchmark 'proactivevideoqa', found 'tinyworld'" in done.stderr


def test_the_root_in_the_environment_is_part_of_the_run(benchmark, tmp_path, monkeypatch):
    monkeypatch.setenv("PROACTIVEVIDEOQA_ROOT", str(benchmark))
    options = ("--benchmark", "proactivevideoqa", "--agent", "late", "--subset", "TV", "--out", "run")
    proactive("rollout", *options, cwd=tmp_path)
    monkeypatch.delenv("PROACTIVEVIDEOQA_ROOT")
    proactive("score", "run", cwd=tmp_path)


def test_files_in_the_way_get_one_message(tmp_path):
    (tmp_path / "file").write_text("")
    done = proactive("rollout", "--agent", "silent", "--size", 1, "--out", "file", cwd=tmp_path, code=1)
    assert "file" in done.stderr
    assert "Traceback" not in done.stderr


def test_runs_are_compared_in_pairs(tmp_path):
    for agent in ("late", "oracle"):
        proactive("rollout", "--agent", agent, "--size", 6, "--out", agent, cwd=tmp_path)
    result = json.loads(proactive("score", "late", "oracle", "--json", cwd=tmp_path).stdout)
    gain = result["differences"]["oracle"]["TINYWORLD"]["pauc"]["0"]
    late, oracle = (result["runs"][name]["subsets"]["TINYWORLD"]["pauc"]["0"] for name in ("late", "oracle"))
    assert gain["difference"] == pytest.approx(oracle - late)
    assert 0 < gain["ci95"][0] <= gain["difference"] <= gain["ci95"][1]
    table = proactive("score", "late", "oracle", cwd=tmp_path).stdout
    assert "lexical judge: not comparable with published results" in table
    assert "PAUC and delay minus those of late" in table


def test_bad_rows_and_videos_fail_by_name_or_are_reported(tmp_path):
    from builders import episode, gold, write_video

    from proactive_env.datasets import jsonl

    write_video(tmp_path / "good.mp4")
    (tmp_path / "broken.mp4").write_bytes(b"not a video")
    episodes = [
        episode(gold(1, 5), question_id=name, duration=10, video=tmp_path / f"{name}.mp4")
        for name in ("good", "broken", "missing")
    ]
    jsonl.write(episodes, tmp_path / "episodes.jsonl")
    arguments = ("eval", "--benchmark", "jsonl", "--data", "episodes.jsonl", "--agent", "oracle", "--out")
    failed = proactive(*arguments, "strict", cwd=tmp_path, code=1)
    assert "broken.mp4" in failed.stderr or "missing.mp4" in failed.stderr
    assert "Traceback" not in failed.stderr
    with (tmp_path / "episodes.jsonl").open("a") as file:
        file.write('{"question_id": "no video"}\n')
    done = proactive(*arguments, "lenient", "--skip-bad", "--json", cwd=tmp_path)
    result = json.loads(done.stdout)
    assert result["subsets"]["ALL"]["questions"] == 1
    assert len(result["skipped"]) == 3
    for name in ("broken.mp4", "missing.mp4", "row 4, field video"):
        assert name in done.stderr
    again = proactive("score", "lenient", "--skip-bad", "--json", cwd=tmp_path)
    assert json.loads(again.stdout)["subsets"] == result["subsets"]
    assert "no predictions for question_id 'broken'" in again.stderr


def said(role):
    return {"role": role, "content": "A dog.", "time": 3.0}


PREDICTION = {"question_id": "tinyworld-0-test-00000", "model_response_list": [{"content": "A dog.", "time": 3.0}]}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["{"], "line 1: row: "),
        ([json.dumps(PREDICTION | {"model_response_list": [{"time": 1}]})], "model_response_list.0.content"),
        ([json.dumps(PREDICTION | {"model_response_list": [{"content": "x", "time": -1}]})], "0.time"),
        ([json.dumps(PREDICTION)] * 2, "line 2: question_id 'tinyworld-0-test-00000' stands twice"),
        ([json.dumps(PREDICTION | {"model_response_list": [said("model")]})], "found 'model'"),
        ([json.dumps(PREDICTION | {"model_response_list": [said("Assistant")]})], "found 'Assistant'"),
        ([json.dumps(PREDICTION | {"model_response_list": [said(None)]})], "found None"),
    ],
)
def test_bad_prediction_files_are_told(tmp_path, rows, message):
    (tmp_path / "p.jsonl").write_text("\n".join(rows) + "\n")
    arguments = ("score", "--benchmark", "tinyworld", "--size", 2, "--predictions", "p.jsonl")
    assert message in proactive(*arguments, cwd=tmp_path, code=1).stderr


def test_a_question_without_a_row_counts_as_silent(tmp_path):
    """facts.md: two questions and one row that scores 1.0 are 62.5; only the questions present are 100."""
    write_two_questions(tmp_path)
    row = {"question_id": "q0", "model_response_list": [{"content": "A red circle.", "time": 1.0}]}
    (tmp_path / "p.jsonl").write_text(json.dumps(row) + "\n")
    arguments = ("score", "--benchmark", "jsonl", "--data", "episodes.jsonl", "--predictions", "p.jsonl", "--json")
    done = proactive(*arguments, cwd=tmp_path)
    assert json.loads(done.stdout)["subsets"]["ALL"]["pauc"]["1"] == 62.5
    assert "1 of 2 questions have no row, the first is 'q1'; they count as silent" in done.stderr
    present = proactive(*arguments, "--present-only", cwd=tmp_path)
    assert json.loads(present.stdout)["subsets"]["ALL"]["pauc"]["1"] == 100
    assert "left out: not comparable" in present.stderr


def write_two_questions(folder):
    from builders import episode, gold, write_video

    from proactive_env.datasets import jsonl

    video = write_video(folder / "v.mp4")
    made = [episode(gold(1, 5), question_id=f"q{number}", duration=10, video=video) for number in range(2)]
    jsonl.write(made, folder / "episodes.jsonl")


def test_prediction_files_may_have_user_items_megabytes_and_more_keys(tmp_path):
    items = [
        {"role": "user", "content": None},
        {"content": "word " * 200_000, "time": 9.5, "confidence": 0.3},
        {"role": "assistant", "content": "NO REPLY", "time": 2},
        {"role": "assistant", "content": "A dog.", "time": 3},
    ]
    (tmp_path / "p.jsonl").write_text(json.dumps(PREDICTION | {"model_response_list": items, "seconds": 3}) + "\n")
    arguments = ("score", "--benchmark", "tinyworld", "--size", 1, "--predictions", "p.jsonl", "--json")
    result = json.loads(proactive(*arguments, "--out", "scored", cwd=tmp_path).stdout)
    assert result["subsets"]["TINYWORLD"]["replies_per_question"] == 2.0
    assert json.loads((tmp_path / "scored" / "scores.json").read_text())["subsets"] == result["subsets"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("eval", "--agent", "orcale"), "did you mean 'oracle'"),
        (("eval", "--agent", "oracle", "--benchmark", "mmduet"), "needs its folder"),
        (("eval", "--agent", "oracle", "--split", "trian"), "did you mean 'train'"),
        (("eval", "--agent", "oracle", "--frame-interval", "0"), "--frame-interval: Input should be greater than 0"),
        (("eval", "--agent", "oracle", "--judge", "lexicl", "--size", "1"), "did you mean 'lexical'"),
        (("score",), "give either folders of runs, each once, or --predictions"),
        (("score", "nowhere"), "config.yaml: expected the record of a run"),
    ],
)
def test_wrong_input_gets_one_clear_message(tmp_path, arguments, message):
    done = proactive(*arguments, cwd=tmp_path, code=1)
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_judge_that_is_down_leaves_questions_unscored_and_exits_non_zero(tmp_path):
    (tmp_path / "down.py").write_text(
        "from proactive_env.rewards import JudgeUnavailable, LexicalJudge\n"
        "class Down(LexicalJudge):\n"
        "    def coverage(self, question, gold, prediction, levels):\n"
        "        raise JudgeUnavailable('connection refused')\n"
    )
    arguments = ("eval", "--agent", "oracle", "--size", 3, "--judge", "down.py:Down", "--json")
    done = proactive(*arguments, cwd=tmp_path, code=1)
    assert len(json.loads(done.stdout)["unscored"]) == 3
    assert "3 questions are unscored" in done.stderr


def test_failed_turns_are_counted_exit_non_zero_and_are_played_again(tmp_path):
    thinking = {"choices": [{"finish_reason": "length", "message": {"content": None, "reasoning": "The video shows"}}]}
    with chat_server(lambda asked: "NO REPLY") as server:
        arguments = ("eval", "--agent", f"openai:m?url={server.url}", "--size", 2, "--concurrency", 1, "--out", "run")
        server.faults = [thinking] * 3
        done = proactive(*arguments, "--json", cwd=tmp_path, code=1)
        assert json.loads(done.stdout)["subsets"]["TINYWORLD"]["failed_turns"] == 3
        assert "3 turns failed in 1 of 2 episodes: 3 cut off while thinking" in done.stderr
        played = len(server.asked)
        assert "3 turns failed" in proactive("score", "run", cwd=tmp_path).stdout
        done = proactive(*arguments, "--json", cwd=tmp_path)
        assert json.loads(done.stdout)["subsets"]["TINYWORLD"]["failed_turns"] == 0
        assert 0 < len(server.asked) - played < played  # one of the two episodes
    assert len((tmp_path / "run" / "predictions.jsonl").read_text().splitlines()) == 2


def test_rewards_are_listed(tmp_path):
    listed = json.loads(proactive("rewards", "--json", cwd=tmp_path).stdout)
    assert {row["name"]: row["weight"] for row in listed} == {"pauc": 3, "replication": 2, "in_span": 0.5, "prefix": 2}
    assert all(row["scope"] and row["description"].endswith(".") for row in listed)
    assert "replication" in proactive("rewards", cwd=tmp_path).stdout
