"""Questions: two to four a video, each with one answer a scene, or none, that have passed the gates."""

from collections import Counter
from collections.abc import Mapping
from typing import Self

from pydantic import ValidationInfo, model_validator

from proactive_env.recipes.data.build import gates
from proactive_env.recipes.data.build.ask import Asker, DroppedError, Fields, OneLine, OneLineOrSilence, all_of
from proactive_env.recipes.data.build.config import BuildConfig
from proactive_env.recipes.data.build.lines import Question, VideoCaptions, VideoQuestions


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
    """Make a video's questions from its captions.

    Raises:
        ChatUnavailable: there was no answer.
    """
    count = config.question_count(video.duration)
    scenes = [
        f"Scene {number} ({scene.start:.1f}-{scene.end:.1f} s): {scene.caption}"
        for number, scene in enumerate(video.scenes, start=1)
    ]
    dropped: Counter[str] = Counter()
    questions: list[Question] = []
    try:
        context = {"questions": count, "scenes": len(scenes)}
        asked = await asker.ask("questions", [f"Number of questions: {count}", *scenes], QuestionLists, context=context)
    except DroppedError as error:
        dropped[str(error)] = count
    else:
        checks = (gates.check(one.question, one.by_scene(), video.scenes, config, asker) for one in asked.questions)
        for question, reasons in await all_of(checks):
            questions += [question] if question else []
            dropped.update(reasons)
    return VideoQuestions(video=video.video, duration=video.duration, questions=tuple(questions), dropped=dropped)
