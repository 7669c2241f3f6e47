"""Held-out episodes, played by the model as it is: greedy replies, in the real environment, with the agent's engine."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from proactive_env.agents.base import Agent
from proactive_env.agents.models.agent import ModelAgent
from proactive_env.agents.models.engine import Decoding
from proactive_env.agents.models.transformers import TransformersEngine
from proactive_env.agents.rollout import rollout
from proactive_env.environment import EnvironmentArguments
from proactive_env.episode import Episode, Timespan
from proactive_env.errors import VideoError
from proactive_env.recipes.evaluate.rules.proactivevideoqa import pool_subset
from proactive_env.recipes.evaluate.score import Scores, score
from proactive_env.rewards.counts import in_some_span
from proactive_env.rewards.judges.lexical import LexicalJudge
from proactive_env.turn import Transcript, Turn

_CONCURRENCY = 32


@dataclass(frozen=True)
class HeldOut:
    """Episodes to play, and how."""

    episodes: Sequence[Episode]
    environment: EnvironmentArguments
    decoding: Decoding

    def __len__(self) -> int:
        return len(self.episodes)

    def play_model(self, model: Any, processor: Any, part: slice = slice(None)) -> list[Transcript]:
        """The transcripts of a part of the episodes, played by a model of transformers, which is left in training."""
        model.eval()
        try:
            with ModelAgent(TransformersEngine(model, processor, _CONCURRENCY), self.decoding) as agent:
                return self.play(agent, part)
        finally:
            model.train()

    def play(self, agent: Agent, part: slice = slice(None)) -> list[Transcript]:
        """The transcripts of a part of the episodes, played by an agent."""
        transcripts: list[Transcript] = []
        rollout(
            agent,
            self.episodes[part],
            environment=self.environment,
            on_transcript=transcripts.append,
            on_bad_video=_raise,
            concurrency=_CONCURRENCY,
        )
        return transcripts


def scores_of(transcripts: Sequence[Transcript]) -> Scores:
    """ProactiveVideoQA's scores by the lexical judge."""
    return score(transcripts, LexicalJudge(), on_question=lambda: None)


def summary(transcripts: Sequence[Transcript], frame_interval: float) -> dict[str, float]:
    """What is logged during the training, over all episodes; numbers that are not defined are left out.

    Returns:
        `pauc` (omega 0.5), `duplicates`, `covered` and `silent_turns` in percent; `replies`, a question;
        `p_speak_visible`: the mean probability of speaking at turns whose newest frame shows the answer, up to the
        first reply to it. At 0, reinforcement learning finds nothing to choose from. `p_speak_outside`: the same of
        turns outside every span.
    """
    row = pool_subset(scores_of(transcripts).questions)
    turns = [turn for transcript in transcripts for turn in transcript.turns]
    visible = [
        turn.stats["p_speak"]
        for transcript in transcripts
        for gold in transcript.episode.gold
        for turn in _unanswered(transcript.turns, gold.related_span, frame_interval)
    ]
    outside = [
        turn.stats["p_speak"]
        for transcript in transcripts
        for turn in transcript.turns
        if not in_some_span(turn.end, transcript.episode.gold)
    ]
    numbers = {
        "pauc": row["pauc"]["0.5"],
        "duplicates": row["duplicates"],
        "covered": row["covered"],
        "replies": row["replies_per_question"],
        "silent_turns": 100 * sum(turn.reply is None for turn in turns) / len(turns),
        "p_speak_visible": sum(visible) / len(visible) if visible else None,
        "p_speak_outside": sum(outside) / len(outside) if outside else None,
    }
    return {name: number for name, number in numbers.items() if number is not None}


def _unanswered(turns: Sequence[Turn], visible: Timespan, frame_interval: float) -> list[Turn]:
    """The turns whose newest frame lies in a span, up to the first reply among them."""
    inside = [turn for turn in turns if visible.start <= turn.end - frame_interval < visible.end]
    spoken = next((place for place, turn in enumerate(inside) if turn.reply is not None), len(inside))
    return inside[: spoken + 1]


def _raise(_: str, error: VideoError) -> None:
    raise error
