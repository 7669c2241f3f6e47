"""What is logged of held-out episodes."""

from dataclasses import replace

import pytest
from builders import episode, gold, transcript

from proactive_env import agents
from proactive_env.agents.models.engine import Decoding
from proactive_env.recipes.training.held_out import HeldOut, scores_of, summary


def played(the_episode, replies, probabilities):
    """One-second turns that end at 1, 2, ...; the probability of speaking at each."""
    said = transcript(the_episode, replies, turns=len(probabilities))
    turns = zip(said.turns, probabilities, strict=True)
    kept = (turn.model_copy(update={"stats": {"p_speak": p}}) for turn, p in turns)
    return replace(said, turns=tuple(kept))


VISIBLE = episode(gold(2, 6, related_end=5))
"""The answer shows from 2 to 5 s, so in the newest frame of the turns that end at 3, 4 and 5 s."""


def test_the_probability_of_speaking_is_that_of_turns_whose_newest_frame_shows_the_answer():
    numbers = summary([played(VISIBLE, {6: "A red circle."}, [0.9, 0.9, 0.1, 0.2, 0.3, 0.9, 0.7])], 1.0)
    assert numbers["p_speak_visible"] == pytest.approx(0.2)
    assert numbers["p_speak_outside"] == pytest.approx(0.8), "at 1 and 7 s; the span holds 2 to 6 s"


def test_turns_after_the_reply_do_not_count():
    numbers = summary([played(VISIBLE, {3: "A red circle."}, [0.9, 0.9, 0.6, 0.0, 0.0, 0.9, 0.9])], 1.0)
    assert numbers["p_speak_visible"] == pytest.approx(0.6)


def test_scores_are_shares_in_percent_over_all_episodes():
    numbers = summary([played(VISIBLE, {6: "A red circle."}, [0.5] * 8), played(VISIBLE, {}, [0.5] * 8)], 1.0)
    assert numbers["covered"] == 50
    assert numbers["replies"] == 0.5
    assert numbers["silent_turns"] == pytest.approx(100 * 15 / 16)
    assert numbers["pauc"] == pytest.approx((62.5 + 25) / 2)
    assert "duplicates" not in numbers  # nothing could repeat: undefined is not zero


def test_agents_play_a_part_of_the_episodes(tinyworld):
    held_out = HeldOut(tinyworld, {"frame_interval": 1.0}, Decoding())
    with agents.load("oracle") as oracle:
        halves = [held_out.play(oracle, slice(first, None, 2)) for first in (0, 1)]
    ids = [{transcript.episode.question_id for transcript in half} for half in halves]
    assert ids == [{episode.question_id for episode in tinyworld[first::2]} for first in (0, 1)]
    scores = scores_of([*halves[0], *halves[1]]).as_dict()["subsets"]["TINYWORLD"]
    assert scores["questions"] == len(tinyworld)
    assert scores["pauc"]["0.5"] > 90
