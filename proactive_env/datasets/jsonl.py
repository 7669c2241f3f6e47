"""The library's own format: one `Episode` a line, its video's path relative to the file."""

import json
from collections.abc import Iterable, Iterator
from os.path import relpath
from pathlib import Path
from typing import Any

from proactive_env.datasets.base import Dataset
from proactive_env.datasets.rows import OnBadRow, annotation_file, build, inside
from proactive_env.episode import Episode
from proactive_env.errors import DatasetError


class JsonLines(Dataset):
    """The library's own format: a JSON-lines file, or a folder that holds one."""

    has_subsets = True

    def read(self, root: Path, subset: str | None, on_bad: OnBadRow) -> tuple[Episode, ...]:
        """See `Dataset.read`."""
        file = annotation_file(root, ".jsonl")

        def convert(line: Any) -> Iterator[Episode]:
            episode = Episode.model_validate(json.loads(line))
            yield episode.model_copy(update={"video": inside(file.parent, str(episode.video))})

        lines = (line for line in file.read_bytes().splitlines() if line.strip())
        episodes = build(file, lines, convert, on_bad)
        chosen = tuple(episode for episode in episodes if subset in (None, episode.subset))
        if episodes and not chosen:
            raise DatasetError(f"{file}: no subset {subset!r}, found {', '.join(sorted({e.subset for e in episodes}))}")
        return chosen


def write(episodes: Iterable[Episode], file: Path) -> None:
    """Write episodes, one a line, for `load` to read.

    Raises:
        DatasetError: a video lies outside the file's folder.
    """
    with file.open("w") as out:
        for episode in episodes:
            video = Path(relpath(episode.video, file.parent))
            try:
                inside(file.parent, str(video))
            except ValueError as error:
                raise DatasetError(f"{episode.question_id}: {error}") from error
            out.write(episode.model_copy(update={"video": video}).model_dump_json() + "\n")
