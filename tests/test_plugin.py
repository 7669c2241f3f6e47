"""Classes named by strings."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from proactive_env.plugin import load_class


def test_threads_that_load_a_file_at_once_get_one_class(tmp_path):
    file = tmp_path / "slow.py"
    file.write_text("import time\n\ntime.sleep(0.2)\n\n\nclass Mine: ...\n")
    together = Barrier(4)

    def load(_):
        together.wait()
        return load_class(f"{file}:Mine")

    with ThreadPoolExecutor(4) as threads:
        assert len(set(threads.map(load, range(4)))) == 1
