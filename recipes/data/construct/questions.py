"""Questions: two to four a video, each with one answer a scene, or none, that have passed the gates."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Set
from typing import Self

from pydantic import ValidationInfo, model_validator

from proactive_env.recipes.data.construct import gates
from proactive_env.recipes.data.construct.ask import Asker, DroppedError, Fields, OneLine, OneLineOrSilence, all_of
from proactive_env.recipes.data.construct.config import BuildConfig
from proactive_env.recipes.data.construct.frames import scene_pictures
from proactive_env.recipes.data.construct.lines import Question, VideoCaptions, VideoQuestions


class SceneAnswer(Fields):
    """What a scene answers; scenes count from 1."""

    scene: int
    answer: OneLineOrSilence


class SceneAnswers(Fields):
    """A question with its answers."""

    question: OneLine
    answers: tuple[SceneAnswer, ...]

    def by_scene(self) -> dict[int, str]:
        """The answers that are not `NO REPLY`, in order of time."""
        answers = {answer.scene: answer.answer for answer in self.answers if answer.answer}
        return dict(sorted(answers.items()))


class QuestionLists(Fields):
    """The answer to `questions.txt`; a scene that is not mentioned has no answer."""

    questions: tuple[SceneAnswers, ...]

    @model_validator(mode="after")
    def _fits_the_video(self, info: ValidationInfo) -> Self:
        expected: Mapping[str, int] = info.context or {}
        different = {question.question for question in self.questions}
        if not len(different) == len(self.questions) == expected["questions"]:
            raise ValueError(f"expected {expected['questions']} different questions")
        for question in self.questions:
            scenes = [answer.scene for answer in question.answers]
            if len(set(scenes)) < len(scenes) or not set(scenes) <= set(range(1, expected["scenes"] + 1)):
                raise ValueError(f"expected each of the scenes 1 to {expected['scenes']} at most once, found {scenes}")
        return self


async def write_questions(video: VideoCaptions, config: BuildConfig, asker: Asker) -> VideoQuestions:
    """Make a video's questions from its captions; one scene alone is not asked about if `gates.one_sided` holds.

    Raises:
        ChatUnavailable: there was no answer.
        VideoError: the video can no longer be decoded.
    """
    count = config.question_count(video.duration)
    scenes = [
        f"Scene {number} ({scene.start:.1f}-{scene.end:.1f} s): {scene.caption}"
        for number, scene in enumerate(video.scenes, start=1)
    ]
    dropped: Counter[str] = Counter()
    questions: list[Question] = []
    if config.gates.one_sided and len(scenes) == 1:
        return VideoQuestions(video=video.video, duration=video.duration, dropped={"video with one scene": 1})
    try:
        context = {"questions": count, "scenes": len(scenes)}
        lines = [f"Number of questions: {count}", *scenes]
        asked = await asker.ask("questions", lines, QuestionLists, texts=count * len(scenes), context=context)
    except DroppedError as error:
        dropped[str(error)] = count
    else:
        answers = {one.question: one.by_scene() for one in asked.questions}
        pictures = await asyncio.to_thread(_pictures, video, set().union(*answers.values()), config)
        checks = (gates.check(*one, video.scenes, pictures, config, asker) for one in answers.items())
        for question, reasons in await all_of(checks):
            questions += [question] if question else []
            dropped.update(reasons)
    return VideoQuestions(video=video.video, duration=video.duration, questions=tuple(questions), dropped=dropped)


def _pictures(video: VideoCaptions, answered: Set[int], config: BuildConfig) -> dict[int, list[str]]:
    """What the gate `unsupported` needs: the frames of these scenes, by number."""
    if not answered or not config.gates.unsupported:
        return {}
    numbers = sorted(answered)
    scenes = [video.scenes[number - 1] for number in numbers]
    return dict(zip(numbers, scene_pictures(config.videos / video.video, scenes, config), strict=True))
