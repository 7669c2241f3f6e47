"""`proactive grpo`: let a warm-started model find out by rewards when to speak."""

import signal
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated, Any

import typer

from proactive_env.recipes import console
from proactive_env.recipes.evaluate.tables import differences_table, scores_table
from proactive_env.recipes.record import load_config
from proactive_env.recipes.training.grpo.config import PRESETS, GrpoConfig
from proactive_env.recipes.training.grpo.folder import STEPS, Folder
from proactive_env.recipes.training.grpo.follow.curves import Step, StepLines
from proactive_env.recipes.training.grpo.follow.evaluations import evaluation_line
from proactive_env.recipes.training.grpo.follow.run import Listener, train
from proactive_env.recipes.training.grpo.prepare.preflight import Measures


def grpo(
    config: Annotated[str, typer.Option(help="tinyworld, mmduet2, mmduet2-turn, or a YAML file.")],
    out: Annotated[Path, typer.Option(help="The run's folder; the same command continues it.", file_okay=False)],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="key=value, over the config: model=PATH, steps=100, play.rewards=... Repeatable."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Train a model by GRPO on a data set's windows; OUT becomes the checkpoint.

    Kill it at any time: the same command goes on from the last checkpoint.
    The rewards are those of the environment, your own included:

    proactive grpo --config tinyworld --out DIR --set model=SFT
    --set 'play.rewards={pauc: 3, replication: 2, "mine.py:Brevity": 1}'
    """
    chosen = load_config(config, GrpoConfig, settings or [], PRESETS)
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    finished = Folder(out).finished
    with (
        redirect_stdout(sys.stderr),
        console.err.status("measuring what the run will take") as status,
    ):  # DeepSpeed prints
        evaluations = train(chosen, out, _Screen(chosen, status))
    if finished:
        console.problem(f"{out}: this run is finished", style="green")
    gain = next(reversed(evaluations.gains().values()), None) if evaluations else None
    if as_json:
        held_out = {"evaluations": list(evaluations.rows.values()), "gain": gain} if evaluations else {}
        console.print_json({"steps": Folder(out).rows(STEPS), **held_out})
    else:
        if evaluations:
            scores = evaluations.scores()
            console.out.print(scores_table(scores))
            if gain:
                first, *_, last = scores
                console.out.print(differences_table(first, {last: gain}))
        weights = f" (after step {Folder(out).kept})" if Folder(out).finished else ""
        console.out.print(f"{out}{weights}: proactive eval --agent vllm:{out}", soft_wrap=True, highlight=False)
    if evaluations and any(row["unscored"] for row in evaluations.rows.values()):
        console.problem("held-out questions are unscored: the judge gave no answer; run the command again")
        raise typer.Exit(1)


class _Screen(Listener):
    """Tells it on the standard error."""

    def __init__(self, config: GrpoConfig, status: Any) -> None:
        self._config = config
        self._status = status
        self._steps = 0
        self._lines = StepLines(lambda line: console.problem(line, style="default"))

    def skipped(self, reason: str) -> None:
        """See `Listener`."""
        console.report_skipped([reason])

    def measured(self, measures: Measures) -> None:
        """See `Listener`."""
        self._steps = measures.steps
        console.err.print(measures.table(self._config))

    def begun(self, step: int) -> None:
        """See `Listener`."""
        if step:
            console.problem(f"going on after step {step} of {self._steps}", style="green")
        self._status.update("starting Ray, vLLM and DeepSpeed")

    def step(self, step: Step) -> None:
        """See `Listener`."""
        self._lines.add(step)
        self._status.update(f"{step.number} of {self._steps} steps")

    def evaluation(self, row: dict[str, Any]) -> None:
        """See `Listener`."""
        console.problem(evaluation_line(row), style="cyan")
