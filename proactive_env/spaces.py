"""Spaces of varying size, which Gymnasium batches as tuples.

`gymnasium.spaces.Text` bounds length and alphabet, and `Box` fixes the shape; dialogue and frames do neither.
"""

from typing import Any

import numpy as np
from gymnasium.spaces import Space
from numpy.typing import NDArray

from proactive_env.turn import NO_REPLY

_WORDS = ("a", "red", "circle", "person", "walks", "to", "the", "left", "éclair", "狗")


class FreeText(Space[str]):
    """Any string. Samples are short made-up replies or `NO REPLY`."""

    def __init__(self, seed: int | np.random.Generator | None = None) -> None:
        super().__init__(seed=seed)

    def sample(self, mask: Any = None, probability: Any = None) -> str:
        """A reply of one to five words, or as often silence."""
        if self.np_random.random() < 0.5:
            return NO_REPLY
        return " ".join(self.np_random.choice(_WORDS, size=self.np_random.integers(1, 6)).tolist())

    def contains(self, x: Any) -> bool:
        """Whether `x` is a string."""
        return isinstance(x, str)

    @property
    def is_np_flattenable(self) -> bool:
        """Text does not flatten."""
        return False

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FreeText)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return "FreeText()"


class Frames(Space[NDArray[np.uint8]]):
    """RGB frames, uint8 of shape (n, height, width, 3) for any n >= 0, height and width."""

    def __init__(self, seed: int | np.random.Generator | None = None) -> None:
        super().__init__(dtype=np.uint8, seed=seed)

    def sample(self, mask: Any = None, probability: Any = None) -> NDArray[np.uint8]:
        """One to four frames of noise."""
        shape = (*self.np_random.integers((1, 28, 28), (5, 57, 57)), 3)
        return self.np_random.integers(0, 256, shape, dtype=np.uint8)

    def contains(self, x: Any) -> bool:
        """Whether `x` is an array of RGB frames."""
        return isinstance(x, np.ndarray) and x.dtype == np.uint8 and x.ndim == 4 and x.shape[3] == 3

    @property
    def is_np_flattenable(self) -> bool:
        """Frames of varying size do not flatten."""
        return False

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Frames)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return "Frames()"
