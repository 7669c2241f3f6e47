"""Scores carried from turn to turn are those of every beginning, scored anew by the formulas as they are written."""

from itertools import cycle, pairwise

import pytest
from builders import episode, gold, write_video
from hypothesis import given, settings
from hypothesis import strategies as st

from proactive_env.environment import ProactiveVideoEnv
from proactive_env.episode import Timespan
from proactive_env.errors import InputError
from proactive_env.rewards import (
    ComponentReward,
    InSpanReward,
    LexicalJudge,
    PaucReward,
    PrefixReward,
    ReplicationReward,
)
from proactive_env.rewards.counts import episode_counts, in_some_span, repeated
from proactive_env.rewards.judges import lexical
from proactive_env.rewards.judges.pool import JudgePool
from proactive_env.rewards.pauc import pauc
from proactive_env.turn import NO_REPLY, Transcript, Turn

LONG = "It goes on and on, and says the same for more than fifty characters: "
REPLIES = (
    "A red circle.",
    "A blue square.",
    "red",
    f"{LONG}one",
    f"{LONG[:50]}!",
    f"{LONG}two",
    "A red circle. A blue square.",
)
FORMULAS = ("paper", "code")


def naive_pauc(said, formula):
    """As the authors' code goes about it: levels by time, so that the last span that holds a reply decides."""
    scored = [one for one in said.scored if formula == "paper" or one.reply_span.start <= said.turns[-1].end]
    points, by_time = [], {}
    for one in scored:
        inside = [turn for turn in said.replies if one.reply_span.contains(turn.end)]
        if formula == "code":
            texts = [turn.reply for turn in inside]
            inside = [turn for place, turn in enumerate(inside) if turn.reply not in texts[:place]]
        levels = {turn.end: LexicalJudge().coverage(one.question, one.text, turn.reply, 5) for turn in inside}
        by_time |= levels
        points.append(levels)
    if formula == "code":
        points = [{time: by_time[time] for time in levels} for levels in points]
    areas = [pauc([*levels.items()], one.reply_span, max_score=4) for levels, one in zip(points, scored, strict=True)]
    return sum(areas) / len(areas) if areas else 0.0


def naive_replication(said, formula):
    flags = repeated(said, LexicalJudge().repeats)
    shares = []
    for place, turn in enumerate(said.replies):
        earlier = [*said.earlier_replies, *(one.reply for one in said.replies[:place])]
        holding = [one.reply_span for one in said.episode.gold if one.reply_span.contains(turn.end)]
        again_in = sum(any(span.contains(one.end) for one in said.replies[:place]) for span in holding)
        shares.append(1 + (again_in if formula == "code" and turn.reply not in earlier else 0))
    again = sum(share for share, flag in zip(shares, flags, strict=True) if flag)
    fraction = again / sum(shares) if shares else 0.0
    return 1 - fraction if formula == "paper" else -fraction


def naive_in_span(said, formula):
    outside = [turn for turn in said.turns if not in_some_span(turn.end, said.episode.gold)]
    spoken = sum(turn.reply is not None for turn in outside)
    if formula == "code":
        return -spoken / len(outside) if outside else 0.0
    return 1 - spoken / len(said.replies) if said.replies else 1.0


def naive_prefix(said, formula):
    texts = [*said.earlier_replies, *(turn.reply for turn in said.replies)]
    first, common = len(said.earlier_replies), 50 if formula == "code" else 51
    alike = sum(
        any(
            min(len(texts[place]), len(earlier)) >= common and texts[place][:common] == earlier[:common]
            for earlier in texts[:place]
        )
        for place in range(first, len(texts))
    )
    if formula == "code":
        return -alike / len(said.turns)
    return 1 - alike / len(said.replies) if said.replies else 1.0


NAIVE = {
    PaucReward: naive_pauc,
    ReplicationReward: naive_replication,
    InSpanReward: naive_in_span,
    PrefixReward: naive_prefix,
}


@pytest.fixture(scope="module")
def env():
    return ProactiveVideoEnv("tinyworld", size=1)


said = st.lists(st.sampled_from((None, None, *REPLIES)), min_size=1, max_size=16)
spans = st.lists(
    st.tuples(st.integers(0, 14), st.integers(1, 8), st.sampled_from(REPLIES[:2])).map(
        lambda span: gold(span[0], span[0] + span[1], span[2])
    ),
    max_size=4,
)


@st.composite
def transcripts(draw):
    """Overlapping spans, repeats, shared prefixes, a history, a window."""
    replies, before = draw(said), draw(st.lists(st.sampled_from(REPLIES), max_size=3))
    begin = len(before)
    history = tuple(Turn(index=i, start=i, end=i + 1, reply=text) for i, text in enumerate(before))
    turns = tuple(Turn(index=i, start=i, end=i + 1, reply=text) for i, text in enumerate(replies, start=begin))
    window = Timespan(begin, begin + len(replies)) if draw(st.booleans()) else None
    return Transcript(episode(*draw(spans), duration=30.0), turns, window=window, history=history)


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("reward", NAIVE)
@given(made=transcripts())
def test_every_beginning_gets_the_score_that_it_has_alone(env, reward, formula, made):
    rule = reward(env, formula=formula)
    naive = [NAIVE[reward](made.first(count + 1), formula) for count in range(len(made.turns))]
    assert list(rule.running_scores(made, made.turns)) == pytest.approx(naive, abs=1e-9)
    assert rule.score(made) == pytest.approx(naive[-1], abs=1e-9)


class Ends(ComponentReward):
    """A user's reward with nothing but `score`: the last time at which something was said."""

    def score(self, transcript):
        return transcript.replies[-1].end if transcript.replies else 0.0


@given(made=transcripts())
def test_a_users_score_is_asked_about_every_beginning(env, made):
    expected = [Ends(env).score(made.first(count + 1)) for count in range(len(made.turns))]
    assert list(Ends(env).running_scores(made, made.turns)) == expected


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("videos") / "video.mp4", seconds=80, rate=2)


def play(env, replies, **options):
    """The terms of every step, and the last step's record."""
    env.reset(options=options)
    terms = []
    for reply in cycle(replies):
        *_, done, _, info = env.step(reply or NO_REPLY)
        terms.append(info["reward_terms"][env.name])
        if done:
            return terms, info["proactive_episode"]


@pytest.mark.parametrize("pay", ["end", "turn"])
@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("reward", NAIVE)
@settings(max_examples=25, deadline=None)
@given(golds=spans, replies=said, start=st.integers(0, 12), length=st.integers(1, 16))
def test_turns_are_paid_what_the_score_gains(video, reward, formula, pay, golds, replies, start, length):
    """In windows, after gold replies that are the history."""
    made = episode(*golds, duration=30.0, video=video)
    env = reward(ProactiveVideoEnv([made], full_video=True, frames_per_turn=1), 0.5, formula=formula, pay=pay)
    terms, record = play(env, replies, start=start, end=start + length)
    played = env.get_wrapper_attr("transcript")
    naive = [NAIVE[reward](played.first(count + 1), formula) for count in range(len(played.turns))]
    gained = [0.5 * (after - before) for before, after in pairwise([0.0, *naive])]
    assert record["terms_per_turn"][env.name] == pytest.approx(gained, abs=1e-9)
    at_end = [0.0] * (len(gained) - 1) + [0.5 * naive[-1]]
    assert terms == pytest.approx(gained if pay == "turn" else at_end, abs=1e-9)


@given(made=transcripts())
def test_counts(made):
    counts = episode_counts(made)
    assert counts["out_of_span"] == sum(not in_some_span(turn.end, made.episode.gold) for turn in made.replies)
    assert counts["repeated"] == sum(repeated(made, lambda earlier, reply: False))


@pytest.mark.parametrize("pay", ["end", "turn"])
@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("reward", [PaucReward, ReplicationReward])
def test_a_judge_is_asked_in_proportion_to_the_turns(video, reward, formula, pay, monkeypatch):
    """Not about every beginning anew: an episode twice as long asks twice as much, answered before or not."""
    questions = []

    def count(method):
        asked = getattr(JudgePool, method)
        monkeypatch.setattr(JudgePool, method, lambda *question: questions.append(question) or asked(*question))

    def asked(turns):
        golds = [gold(start, start + 10.0) for start in range(0, turns, 10)]
        env = ProactiveVideoEnv([episode(*golds, duration=float(turns), video=video)], frames_per_turn=1)
        questions.clear()
        terms, _ = play(reward(env, formula=formula, pay=pay), [f"reply {index}" for index in range(turns)])
        assert len(terms) == turns
        return len(questions)

    count("coverage")
    count("repeats")
    assert asked(40) >= 40
    assert asked(80) <= 2 * asked(40) + 2


dialogues = st.lists(st.lists(st.sampled_from((*REPLIES, "circle", "Circles!", "the", "")), max_size=6), max_size=6)


@given(dialogues)
def test_the_lexical_judge_remembers_one_dialogue_and_mixes_none(said):
    """Asked about beginnings of several dialogues in turn, as the rewards of several environments do."""
    judge = LexicalJudge()
    for length in range(7):
        for dialogue in said:
            earlier, reply = dialogue[:length], "A red circle."
            alone = [LexicalJudge().coverage("", reply, text, 2) == 1 for text in earlier]
            assert judge.repeats(earlier, reply) == any(alone)


def test_an_interrupted_lexical_judge_mixes_no_dialogues(monkeypatch):
    """Ctrl-C in a notebook, while the words of a dialogue are collected."""
    read = lexical._content_words

    def interrupted(text):
        if text == "stop":
            raise KeyboardInterrupt
        return read(text)

    judge = LexicalJudge()
    with monkeypatch.context() as patched:
        patched.setattr(lexical, "_content_words", interrupted)
        with pytest.raises(KeyboardInterrupt):
            judge.repeats(["A red circle.", "stop"], "Hello.")
    assert not judge.repeats(["A blue square."], "A red circle.")


@pytest.mark.parametrize("reward", NAIVE)
def test_a_transcript_without_turns_has_no_score(env, reward):
    with pytest.raises(InputError, match="at least one turn, found none"):
        reward(env).score(Transcript(episode(duration=3.0), ()))


def test_a_reward_that_takes_turns_ahead_is_told_so():
    class Ahead(InSpanReward):
        def running_scores(self, plan, turns):
            return iter([0.0 for _ in turns])

    env = Ahead(ProactiveVideoEnv("tinyworld", size=1), pay="turn")
    env.reset(seed=0)
    with pytest.raises(InputError, match=r"Ahead.running_scores took turn 1 before it was played"):
        env.step(NO_REPLY)
