"""Gold replies as labels: what an ideal assistant says at each turn of an episode, and silence everywhere else."""

from hashlib import blake2b
from typing import Literal

import numpy as np

from proactive_env.clock import turns_inside
from proactive_env.episode import GoldReply
from proactive_env.turn import Transcript, Turn

ReplyAt = Literal["end", "middle"]


def label(plan: Transcript, reply_at: ReplyAt = "end", seed: int = 0) -> tuple[Turn, ...]:
    """The turns of an episode with its gold replies; two in one turn are joined by a space.

    Args:
        plan: The episode before anything is said.
        reply_at: `end`: at the last turn inside the reply span (MMDuet2). `middle`: at the first turn after a moment
            drawn from 50 to 75 % of the span (MMDuet, arXiv 2411.17991). If no turn decides inside the
            span, the first after its start; none if the episode ends before.
        seed: Draws the moments, with the question id and the span's place in the episode.
    """
    replies: dict[int, list[str]] = {}
    for place, gold in enumerate(plan.episode.gold):
        moment = gold.reply_span.end if reply_at == "end" else _middle(plan, place, seed)
        for turn in _decisions(plan.turns, gold, moment)[:1]:
            replies.setdefault(turn.index, []).append(gold.text)
    said = {index: " ".join(texts) for index, texts in replies.items()}
    return tuple(turn.model_copy(update={"reply": said.get(turn.index)}) for turn in plan.turns)


def _decisions(turns: tuple[Turn, ...], gold: GoldReply, moment: float) -> list[Turn]:
    """The turns that may give the reply, the best one first."""
    inside = turns_inside(turns, gold)
    if not inside:
        return [turn for turn in turns if turn.end > gold.reply_span.start]
    return [turn for turn in inside if turn.end >= moment] or inside[-1:]


def _middle(plan: Transcript, place: int, seed: int) -> float:
    start, end = plan.episode.gold[place].reply_span
    name = blake2b(plan.episode.question_id.encode(), digest_size=8).digest()
    share = np.random.default_rng([seed, place, int.from_bytes(name)]).uniform(0.5, 0.75)
    return start + float(share) * (end - start)
