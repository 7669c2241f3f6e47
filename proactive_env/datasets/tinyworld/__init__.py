"""TinyWorld: short videos of coloured shapes that the library draws itself, and what is asked about them."""

from proactive_env.datasets.tinyworld.stories import load, texts

__all__ = ["load", "texts"]
