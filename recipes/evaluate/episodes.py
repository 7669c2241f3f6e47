"""Which episodes a recipe plays or trains on."""

from collections.abc import Callable, Sequence

from pydantic import BaseModel, ConfigDict, field_validator

from proactive_env import datasets
from proactive_env.datasets.catalog import TINYWORLD, dataset_class
from proactive_env.datasets.rows import raise_bad_row
from proactive_env.episode import Episode
from proactive_env.plugin import portable


class BenchmarkConfig(BaseModel):
    """Which episodes."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    benchmark: str
    """A name that `proactive_env.datasets.load` knows, or a class of your own."""
    data: str | None = None
    """The data set's folder or annotation file, absolute."""
    subset: str | None = None
    """The part of the benchmark; None: all of it."""
    split: str | None = None
    """TinyWorld's split."""
    size: int | None = None
    """How many episodes; None: all, or TinyWorld's 64."""
    seed: int = 0
    """Seed of TinyWorld's stories, or of the choice of `size` episodes."""

    @field_validator("benchmark")
    @classmethod
    def _known(cls, benchmark: str) -> str:
        if benchmark != TINYWORLD:
            dataset_class(benchmark)
        return str(portable(benchmark))

    def load(self, on_skipped: Callable[[str], None] | None = None) -> Sequence[Episode]:
        """The episodes.

        Args:
            on_skipped: Called with what is wrong with a bad row, which is then left out; None: a bad row is an error.

        Raises:
            DatasetError: no data, or a bad row.
        """
        return datasets.load(
            self.benchmark,
            self.data,
            subset=self.subset,
            split=self.split,
            size=self.size,
            seed=self.seed,
            on_bad=(lambda error: on_skipped(str(error))) if on_skipped else raise_bad_row,
        )
