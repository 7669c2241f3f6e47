"""The job that trains, `python -m proactive_env.recipes.training.grpo.trainer.launch OUT`: here or on a Ray cluster.

It plays the held-out episodes with the weights at the start, runs OpenRLHF's trainer, makes OUT a checkpoint, and plays
the held-out episodes again. Everything that it learns goes into OUT.
"""

import json
import os
import runpy
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from proactive_env.agents.models.engine import Decoding
from proactive_env.agents.models.vllm import CPU_SETTINGS
from proactive_env.environment import EnvironmentArguments
from proactive_env.recipes.record import read_record
from proactive_env.recipes.training.grpo.config import GrpoConfig
from proactive_env.recipes.training.grpo.folder import FAILURE, HELD_OUT_ROWS, Folder
from proactive_env.recipes.training.grpo.follow.jobs import end_session
from proactive_env.recipes.training.grpo.prepare.flags import flags
from proactive_env.recipes.training.grpo.prepare.preflight import Measures
from proactive_env.recipes.training.grpo.task import Task
from proactive_env.recipes.training.grpo.trainer.checkpoint import export
from proactive_env.recipes.training.grpo.trainer.hook import CREDIT

SETUP_HOOK = "proactive_env.recipes.training.grpo.trainer.hook.install"
TRAINER = "openrlhf.cli.train_ppo_ray"
CPU = Path(__file__).parent / "cpu" / "sitecustomize.py"
_ATTEMPTS = 3
"""To start a Ray of its own."""
_ENVIRONMENT = {"TOKENIZERS_PARALLELISM": "false", "VLLM_NO_USAGE_STATS": "1"}
_ON_A_CPU = {
    "PYTHONPATH": os.pathsep.join(filter(None, [str(CPU.parent), os.environ.get("PYTHONPATH")])),
    "DS_ACCELERATOR": "cpu",
    "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(os.cpu_count())),  # Ray's own choice is 1
    **{name: os.environ.get(name, value) for name, value in CPU_SETTINGS.items()},
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # one process less for each engine
}


def main(out: Path) -> None:
    """Train the run whose folder is `out`; what goes wrong is written to its `failure.txt`."""
    config = read_record(out, GrpoConfig)
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    if config.address is None:
        threading.Thread(target=_end_with_the_parent, daemon=True).start()
    try:
        _train(config, out)
    except Exception as error:
        traceback.print_exc()
        (out / FAILURE).write_text(_first_cause(error))
        sys.exit(1)
    finally:
        if config.address is None:
            end_session(os.getpid())


def _train(config: GrpoConfig, out: Path) -> None:
    folder, steps = Folder(out), Measures.read(out).steps
    if folder.trained(steps) is None:
        with _ray(config) as cuda:
            if config.held_out and 0 not in folder.evaluated():
                _evaluate(config, folder, config.model, 0)
            if not cuda:
                runpy.run_path(str(CPU))
            sys.argv = [TRAINER, *flags(config, out, most_images=Measures.read(out).most_images, cuda=cuda)]
            runpy.run_module(TRAINER, run_name="__main__")
    weights = folder.trained(steps)
    assert weights is not None
    export(weights, config.model, out)
    if config.held_out and not folder.has_evaluation(steps):
        with _ray(config):
            _evaluate(config, folder, str(out), steps)


@contextmanager
def _ray(config: GrpoConfig) -> Iterator[bool]:
    """A connection to the cluster, or to one in this process; yields whether there are GPUs.

    Afterwards what was placed is free again: OpenRLHF gives nothing back before.
    """
    import ray

    here = config.address is None
    cuda = _has_cuda(config)
    environment = _ENVIRONMENT | ({} if cuda else _ON_A_CPU)
    if config.credit == "turn":
        environment |= {CREDIT: json.dumps({"discount": config.discount, "decoupled": config.decoupled})}
    os.environ.update(environment)
    alone: dict[str, Any] = {"num_cpus": max(os.cpu_count() or 1, config.all_gpus + 2), "include_dashboard": False}
    if not cuda:
        alone["num_gpus"] = config.all_gpus  # places for processes
    options = {"address": "local", **alone} if here else {"address": "auto"}
    for left in reversed(range(_ATTEMPTS)):
        try:
            ray.init(runtime_env={"env_vars": environment, "worker_process_setup_hook": SETUP_HOOK}, **options)
            break
        except Exception as error:  # Ray raises no other; it gives its agents 15 s, which a busy machine may not have
            if not left or "timed out during startup" not in str(error):
                raise
    try:
        yield cuda
    finally:
        ray.shutdown()


def _has_cuda(config: GrpoConfig) -> bool:
    """Whether what Ray calls a GPU is one."""
    import ray
    import torch

    if config.address is None:
        return torch.cuda.is_available()
    ray.init(address="auto")
    try:
        return bool(ray.get(ray.remote(num_gpus=1)(torch.cuda.is_available).remote()))
    finally:
        ray.shutdown()


def _evaluate(config: GrpoConfig, folder: Folder, model: str, step: int) -> None:
    import ray

    play = ray.remote(num_gpus=config.tensor_parallel, max_calls=1)(_play_held_out)
    ray.get(play.remote(config, folder, model, step))


def _play_held_out(config: GrpoConfig, folder: Folder, model: str, step: int) -> None:
    """Play the held-out episodes greedily, as the executor does, on an engine of the training's precision."""
    from proactive_env import agents
    from proactive_env.recipes.training.held_out import HeldOut

    assert config.held_out is not None
    play = config.play
    ids = {Task.model_validate_json(row["label"]).question_id for row in folder.rows(HELD_OUT_ROWS)}
    episodes = [episode for episode in config.held_out.load(lambda _: None) if episode.question_id in ids]
    decoding = Decoding(format=play.format, max_new_tokens=play.max_new_tokens, max_context=play.max_tokens)
    environment: EnvironmentArguments = {
        "frame_interval": play.frame_interval,
        "frames_per_turn": play.frames_per_turn,
        "max_pixels": play.max_pixels,
    }
    held_out = HeldOut(episodes, environment, decoding)
    engine = {
        "dtype": "bfloat16",
        "max_model_len": play.max_tokens,
        "max_frames": Measures.read(folder.path).most_images,
        "tensor_parallel_size": config.tensor_parallel,
        "gpu_memory_utilization": config.gpu_memory,
    }
    with agents.load(f"vllm:{model}", **engine, **decoding.model_dump(exclude_defaults=True)) as agent:
        folder.write_evaluation(step, held_out.play(agent))


def _first_cause(error: BaseException) -> str:
    """What went wrong first: the error of a Ray task names that of the task that it waited for, and so on."""
    from ray.exceptions import RayTaskError

    while isinstance(error, RayTaskError) and isinstance(error.cause, BaseException) and error.cause is not error:
        error = error.cause
    return f"{type(error).__name__}: {error}"


def _end_with_the_parent() -> None:
    """Standard input closes when the process that started this one is gone, however it went."""
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
