"""Weights that OpenRLHF wrote become a checkpoint that loads by itself: it writes no processor."""

from pathlib import Path

from proactive_env.agents.models.checkpoint import load_processor


def export(weights: Path, start: str, out: Path) -> None:
    """Write a whole checkpoint, in the precision of the one that the training started from.

    Args:
        weights: A folder that OpenRLHF wrote.
        start: The checkpoint at the start: a folder, or a name on the Hugging Face Hub.
        out: Where the checkpoint goes.
    """
    from transformers import AutoConfig, AutoModelForImageTextToText

    begun = AutoConfig.from_pretrained(start)
    model = AutoModelForImageTextToText.from_pretrained(weights, dtype=begun.dtype)
    model.config.use_cache = True  # off in training
    model.save_pretrained(out)
    load_processor(start).save_pretrained(out)
