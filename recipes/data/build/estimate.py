"""What a build would ask, before it asks anything.

Scenes and images are counted; tokens are estimated: four characters a token of text, 28 x 28 pixels a token of image,
50 tokens a caption and 20 an answer, and answers in half of the scenes.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from proactive_env.recipes.data.build.captions import frame_indices
from proactive_env.recipes.data.build.config import BuildConfig
from proactive_env.recipes.data.build.lines import VideoScenes
from proactive_env.recipes.data.build.prompts import read_prompt

CAPTION_TOKENS = 50
ANSWER_TOKENS = 20
_CHARACTERS_PER_TOKEN = 4
_PIXELS_PER_TOKEN = 28 * 28


@dataclass
class Estimate:
    """Calls, images and tokens; the cost in the currency of the prices, None without prices."""

    videos: int = 0
    scenes: int = 0
    calls: int = 0
    images: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float | None = None

    def add(self, prompt: str, calls: int, *, tokens: int, answer_tokens: int, images: int = 0) -> None:
        """Add calls with this prompt; `tokens` and `answer_tokens` are those of each message and answer."""
        self.calls += calls
        self.images += images
        self.prompt_tokens += calls * (_tokens(read_prompt(prompt)) + tokens)
        self.completion_tokens += calls * answer_tokens


def estimate(videos: Iterable[VideoScenes], config: BuildConfig) -> Estimate:
    """What captions, questions, gates and dialogues of these videos would take, if nothing is on disk."""
    total = Estimate()
    for video in videos:
        scenes, questions = len(video.scenes), config.question_count(video.duration)
        if not scenes:
            continue
        total.videos += 1
        total.scenes += scenes
        frames = int(video.duration) + 1
        images = sum(len(frame_indices(scene, frames, config.frames_per_scene)) for scene in video.scenes)
        subtitles = sum(_tokens(scene.text) for scene in video.scenes)
        pictured = images * config.max_pixels // _PIXELS_PER_TOKEN
        shown = (subtitles + pictured) // scenes
        total.add("caption", scenes, tokens=shown, answer_tokens=CAPTION_TOKENS, images=images)
        answers = scenes * ANSWER_TOKENS // 2
        total.add("questions", 1, tokens=scenes * CAPTION_TOKENS, answer_tokens=questions * answers)
        if config.gates.guessable:
            total.add("guess", questions, tokens=ANSWER_TOKENS, answer_tokens=ANSWER_TOKENS)
            total.add("guessed", questions, tokens=ANSWER_TOKENS + answers, answer_tokens=ANSWER_TOKENS)
        if config.gates.unsupported:
            tokens = ANSWER_TOKENS + answers + scenes * CAPTION_TOKENS // 2
            total.add("unsupported", questions, tokens=tokens, answer_tokens=ANSWER_TOKENS)
        total.add("summary", questions // 2, tokens=answers // 2, answer_tokens=ANSWER_TOKENS)
    if config.server.price:
        prompt, completion = config.server.price
        total.cost = (total.prompt_tokens * prompt + total.completion_tokens * completion) / 1e6
    return total


def _tokens(text: str) -> int:
    return len(text) // _CHARACTERS_PER_TOKEN
