"""What a build may choose, recorded beside its results, but for where videos and server are: both may move."""

from pathlib import Path

from pydantic import Field

from proactive_env.episode import Frozen
from proactive_env.recipes.data.construct.prompts import prompt_version
from proactive_env.recipes.data.scenes import SceneConfig
from proactive_env.video import MAX_PIXELS

PRESETS = Path(__file__).parent
"""The folder of the configs that have names."""


class ServerConfig(Frozen):
    """Where the model is asked; see `ChatClient`."""

    url: str | None = None
    """The server's base URL; none: OpenAI's."""
    api_key_env: str = "OPENAI_API_KEY"
    """The environment variable that holds the API key."""
    concurrency: int = Field(default=32, ge=1)
    """Calls under way at once."""
    timeout: float = Field(default=120.0, gt=0)
    """Seconds without a word from the server until a call is retried."""
    retries: int = Field(default=4, ge=0)
    """How often a call is retried."""
    price: tuple[float, float] | None = None
    """What a million prompt tokens and a million completion tokens cost."""


class GateConfig(Frozen):
    """What is kept out, beyond the paper; everything kept out is counted."""

    guessable: bool = True
    """Answers that the model gives without the video, asked the question alone."""
    unsupported: bool = True
    """Answers that the model does not see in the frames of their scene."""
    one_sided: bool = True
    """Questions without an answer, or with an answer in every scene."""
    merge_similarity: float | None = Field(default=0.9, ge=0, le=1)
    """Answers of neighbouring scenes become one from this share of common words on; none: they stay apart."""


class BuildConfig(Frozen):
    """How dialogues are made from videos."""

    model: str = Field(min_length=1)
    """The model's name on the server; it must take images."""
    server: ServerConfig = Field(default=ServerConfig(), exclude=True)
    """Where it is asked."""
    videos: Path = Field(default=Path(), exclude=True)
    """The folder of videos: the command's argument."""
    seed: int = 0
    """Draws the kind of each video's dialogues, the times of questions, and the videos held out."""
    scenes: SceneConfig = SceneConfig()
    """How videos are cut into scenes."""
    frames_per_scene: int = Field(default=4, ge=1)
    """Frames of a scene that its caption is made from, at most; frames stand a second apart, or more."""
    max_pixels: int = Field(default=MAX_PIXELS, ge=28 * 28)
    """Pixels of a frame, at most."""
    three_questions_from: float = Field(default=60.0, gt=0)
    """Seconds from which a video gets three questions instead of two."""
    four_questions_from: float = Field(default=180.0, gt=0)
    """Seconds from which a video gets four questions."""
    answer_tokens: int = Field(default=2048, ge=1)
    """Tokens of an answer, thoughts included, at most; a list of questions may be longer, by 64 for each scene and
    question. Raise it for a model that thinks long: an answer that is cut off does not fit."""
    gates: GateConfig = GateConfig()
    """What is kept out."""
    rl_videos: dict[str, int] = Field(default_factory=dict)
    """Videos of each subset held out for reinforcement learning: `grpo.jsonl` has them, `sft.jsonl` the others."""
    prompt_version: str = Field(default_factory=prompt_version)
    """A hash of the prompts, so that a build does not go on with others."""

    def question_count(self, duration: float) -> int:
        """How many questions a video of `duration` seconds gets: 2 to 4 (section 3 of the paper)."""
        return 2 + (duration >= self.three_questions_from) + (duration >= self.four_questions_from)
