"""The commands of an experiment, in order."""

from pathlib import Path

from proactive_env.recipes.reproduce.experiments import EXPERIMENTS, QUESTIONS, TRAININGS, Row
from proactive_env.recipes.stages import Stage


def plan(name: str, out: Path, seed: int, settings: list[str]) -> list[Stage]:
    """The stages of an experiment: the warm start, trainings, what they play, and the page.

    Args:
        name: Of the experiment.
        out: The folder of all runs.
        seed: Of every training.
        settings: Laid over the config of every GRPO run.
    """
    experiment = EXPERIMENTS[name]
    needed = list(dict.fromkeys(["sft", *(row.training for row in experiment.rows)]))
    played = [str(out / row.folder) for row in experiment.rows]
    trained = [str(out / one) for one in needed if TRAININGS[one].recipe == "grpo"]
    drawn = [part for folder in trained for part in ("--training", folder)]
    same_turns = len({row.frame_interval for row in experiment.rows}) == 1
    return [
        *(_training(training, out, seed, settings) for training in needed),
        *(_playing(row, out) for row in experiment.rows),
        *([Stage("the page", 1, ["show", *played, *drawn, "--out", str(out / f"{name}.html")])] if same_turns else []),
    ]


def _training(name: str, out: Path, seed: int, settings: list[str]) -> Stage:
    training = TRAININGS[name]
    grpo = [f"model={out / 'sft'}", *settings] if training.recipe == "grpo" else []
    sets = [part for setting in [f"seed={seed}", *grpo, *training.settings] for part in ("--set", setting)]
    command = [training.recipe, "--config", "tinyworld", "--out", str(out / name), *sets]
    return Stage(f"train {name}", training.minutes, command)


def _playing(row: Row, out: Path) -> Stage:
    agent = f"transformers:{out / row.training}"
    options = ["--size", str(QUESTIONS), "--frame-interval", str(row.frame_interval), "--out", str(out / row.folder)]
    return Stage(f"test videos: {row.label}", 2, ["eval", "--agent", agent, *options])
