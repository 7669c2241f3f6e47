"""What stands where in a run's folder, and from where a run goes on."""

import json
import shutil
from pathlib import Path
from typing import Any

from proactive_env.agents.transcript_log import TranscriptLog
from proactive_env.recipes.training.grpo.held_out_log import HELD_OUT
from proactive_env.turn import Transcript

ROWS = "prompts.jsonl"
"""What is played, a line a window."""
HELD_OUT_ROWS = "held_out_prompts.jsonl"
AGENT = "agent.py"
"""The file that OpenRLHF loads the executor from."""
CHECKPOINTS = "checkpoints"
TENSORBOARD = "tensorboard"
LOG = "train.log"
"""Everything that the trainer's processes print."""
FAILURE = "failure.txt"
"""Why the trainer ended, if it failed."""
EVALUATIONS = "evaluations"
"""The held-out transcripts, a file an evaluation."""
SCORES = "evaluations.jsonl"
"""Their scores, a line an evaluation."""
STEPS = "steps.jsonl"
"""What the trainer measured, a line a step."""
RESULT = "result.json"
"""There when the run is finished."""

LATEST = "latest"
"""DeepSpeed's, beside the states: the newest one's name."""

_WRITTEN_LAST = "tokenizer_config.json"


class Folder:
    """A run's folder.

    Args:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.final = path / CHECKPOINTS / "final"
        """The last weights as OpenRLHF writes them; the run's folder itself gets them as a whole checkpoint."""
        self._states = path / CHECKPOINTS / "_actor"

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to do."""
        return (self.path / RESULT).exists()

    @property
    def kept(self) -> int:
        """The step whose weights a finished run's folder holds."""
        result: dict[str, int] = json.loads((self.path / RESULT).read_text())
        return result.get("kept", result["steps"])

    @property
    def resumes_from(self) -> int:
        """The step of the newest state that was written to its end; 0: the beginning."""
        latest = self._states / LATEST
        if not latest.exists():
            return 0
        # DeepSpeed opens it when the newest state is whole: a kill can come before its name is written.
        return self._step(latest.read_text() or self._saved()[-1].name)

    def weights_of(self, step: int) -> Path:
        """The weights after a step, without a processor; they are there for every step with a state."""
        return self.path / CHECKPOINTS / f"global_step{step}_hf"

    def trained(self, steps: int) -> Path | None:
        """The weights after all `steps`, if training is over."""
        candidates = [self.final, *([self.weights_of(steps)] if self.resumes_from == steps else [])]
        return next((folder for folder in candidates if (folder / _WRITTEN_LAST).exists()), None)

    def go_back(self, steps: int) -> int:
        """Remove what a killed run left behind its newest state, and return that state's step."""
        step = self.resumes_from
        if step == steps and not self.trained(steps):  # its weights are torn, and no step is left to write them again
            step = max((self._step(state.name) for state in self._saved() if self._step(state.name) < steps), default=0)
        if step:
            self._write(self._states / LATEST, f"global_step{step}")
        else:
            shutil.rmtree(self._states, ignore_errors=True)  # a state without its end cannot be loaded
        for state in self._saved():
            if self._step(state.name) > step:
                shutil.rmtree(state)
        for folder in (self.path / CHECKPOINTS).glob("global_step*_hf"):
            if self._step(folder.name) > step or not (folder / _WRITTEN_LAST).exists():
                shutil.rmtree(folder)
        (self.path / HELD_OUT).unlink(missing_ok=True)
        (self.path / FAILURE).unlink(missing_ok=True)
        for file in (self.path / EVALUATIONS).glob("step_*.jsonl"):
            if self._step(file.stem) > step and not self.trained(steps):
                file.unlink()
        return step

    def evaluation(self, step: int) -> TranscriptLog:
        """The transcripts of the held-out episodes, played after a step."""
        return TranscriptLog(self.path / EVALUATIONS / f"step_{step}.jsonl")

    def evaluated(self) -> list[int]:
        """The steps after which the held-out episodes were played, in order."""
        return sorted(self._step(file.stem) for file in (self.path / EVALUATIONS).glob("step_*.jsonl"))

    def has_evaluation(self, step: int) -> bool:
        """Whether the held-out episodes were played after a step, the newest one, put away or not."""
        return step in self.evaluated() or (self.path / HELD_OUT).exists()

    def keep_evaluation(self, step: int) -> None:
        """Put away what the executor wrote during the evaluation that has just ended."""
        (self.path / HELD_OUT).rename(self._made(EVALUATIONS) / f"step_{step}.jsonl")

    def write_evaluation(self, step: int, transcripts: list[Transcript]) -> None:
        """Put down an evaluation as a whole."""
        partial = TranscriptLog(self._made(EVALUATIONS) / f"step_{step}.partial")
        partial.file.unlink(missing_ok=True)
        for transcript in transcripts:
            partial.append(transcript)
        partial.file.rename(self.evaluation(step).file)

    def rows(self, name: str) -> list[dict[str, Any]]:
        """The lines of a file of the folder; none if it is not there."""
        file = self.path / name
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def write_rows(self, name: str, rows: list[Any]) -> None:
        """Write a file of the folder as a whole."""
        self._write(self.path / name, "".join(json.dumps(row) + "\n" for row in rows))

    def write_result(self, result: dict[str, Any]) -> None:
        """Say that the run is finished, and how it ended."""
        self._write(self.path / RESULT, json.dumps(result))

    def complete_checkpoints(self, processor: Any) -> None:
        """Put the processor beside weights that were written to their end: OpenRLHF leaves it out."""
        for last in (self.path / CHECKPOINTS).glob(f"global_step*_hf/{_WRITTEN_LAST}"):
            if not (last.parent / "processor_config.json").exists():
                processor.save_pretrained(last.parent)

    def _made(self, name: str) -> Path:
        (self.path / name).mkdir(exist_ok=True)
        return self.path / name

    def _saved(self) -> list[Path]:
        """The states, whole or not, in order."""
        return sorted(self._states.glob("global_step*"), key=lambda state: self._step(state.name))

    @staticmethod
    def _write(file: Path, text: str) -> None:
        partial = file.with_name(f"{file.name}.partial")
        partial.write_text(text)
        partial.rename(file)

    @staticmethod
    def _step(name: str) -> int:
        return int("".join(filter(str.isdigit, name)))
