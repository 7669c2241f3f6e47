"""The keys and values of conversations: each grows on its own, and any of them run through the model as one batch.

In a batch, row by row: nothing (masked), what was read before, what is new, nothing (masked).
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin


class KeyValues:
    """One conversation's keys and values in every layer, in buffers that double when they are full."""

    def __init__(self) -> None:
        self.length = 0
        """Tokens read so far; what lies beyond in the buffers is stale."""
        self._layers: list[tuple[Tensor, Tensor]] = []

    def write(self, layer: int, keys: Tensor, values: Tensor) -> None:
        """Put new keys and values, (heads, tokens, width), after those read so far."""
        end = self.length + keys.shape[1]
        if layer == len(self._layers):
            self._layers.append((keys[:, :0], values[:, :0]))
        if self._layers[layer][0].shape[1] < end:
            self._layers[layer] = tuple(_grown(old, 2 * end) for old in self._layers[layer])  # type: ignore[assignment]
        for buffer, new in zip(self._layers[layer], (keys, values), strict=True):
            buffer[:, self.length : end] = new

    def read(self, layer: int, end: int) -> tuple[Tensor, Tensor]:
        """Keys and values of the first `end` tokens, each (heads, end, width)."""
        keys, values = self._layers[layer]
        return keys[:, :end], values[:, :end]


def _grown(old: Tensor, capacity: int) -> Tensor:
    new = old.new_empty((old.shape[0], capacity, old.shape[2]))
    new[:, : old.shape[1]] = old
    return new


class Batch(Cache):  # type: ignore[misc]
    """A cache, as transformers' models take it, over several conversations.

    Args:
        rows: The conversations.
        counts: How many new tokens each of them reads in this forward pass.
        layers: Layers of the model.
    """

    def __init__(self, rows: Sequence[KeyValues], counts: Sequence[int], layers: int) -> None:
        super().__init__(layers=[_Layer(rows, counts, layer) for layer in range(layers)])
        self._rows, self._counts = rows, counts
        self._past = max(row.length for row in rows)

    def mask(self) -> Tensor | None:
        """(rows, past + new tokens): 1 where a token stands; None if all do."""
        if all(row.length == self._past for row in self._rows) and len(set(self._counts)) == 1:
            return None
        mask = torch.zeros(len(self._rows), self._past + max(self._counts), dtype=torch.long)
        for number, (row, count) in enumerate(zip(self._rows, self._counts, strict=True)):
            mask[number, self._past - row.length : self._past + count] = 1
        return mask

    def keep(self) -> None:
        """Count the new tokens as read."""
        for row, count in zip(self._rows, self._counts, strict=True):
            row.length += count


class _Layer(CacheLayerMixin):  # type: ignore[misc]
    def __init__(self, rows: Sequence[KeyValues], counts: Sequence[int], layer: int) -> None:
        super().__init__()
        self._rows, self._counts, self._layer = rows, counts, layer
        self._past = max(row.length for row in rows)

    def update(
        self, key_states: Tensor, value_states: Tensor, *arguments: object, **options: object
    ) -> tuple[Tensor, Tensor]:
        for row, count, keys, values in zip(self._rows, self._counts, key_states, value_states, strict=True):
            row.write(self._layer, keys[:, :count], values[:, :count])
        if len(self._rows) == 1:
            keys, values = self._rows[0].read(self._layer, self._rows[0].length + self._counts[0])
            return keys[None], values[None]
        keys, values = (self._with_room(new) for new in (key_states, value_states))
        for number, row in enumerate(self._rows):
            old_keys, old_values = row.read(self._layer, row.length)
            keys[number, :, self._past - row.length : self._past] = old_keys
            values[number, :, self._past - row.length : self._past] = old_values
        return keys, values

    def _with_room(self, new: Tensor) -> Tensor:
        """`new`, (rows, heads, tokens, width), behind zeros for what was read before."""
        return torch.nn.functional.pad(new, (0, 0, self._past, 0))

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """The buffers are made when they are written."""

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self._past + query_length, 0

    def get_seq_length(self) -> int:
        return self._past

    def get_max_length(self) -> int:
        return -1
