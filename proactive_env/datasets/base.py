"""What a format of annotations must do to have its episodes loaded by name."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from proactive_env.datasets.rows import OnBadRow
from proactive_env.episode import Episode


class Dataset(ABC):
    """A format of annotated videos. Subclasses write `read`; `load` chooses among its episodes.

    Example:
        >>> from proactive_env.datasets import load
        >>> load("clips.py:Clips", "path/to/clips", size=10)  # doctest: +SKIP
    """

    has_subsets: ClassVar[bool] = False
    """Whether a part can be asked for by name."""
    root_variable: ClassVar[str | None] = None
    """The environment variable that names the folder when none is given."""
    hint: ClassVar[str] = ""
    """Where the data comes from: the tail of the error about a missing folder."""

    @abstractmethod
    def read(self, root: Path, subset: str | None, on_bad: OnBadRow) -> Sequence[Episode]:
        """The episodes at `root`, a folder or a file that exists, in order.

        Args:
            root: The data set's folder or annotation file.
            subset: The part to read; None: all of it.
            on_bad: To be called with the error of each bad row, which is then left out.

        Raises:
            DatasetError: there is no such subset, or the annotations cannot be read.
        """
