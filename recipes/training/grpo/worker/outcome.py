"""What a rollout is worth, and the numbers that are logged about it: the same keys for every rollout of a run."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from proactive_env.turn import Transcript


class Outcome(NamedTuple):
    """The end of an episode, as the trainer sees it."""

    reward: float
    """The sum of all weighted terms."""
    score: float
    """PAUC, 0..1, if that is a term, else the reward."""
    numbers: dict[str, float]
    """See `outcome`."""


def outcome(episode: Mapping[str, Any], transcript: Transcript, *, truncated: bool) -> Outcome:
    """The outcome of an episode that is paid.

    The numbers: `term_NAME`, each weighted term; `pauc`, 0..1, if that is a term; `replies`, `out_of_span`, `repeated`
    (equal texts) and `judge_failures`, counted; `silent_turns`, their share; `delay_s`, the mean over the scored spans
    of the seconds from the span's start to the first reply in it, or to its end if there is none; `truncated`, 1.0
    where the context was full and the rest was played in silence.

    Args:
        episode: `info["proactive_episode"]` of the last step.
        transcript: What was played.
        truncated: Whether the context was full before the end.
    """
    terms, scores, counts = episode["terms"], episode["scores"], episode["counts"]
    numbers = {f"term_{name}": float(term) for name, term in terms.items()}
    if "pauc" in scores:
        numbers["pauc"] = float(scores["pauc"])
    numbers |= {name: float(counts[name]) for name in ("replies", "out_of_span", "repeated", "judge_failures")}
    numbers["silent_turns"] = 1.0 - len(transcript.replies) / len(transcript.turns)
    numbers["delay_s"] = _delay(transcript)
    numbers["truncated"] = float(truncated)
    reward = float(sum(terms.values()))
    return Outcome(reward, numbers.get("pauc", reward), numbers)


def _delay(transcript: Transcript) -> float:
    """Seconds; 0.0 without a scored span."""
    times = [turn.end for turn in transcript.replies]
    spans = [gold.reply_span for gold in transcript.scored]
    delays = [min([*filter(span.contains, times), span.end]) - span.start for span in spans]
    return sum(delays) / len(delays) if delays else 0.0
