"""Answers of paid judges on disk: one SQLite file that any number of processes share. It holds no keys and no texts."""

import sqlite3
from contextlib import closing
from pathlib import Path


class JudgeCache:
    """Numbers by key.

    Args:
        file: The SQLite file; made, with its folder, on first use.

    Example:
        >>> import tempfile
        >>> cache = JudgeCache(Path(tempfile.mkdtemp()) / "judge.sqlite")
        >>> cache.put("key", 2)
        >>> cache.get("key"), cache.get("other")
        (2, None)
    """

    def __init__(self, file: Path) -> None:
        self.file = file

    def get(self, key: str) -> int | None:
        """The answer kept for `key`, if any."""
        if not self.file.exists():
            return None
        with closing(self._connect()) as connection:
            row = connection.execute("SELECT answer FROM answers WHERE key = ?", (key,)).fetchone()
        return None if row is None else int(row[0])

    def put(self, key: str, answer: int) -> None:
        """Keep an answer."""
        with closing(self._connect()) as connection, connection:
            connection.execute("INSERT OR REPLACE INTO answers VALUES (?, ?)", (key, answer))

    def _connect(self) -> sqlite3.Connection:
        """One connection a call: connections survive neither threads nor forks."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self.file, timeout=60.0)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, answer INTEGER NOT NULL)")
        return connection
