"""Turn-aligned credit, by hand and by its properties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proactive_env.recipes.training.grpo.rollout_credits import RolloutCredits, TurnTokens
from proactive_env.recipes.training.grpo.trainer.credit import advantages, returns, token_advantages


def rollout(*earned, window="w", lengths=None):
    """A rollout whose turns earn these credits and say `lengths` tokens each, one after the other."""
    ends = np.cumsum(lengths or [1] * len(earned))
    said = zip(range(len(earned)), [0, *ends[:-1]], ends, strict=True)
    tokens = tuple(TurnTokens(turn=turn, start=1 + start, end=1 + end) for turn, start, end in said)
    return RolloutCredits(window=window, credits={"pauc": earned}, weights={"pauc": 3.0}, tokens=tokens)


def test_a_group_of_two_with_three_turns_by_hand():
    """Returns (1, 0, 2) -> 1.5, 1, 2 and (0, 4, 0) -> 2, 4, 0; against the other one; tokens 3, 1, 1 a turn.

    Squares of the advantages: 0.25, 9, 4; their mean over 10 tokens is (6 x 0.25 + 2 x 9 + 2 x 4) / 10 = 2.75.
    """
    group = [rollout(1.0, 0.0, 2.0, lengths=[3, 1, 1]), rollout(0.0, 4.0, 0.0, lengths=[3, 1, 1])]
    by_hand = np.array([[-0.5, -3.0, 2.0], [0.5, 3.0, -2.0]])
    assert advantages([one.together for one in group], 0.5).tolist() == by_hand.tolist()
    found, scale = token_advantages(group, 2, 0.5)
    assert scale == pytest.approx(2.75**0.5)
    assert np.array(found) == pytest.approx(by_hand / 2.75**0.5)


def test_a_turn_that_says_nothing_is_not_trained_and_one_may_say_two_things():
    """open_turn draws a decision and a reply in one turn; a full context draws nothing."""
    spoke = RolloutCredits(
        window="w",
        credits={"pauc": (1.0, 1.5), "replication": (0.0, 0.5)},
        weights={"pauc": 3.0, "replication": 2.0},
        tokens=(TurnTokens(turn=1, start=3, end=4), TurnTokens(turn=1, start=6, end=9)),
    )
    silent = spoke.model_copy(update={"credits": dict.fromkeys(spoke.credits, (0.0, 0.0))})
    found, _ = token_advantages([spoke, silent], 2, 0.0)
    assert [len(values) for values in found] == [2, 2]
    assert found[0][0] == found[0][1] > 0


earned = st.lists(st.floats(-5, 5), min_size=3, max_size=3)


@given(group=st.lists(earned, min_size=2, max_size=5))
def test_undiscounted_the_first_turn_gets_the_episodes_advantage(group):
    found = advantages(group, 1.0)
    totals = np.array([sum(one) for one in group])
    others = (totals.sum() - totals) / (len(group) - 1)
    assert found[:, 0] == pytest.approx(totals - others)
    assert found.sum(0) == pytest.approx(0, abs=1e-9)


@given(earned, st.floats(0, 1))
def test_a_return_is_the_sum_of_what_follows(one, discount):
    expected = [sum(discount ** (later - turn) * one[later] for later in range(turn, 3)) for turn in range(3)]
    assert returns(one, discount) == pytest.approx(expected)


@given(st.lists(st.lists(earned, min_size=2, max_size=2), min_size=1, max_size=4), st.floats(0, 1))
def test_trained_tokens_have_a_mean_square_of_one_and_scaled_rewards_change_nothing(groups, discount):
    batch = [rollout(*one, window=str(place)) for place, group in enumerate(groups) for one in group]
    larger = [rollout(*(10 * credit for credit in one.together), window=one.window) for one in batch]
    found, _ = token_advantages(batch, 2, discount)
    square = np.mean(np.square(found))
    assert square == pytest.approx(1) or square == pytest.approx(0, abs=1e-9)
    assert np.array(token_advantages(larger, 2, discount)[0]) == pytest.approx(np.array(found), abs=1e-6)


def test_rollouts_of_two_windows_are_no_group():
    with pytest.raises(ValueError, match="expected the rollouts of one window, found a with 1 turns, b with 1 turns"):
        token_advantages([rollout(1.0, window="a"), rollout(1.0, window="b")], 2, 1.0)


def test_decoupled_rewards_count_by_their_weights_whatever_their_size():
    """Advantages of the first reward (+-1, 0) have a mean square of 1/2, of the second (0, +-0.01) of 0.01^2 / 2."""
    tokens = (TurnTokens(turn=0, start=1, end=2), TurnTokens(turn=1, start=2, end=3))
    weights = {"pauc": 3.0, "replication": 2.0}
    one = RolloutCredits(window="w", credits={"pauc": (1, 0), "replication": (0, 0)}, weights=weights, tokens=tokens)
    other = RolloutCredits(
        window="w", credits={"pauc": (0, 0), "replication": (0, 0.01)}, weights=weights, tokens=tokens
    )
    found, _ = token_advantages([one, other], 2, 0.0, decoupled=True)
    assert found[0] == pytest.approx([3 / 6.5**0.5, -2 / 6.5**0.5])
    assert found[1] == pytest.approx([-3 / 6.5**0.5, 2 / 6.5**0.5])


@given(st.lists(st.lists(earned, min_size=2, max_size=2), min_size=1, max_size=4), st.floats(0, 1))
def test_one_reward_alone_is_the_same_decoupled(groups, discount):
    batch = [rollout(*one, window=str(place)) for place, group in enumerate(groups) for one in group]
    found, expected = (token_advantages(batch, 2, discount, decoupled=decoupled)[0] for decoupled in (True, False))
    assert np.array(found) == pytest.approx(np.array(expected), abs=1e-6)
