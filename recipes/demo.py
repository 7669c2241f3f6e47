"""`proactive demo`: what the library is, in one minute, without data, model or judge."""

from pathlib import Path

from proactive_env.recipes.evaluate.run import Run
from proactive_env.recipes.show.timeline import draw
from proactive_env.rewards.judge import LexicalJudge

AGENTS = ("silent", "random?p=0.3", "late", "oracle", "chatter")


def draw_dialogue(run: Run, file: Path) -> Path:
    """Draw the run's liveliest dialogue: the one with most replies, the first of those."""
    transcripts = run.transcripts(run.config().load()).values()
    draw(max(transcripts, key=lambda transcript: len(transcript.replies)), LexicalJudge(), file)
    return file
