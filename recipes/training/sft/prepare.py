"""Episodes become examples, before the first step: every video is decoded once, and what is wrong is found now."""

from collections.abc import Callable, Sequence

import numpy as np

from proactive_env.agents.models.tape import Role, Speller
from proactive_env.environment import ProactiveVideoEnv
from proactive_env.episode import Episode
from proactive_env.errors import InputError
from proactive_env.recipes.training.sft import jsonl
from proactive_env.recipes.training.sft.config import SftConfig
from proactive_env.recipes.training.sft.examples import EpisodeFrames, Example, teach
from proactive_env.recipes.training.sft.labels import label
from proactive_env.turn import Turn


def label_episodes(
    episodes: Sequence[Episode],
    config: SftConfig,
    *,
    first: int = 0,
    on_episode: Callable[[], None],
) -> list[tuple[tuple[Turn, ...], EpisodeFrames]]:
    """The labelled turns and the frames of each episode; frames that the cache lacks are decoded.

    Args:
        episodes: The episodes.
        config: Of the run.
        first: Where to begin, so that processes that share a cache begin at different videos.
        on_episode: Called after each episode.

    Raises:
        VideoError: a video is missing or broken, or a span lies outside it.
    """
    env = ProactiveVideoEnv(
        episodes,
        frame_interval=config.frame_interval,
        frames_per_turn=config.frames_per_turn,
        max_pixels=config.max_pixels,
    )
    dialogues = {}
    for place in [*range(first, len(episodes)), *range(first)]:
        observation, info = env.reset(options={"question_id": episodes[place].question_id})
        plan = info["plan"]
        frames = EpisodeFrames(
            video=plan.episode.video,
            count=round(plan.turns[-1].end / config.frame_interval),
            frame_interval=config.frame_interval,
            duration=plan.episode.duration,
            max_pixels=config.max_pixels,
            size=observation["frames"].shape[1:3],
        )
        dialogues[place] = (label(plan, config.reply_at, config.seed), frames)
        on_episode()
    return [dialogues[place] for place in range(len(episodes))]


def make_examples(
    dialogues: Sequence[tuple[Sequence[Turn], EpisodeFrames]], speller: Speller, config: SftConfig
) -> list[Example]:
    """The examples of labelled dialogues, and of what is mixed in.

    Raises:
        InputError: a file to mix in cannot be read, or `max_tokens` has no room for an example.
    """
    examples = []
    for turns, frames in dialogues:
        try:
            taught = teach(speller, turns, frames, config.decoding, config.max_frames)
            examples += [example.fitting(config.max_tokens) for example in taught]
        except InputError as error:
            asked = next((turn.user_text for turn in turns if turn.user_text), "")
            raise InputError(f"{frames.video}, {asked!r}: {error}") from error
    rng = np.random.default_rng(config.seed)
    mixed = []
    for mix in config.mix:
        found = jsonl.read(mix.file, speller, config.max_pixels, config.max_tokens)
        order = rng.permutation(len(found))
        mixed += [found[place] for place in np.resize(order, round(mix.ratio * len(examples)))]
    return examples + mixed


def class_balanced(examples: Sequence[Example], beta: float) -> dict[Role, float]:
    """What decisions to be silent and to speak count: the inverse of the effective number of examples of their class.

    That number is (1 - beta^n) / (1 - beta) for n examples, and the weights add up to the number of classes, 2 (Cui et
    al. 2019, arXiv 1901.05555).
    """
    roles = (Role.SILENCE, Role.SPEECH)
    counts = [sum(int((example.roles == role).sum()) for example in examples) for role in roles]
    inverse = [(1 - beta) / (1 - beta**count) if count else 0.0 for count in counts]
    return {role: len(roles) * share / sum(inverse) for role, share in zip(roles, inverse, strict=True)}
