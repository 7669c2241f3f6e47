"""A build as a folder: four stages, one after the other, each a file of lines; then the data sets made of the last.

Kill it at any time and start it again: what is in a stage's file is not worked on again, what the model has answered is
on disk, and the same videos and answers give the same bytes.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from proactive_env.datasets import jsonl
from proactive_env.episode import Episode
from proactive_env.errors import InputError
from proactive_env.plugin import did_you_mean
from proactive_env.recipes import console
from proactive_env.recipes.data.construct.ask import NO_ANSWER
from proactive_env.recipes.data.construct.captions import write_captions
from proactive_env.recipes.data.construct.config import BuildConfig
from proactive_env.recipes.data.construct.dialogues import write_dialogues
from proactive_env.recipes.data.construct.engines import Engine, Work
from proactive_env.recipes.data.construct.lines import (
    Line,
    VideoCaptions,
    VideoDialogues,
    VideoQuestions,
    VideoScenes,
)
from proactive_env.recipes.data.construct.questions import write_questions
from proactive_env.recipes.data.construct.scenes import write_scenes
from proactive_env.recipes.data.construct.stage_file import AnyLine, StageFile
from proactive_env.recipes.data.report import contact_sheet
from proactive_env.recipes.data.scenes import check_annotations
from proactive_env.recipes.record import alone, record
from proactive_env.serving.chat import Usage

SUFFIXES = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".webm")
"""Files that count as videos."""
CONTACT_SHEET = "contact_sheet.html"
SHOWN_VIDEOS = 24
"""How many videos the contact sheet shows: the first ones."""
SHOWN_ROWS = 5
"""How many of the rows that are left out of the annotations are named, of each reason."""
REJECTED_AT_ONCE = 16
"""After so many calls of which the server has refused every one the build stops in the midst of a stage."""


def check_input(config: BuildConfig) -> tuple[list[Line], dict[str, int]]:
    """Check videos and annotations before the first stage; what is left out of the annotations is reported.

    Returns:
        The videos, and how many rows of the annotations are left out, by reason.

    Raises:
        InputError: there are no videos, or fewer than are to be held out, or the annotations cannot be used.
    """
    listed = list_videos(config.videos)
    check_held_out(config, listed)
    left_out = check_annotations(config.scenes, [config.videos / line.video for line in listed])
    for reason, messages in left_out.items():
        console.report_skipped([*messages[:SHOWN_ROWS], f"annotations: {reason}: {len(messages)}"])
    return listed, {reason: len(messages) for reason, messages in left_out.items()}


def list_videos(folder: Path) -> list[Line]:
    """The videos below a folder, in linked folders too, in order of their paths.

    Raises:
        InputError: there are none, a folder cannot be read, or a name is not UTF-8.
    """
    try:
        files = sorted(_videos_below(folder, frozenset()))
    except OSError as error:
        raise InputError(f"{error.filename}: expected a folder that can be read, found: {error.strerror}") from error
    for file in files:
        try:
            str(file).encode()
        except UnicodeEncodeError as error:
            raise InputError(f"{str(file)!a}: expected a path in UTF-8; rename the file or its folder") from error
    if not files:
        raise InputError(f"{folder}: expected videos ({', '.join(SUFFIXES)}) in it or below, found none")
    return [Line(video=file.relative_to(folder).as_posix()) for file in files]


def _videos_below(folder: Path, above: frozenset[Path]) -> Iterator[Path]:
    here = folder.resolve()
    if here in above:  # a link to a folder that it lies in
        return
    for path in folder.iterdir():
        if path.is_dir():
            yield from _videos_below(path, above | {here})
        elif path.suffix.lower() in SUFFIXES and path.is_file():
            yield path


class Build:
    """A folder with a build in it.

    Args:
        folder: The folder.
        config: Must be the folder's own if it holds results.
        engine: Runs the stages.
    """

    def __init__(self, folder: Path, config: BuildConfig, engine: Engine) -> None:
        self.folder = folder
        self.usage = Usage()
        """What the model was asked since this start."""
        self.total = Usage()
        """What it was asked since the first start."""
        self.dropped: dict[str, dict[str, int]] = {}
        """What was left out of the annotations and by each stage, counted by reason."""
        self.messages: list[str] = []
        """What is wrong with which file."""
        self._config, self._engine = config, engine

    def run(self) -> tuple[Episode, ...]:
        """Do what is not done yet, and write the data sets.

        Returns:
            All episodes.

        Raises:
            InputError: the videos, the config, the folder or the server cannot be used.
            ChatUnavailable: there was no answer; what is done is kept.
        """
        listed, unused_rows = check_input(self._config)
        with alone(self.folder):
            record(self.folder, self._config, begun=(self.folder / "scenes.jsonl").exists())
            self.total = self._read_total()
            self._link_videos()
            scenes = self._stage("scenes", VideoScenes, write_scenes, listed)
            cut = [video for video in scenes if video.scenes]
            captions = self._stage("captions", VideoCaptions, write_captions, cut)
            captioned = [video for video in captions if video.scenes]
            questions = self._stage("questions", VideoQuestions, write_questions, captioned)
            asked = [video for video in questions if video.questions]
            dialogues = self._stage("dialogues", VideoDialogues, write_dialogues, asked)
            stages: dict[str, Sequence[Line]] = {
                "scenes": scenes,
                "captions": captions,
                "questions": questions,
                "dialogues": dialogues,
            }
            self._write_dropped(unused_rows, stages)
            episodes = self._write_episodes(dialogues, {line.video: line.content for line in scenes})
            self._write_contact_sheet(captions, episodes)
            return episodes

    def _stage(self, name: str, made: type[AnyLine], work: Work, videos: Sequence[Line]) -> list[AnyLine]:
        file = StageFile(self.folder / f"{name}.jsonl", made)
        done = file.read()
        left = [video for video in videos if video.video not in done]
        with console.progress(name) as (start, advance):
            start(len(videos), len(videos) - len(left))

            incomplete: list[AnyLine] = []  # if the server goes down, its last failures must not count as done

            def keep(line: Line | None, usage: Usage) -> None:
                self._count(usage)
                if isinstance(line, made):
                    if NO_ANSWER in line.dropped:
                        incomplete.append(line)
                    else:
                        file.append(line)
                    self._check_answered(file, REJECTED_AT_ONCE)
                    advance()

            if left:
                self._engine(work, self._config, left, keep)
                self._check_answered(file, least=1)
            for line in incomplete:
                file.append(line)
        return file.finish(video.video for video in videos)

    def _read_total(self) -> Usage:
        file = self.folder / "usage.json"
        try:
            return Usage(**json.loads(file.read_text())) if file.exists() else Usage()
        except (ValueError, TypeError) as error:
            raise InputError(f"{file}: expected what was asked so far, found: {error}; delete it") from error

    def _count(self, usage: Usage) -> None:
        self.usage, self.total = self.usage.plus(usage), self.total.plus(usage)
        _replace(self.folder / "usage.json", json.dumps(asdict(self.total), indent=2) + "\n")

    def _check_answered(self, file: StageFile[AnyLine], least: int) -> None:
        """Stop, and count nothing as done, if the server has refused every call so far, and `least` of them."""
        if self.total.rejected == self.total.calls >= least and not self.total.cached:
            file.file.unlink(missing_ok=True)
            raise InputError(
                f"{self._config.model} at {self._config.server.url} rejects every message, {self.total.calls} of them; "
                "check that it takes images, and as many as frames_per_scene"
            )

    def _write_dropped(self, unused_rows: dict[str, int], stages: dict[str, Sequence[Line]]) -> None:
        by_stage = {
            name: dict(sorted(sum((Counter(line.dropped) for line in lines), Counter()).items()))
            for name, lines in stages.items()
        }
        self.dropped = {"annotations": unused_rows} | by_stage
        self.messages = [message for lines in stages.values() for line in lines for message in line.messages]
        _replace(self.folder / "dropped.json", json.dumps(self.dropped, indent=2) + "\n")

    def _write_episodes(self, dialogues: Sequence[VideoDialogues], content: Mapping[str, str]) -> tuple[Episode, ...]:
        used = [line for line in dialogues if line.dialogues]
        if distinct := {content[line.video]: line for line in used}:
            check_held_out(self._config, list(distinct.values()), "different videos with dialogues")
        held_out = choose_held_out(self._config, used, content)
        rows = [
            (episode.model_copy(update={"video": self.folder / episode.video}), line.video in held_out)
            for line in dialogues
            for episode in line.dialogues
        ]
        sets = {
            "episodes": [episode for episode, _ in rows],
            "sft": [episode for episode, held in rows if not held],
            "grpo": [episode for episode, held in rows if held],
        }
        for name, episodes in sets.items():
            partial = self.folder / f"{name}.partial"
            jsonl.write(episodes, partial)
            partial.replace(self.folder / f"{name}.jsonl")
        return tuple(sets["episodes"])

    def _write_contact_sheet(self, captions: Sequence[VideoCaptions], episodes: Sequence[Episode]) -> None:
        scenes = {self.folder / "videos" / line.video: line.scenes for line in captions[:SHOWN_VIDEOS]}
        contact_sheet([episode for episode in episodes if episode.video in scenes], scenes, self.folder / CONTACT_SHEET)

    def _link_videos(self) -> None:
        """Paths in the data sets begin with `videos/`, wherever the videos are."""
        link, videos = self.folder / "videos", self._config.videos.resolve()
        if not link.exists():
            link.unlink(missing_ok=True)
            link.symlink_to(videos, target_is_directory=True)
        elif link.resolve() != videos:
            raise InputError(f"{link}: expected a link to {videos}, found {link.resolve()}; choose another --out")


def check_held_out(config: BuildConfig, videos: Sequence[Line], kind: str = "videos") -> None:
    """Check that there are as many videos, of a kind, as are to be held out, and more.

    Raises:
        InputError: there are not.
    """
    found = Counter(video.subset for video in videos)
    for subset, count in config.rl_videos.items():
        if subset not in found:
            known = did_you_mean(subset, list(found))
            raise InputError(f"rl_videos: there is no subset {subset!r} with {kind}{known}")
        if not 0 <= count < found[subset]:
            raise InputError(
                f"rl_videos: {subset} has {found[subset]} {kind}, of which some must be left for sft.jsonl; "
                f"found {count}: give --set rl_videos.{subset}=N, and another --out if this one holds a build"
            )


def choose_held_out(config: BuildConfig, videos: Sequence[Line], content: Mapping[str, str]) -> set[str]:
    """The videos held out for reinforcement learning: the same for the same seed, whatever other subsets hold.

    Args:
        config: Says how many of which subset.
        videos: To choose from.
        content: A hash of each video's file; files with the same count as one video, and are held out together.
    """

    def lot(file: str) -> str:
        return hashlib.sha256(f"{config.seed} {file}".encode()).hexdigest()

    held_out: set[str] = set()
    for subset, count in config.rl_videos.items():
        members = {content[line.video] for line in videos if line.subset == subset}
        held_out.update(sorted(members, key=lot)[:count])
    return {line.video for line in videos if content[line.video] in held_out}


def _replace(file: Path, text: str) -> None:
    partial = file.with_suffix(".partial")
    partial.write_text(text)
    partial.replace(file)
