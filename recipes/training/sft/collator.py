"""Examples become a batch: padded on the right, labels where tokens are trained, pixels from the image processor.

Positions are the model's to compute: it is given the mask, the kinds of tokens and the grids of the pictures.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from proactive_env.agents.models.tape import Role
from proactive_env.recipes.training.sft.examples import Example

if TYPE_CHECKING:
    from torch import Tensor

IGNORED = -100
"""The label of a token that is not trained."""


class Collator:
    """Makes batches of examples.

    Args:
        processor: The checkpoint's processor.
        weights: What a decision counts, by `Role.SILENCE` and `Role.SPEECH`; other trained tokens count 1.
    """

    def __init__(self, processor: Any, weights: dict[Role, float] | None = None) -> None:
        self._processor = processor
        self._kinds = "mm_token_type_ids" in processor.model_input_names
        self._pad = processor.tokenizer.pad_token_id
        self._weights = np.ones(len(Role), np.float32)
        for role, weight in (weights or {}).items():
            self._weights[role] = weight

    def __call__(self, examples: Sequence[Example]) -> "dict[str, Tensor]":
        """The model's inputs, and `labels` and `weights`, each (examples, tokens)."""
        import torch

        longest = max(len(example.ids) for example in examples)
        ids = np.full((len(examples), longest), self._pad, np.int64)
        roles = np.zeros((len(examples), longest), np.uint8)
        mask = np.zeros((len(examples), longest), np.int64)
        for row, example in enumerate(examples):
            ids[row, : len(example.ids)] = example.ids
            roles[row, : len(example.roles)] = example.roles
            mask[row, : len(example.ids)] = 1
        batch = {
            "input_ids": ids,
            "attention_mask": mask,
            "labels": np.where(roles == Role.READ, IGNORED, ids),
            "weights": self._weights[roles],
        }
        if self._kinds:
            batch["mm_token_type_ids"] = np.array(self._processor.create_mm_token_type_ids(ids.tolist()))
        pictures = [picture for example in examples for picture in example.pictures.load()]
        pixels = self._processor.image_processor(images=pictures, return_tensors="pt") if pictures else {}
        return {name: torch.from_numpy(value) for name, value in batch.items()} | dict(pixels)
