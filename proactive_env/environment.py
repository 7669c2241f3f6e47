"""The bare environment plays a video turn by turn and records what is said; it pays nothing: rewards are wrappers."""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple, TypedDict, cast

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from numpy.typing import NDArray

from proactive_env import datasets
from proactive_env.clock import Clock, plan
from proactive_env.datasets.catalog import root_of
from proactive_env.episode import Episode
from proactive_env.errors import InputError, VideoError
from proactive_env.plugin import did_you_mean, portable
from proactive_env.rendering import dialogue, picture
from proactive_env.spaces import Frames, FreeText
from proactive_env.turn import NO_REPLY, Transcript, Turn, spoken
from proactive_env.video import MAX_PIXELS, SIZE_MULTIPLE, FrameCache, probe_duration

_LONGEST_VIDEO_S = 1e6
_OPTIONS = ("question_id", "start", "end")


class Observation(TypedDict):
    """What the agent sees at one turn."""

    frames: NDArray[np.uint8]
    """(n, height, width, 3) RGB."""
    text: str
    """What the user said during these frames; often empty."""
    time: NDArray[np.float64]
    """Shape (): when the turn decides, seconds of video time."""


class PastTurn(NamedTuple):
    """A turn before the window, in `info["history"]`."""

    observation: Observation
    reply: str
    """A gold reply or `NO REPLY`."""


class EnvironmentArguments(TypedDict, total=False):
    """What `ProactiveVideoEnv` takes beside its data set; `make` and `rollout` hand it on."""

    subset: str | None
    split: str | None
    size: int | None
    dataset_seed: int
    frame_interval: float
    frames_per_turn: int | None
    full_video: bool
    max_pixels: int
    truncate_after: int | None
    render_mode: str | None


class ProactiveVideoEnv(gym.Env[Observation, str]):
    """A video plays, a question stands, and after every frame or two the agent speaks or stays silent.

    The action is a reply, or `NO REPLY` (or nothing) for silence. The episode ends with its last turn, whose step
    returns an observation without frames. `reset` takes `options={"question_id": ..., "start": s, "end": s}`: an
    episode by its id, and a window of it in seconds.

    `reset` gives these infos: `question_id`; `window`, the seconds that are played; `history`, the `PastTurn`s before
    the window (their frames are read-only); `plan`, the whole `Transcript` before anything is said, gold replies
    included, which only scripted agents may look at; `dropped_texts`, the number of user texts due after the last
    frame. `step` gives `turn`, the `Turn` that the action completed.

    Args:
        dataset: A name or class that `proactive_env.datasets.load` knows, or episodes.
        data: The data set's folder or file.
        subset: Part of the benchmark; None: all of it.
        split: TinyWorld's split.
        size: How many episodes.
        dataset_seed: Seed of TinyWorld's stories, or of the choice of `size` episodes.
        frame_interval: Seconds from one frame to the next.
        frames_per_turn: Frames a turn; None: the benchmark's own, episode by episode.
        full_video: Play to the end of the video, not just to the end of the last gold reply's span.
        max_pixels: Frames are scaled to at most this many pixels.
        truncate_after: Turns after which an episode is cut short and paid for what was earned until then, which
            Gymnasium's `max_episode_steps` does not do: it stands outside the rewards.
        render_mode: `"rgb_array"`, `"ansi"` or None.

    Example:
        >>> env = ProactiveVideoEnv("tinyworld", size=1)
        >>> observation, info = env.reset(seed=0)
        >>> observation, reward, terminated, truncated, info = env.step("A red circle.")
        >>> info["turn"].reply
        'A red circle.'
    """

    metadata = {"render_modes": ["rgb_array", "ansi"], "render_fps": 1}  # noqa: RUF012 (declared so by Gymnasium)

    def __init__(
        self,
        dataset: str | Sequence[Episode] = "tinyworld",
        *,
        data: str | None = None,
        subset: str | None = None,
        split: str | None = None,
        size: int | None = None,
        dataset_seed: int = 0,
        frame_interval: float = 1.0,
        frames_per_turn: int | None = None,
        full_video: bool = False,
        max_pixels: int = MAX_PIXELS,
        truncate_after: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        if isinstance(dataset, str):
            dataset = str(portable(dataset))
            data = root_of(dataset, data)
        self._arguments = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        if not frame_interval > 0:
            raise InputError(f"expected frame_interval > 0 seconds, found {frame_interval}")
        if max_pixels < SIZE_MULTIPLE**2:
            raise InputError(f"expected max_pixels >= {SIZE_MULTIPLE**2}, found {max_pixels}")
        if frames_per_turn is not None and frames_per_turn < 1:
            raise InputError(f"expected frames_per_turn >= 1, found {frames_per_turn}")
        if truncate_after is not None and truncate_after < 1:
            raise InputError(f"expected truncate_after >= 1 turns, found {truncate_after}")
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise InputError(f"expected a render_mode of {self.metadata['render_modes']}, found {render_mode!r}")
        self._spec: EnvSpec | None = None
        self.observation_space = cast(
            spaces.Space[Observation],
            spaces.Dict(
                {"frames": Frames(), "text": FreeText(), "time": spaces.Box(0.0, _LONGEST_VIDEO_S, (), np.float64)}
            ),
        )
        self.action_space = FreeText()
        self.episodes: Sequence[Episode] = (
            datasets.load(dataset, data, subset=subset, split=split, size=size, seed=dataset_seed)
            if isinstance(dataset, str)
            else dataset
        )
        self.frame_interval = frame_interval
        self.frames_per_turn = frames_per_turn
        self.full_video = full_video
        self.max_pixels = max_pixels
        self.truncate_after = truncate_after
        self.render_mode = render_mode
        self._index = {episode.question_id: index for index, episode in enumerate(self.episodes)}
        if not 0 < len(self._index) == len(self.episodes):
            raise InputError("expected at least one episode, each with a question_id of its own")
        self._plan: Transcript | None = None
        self._done: list[Turn] = []

    @property
    def transcript(self) -> Transcript:
        """The turns played since `reset`."""
        return dataclasses.replace(self._planned(), turns=tuple(self._done))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode: the one that `options` names, else one drawn by the seed.

        Raises:
            InputError: an unknown option or question id, or a window that holds no turn.
            VideoError: the video is missing, broken, or more than 1 s shorter than annotated.
        """
        super().reset(seed=seed)
        self._plan = None
        options = options or {}
        for option in options:
            if option not in _OPTIONS:
                raise InputError(f"reset has no option {option!r}{did_you_mean(option, _OPTIONS)}")
        episode = self._with_duration(self._choose(options.get("question_id")))
        self._clock = Clock.of(
            episode,
            frame_interval=self.frame_interval,
            frames_per_turn=self.frames_per_turn or episode.frames_per_turn,
            full_video=self.full_video,
        )
        turns = self._clock.turns(episode)
        window = None
        if options.keys() & {"start", "end"}:
            window = (float(options.get("start", turns[0].start)), float(options.get("end", turns[-1].end)))
        planned = plan(episode, turns, window)
        self._frames = FrameCache().frames(
            episode.video,
            count=self._clock.frame_count,
            frame_interval=self.frame_interval,
            duration=episode.duration,
            max_pixels=self.max_pixels,
        )
        self._plan, self._done = planned, []
        self._shown = self._observe(planned.turns[0])
        return self._shown, {
            "question_id": episode.question_id,
            "window": (planned.turns[0].start, planned.turns[-1].end),
            "history": tuple(
                PastTurn(self._observe(turn, copy=False), turn.reply or NO_REPLY) for turn in planned.history
            ),
            "plan": planned,
            "dropped_texts": self._clock.dropped_texts(episode),
        }

    def step(self, action: str) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Say `action` at the end of the turn that was shown, and show the next one.

        Raises:
            TypeError: the action is not a string.
            gymnasium.error.ResetNeeded: the episode is over or was never started.
        """
        if not isinstance(action, str):
            raise TypeError(f"expected an action of type str, a reply or {NO_REPLY!r}, found {type(action).__name__}")
        turns = self._planned().turns
        if len(self._done) in (len(turns), self.truncate_after):
            raise gym.error.ResetNeeded("the episode is over: call reset() before the next step()")
        turn = turns[len(self._done)].model_copy(update={"reply": spoken(action)})
        self._done.append(turn)
        terminated = len(self._done) == len(turns)
        truncated = not terminated and len(self._done) == self.truncate_after
        observation = self._after_the_end() if terminated else self._observe(turns[len(self._done)])
        if not terminated:
            self._shown = observation
        return observation, 0.0, terminated, truncated, {"turn": turn}

    def render(self) -> Any:
        """`rgb_array`: the current frames with question, time and latest replies; `ansi`: the dialogue so far."""
        plan = self._planned()
        if self.render_mode == "rgb_array":
            most = max(len(range(*self._clock.frames(turn.index))) for turn in plan.turns)
            return picture(self._shown["frames"], plan, self._done, most)
        return dialogue(plan, self._done) if self.render_mode == "ansi" else None

    @property
    def spec(self) -> EnvSpec | None:
        """Gymnasium's record of how this environment was made, with absolute paths."""
        return self._spec

    @spec.setter
    def spec(self, spec: EnvSpec | None) -> None:
        if spec is not None:
            data = self._arguments["data"]
            spec = dataclasses.replace(spec, kwargs=portable(spec.kwargs) | ({"data": data} if data else {}))
        self._spec = spec

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self._arguments, self._spec)

    def _planned(self) -> Transcript:
        if self._plan is None:
            raise gym.error.ResetNeeded("no episode has been started: call reset() first")
        return self._plan

    def _choose(self, question_id: str | None) -> Episode:
        if question_id is None:
            return self.episodes[int(self.np_random.integers(len(self.episodes)))]
        if question_id not in self._index:
            raise InputError(f"there is no question_id {question_id!r}{did_you_mean(question_id, list(self._index))}")
        return self.episodes[self._index[question_id]]

    def _with_duration(self, episode: Episode) -> Episode:
        if episode.duration is not None:
            return episode
        duration = probe_duration(episode.video)
        try:
            return episode.with_duration(duration)
        except ValueError as error:
            raise VideoError(f"{episode.video}: {error}") from error

    def _observe(self, turn: Turn, *, copy: bool = True) -> Observation:
        first, last = self._clock.frames(turn.index)
        frames = self._frames[first:last]
        return {
            "frames": np.array(frames) if copy else frames,
            "text": turn.user_text,
            "time": np.array(turn.end, dtype=np.float64),
        }

    def _after_the_end(self) -> Observation:
        return {
            "frames": np.empty((0, *self._frames.shape[1:]), np.uint8),
            "text": "",
            "time": np.array(self._done[-1].end, dtype=np.float64),
        }


def _rebuild(arguments: dict[str, Any], spec: EnvSpec | None) -> ProactiveVideoEnv:
    env = ProactiveVideoEnv(**arguments)
    env.spec = spec
    return env
