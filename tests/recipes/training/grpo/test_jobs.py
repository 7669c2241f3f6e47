"""What ends with a run, and what does not."""

import subprocess
import sys
import time

import psutil

from proactive_env.recipes.training.grpo.follow.jobs import end_session

SLEEPS = [sys.executable, "-c", "import time; time.sleep(60)"]


def test_only_the_session_that_a_process_leads_ends():
    """A trainer started by hand leads no session: the person's other processes in it stay."""
    here = [subprocess.Popen(SLEEPS) for _ in range(2)]
    leader = subprocess.Popen(
        [sys.executable, "-c", f"import subprocess; subprocess.Popen({SLEEPS!r}); import time; time.sleep(60)"],
        start_new_session=True,
    )
    try:
        while not (children := psutil.Process(leader.pid).children()):
            time.sleep(0.05)
        end_session(here[0].pid)
        end_session(leader.pid)
        leader.wait(10)
        psutil.wait_procs(children, timeout=10)
        assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children)
        assert [process.poll() for process in here] == [None, None]
    finally:
        for process in here:
            process.kill()
            process.wait()
