"""What a run has measured, read out of the trainer's log: a line a step, for people and in `steps.jsonl`."""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

import yaml

_STEP = re.compile(r"Global step (\d+): (\{.*\})")
_EVALUATED = re.compile(r"Evaluation completed in .*global_step (\d+)")
_WIDTH = 9

_COLUMNS = {
    "reward": "reward",
    "pauc": "pauc",
    "replies": "replies",
    "silent_turns": "silent",
    "repeated": "repeated",
    "out_of_span": "out",
    "delay_s": "delay s",
    "group_reward_std": "std",
    "vllm_kl": "kl",
    "timing/generation": "play s",
    "timing/ppo_train": "train s",
}
"""Names of numbers, by the trainer's own."""


class Step(NamedTuple):
    """A step of the trainer."""

    number: int
    numbers: dict[str, float]

    @property
    def row(self) -> dict[str, float]:
        """Its line in `steps.jsonl`."""
        return {"step": self.number, **self.numbers}


class Evaluated(NamedTuple):
    """The trainer has had the held-out episodes played."""

    step: int


def read_line(line: str) -> Step | Evaluated | None:
    """What a line of the log tells.

    Example:
        >>> read_line("(PPOTrainer pid=7) Global step 3: {'reward': 1.5, 'kl': 1e-06}")
        Step(number=3, numbers={'reward': 1.5, 'kl': 1e-06})
    """
    if found := _STEP.search(line):
        numbers = yaml.safe_load(found[2])  # a dictionary as Python prints it, `nan` included, is YAML
        return Step(int(found[1]), {name: float(value) for name, value in numbers.items()})
    if found := _EVALUATED.search(line):
        return Evaluated(int(found[1]))
    return None


class StepLines:
    """Steps as lines under a heading; the reward's terms are columns, too.

    Args:
        show: Prints a line.
    """

    def __init__(self, show: Callable[[str], None]) -> None:
        self._show = show
        self._names: dict[str, str] = {}

    def add(self, step: Step) -> None:
        """Print a step."""
        if not self._names:
            self._names = dict(self._columns(step.numbers))
            self._show("".join(heading.rjust(_WIDTH) for heading in ("step", *self._names.values())))
        cells = (f"{step.numbers[name]:.3g}" if name in step.numbers else "-" for name in self._names)
        self._show("".join(cell.rjust(_WIDTH) for cell in (str(step.number), *cells)))

    def _columns(self, numbers: dict[str, float]) -> Iterator[tuple[str, str]]:
        for name, heading in _COLUMNS.items():
            yield name, heading
            if name == "reward":
                terms = sorted(term for term in numbers if term.startswith("term_"))
                yield from ((term, term.removeprefix("term_")[: _WIDTH - 1]) for term in terms)
