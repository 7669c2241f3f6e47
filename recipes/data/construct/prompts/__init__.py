"""The prompts, one text file each. Each says that the texts below it are data; answers are JSON objects."""

import hashlib
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent


@cache
def read_prompt(name: str) -> str:
    """The prompt in `name.txt`."""
    return (FOLDER / f"{name}.txt").read_text(encoding="utf-8").strip()


def prompt_version() -> str:
    """A hash of all prompts."""
    texts = (f"{file.name}\n{read_prompt(file.stem)}" for file in sorted(FOLDER.glob("*.txt")))
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:12]
