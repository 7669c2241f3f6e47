"""The processes of a run: children of this one, or a job of a Ray cluster that is there already."""

import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from importlib.metadata import distributions
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from proactive_env.errors import InputError

_PAUSE_S = 1.0
_PATIENCE_S = 20.0
"""Seconds for Ray to end its processes by itself."""
_ENVIRONMENT = {
    "PYTHONUNBUFFERED": "1",
    "RAY_COLOR_PREFIX": "0",
    "RAY_DEDUP_LOGS": "0",  # a step's line must not be taken for a repetition
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_raylet_start_wait_time_s": "60",  # a busy machine takes longer than the usual 30
}


class Job(ABC):
    """A command that runs somewhere."""

    said = ""
    """What is known about how it ended, beside its own output."""

    @abstractmethod
    def poll(self) -> int | None:
        """The exit status; None while it runs."""

    @abstractmethod
    def end(self) -> None:
        """End it, if it runs, and all that it started."""


class LocalJob(Job):
    """A child process; it ends when this process is gone, however it went.

    Args:
        command: What runs.
        log: Where its output goes.
    """

    def __init__(self, command: list[str], log: Path) -> None:
        outside = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")  # of another launcher
        environment = {name: value for name, value in os.environ.items() if name not in outside}
        with log.open("a") as output:
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment | _ENVIRONMENT,
                start_new_session=True,  # Ctrl-C reaches this process alone, and all of that one's are found again
            )

    def poll(self) -> int | None:
        """See `Job.poll`."""
        return self._child.poll()

    def end(self) -> None:
        """See `Job.end`."""
        self._child.terminate()
        try:
            self._child.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        end_session(self._child.pid)


def end_session(session: int) -> None:
    """Kill all other processes of a session, Ray's and vLLM's orphans included.

    Args:
        session: The id of the process that leads it; nothing ends where that process leads none, as in a login shell.
    """
    import psutil

    for pid in psutil.pids():
        try:
            if os.getsid(pid) == session and pid != os.getpid():
                os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


class ClusterJob(Job):
    """A job of a Ray cluster, whose nodes see the run's folder under the same path as this machine.

    Where this package is installed from its source tree, the cluster gets a wheel of it; else its nodes must have it.

    Args:
        address: Of the cluster's dashboard, such as `http://head:8265`.
        command: What runs on the cluster's head.
        log: Where its output goes.

    Raises:
        InputError: there is no cluster, or no wheel can be built.
    """

    def __init__(self, address: str, command: list[str], log: Path) -> None:
        from ray.job_submission import JobSubmissionClient

        try:
            self._client = JobSubmissionClient(address)
        except (ConnectionError, RuntimeError) as error:
            raise InputError(f"address {address}: expected the dashboard of a Ray cluster; {error}") from error
        entrypoint = f"{shlex.join(['python', *command[1:]])} >> {shlex.quote(str(log))} 2>&1"
        with tempfile.TemporaryDirectory() as folder:
            environment: dict[str, Any] = {"env_vars": _ENVIRONMENT}
            if wheel := _wheel(Path(folder)):
                environment["py_modules"] = [str(wheel)]
            self._id = self._client.submit_job(entrypoint=entrypoint, runtime_env=environment)

    def poll(self) -> int | None:
        """See `Job.poll`."""
        from ray.job_submission import JobStatus

        status = self._client.get_job_status(self._id)
        if not status.is_terminal():
            return None
        self.said = str(self._client.get_job_info(self._id).message or "")
        return 0 if status == JobStatus.SUCCEEDED else 1

    def end(self) -> None:
        """See `Job.end`."""
        if self.poll() is None:
            self._client.stop_job(self._id)
            while self.poll() is None:
                time.sleep(_PAUSE_S)


def _wheel(folder: Path) -> Path | None:
    """A wheel of this package, built from the source tree that it is installed from; None: it is not."""
    found = (one.read_text("direct_url.json") for one in distributions(name="proactive-env"))
    origin = json.loads(next(filter(None, found), "{}"))
    if not origin.get("dir_info", {}).get("editable"):
        return None
    settings = folder / "build.cfg"  # a build folder of its own: setuptools would pack what an older build left
    settings.write_text(f"[build]\nbuild_base = {folder / 'build'}\n")
    source = urlparse(origin["url"]).path
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    built = subprocess.run(
        [*command, "--wheel-dir", str(folder), source],
        env=os.environ | {"DIST_EXTRA_CONFIG": str(settings)},
        capture_output=True,
        text=True,
        check=False,
    )
    if built.returncode:
        raise InputError(f"{source}: no wheel can be built for the cluster: {built.stderr.strip()}")
    return next(folder.glob("*.whl"))
