"""Builds on two workers of a local Ray until the server fails, waits for a line, and goes on: a script of the tests."""

import sys
from pathlib import Path

import ray

from proactive_env.errors import ChatUnavailable
from proactive_env.recipes.data.construct.config import BuildConfig
from proactive_env.recipes.data.construct.engines import run_ray
from proactive_env.recipes.data.construct.run import Build

url, videos = sys.argv[1:]
config = BuildConfig(model="m", server={"url": url, "retries": 0}, rl_videos={"web": 1}, videos=Path(videos))
ray.init(address="local", num_cpus=2, log_to_driver=False, include_dashboard=False)
try:
    Build(Path("out"), config, run_ray).run()
except ChatUnavailable:
    sys.stdout.write("stopped\n")
    sys.stdout.flush()
sys.stdin.readline()
build = Build(Path("out"), config, run_ray)
build.run()
sys.stdout.write(f"{build.usage.calls}\n")
