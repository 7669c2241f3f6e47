"""Answers of paid models on disk: one SQLite file that any number of processes share.

Keys are hashes of what was asked: the file holds answers, and neither questions nor API keys.
"""

import atexit
import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any
from uuid import uuid4

from proactive_env.errors import InputError


class AnswerCache:
    """JSON values by key.

    Args:
        file: The SQLite file; made, with its folder, on first use.

    Raises:
        InputError: the file cannot be used (by `get` and `put`).

    Example:
        >>> import tempfile
        >>> cache = AnswerCache(Path(tempfile.mkdtemp()) / "answers.sqlite")
        >>> cache.put("key", {"level": 2})
        >>> cache.get("key"), cache.get("other")
        ({'level': 2}, None)
    """

    def __init__(self, file: Path) -> None:
        self.file = file

    def get(self, key: str) -> Any:
        """The answer kept for `key`; None if there is none."""
        with self._connect() as connection:
            row = connection.execute("SELECT CAST(answer AS TEXT) FROM answers WHERE key = ?", (key,)).fetchone()
        return None if row is None else json.loads(row[0])

    def put(self, key: str, answer: Any) -> None:
        """Keep an answer."""
        with self._connect() as connection, connection:
            connection.execute("INSERT OR REPLACE INTO answers VALUES (?, ?)", (key, json.dumps(answer)))

    @contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        try:
            if not self.file.exists():
                self._create()
                _open.cache_clear()
            connection, alone = _open(os.getpid(), self.file)
            with alone:
                yield connection
        except (sqlite3.Error, OSError) as error:
            raise InputError(
                f"{self.file}: the cache of answers cannot be used: {error}; delete it, or set PROACTIVE_ENV_CACHE"
            ) from error

    def _create(self) -> None:
        """Make the file under another name and link it, so that processes that start together see it whole."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        draft = self.file.with_name(f"{uuid4().hex}.sqlite")
        try:
            with closing(sqlite3.connect(draft)) as connection, connection:
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("CREATE TABLE answers (key TEXT PRIMARY KEY, answer TEXT NOT NULL)")
            os.link(draft, self.file)
        except FileExistsError:
            pass  # another process was first
        finally:
            draft.unlink(missing_ok=True)


@cache
def _open(process: int, file: Path) -> tuple[sqlite3.Connection, Lock]:
    """One connection a file and process, since none survives a fork, and the lock under which threads take turns."""
    connection = sqlite3.connect(file, timeout=60.0, check_same_thread=False)
    connection.execute("PRAGMA synchronous=NORMAL")
    atexit.register(_close, process, connection)
    return connection, Lock()


def _close(process: int, connection: sqlite3.Connection) -> None:
    """Leave one file behind: what is in SQLite's log would come back after the file is deleted."""
    if process == os.getpid():
        connection.close()
