"""The benchmark's scores against a second implementation, written naively from the definitions and sharing no code."""

import itertools
import random
import zlib

import pytest
from builders import FixedJudge, episode, gold, transcript

from proactive_env.recipes.evaluate.rules.proactivevideoqa import pool_subset, score_question


def rule(text):
    """A judge by a fixed rule: 0, 1, 2, or now and then no usable answer."""
    return (0, 1, 2, 2, None)[zlib.crc32(text.encode()) % 5]


def naive_pauc(replies, answer, omega):
    start, end, _, related_end = answer
    seen, scores = [], []
    for time, text in replies:
        if time < start or time > end:
            continue
        if text in seen:
            continue
        seen.append(text)
        score = rule(" ".join(seen))
        if score is not None:
            scores = [(t, s) for t, s in scores if t != time] + [(time, score)]
    if len(scores) > 1:
        last_in_time = 0
        for time, score in scores:
            if time <= related_end:
                last_in_time = score
        scores = [(t, s) for t, s in scores if not (t > related_end and s < last_in_time)]
    shifted = [(start + (1 - omega) * (t - start), s) for t, s in scores]
    if not shifted:
        return 0.5 / 2
    area = (shifted[0][0] - start) * 0.5
    for index in range(len(shifted) - 1):
        area += (shifted[index + 1][0] - shifted[index][0]) * shifted[index][1]
    area += (end - shifted[-1][0]) * shifted[-1][1]
    return area / ((end - start) * 2)


def naive_duplicates(replies, answers):
    firsts = set()
    for start, end, *_ in answers:
        for index, (time, _) in enumerate(replies):
            if start <= time <= end:
                firsts.add(index)
                break
    inside = [i for i, (time, _) in enumerate(replies) if any(s <= time <= e for s, e, *_ in answers)]
    counted = [i for i in inside if i not in firsts]
    repeated = [i for i in counted if replies[i][1] in [text for _, text in replies[:i]]]
    return len(repeated), len(counted)


def question(draw):
    answers = []
    for _ in range(draw.randint(1, 4)):
        start = draw.uniform(0, 40)
        end = start + draw.uniform(1, 15)
        answers.append((start, end, start, max(start + 0.5, end - draw.choice([0, 1, 3]))))
    times = sorted(draw.sample(range(1, 60), draw.randint(0, 14)))
    words = ["alpha", "beta", "gamma", "delta", "epsilon zeta"]
    return answers, [(float(time), draw.choice(words)) for time in times]


def test_three_hundred_random_questions_score_the_same():
    draw = random.Random(7)
    ours, expected, duplicates = [], {0.0: [], 0.5: [], 1.0: []}, []
    for number in range(300):
        answers, replies = question(draw)
        golds = [gold(start, end, related_end=related) for start, end, _, related in answers]
        said = transcript(episode(*golds, question_id=str(number), duration=60.0), dict(replies), turns=60)
        ours.append(score_question(said, FixedJudge(rule)))
        for omega, values in expected.items():
            values.append([naive_pauc(replies, answer, omega) for answer in answers])
        duplicates.append(naive_duplicates(replies, answers))
    for index, omega in enumerate(expected):
        for result, values in zip(ours, expected[omega], strict=True):
            assert [span.pauc[index] for span in result.spans] == pytest.approx(values, abs=1e-9)
    row = pool_subset(ours)
    for omega, values in expected.items():
        pooled = list(itertools.chain.from_iterable(values))
        assert row["pauc"][f"{omega:g}"] == pytest.approx(100 * sum(pooled) / len(pooled), abs=1e-9)
    assert [(result.duplicates, result.repeatable) for result in ours] == duplicates
    repeated, counted = map(sum, zip(*duplicates, strict=True))
    assert row["duplicates"] == pytest.approx(100 * repeated / counted, abs=1e-9)
