"""What a GRPO run may choose, recorded beside its checkpoints."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from proactive_env.datasets.catalog import root_of
from proactive_env.episode import Frozen
from proactive_env.plugin import portable
from proactive_env.recipes.evaluate.episodes import BenchmarkConfig
from proactive_env.video import MAX_PIXELS

PRESETS = Path(__file__).parent
"""The folder of the configs that have names."""


class PlayConfig(Frozen):
    """How episodes are played, paid and answered: what a rollout worker has to know."""

    frame_interval: float = Field(default=1.0, gt=0)
    """Seconds from one frame to the next."""
    mixed_frame_intervals: tuple[float, ...] = ()
    """Seconds from one frame to the next in training, one of them drawn for each episode; none: `frame_interval`, at
    which held-out episodes are played in any case."""
    frames_per_turn: int | None = Field(default=None, ge=1)
    """None: the benchmark's own."""
    max_pixels: int = Field(default=MAX_PIXELS, ge=28 * 28)
    """Pixels of a frame, at most."""
    rewards: str | dict[str, float | dict[str, Any]] | None = None
    """As in `proactive_env.rewards.make`: a preset's name, or each reward's weight or arguments; None: the paper's."""
    judge: str | dict[str, Any] = "lexical"
    """The judge of every reward that asks one."""
    judge_patience: float = Field(default=600.0, ge=0)
    """Seconds for which a judge that cannot be reached is asked again, before the run stops."""
    format: Literal["no_reply", "open_turn"] = "no_reply"
    """How silence is spelled."""
    max_new_tokens: int = Field(default=100, ge=1)
    """Tokens of one reply, at most."""
    temperature: float = Field(default=1.0, gt=0)
    """Of sampled rollouts; held-out episodes are played greedily."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Draw from the most probable tokens that together have this probability."""
    top_k: int = Field(default=0, ge=0)
    """0: all tokens."""
    max_tokens: int = Field(default=8192, ge=256)
    """Tokens of a conversation, history and replies included; when they are used up, the rest is played in silence."""

    @field_validator("mixed_frame_intervals")
    @classmethod
    def _above_zero(cls, intervals: tuple[float, ...]) -> tuple[float, ...]:
        if not all(interval > 0 for interval in intervals):
            raise ValueError(f"expected seconds above 0, found {intervals}")
        return intervals

    @field_validator("rewards", "judge")
    @classmethod
    def _absolute(cls, value: Any) -> Any:
        return portable(value)


class GrpoConfig(Frozen):
    """How a warm-started model learns when to speak from rewards."""

    model: str
    """A folder, or a name on the Hugging Face Hub: the checkpoint to start from."""
    train: BenchmarkConfig
    """The episodes to play."""
    held_out: BenchmarkConfig | None = None
    """The episodes that are played greedily during the training; none: nothing is."""
    play: PlayConfig = PlayConfig()
    """How they are played, paid and answered."""
    window: tuple[float, float] | None = (20.0, 60.0)
    """Shortest and longest part of a video that is played at once, seconds; None: whole episodes."""

    credit: Literal["episode", "turn"] = "episode"
    """What a token is paid for: the whole episode (MMDuet2), or what its own turn and those after it earn, compared
    with the same turn of the group's other rollouts."""
    discount: float = Field(default=1.0, ge=0, le=1)
    """What a credit counts one turn earlier, with `credit: turn`."""

    decoupled: bool = False
    """Bring the rewards' advantages to one size before they are added up with their weights, with `credit: turn` (GDPO,
    arXiv 2601.05242)."""

    group: int = Field(default=4, ge=2)
    """Rollouts of one window, whose rewards are compared."""
    windows_per_step: int = Field(default=8, ge=1)
    """Windows whose groups make one batch of rollouts."""
    mini_batch: int | None = Field(default=None, ge=1)
    """Rollouts of one optimizer step; None: all of a batch."""
    micro_batch: int = Field(default=1, ge=1)
    """Rollouts of one forward pass."""
    epochs: int = Field(default=1, ge=1)
    """How often every window is played."""
    steps: int | None = Field(default=None, ge=1)
    """Batches of rollouts, instead of `epochs`; None: as many as those have."""
    learning_rate: float = Field(default=1e-6, gt=0)
    """After the warm-up."""
    final_learning_rate: float = Field(default=1.0, ge=0, le=1)
    """Share of the learning rate that is left at the last step, down a cosine; 1: it is constant."""
    warmup: float = Field(default=0.0, ge=0, lt=1)
    """Share of the steps in which the learning rate rises."""
    clip: float = Field(default=0.2, gt=0, lt=1)
    """How far one batch may move a token's probability, as a share of it."""
    kl: float = Field(default=0.0, ge=0)
    """Weight of the divergence from the model at the start; 0: no reference model is loaded."""
    importance_correction: bool = False
    """Weigh tokens by how much the actor's probabilities differ from those of the engine that drew them, at most 2."""
    freeze_vision: bool = True
    """Train the language model alone: vision tower and projector stay."""
    seed: int = Field(default=0, ge=0)
    """Of the windows, their order, and what is drawn."""

    nodes: int = Field(default=1, ge=1)
    """Machines."""
    gpus: int = Field(default=1, ge=1)
    """Of a node, for the actor; without CUDA: processes."""
    engines: int = Field(default=1, ge=1)
    """vLLM engines; with `colocate` as many as GPUs divided by `tensor_parallel`."""
    tensor_parallel: int = Field(default=1, ge=1)
    """GPUs of one engine."""
    colocate: bool = True
    """Actor and engines share GPUs and take turns."""
    gpu_memory: float = Field(default=0.5, gt=0, lt=1)
    """Share of a GPU's memory that an engine takes."""
    zero_stage: Literal[0, 1, 2, 3] = 2
    """DeepSpeed's ZeRO: what the actor's processes share."""
    offload_adam: bool = False
    """Keep the optimizer's state in the CPU's memory."""
    gradient_checkpointing: bool = False
    """Keep no activations, compute them again: less memory, more time."""
    address: str | None = None
    """A running Ray cluster to submit to, such as `http://head:8265`; None: a local Ray for this run."""

    keep: Literal["last", "best"] = "last"
    """Which weights the run's folder becomes: the last, or, of those with which the held-out episodes were played, the
    ones that earned the highest reward there."""
    save_every: int = Field(default=50, ge=1)
    """Steps; the run resumes from there."""
    evaluate_every: int = Field(default=50, ge=1)
    """Steps after which the held-out episodes are played."""

    @field_validator("model")
    @classmethod
    def _found_from_anywhere(cls, model: str) -> str:
        return str(Path(model).resolve()) if Path(model).is_dir() else model

    @field_validator("train", "held_out")
    @classmethod
    def _absolute(cls, source: BenchmarkConfig | None) -> BenchmarkConfig | None:
        return source and source.model_copy(update={"data": root_of(source.benchmark, source.data)})

    @field_validator("window")
    @classmethod
    def _shortest_first(cls, window: tuple[float, float] | None) -> tuple[float, float] | None:
        if window and not 0 < window[0] <= window[1]:
            raise ValueError(f"expected the shortest and the longest window, seconds above 0, found {window}")
        return window

    @property
    def rollouts(self) -> int:
        """Of one batch."""
        return self.group * self.windows_per_step

    @property
    def actors(self) -> int:
        """GPUs, or processes, that train."""
        return self.nodes * self.gpus

    @property
    def all_gpus(self) -> int:
        """GPUs, or processes, that the run takes."""
        reference = self.actors if self.kl else 0
        return self.actors if self.colocate else self.actors + self.engines * self.tensor_parallel + reference

    @model_validator(mode="after")
    def _uncorrected_where_the_engine_restricts(self) -> "GrpoConfig":
        play = self.play
        if self.importance_correction and (play.top_k or play.top_p < 1 or play.format == "open_turn"):
            raise ValueError(
                "importance_correction compares the engine's probabilities with the actor's, and top_k, top_p and "
                "format open_turn restrict the engine's: set importance_correction=false, or draw from all tokens"
            )
        return self

    @model_validator(mode="after")
    def _discounted_by_turn(self) -> "GrpoConfig":
        if self.credit == "episode" and (self.discount != 1 or self.decoupled):
            raise ValueError(
                "discount and decoupled are about turns: set credit=turn, or discount=1 and decoupled=false"
            )
        return self

    @model_validator(mode="after")
    def _kept_weights_are_saved(self) -> "GrpoConfig":
        if self.keep == "best" and (self.held_out is None or self.evaluate_every % self.save_every):
            raise ValueError(
                "keep=best chooses among saved weights by the held-out reward: give held_out, and an evaluate_every "
                f"that is a multiple of save_every, found {self.evaluate_every} and {self.save_every}"
            )
        return self

    @model_validator(mode="after")
    def _batches_divide(self) -> "GrpoConfig":
        mini, forward = self.mini_batch or self.rollouts, self.micro_batch * self.actors
        if self.rollouts % mini or mini % forward:
            raise ValueError(
                f"a step has group x windows_per_step = {self.rollouts} rollouts, an optimizer step mini_batch {mini}, "
                f"a forward pass of all actors micro_batch x nodes x gpus = {forward}: "
                "each must be a multiple of the next"
            )
        return self

    @model_validator(mode="after")
    def _engines_fill_the_gpus(self) -> "GrpoConfig":
        if self.colocate and self.actors != self.engines * self.tensor_parallel:
            raise ValueError(
                f"with colocate=true engines share the actor's GPUs: expected engines x tensor_parallel = nodes x gpus "
                f"= {self.actors}, found {self.engines} x {self.tensor_parallel}"
            )
        return self
