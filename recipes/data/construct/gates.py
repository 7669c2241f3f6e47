"""Gates: which answers and questions are good enough to train on; each is optional, and counts what it keeps out."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Self

from pydantic import ValidationInfo, model_validator

from proactive_env.recipes.data.construct.ask import Asker, DroppedError, Fields, OneLine, all_of
from proactive_env.recipes.data.construct.captions import subtitle
from proactive_env.recipes.data.construct.config import BuildConfig
from proactive_env.recipes.data.construct.lines import Answer, Question
from proactive_env.recipes.data.scenes.scene import CaptionedScene

MERGE_GAP_S = 4.0
"""Seconds between two scenes whose answers may become one, at most: a training turn."""
_IDEOGRAPH = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"  # Chinese and Japanese put no spaces between words
_WORD = re.compile(rf"[{_IDEOGRAPH}]|[^\W{_IDEOGRAPH}]+")


class Guess(Fields):
    """The answer to `guess.txt`."""

    answer: OneLine


class NamedScenes(Fields):
    """The answer to `guessed.txt`."""

    scenes: tuple[int, ...]

    @model_validator(mode="after")
    def _were_shown(self, info: ValidationInfo) -> Self:
        shown = (info.context or {})["shown"]
        if not set(self.scenes) <= set(shown):
            raise ValueError(f"expected some of the scenes {sorted(shown)}, found {list(self.scenes)}")
        return self


class Supported(Fields):
    """The answer to `supported.txt`."""

    supported: bool


async def check(
    question: str,
    answers: Mapping[int, str],
    scenes: Sequence[CaptionedScene],
    pictures: Mapping[int, Sequence[str]],
    config: BuildConfig,
    asker: Asker,
) -> tuple[Question | None, Counter[str]]:
    """Put a question through the gates.

    Args:
        question: Its text.
        answers: Its answers by the number of their scene, from 1, in order.
        scenes: All scenes of the video.
        pictures: The frames of scenes with an answer, by number, as data URLs; the gate `unsupported` shows them.
        config: Which gates there are.
        asker: Asks the model.

    Returns:
        What is left of the question, and what was kept out by reason.
    """
    dropped: Counter[str] = Counter()
    try:
        if config.gates.guessable and answers:
            guessed = await _guessed(question, answers, asker)
            answers = _without(guessed, answers, "answer can be guessed without the video", dropped)
        if config.gates.unsupported and answers:
            unsupported = await _unsupported(question, answers, scenes, pictures, asker)
            answers = _without(unsupported, answers, "answer is not supported by its scene", dropped)
    except DroppedError as error:
        return None, +dropped + Counter({str(error): 1})
    if config.gates.one_sided and len(answers) in (0, len(scenes)):
        dropped["question with no answer" if not answers else "question with an answer in every scene"] += 1
        return None, dropped
    merged = _merge(answers, scenes, config.gates.merge_similarity)
    dropped["answer merged with its neighbour"] += len(answers) - len(merged)
    return Question(text=question, answers=tuple(merged)), +dropped


async def _guessed(question: str, answers: Mapping[int, str], asker: Asker) -> set[int]:
    guess = await asker.ask("guess", [f"Question: {question}"], Guess)
    shown = [f"Answer of scene {number}: {text}" for number, text in answers.items()]
    lines = [f"Question: {question}", f"Guess: {guess.answer}", *shown]
    return set((await asker.ask("guessed", lines, NamedScenes, context={"shown": answers})).scenes)


async def _unsupported(
    question: str,
    answers: Mapping[int, str],
    scenes: Sequence[CaptionedScene],
    pictures: Mapping[int, Sequence[str]],
    asker: Asker,
) -> set[int]:
    async def supported(number: int) -> bool:
        scene = scenes[number - 1]
        lines = [subtitle(scene), f"Caption: {scene.caption}", f"Question: {question}", f"Answer: {answers[number]}"]
        return (await asker.ask("supported", lines, Supported, images=pictures[number])).supported

    verdicts = await all_of(map(supported, answers))
    return {number for number, verdict in zip(answers, verdicts, strict=True) if not verdict}


def _without(named: set[int], answers: Mapping[int, str], reason: str, dropped: Counter[str]) -> dict[int, str]:
    dropped[reason] += len(named)
    return {number: text for number, text in answers.items() if number not in named}


def _merge(answers: Mapping[int, str], scenes: Sequence[CaptionedScene], threshold: float | None) -> list[Answer]:
    """Answers with their times; one that is near-equal to the one of the scene before only makes that last longer."""
    merged: list[Answer] = []
    last_number = 0
    for number, text in answers.items():
        scene = scenes[number - 1]
        follows = bool(merged) and number == last_number + 1 and scene.start - merged[-1].end <= MERGE_GAP_S
        if threshold is not None and follows and similarity(merged[-1].text, text) >= threshold:
            merged[-1] = merged[-1].model_copy(update={"end": scene.end})
        else:
            merged.append(Answer(start=scene.start, end=scene.end, text=text))
        last_number = number
    return merged


def similarity(one: str, other: str) -> float:
    """The share of words that two texts have in common (Jaccard's index of their sets of words).

    None if they differ in a number. Of Chinese and Japanese each character is a word.

    Example:
        >>> similarity("A man cooks rice.", "a man cooks the rice")
        0.8
    """
    words, others = (set(_WORD.findall(text.casefold())) for text in (one, other))
    if any(word.isnumeric() for word in words ^ others):
        return 0.0
    return len(words & others) / len(words | others) if words | others else 1.0
