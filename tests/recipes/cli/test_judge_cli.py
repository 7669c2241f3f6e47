"""Judges from the command line, with a real HTTP server."""

import json
import zlib

import pytest
from chat_server import chat_server
from test_cli import proactive

from proactive_env.recipes.cli.judge import agreement


def rule(asked):
    if "New Turn" in asked:
        return "no"
    return str(1 + zlib.crc32(asked["Predicted Answer"].encode()) % 3)


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("PROACTIVE_ENV_CACHE", str(tmp_path / "cache"))
    with chat_server(rule) as running:
        yield running


def chat(server, *arguments, cwd, code=0):
    options = ("--judge", "chat", "--judge-url", server.url, "--judge-model", "m", "--json")
    return json.loads(proactive(*arguments, *options, cwd=cwd, code=code).stdout)


def test_scores_name_their_judge_and_what_it_took(server, tmp_path):
    result = chat(server, "eval", "--agent", "random?p=0.4", "--size", 6, "--out", "run", cwd=tmp_path)
    assert (result["judge"]["kind"], result["judge"]["model"], result["judge"]["levels"]) == ("chat", "m", 3)
    assert result["judge_usage"]["calls"] == len(server.asked) > 10
    assert len(set(server.asked)) == len(server.asked)
    again = chat(server, "score", "run", cwd=tmp_path)
    assert again["subsets"] == result["subsets"]
    assert (again["judge_usage"]["calls"], again["judge_usage"]["cached"]) == (0, len(server.asked))


def test_the_next_start_asks_only_what_is_missing(server, tmp_path):
    proactive("rollout", "--agent", "random?p=0.4", "--size", 6, "--out", "run", cwd=tmp_path)
    expected = chat(server, "score", "run", cwd=tmp_path)["subsets"]
    calls = len(server.asked)
    (tmp_path / "cache" / "judge.sqlite").unlink()
    server.asked.clear()
    server.faults = [None] * 5 + ["broken json"] * 3 + [None] * 4 + ["garbage"] * 3
    partly = chat(server, "score", "run", cwd=tmp_path, code=1)
    assert partly["unscored"]
    first = set(server.asked)
    answered = partly["judge_usage"]["calls"]
    server.asked.clear()
    final = chat(server, "score", "run", cwd=tmp_path)
    assert final["unscored"] == []
    assert final["subsets"] == expected
    assert 3 <= len(server.asked) <= 4
    assert first | set(server.asked) == first
    assert answered >= calls


def test_tables_by_a_chat_judge_name_its_model(server, tmp_path):
    options = ("--judge", "chat", "--judge-url", server.url, "--judge-model", "m")
    table = proactive("eval", "--agent", "oracle", "--size", 2, *options, cwd=tmp_path).stdout
    assert "judge m, prompts" in table
    assert "not comparable" not in table
    assert "answers from disk" in table


def test_check_asks_one_question_of_each_kind(server, tmp_path):
    options = ("--judge-url", server.url, "--judge-model", "m")
    result = json.loads(proactive("judge", "check", *options, "--json", cwd=tmp_path).stdout)
    assert [row["question"].split(",")[0] for row in result["answers"]] == ["coverage", "coverage", "repeats"]
    assert result["answers"][2]["answer"] is False
    assert len(server.asked) == 3
    server.faults = ["nonsense"] * 3
    assert "cannot be used" in proactive("judge", "check", *options, cwd=tmp_path).stdout


@pytest.mark.parametrize("fault", [401, 500])
def test_check_tells_what_is_wrong_with_the_server(server, tmp_path, fault):
    server.faults = [fault] * 99
    options = ("--judge-url", server.url, "--judge-model", "m")
    done = proactive("judge", "check", *options, cwd=tmp_path, code=1)
    assert server.url in done.stderr
    assert "Traceback" not in done.stderr


def test_compare_holds_two_judges_against_each_other(server, tmp_path):
    proactive("rollout", "--agent", "random?p=0.4", "--size", 6, "--out", "run", cwd=tmp_path)
    spec = f"chat:m?url={server.url}"
    result = json.loads(proactive("judge", "compare", "lexical", spec, "run", "--json", cwd=tmp_path).stdout)
    assert [judge["kind"] for judge in result["judges"]] == ["lexical", "chat"]
    assert result["coverage"]["questions"] > 10
    assert sum(map(sum, result["coverage"]["confusion"])) == result["coverage"]["questions"]
    same = json.loads(proactive("judge", "compare", "lexical", "lexical", "run", "--json", cwd=tmp_path).stdout)
    assert (same["coverage"]["agreement"], same["coverage"]["kappa"]) == (100.0, 1.0)
    assert "Cohen's kappa" in proactive("judge", "compare", "lexical", spec, "run", cwd=tmp_path).stdout


def test_kappa_by_hand():
    # Cohen 1960's situation: 20 yes/yes, 5 yes/no, 10 no/yes, 15 no/no: observed 0.70, expected 0.50
    pairs = [(1, 1)] * 20 + [(1, 0)] * 5 + [(0, 1)] * 10 + [(0, 0)] * 15 + [(None, 1)]
    one, two = (dict(enumerate(column)) for column in zip(*pairs, strict=True))
    result = agreement(one, two, categories=(0, 1))
    assert result["agreement"] == pytest.approx(70)
    assert result["kappa"] == pytest.approx(0.4)
    assert (result["questions"], result["unusable"]) == (50, 1)
    assert result["confusion"] == [[15, 10], [5, 20]]
    assert agreement({1: 2}, {1: 2}, categories=range(3))["kappa"] is None
    assert agreement({}, {}, categories=range(3))["agreement"] is None
