"""Which runs and trainings a page shows, and what they are called on it."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

from proactive_env.episode import Episode
from proactive_env.errors import InputError
from proactive_env.recipes.evaluate.run import Run
from proactive_env.recipes.evaluate.tables import short_names
from proactive_env.recipes.training.grpo.folder import SCORES, STEPS, Folder
from proactive_env.turn import Transcript


def load_runs(
    folders: Sequence[Path], data: Path | None = None
) -> tuple[list[Episode], dict[str, dict[str, Transcript]], list[str]]:
    """The episodes of all runs, the transcripts by run and question id, and what was left out.

    Runs are named by their folders, with the whole path where two folders have one name.

    Raises:
        InputError: a folder holds no run or is given twice, or the runs play different data sets.
    """
    episodes: dict[str, Episode] = {}
    played: dict[str, dict[str, Transcript]] = {}
    skipped: list[str] = []
    for folder, name in zip(folders, names_of(folders), strict=True):
        run = Run(folder)
        found = {episode.question_id: episode for episode in run.config(data).load(skipped.append)}
        if played:
            _refuse_other_questions(episodes, found, folders[0], folder)
        played[name] = run.transcripts(list(found.values()))
        episodes |= found
    return list(episodes.values()), played, list(dict.fromkeys(skipped))


def _refuse_other_questions(known: dict[str, Episode], found: dict[str, Episode], first: Path, other: Path) -> None:
    shared = known.keys() & found.keys()
    if not shared:
        raise InputError(f"{first} and {other} play different data sets: they share no question; show them one by one")
    for question_id in sorted(shared):
        if known[question_id].model_dump(exclude={"video"}) != found[question_id].model_dump(exclude={"video"}):
            raise InputError(
                f"{first} and {other} play different data sets: question {question_id!r} is annotated differently; "
                "show them one by one, or say with --data which annotations count"
            )


def names_of(folders: Sequence[Path]) -> list[str]:
    """What folders are called: their names, with as much of their paths as tells them apart.

    Raises:
        InputError: a folder is given twice.
    """
    if len(set(folders)) < len(folders):
        twice = next(folder for folder in folders if list(folders).count(folder) > 1)
        raise InputError(f"the run {twice} is given twice")
    return list(short_names(map(str, folders)).values())


def evaluations_of(training: Path) -> list[dict[str, Any]]:
    """The held-out evaluations of a training, a row each, with the mean reward of the rollouts since the one before.

    Raises:
        InputError: the folder holds none.
    """
    rows = [row for row in Folder(training).rows(SCORES) if row.get("pauc_ci95")]
    if not rows:
        raise InputError(f"{training}: expected a folder of `proactive grpo` with evaluations, found no {SCORES}")
    sampled = {row["step"]: row["reward"] for row in Folder(training).rows(STEPS)}
    for before, row in pairwise(rows):
        since = [reward for step, reward in sampled.items() if before["step"] < step <= row["step"]]
        row["sampled_reward"] = fmean(since) if since else None
    return rows
