"""Each reward's formula on transcripts small enough to score by hand."""

import pytest
from builders import FixedJudge, episode, gold, transcript
from hypothesis import given
from hypothesis import strategies as st

from proactive_env.environment import ProactiveVideoEnv
from proactive_env.episode import Timespan
from proactive_env.rewards import InSpanReward, LexicalJudge, PaucReward, PrefixReward, ReplicationReward
from proactive_env.rewards.judges.pool import JudgePool
from proactive_env.rewards.pauc import pauc
from proactive_env.turn import Turn


@pytest.fixture(scope="module")
def env():
    return ProactiveVideoEnv("tinyworld", size=1)


LONG = "x" * 50


class TestPaucFormula:
    POINTS = ((312, 0), (328, 1), (344, 2), (352, 2))

    @pytest.mark.parametrize(("omega", "expected"), [(0, 0.4949), (0.5, 0.7474), (1, 1.0)])
    def test_worked_example_of_the_paper(self, omega, expected):
        assert round(pauc(self.POINTS, (311, 360), max_score=2, omega=omega), 4) == expected

    @pytest.mark.parametrize(("max_score", "expected"), [(2, 0.25), (4, 0.125)])
    def test_silence_keeps_the_start_score(self, max_score, expected):
        assert pauc([], (3, 9), max_score=max_score) == expected

    def test_a_reply_at_either_end_counts(self):
        assert pauc([(3, 2)], (3, 9), max_score=2, omega=0) == 1.0
        assert pauc([(9, 2)], (3, 9), max_score=2, omega=0) == 0.25
        assert pauc([(9, 2)], (3, 9), max_score=2, omega=1) == 1.0

    @pytest.mark.parametrize(
        ("points", "span"),
        [([], (3, 3)), ([(2, 1)], (3, 9)), ([(9.1, 1)], (3, 9)), ([(4, 3)], (3, 9)), ([(4, -1)], (3, 9))],
    )
    def test_points_outside_the_span_or_the_scale_are_errors(self, points, span):
        with pytest.raises(ValueError, match="expected.*found"):
            pauc(points, span, max_score=2)

    @given(st.lists(st.tuples(st.floats(0, 10), st.integers(0, 4)), max_size=8), st.floats(0, 1))
    def test_it_is_a_share_and_does_not_mind_the_order(self, points, omega):
        points = list({time: (time, score) for time, score in points}.values())
        value = pauc(points, (0, 10), max_score=4, omega=omega)
        assert -1e-12 <= value <= 1 + 1e-12
        assert pauc(points[::-1], (0, 10), max_score=4, omega=omega) == value

    @given(st.floats(0, 10), st.floats(0, 10), st.floats(0, 1))
    def test_earlier_is_never_worse(self, one, two, omega):
        early, late = (pauc([(time, 4)], (0, 10), max_score=4, omega=omega) for time in sorted((one, two)))
        assert early >= late - 1e-12


class TestPauc:
    def test_mean_over_spans_each_reply_judged_alone(self, env):
        made = episode(gold(2, 6), gold(10, 14, "A blue square."))
        said = transcript(made, {2: "A red circle.", 4: "It is red.", 10: "blue"})
        # span 1: level 4 from 2 s, level 2 ("red" of "red circle") from 3 s (omega 0.5) on; span 2: level 2 throughout
        first = (1 * 4 + 3 * 2) / (4 * 4)
        assert PaucReward(env).score(said) == pytest.approx((first + 0.5) / 2)

    def test_silence_scores_an_eighth(self, env):
        assert PaucReward(env).score(transcript(episode(gold(2, 6)), {})) == 0.125

    def test_without_a_scored_span_it_is_zero(self, env):
        assert PaucReward(env).score(transcript(episode(), {3: "Hello."})) == 0.0

    def test_a_window_cuts_the_span(self, env):
        made = episode(gold(2, 12))
        said = transcript(made, {4: "A red circle."}, turns=8, window=Timespan(0, 8))
        assert PaucReward(env, omega=0).score(said) == pytest.approx((2 * 0.5 + 4 * 4) / (6 * 4))

    def test_a_judgement_that_cannot_be_used_drops_its_point(self, env):
        reward = PaucReward(env)
        reward.judge = JudgePool(FixedJudge(lambda text: {"bad": None, "good": 4}[text]))
        said = transcript(episode(gold(2, 6)), {2: "bad", 4: "good"})
        assert reward.score(said) == pauc([(4, 4)], (2, 6), max_score=4)
        assert reward.judge.failures == 1

    @pytest.mark.parametrize("level", [-1, 5])
    def test_a_level_outside_the_scale_is_an_error(self, env, level):
        reward = PaucReward(env)
        reward.judge = JudgePool(FixedJudge(lambda text: level))
        with pytest.raises(ValueError, match=rf"expected a judge's level in 0\.\.4, found {level}"):
            reward.score(transcript(episode(gold(2, 6)), {2: "A red circle."}))

    def test_the_authors_code_leaves_out_spans_not_begun(self, env):
        made = episode(gold(2, 6), gold(15, 18))
        early = transcript(made, {2: "A red circle."}, turns=8)
        assert PaucReward(env, formula="code").score(early) == 1.0
        assert PaucReward(env).score(early) == (1.0 + 0.125) / 2

    def test_the_authors_code_skips_exact_repeats_in_a_span(self, env):
        reward = PaucReward(env, formula="code")
        reward.judge = JudgePool(FixedJudge(lambda text: {"A": 4, "B": 0}[text]))
        assert reward.score(transcript(episode(gold(0, 10)), {2: "A", 4: "B", 6: "A"})) == pytest.approx(0.1125)

    def test_the_authors_code_knows_one_level_a_reply(self, env):
        reward = PaucReward(env, formula="code")
        judge = FixedJudge()
        judge.coverage = lambda question, gold, reply, levels: {"one": 4, "two": 0}[gold]
        reward.judge = JudgePool(judge)
        said = transcript(episode(gold(0, 4, "one"), gold(4, 8, "two")), {4: "A"})
        assert reward.score(said) == pytest.approx(0.03125)


class TestReplication:
    def test_share_of_replies_that_only_repeat(self, env):
        said = transcript(episode(gold(2, 6)), {1: "A red circle.", 2: "A dog.", 3: "Red circle!", 4: "A red circle."})
        assert ReplicationReward(env).score(said) == 0.5

    def test_history_counts_as_earlier(self, env):
        past = (Turn(index=0, start=0, end=1, reply="A dog."),)
        said = transcript(episode(gold(2, 6)), {3: "A dog.", 4: "A cat."}, history=past)
        assert ReplicationReward(env).score(said) == 0.5

    def test_no_replies_is_one_or_zero_in_the_code(self, env):
        silent = transcript(episode(gold(2, 6)), {})
        assert ReplicationReward(env).score(silent) == 1.0
        assert ReplicationReward(env, formula="code").score(silent) == 0.0

    def test_exact_repeats_need_no_judge_and_bad_answers_drop_out(self, env):
        reward = ReplicationReward(env)
        asked = []
        judge = FixedJudge(repeats=lambda earlier, reply: asked.append(reply))  # answers None
        reward.judge = JudgePool(judge)
        said = transcript(episode(gold(2, 6)), {1: "a", 2: "a", 3: "b"})
        assert reward.score(said) == 1 - 1 / 2
        assert asked == ["b"]

    @pytest.mark.parametrize(
        ("replies", "spans", "repeat", "share"),
        [
            ({2: "a", 4: "a"}, [(0, 8)], False, 1 / 2),
            ({2: "a", 4: "a", 6: "b"}, [(0, 8)], False, 1 / 4),
            ({2: "a", 6: "b"}, [(0, 8), (5, 9)], True, 2 / 3),
            ({2: "a", 4: "c", 6: "b"}, [(0, 8), (1, 8)], ("b",), 3 / 7),
        ],
    )
    def test_the_authors_code_counts_new_words_again_in_each_span_that_has_a_reply(
        self, env, replies, spans, repeat, share
    ):
        reward = ReplicationReward(env, formula="code")
        judge = FixedJudge(repeats=lambda earlier, reply: repeat if isinstance(repeat, bool) else reply in repeat)
        reward.judge = JudgePool(judge)
        assert reward.score(transcript(episode(*(gold(*span) for span in spans)), replies)) == -share


class TestInSpan:
    def test_share_of_replies_outside_every_span(self, env):
        said = transcript(episode(gold(2, 6), gold(5, 8)), {1: "a", 2: "b", 8: "c", 9: "d"})
        assert InSpanReward(env).score(said) == 0.5

    def test_a_span_that_began_before_the_window_still_holds_replies(self, env):
        said = transcript(episode(gold(0, 6)), {5: "a"}, window=Timespan(2, 20))
        assert InSpanReward(env).score(said) == 1.0

    def test_no_replies(self, env):
        silent = transcript(episode(gold(2, 6)), {})
        assert InSpanReward(env).score(silent) == 1.0
        assert InSpanReward(env, formula="code").score(silent) == 0.0

    def test_the_authors_code_divides_by_turns_out_of_span(self, env):
        said = transcript(episode(gold(2, 6)), {1: "a", 9: "b", 4: "c"})  # turns 2..6 are inside
        assert InSpanReward(env, formula="code").score(said) == -2 / 15


class TestPrefix:
    def test_prefixes_of_more_than_fifty_characters_count(self, env):
        said = transcript(episode(gold(2, 6)), {1: LONG + "ya", 2: LONG + "yb", 3: LONG + "z", 4: "x"})
        assert PrefixReward(env).score(said) == 1 - 1 / 4
        assert PrefixReward(env, formula="code").score(said) == -2 / 20  # the third shares 50 exactly

    def test_fifty_characters_are_enough_in_the_authors_code(self, env):
        said = transcript(episode(gold(2, 6)), {1: "x" * 50 + "a", 2: "x" * 50 + "b"})
        assert PrefixReward(env).score(said) == 1.0
        assert PrefixReward(env, formula="code").score(said) == -1 / 20

    def test_history_counts_as_earlier(self, env):
        past = (Turn(index=0, start=0, end=1, reply=LONG + "y"),)
        assert PrefixReward(env).score(transcript(episode(gold(2, 6)), {3: LONG + "y!"}, history=past)) == 0.0

    def test_no_replies(self, env):
        silent = transcript(episode(gold(2, 6)), {})
        assert PrefixReward(env).score(silent) == 1.0
        assert PrefixReward(env, formula="code").score(silent) == 0.0


class TestLexicalJudge:
    judge = LexicalJudge()

    @pytest.mark.parametrize(
        ("prediction", "level"),
        [
            ("A red circle.", 2),
            ("circle, RED", 2),
            ("a red square", 1),
            ("a green square", 0),
            ("", 0),
            ("red circles", 2),
        ],
    )
    def test_coverage_counts_content_words(self, prediction, level):
        assert self.judge.coverage("q", "A red circle.", prediction, 3) == level

    def test_five_levels_round_down(self):
        assert self.judge.coverage("q", "one two three four five", "one two three four", 5) == 3

    def test_a_gold_reply_of_function_words_can_still_be_met(self):
        assert self.judge.coverage("q", "It is.", "it is", 3) == 2

    def test_texts_without_words_are_compared_as_they_are(self):
        assert self.judge.coverage("q", "!!!", "!!!", 3) == 2
        assert self.judge.coverage("q", "!!!", "?", 3) == 0
        assert not self.judge.repeats(["A dog."], "?!")

    def test_repeats_needs_one_earlier_reply_with_all_words(self):
        assert self.judge.repeats(["A red circle.", "A blue square."], "the blue square")
        assert not self.judge.repeats(["A red circle.", "A blue square."], "a red square")
