"""A run as a folder: prompt rows, measures, log, curves, evaluations, checkpoints; the folder itself is the last one.

The trainer runs in processes of its own, which end with this one; this one prepares, follows the log, and scores.
"""

import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TextIO

from proactive_env.agents.models.checkpoint import load_processor
from proactive_env.errors import TrainingError
from proactive_env.recipes.record import RECORD, alone, record
from proactive_env.recipes.training.grpo.config import GrpoConfig
from proactive_env.recipes.training.grpo.folder import AGENT, FAILURE, HELD_OUT_ROWS, LOG, ROWS, STEPS, Folder
from proactive_env.recipes.training.grpo.follow.curves import Evaluated, Step, read_line
from proactive_env.recipes.training.grpo.follow.evaluations import Evaluations
from proactive_env.recipes.training.grpo.follow.jobs import ClusterJob, Job, LocalJob
from proactive_env.recipes.training.grpo.prepare.batches import batches
from proactive_env.recipes.training.grpo.prepare.preflight import Measures, check_software, measure
from proactive_env.recipes.training.grpo.prepare.windows import Row, check_apart, held_out, windows
from proactive_env.recipes.training.grpo.trainer.checkpoint import export

_PAUSE_S = 0.5
_TAIL = 15
"""Lines of the log that a failure shows."""

_AGENT = '''"""What OpenRLHF's rollout workers load."""

from pathlib import Path

from proactive_env.recipes.record import read_record
from proactive_env.recipes.training.grpo.config import GrpoConfig
from proactive_env.recipes.training.grpo.worker.executor import ProactiveExecutor

FOLDER = Path(__file__).parent


class AgentExecutor(ProactiveExecutor):
    def __init__(self) -> None:
        super().__init__(read_record(FOLDER, GrpoConfig).play, FOLDER)
'''


class Listener:
    """Hears how a run goes; subclasses override what they want to hear."""

    def skipped(self, reason: str) -> None:
        """An episode was left out."""

    def measured(self, measures: Measures) -> None:
        """Nothing stands against the start."""

    def begun(self, step: int) -> None:
        """The trainer's processes start; they go on after a step, or begin after step 0."""

    def step(self, step: Step) -> None:
        """A step is done."""

    def evaluation(self, row: dict[str, Any]) -> None:
        """The held-out episodes were played and scored."""


def train(config: GrpoConfig, out: Path, listener: Listener) -> Evaluations | None:
    """Train, or go on where a run into the same folder was stopped; `out` becomes the checkpoint.

    Args:
        config: Must be the folder's own if it holds a run.
        out: The run's folder; on a cluster all nodes see it under this path.
        listener: Hears how it goes.

    Returns:
        The evaluations, if there are held-out episodes.

    Raises:
        InputError: something that the config names cannot be used, or it is not the folder's own.
        TrainingError: the trainer failed; the message says why.
    """
    check_software(config)
    folder = Folder(out.resolve())
    begun = (folder.path / RECORD).exists()
    if begun:
        record(folder.path, config, begun=True)
    if not folder.finished:
        measures, rows, held_out_rows = _prepare(config, listener)
        with alone(folder.path):
            if not begun:
                record(folder.path, config, begun=False)
            folder.write_rows(ROWS, rows)
            folder.write_rows(HELD_OUT_ROWS, held_out_rows)
            measures.write(folder.path)
            (folder.path / AGENT).write_text(_AGENT)
            listener.measured(measures)
            _run(config, folder, measures.steps, listener)
    if not config.held_out:
        return None
    evaluations = Evaluations(config, folder)
    for row in evaluations.update():
        listener.evaluation(row)
    return evaluations


def _prepare(config: GrpoConfig, listener: Listener) -> tuple[Measures, list[Row], list[Row]]:
    episodes = config.train.load(listener.skipped)
    held_out_episodes = config.held_out.load(listener.skipped) if config.held_out else ()
    check_apart(episodes, held_out_episodes)
    rows = batches(config, windows(config, episodes, listener.skipped))
    held_out_rows = held_out(config, held_out_episodes, listener.skipped) if config.held_out else []
    return measure(config, rows, held_out_rows, episodes, held_out_episodes), rows, held_out_rows


def _run(config: GrpoConfig, folder: Folder, steps: int, listener: Listener) -> None:
    """Run the trainer to its end, and hand on what its log tells."""
    step = folder.go_back(steps)
    evaluations = Evaluations(config, folder) if config.held_out else None
    processor = load_processor(config.model)
    # -P: what lies in the current folder is not imported, such as the source tree's own proactive_env
    command = [sys.executable, "-P", "-m", "proactive_env.recipes.training.grpo.trainer.launch", str(folder.path)]
    file = folder.path / LOG
    with file.open("a+", errors="replace") as log:
        log.seek(0)
        measured = {event.number: event for event in map(read_line, log) if isinstance(event, Step)}
        job: Job = ClusterJob(config.address, command, file) if config.address else LocalJob(command, file)
        listener.begun(step)
        scored: Future[list[dict[str, Any]]] | None = None
        scoring = ThreadPoolExecutor(1)  # a judge may take longer than the next evaluation, which needs the log read
        try:
            status = None
            while status is None:
                time.sleep(_PAUSE_S)
                status = job.poll()
                for event in map(read_line, _new_lines(log)):
                    if isinstance(event, Step):
                        measured[event.number] = event
                        folder.write_rows(STEPS, [measured[number].row for number in sorted(measured)])
                        listener.step(event)
                    elif isinstance(event, Evaluated):
                        folder.keep_evaluation(event.step)
                folder.complete_checkpoints(processor)
                if evaluations and (scored is None or scored.done()):
                    for row in scored.result() if scored else ():
                        listener.evaluation(row)
                    scored = scoring.submit(evaluations.update)
        finally:
            job.end()
            scoring.shutdown()
        for row in scored.result() if scored else ():
            listener.evaluation(row)
    if status:
        raise TrainingError(_explanation(folder, job))
    kept = steps
    if evaluations and config.keep == "best":
        for row in evaluations.update():
            listener.evaluation(row)
        best = evaluations.best()
        if best is None:
            return  # a judge gave no answer: the same command goes on here
        kept = best
        if kept != steps:
            export(folder.weights_of(kept) if kept else Path(config.model), config.model, folder.path)
    folder.write_result({"steps": steps, "kept": kept})


def _new_lines(log: TextIO) -> Iterator[str]:
    """The lines that were written to their end since the last call."""
    place = log.tell()
    for line in iter(log.readline, ""):
        if not line.endswith("\n"):
            log.seek(place)
            return
        place = log.tell()
        yield line


def _explanation(folder: Folder, job: Job) -> str:
    """Why the trainer ended, as far as it is known."""
    failure, log = folder.path / FAILURE, folder.path / LOG
    if failure.exists():
        cause = failure.read_text()
    else:
        tail = [line for line in log.read_text(errors="replace").splitlines() if line.strip()][-_TAIL:]
        cause = "\n".join(["its last words:", *tail, job.said])
    return (
        f"the trainer ended before its last step. {cause}\n"
        f"{log} holds all that it printed; the same command goes on from step {folder.resumes_from}"
    )
