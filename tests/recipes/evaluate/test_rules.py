"""Every rule of the benchmark on an example worked by hand."""

import json

import pytest
from builders import FixedJudge, episode, gold, transcript

from proactive_env.episode import Timespan
from proactive_env.errors import JudgeUnavailable
from proactive_env.recipes.evaluate.predictions import read_predictions
from proactive_env.recipes.evaluate.rules.proactivevideoqa import points, pool_subset, score_question
from proactive_env.recipes.evaluate.score import compare, score
from proactive_env.rewards import LexicalJudge
from proactive_env.turn import Turn


def by_text(**levels):
    """A judge that goes by the last word it sees."""
    return FixedJudge(lambda text: levels[text.split()[-1]])


def scored(golds, replies, judge, **fields):
    return score_question(transcript(episode(*golds, **fields), replies), judge)


def test_the_judge_sees_all_different_replies_of_the_span_so_far():
    judge = by_text(a=0, b=1, c=2)
    scored([gold(2, 10)], {1: "z", 2: "a", 3: "b", 4: "a", 5: "c", 11: "z"}, judge)
    assert judge.asked == ["a", "a b", "a b c"]


def test_only_exact_repeats_inside_one_span_are_skipped():
    said = transcript(episode(gold(2, 5), gold(6, 9)), {2: "a", 3: "a", 4: "a!", 6: "a"})
    judge = by_text(**{"a": 1, "a!": 2})
    spans = [points(said.replies, reply, judge) for reply in said.episode.gold]
    assert spans == [[(2, 1), (4, 2)], [(6, 1)]]


def test_a_reply_counts_in_every_span_that_holds_it_ends_included():
    result = scored([gold(2, 6), gold(6, 10), gold(7, 9)], {6: "a"}, by_text(a=2))
    assert [span.pauc for span in result.spans] == [(0.25, 0.625, 1.0), (1.0, 1.0, 1.0), (0.25, 0.25, 0.25)]


@pytest.mark.parametrize(
    ("replies", "kept"),
    [
        ({4: "two", 8: "one"}, [(4, 2)]),  # late and lower than the last in time: dropped
        ({4: "one", 8: "one"}, [(4, 1)]),  # an exact repeat never reaches the filter
        ({4: "one", 8: "two"}, [(4, 1), (8, 2)]),  # late and higher: kept
        ({4: "two", 5: "one", 8: "one!"}, [(4, 2), (5, 1), (8, 1)]),  # the last in time counts, not the best
        ({8: "zero"}, [(8, 0)]),  # a span with one scored point is never filtered
        ({7: "two", 8: "one"}, [(7, 2), (8, 1)]),  # none in time: compared with 0
        ({6: "two", 8: "one"}, [(6, 2)]),  # the end of the related span is in time
    ],
)
def test_late_filter(replies, kept):
    said = transcript(episode(gold(2, 9, related_end=6)), replies)
    judge = by_text(zero=0, one=1, two=2, **{"one!": 1})
    assert points(said.replies, said.episode.gold[0], judge) == kept


def test_a_judgement_that_is_no_digit_drops_that_point():
    result = scored([gold(2, 10)], {3: "bad", 6: "good"}, FixedJudge(lambda text: {"bad": None, "bad good": 2}[text]))
    assert result.spans[0].pauc[0] == (4 * 0.5 + 4 * 2) / (8 * 2)
    assert result.judge_failures == 1


def test_worked_example_of_the_paper_through_the_rules():
    judge = by_text(a=0, b=1, c=2, d=2)
    replies = {312: "a", 328: "b", 344: "c", 352: "d"}
    said = transcript(episode(gold(311, 360), duration=400.0), replies, turns=400)
    assert [round(value, 4) for value in score_question(said, judge).spans[0].pauc] == [0.4949, 0.7474, 1.0]


def test_a_subset_pools_spans_not_questions():
    one = scored([gold(2, 6)], {2: "a"}, by_text(a=2))
    three = scored([gold(2, 6), gold(7, 9), gold(10, 12)], {}, by_text(), question_id="r")
    row = pool_subset([one, three])
    assert row["pauc"]["0.5"] == pytest.approx(100 * (1 + 3 * 0.25) / 4)
    assert (row["questions"], row["spans"], row["replies_per_question"]) == (2, 4, 0.5)


def test_duplicates_leave_out_the_first_reply_of_each_span():
    # in the spans: a1 (first), a1 (equal text), b1 (new), c1 (first of its span), d1 (the judge: covered); outside: a1
    judge = FixedJudge(lambda text: 0, repeats=lambda earlier, reply: reply == "d1")
    result = scored([gold(2, 6), gold(7, 9)], {2: "a1", 3: "a1", 4: "b1", 7: "c1", 8: "d1", 12: "a1"}, judge)
    assert (result.repeatable, result.duplicates) == (3, 2)
    assert pool_subset([result])["duplicates"] == pytest.approx(200 / 3)
    assert pool_subset([result])["out_of_span"] == pytest.approx(100 / 6)


def test_replies_of_one_time_keep_their_order_and_one_is_the_first(tmp_path):
    items = [{"content": text, "time": 3.0} for text in ("zebra", "apple", "zebra")]
    (tmp_path / "p.jsonl").write_text(json.dumps({"question_id": "q", "model_response_list": items}) + "\n")
    said = read_predictions(tmp_path / "p.jsonl", [episode(gold(2, 6))])["q"]
    assert [turn.reply for turn in said.replies] == ["zebra", "apple", "zebra"]
    result = score_question(said, FixedJudge(lambda text: 0))
    assert (result.repeatable, result.duplicates) == (2, 1)


def test_duplicates_that_the_judge_cannot_tell_are_left_out_and_counted():
    judge = FixedJudge(lambda text: 0, repeats=lambda earlier, reply: None)
    result = scored([gold(2, 6)], {2: "a1", 3: "b1", 4: "b1"}, judge)
    assert (result.repeatable, result.duplicates, result.judge_failures) == (1, 1, 1)


def test_delay_goes_to_the_first_top_score_or_the_spans_end():
    judge = by_text(a=1, b=2)
    result = scored([gold(2, 6), gold(8, 11), gold(12, 15)], {3: "a", 5: "b", 9: "a"}, judge)
    assert [span.delay_s for span in result.spans] == [3, 3, 3]
    assert [span.covered for span in result.spans] == [True, False, False]
    row = pool_subset([result])
    assert (row["mean_delay_s"], row["covered"]) == (3, pytest.approx(100 / 3))


def test_silence_is_exactly_25_and_undefined_numbers_are_null():
    row = pool_subset([scored([gold(2, 6)], {}, LexicalJudge())])
    assert row["pauc"] == {"0": 25.0, "0.5": 25.0, "1": 25.0}
    assert row["pauc_ci95"] == [25.0, 25.0]
    assert row["duplicates"] is row["out_of_span"] is None
    empty = pool_subset([scored([], {}, LexicalJudge())])
    assert empty["pauc"]["0.5"] is empty["pauc_ci95"] is empty["mean_delay_s"] is empty["covered"] is None


def test_the_interval_holds_the_mean_and_narrows_with_questions():
    def questions(count):
        return [scored([gold(2, 6)], {2 + n % 4: "a"} if n % 3 else {}, by_text(a=2)) for n in range(count)]

    few, many = pool_subset(questions(12)), pool_subset(questions(300))
    for row in (few, many):
        low, high = row["pauc_ci95"]
        assert low < row["pauc"]["0.5"] < high
    assert many["pauc_ci95"][1] - many["pauc_ci95"][0] < (few["pauc_ci95"][1] - few["pauc_ci95"][0]) / 3


def test_paired_differences():
    def run(replies):
        made = [episode(gold(2, 6), question_id=str(n)) for n in range(8)]
        return [score_question(transcript(e, replies), by_text(a=2, b=1)) for e in made]

    table = compare(run({}), run({2: "a"}))
    assert table["ALL"]["questions"] == 8
    assert table["ALL"]["pauc"]["0.5"] == {"difference": 75.0, "ci95": [75.0, 75.0]}
    assert table["ALL"]["mean_delay_s"] == {"difference": -4.0, "ci95": [-4.0, -4.0]}
    assert table["ALL"]["replies_per_question"] == {"difference": 1.0, "ci95": [1.0, 1.0]}
    assert table["ALL"]["duplicates"] == {"difference": None, "ci95": None}
    repeating = compare(run({2: "a", 3: "b", 4: "a"}), run({2: "a", 3: "a", 4: "a"}))
    assert repeating["ALL"]["duplicates"] == {"difference": 50.0, "ci95": [50.0, 50.0]}
    once = [*run({2: "a", 3: "a"})[:1], *run({2: "a"})[1:]]  # some resamples have no reply that could be a duplicate
    few = compare(once, run({2: "a", 3: "b"}))["ALL"]
    assert few["duplicates"] == {"difference": -100.0, "ci95": None}
    assert few["repeated"]["difference"] == pytest.approx(-100 / 9)
    low, high = few["repeated"]["ci95"]
    assert low < -100 / 9 < high == 0


class Unreachable(LexicalJudge):
    def coverage(self, question, gold, prediction, levels):
        if prediction == "hangs":
            raise JudgeUnavailable("timeout")
        return super().coverage(question, gold, prediction, levels)


def test_a_question_without_an_answer_of_the_judge_stays_unscored():
    said = [transcript(episode(gold(2, 6), question_id=text), {3: text}) for text in ("fine", "hangs")]
    scores = score(said, Unreachable(), on_question=lambda: None)
    assert [question.question_id for question in scores.questions] == ["fine"]
    assert scores.unscored == ["hangs"]
    assert scores.as_dict()["subsets"]["ALL"]["questions"] == 1


def test_of_two_replies_at_one_time_the_later_stands():
    said = [Turn(index=0, start=0, end=7, reply="two"), Turn(index=1, start=7, end=7, reply="one")]
    assert points(said, gold(2, 9, related_end=6), by_text(two=2, one=1)) == [(7, 1)]


def test_a_reply_before_the_related_span_is_in_time():
    due = gold(2, 9).model_copy(update={"related_span": Timespan(5, 6)})
    said = [Turn(index=0, start=0, end=3, reply="two"), Turn(index=1, start=7, end=8, reply="one")]
    assert points(said, due, by_text(two=2, one=1)) == [(3, 2)]
