"""A benchmark as its authors publish it, from one commit, every file checked by its checksum.

The Hub's library downloads and resumes, but compares sizes only; here a file counts as fetched once its SHA-256 is the
one the Hub lists (its git hash, for a file that is not in LFS), and one that differs is deleted.
"""

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ValidationError

from proactive_env.datasets import proactivevideoqa
from proactive_env.errors import DatasetError, InputError
from proactive_env.extras import install
from proactive_env.plugin import did_you_mean
from proactive_env.recipes import console

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoFile

DATASET = "wangyueqian/ProactiveVideoQA"
RECORD = "fetched.json"
_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".7z")


class Fetched(BaseModel):
    """What a subset held when all of it had been checked."""

    files: int
    bytes: int


class Record(BaseModel):
    """What `fetched.json` says: the commit that a folder holds, and the subsets that are complete."""

    dataset: str
    commit: str
    subsets: dict[str, Fetched]


def fetch_subsets(
    out: Path,
    subset: str | None,
    revision: str | None,
    *,
    on_commit: Callable[[str], None],
    on_subset: Callable[[str, Fetched], None],
) -> None:
    """Download subsets that are not complete yet, and check every file.

    Args:
        out: The data set's folder.
        subset: One of `proactivevideoqa.SUBSETS`; None: all.
        revision: A branch, tag or commit; None: the commit that `out` was fetched at, or main if it is new.
        on_commit: Called with the commit.
        on_subset: Called with each complete subset.

    Raises:
        InputError: there is no such subset or revision, the Hub cannot be reached, or a file is not as it lists it.
    """
    if subset is not None and subset not in proactivevideoqa.SUBSETS:
        raise InputError(f"ProactiveVideoQA has no subset {subset!r}{did_you_mean(subset, proactivevideoqa.SUBSETS)}")
    subsets = (subset,) if subset else proactivevideoqa.SUBSETS
    earlier = _read_record(out)
    commit, listing = _list_files(revision or (earlier.commit if earlier else "main"))
    on_commit(commit)
    wanted = {name: [file for file in listing if file.path.startswith(f"{name}/")] for name in subsets}
    for name, files in wanted.items():
        if f"{name}/anno.json" not in {file.path for file in files}:
            folders = ", ".join(sorted({file.path.partition("/")[0] for file in listing}))
            raise InputError(f"{DATASET} has no {name}/anno.json at commit {commit}, found {folders}")
    complete = dict(earlier.subsets) if earlier and earlier.commit == commit else {}
    _write_record(out, Record(dataset=DATASET, commit=commit, subsets=complete))

    _download(out, commit, subsets)
    for name, files in wanted.items():
        _check(out, files)
        complete[name] = Fetched(files=len(files), bytes=sum(file.size for file in files))
        _write_record(out, Record(dataset=DATASET, commit=commit, subsets=complete))
        _remove_partial_files(out, name)
        on_subset(name, complete[name])
    _require_videos(out, subset, [file.path for file in listing if file.path.endswith(_ARCHIVES)])


def _list_files(revision: str) -> "tuple[str, list[RepoFile]]":
    """The commit that `revision` names, and the files in it."""
    try:
        from huggingface_hub import HfApi
        from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError
        from huggingface_hub.hf_api import RepoFile
    except ModuleNotFoundError as error:
        raise InputError(f"fetching needs the Hub's library: {install('hub')}") from error
    api = HfApi()
    try:
        commit = api.dataset_info(DATASET, revision=revision).sha or revision
        entries = api.list_repo_tree(DATASET, recursive=True, revision=commit, repo_type="dataset")
        return commit, [entry for entry in entries if isinstance(entry, RepoFile)]
    except RevisionNotFoundError as error:
        raise InputError(f"{DATASET} has no revision {revision!r}; name another with --revision") from error
    except RepositoryNotFoundError as error:
        raise InputError(
            f"{api.endpoint} shows no data set {DATASET}; if it is private or gated, accept its terms on its page "
            "and set HF_TOKEN"
        ) from error
    except Exception as error:
        raise _failed(error) from error


def _download(out: Path, commit: str, subsets: Iterable[str]) -> None:
    from huggingface_hub import snapshot_download

    patterns = [f"{name}/*" for name in subsets]
    try:
        snapshot_download(DATASET, repo_type="dataset", revision=commit, local_dir=out, allow_patterns=patterns)
    except Exception as error:
        raise _failed(error) from error


def _failed(error: Exception) -> InputError:
    """Every error of the Hub's library: which HTTP library raises below it differs from version to version."""
    return InputError(
        f"{DATASET} was not fetched: {type(error).__name__}: {error}\n"
        "What is complete is kept: run the same command again"
    )


def _check(out: Path, files: "list[RepoFile]") -> None:
    """Compare files with the Hub's checksums; delete those that differ.

    Raises:
        InputError: some differ, or are missing.
    """
    wrong = []
    with console.progress("checking") as (start, advance):
        start(len(files), 0)
        for file in files:
            path = out / file.path
            expected = file.lfs.sha256 if file.lfs else file.blob_id
            found = _checksum(path, lfs=file.lfs is not None) if path.is_file() else "no file"
            if found != expected:
                path.unlink(missing_ok=True)
                wrong.append(f"{path}: expected checksum {expected}, found {found}")
            advance()
    if wrong:
        problems = "\n".join(wrong)
        raise InputError(f"{problems}\nWhat differed was deleted: run the same command again to download it")


def _checksum(path: Path, *, lfs: bool) -> str:
    """SHA-256 of a file in LFS, git's hash of another, both in hexadecimal digits."""
    with path.open("rb") as stream:
        if lfs:
            return hashlib.file_digest(stream, "sha256").hexdigest()
        content = stream.read()
        return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _remove_partial_files(out: Path, subset: str) -> None:
    """Delete what killed downloads of a subset, now complete, left in the folder of the Hub's library."""
    for partial in (out / ".cache" / "huggingface" / "download" / subset).rglob("*.incomplete"):
        partial.unlink(missing_ok=True)


def _require_videos(out: Path, subset: str | None, archives: list[str]) -> None:
    """Report rows that cannot be loaded.

    Raises:
        InputError: annotated videos are missing.
    """
    skipped: list[DatasetError] = []
    episodes = proactivevideoqa.ProactiveVideoQA().read(out, subset, skipped.append)
    console.report_skipped([str(error) for error in skipped])
    videos = list(dict.fromkeys(episode.video for episode in episodes))
    missing = [video for video in videos if not video.is_file()]
    if missing:
        packed = f"; it holds archives, to be unpacked by hand: {', '.join(archives)}" if archives else ""
        raise InputError(
            f"{len(missing)} of {len(videos)} annotated videos are not in {DATASET} as files of their own, "
            f"the first is {missing[0]}{packed}"
        )


def _read_record(out: Path) -> Record | None:
    file = out / RECORD
    try:
        return Record.model_validate_json(file.read_bytes()) if file.exists() else None
    except (OSError, ValidationError) as error:
        raise InputError(f"{file}: expected the record of a fetch; repair or delete it; {error}") from error


def _write_record(out: Path, record: Record) -> None:
    file = out / RECORD
    unfinished = file.with_suffix(".tmp")
    try:
        out.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(record.model_dump_json(indent=2) + "\n")
        unfinished.replace(file)
    except OSError as error:
        raise InputError(f"{out}: expected a folder that can be written, found: {error.strerror}") from error
