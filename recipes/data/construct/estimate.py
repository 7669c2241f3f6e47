"""What a build would ask, before it asks anything.

Scenes and frames of captions are counted. The rest is estimated: half of the scenes answer a question, every first
answer fits, frames have all of `max_pixels`; four characters are a token of text, 28 x 28 pixels one of image. The JSON
around texts is counted as a tokenizer of 130,000 words (Mistral's Tekken) sees it, two or three characters a token.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from proactive_env.recipes.data.construct.config import BuildConfig
from proactive_env.recipes.data.construct.frames import frame_times
from proactive_env.recipes.data.construct.lines import VideoScenes
from proactive_env.recipes.data.construct.prompts import read_prompt

CAPTION_TOKENS = 50
QUESTION_TOKENS = 12
ANSWER_TOKENS = 20
SILENCE_TOKENS = 3
"""`NO REPLY`."""
OBJECT_TOKENS = 5
"""`{"caption": ""}` and the like."""
LIST_TOKENS = 10
"""`{"question": "", "answers": []}, `, or `{"scenes": [1, 2]}`."""
SCENE_TOKENS = 13
"""`{"scene": 12, "answer": ""}, `: in the list of a question's answers every scene has one."""
LABEL_TOKENS = 8
"""`Answer of scene 3: ` and the like."""
TIMED_LABEL_TOKENS = 18
"""`Scene 12 (10.0-15.5 s): `."""
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
    question, answer = LABEL_TOKENS + QUESTION_TOKENS, LABEL_TOKENS + ANSWER_TOKENS
    for video in videos:
        scenes, questions = len(video.scenes), config.question_count(video.duration)
        if not scenes:
            continue
        total.videos += 1
        total.scenes += scenes
        images = sum(len(frame_times(scene, config.frames_per_scene)) for scene in video.scenes)
        subtitles = sum(_tokens(scene.text) for scene in video.scenes)
        pictured = images * (config.max_pixels // _PIXELS_PER_TOKEN)
        shown = (subtitles + pictured) // scenes + TIMED_LABEL_TOKENS + LABEL_TOKENS
        total.add("caption", scenes, tokens=shown, answer_tokens=OBJECT_TOKENS + CAPTION_TOKENS, images=images)
        answered = (scenes + 1) // 2
        listed = answered * ANSWER_TOKENS + (scenes - answered) * SILENCE_TOKENS + scenes * SCENE_TOKENS
        asked = questions * (LIST_TOKENS + QUESTION_TOKENS + listed)
        captions = scenes * (TIMED_LABEL_TOKENS + CAPTION_TOKENS)
        total.add("questions", 1, tokens=LABEL_TOKENS + captions, answer_tokens=OBJECT_TOKENS + asked)
        if config.gates.guessable:
            total.add("guess", questions, tokens=question, answer_tokens=OBJECT_TOKENS + ANSWER_TOKENS)
            total.add("guessed", questions, tokens=question + answer * (1 + answered), answer_tokens=LIST_TOKENS)
        if config.gates.unsupported:
            tokens = shown + CAPTION_TOKENS + question + answer
            seen = images * answered * questions // scenes
            total.add("supported", questions * answered, tokens=tokens, answer_tokens=OBJECT_TOKENS, images=seen)
        merged = question + answer * answered // 2
        total.add("summary", questions // 2, tokens=merged, answer_tokens=OBJECT_TOKENS + 2 * ANSWER_TOKENS)
    if config.server.price:
        prompt, completion = config.server.price
        total.cost = (total.prompt_tokens * prompt + total.completion_tokens * completion) / 1e6
    return total


def _tokens(text: str) -> int:
    return len(text) // _CHARACTERS_PER_TOKEN
