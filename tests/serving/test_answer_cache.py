"""The cache of answers: what is put is got, by any number of processes."""

import multiprocessing
import sqlite3

import pytest

from proactive_env.serving.cache import AnswerCache


@pytest.mark.parametrize("answer", [0, 2, True, "a \u2028 text", ["x", None], {"a": {"b": 1.5}}])
def test_what_is_put_is_got(tmp_path, answer):
    cache = AnswerCache(tmp_path / "answers.sqlite")
    cache.put("key", answer)
    assert AnswerCache(cache.file).get("key") == answer
    assert cache.get("other") is None


def test_caches_of_numbers_stay_usable(tmp_path):
    file = tmp_path / "judge.sqlite"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE answers (key TEXT PRIMARY KEY, answer INTEGER NOT NULL)")
        connection.execute("INSERT INTO answers VALUES ('old', 2)")
    connection.close()
    cache = AnswerCache(file)
    cache.put("new", 1)
    assert (cache.get("old"), cache.get("new")) == (2, 1)


def test_many_processes_share_it(tmp_path):
    file = tmp_path / "shared.sqlite"
    spawn = multiprocessing.get_context("spawn")
    together = spawn.Barrier(4)
    workers = [spawn.Process(target=fill, args=(file, n, together)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4
    connection = sqlite3.connect(file)
    assert connection.execute("SELECT COUNT(*) FROM answers").fetchone() == (200,)
    connection.close()


def fill(file, number, together):
    cache = AnswerCache(file)
    together.wait()
    for index in range(100):
        cache.put(f"{number // 2}-{index}", index)
        assert cache.get(f"{number // 2}-{index}") == index
