"""What a warm start may choose, recorded beside its checkpoint."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from proactive_env.agents.models.engine import Decoding
from proactive_env.episode import Frozen
from proactive_env.recipes.evaluate.episodes import BenchmarkConfig
from proactive_env.recipes.training.sft.labels import ReplyAt
from proactive_env.video import MAX_PIXELS

Part = Literal["vision", "projector", "language"]


PRESETS = Path(__file__).parent
"""The folder of the configs that have names."""


class MixConfig(Frozen):
    """Conversations about pictures that are mixed in: offline video QA, captions."""

    file: Path
    """JSON lines of `messages` and `images`."""
    ratio: float = Field(gt=0)
    """Conversations for each example made from episodes; a file that has fewer is gone through again."""


class LoraConfig(Frozen):
    """Adapters in the language model instead of all of its weights; they are merged into the final checkpoint."""

    rank: int = Field(default=16, ge=1)
    """Of the update of a weight matrix."""
    alpha: int = Field(default=32, ge=1)
    """The update counts alpha / rank."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of an adapter's inputs that are left out in training."""


class SftConfig(Frozen):
    """How a vision-language model learns to speak and to stay silent."""

    model: str
    """A folder, a name on the Hugging Face Hub, or `tiny`: the random weights of `proactive tiny --seed SEED`."""
    train: BenchmarkConfig
    """The episodes to learn from."""
    held_out: BenchmarkConfig | None = None
    """The episodes that are played during the training; none: nothing is."""
    mix: tuple[MixConfig, ...] = ()
    """Conversations mixed in, under the model's default system message."""

    frame_interval: float = Field(default=1.0, gt=0)
    """Seconds from one frame to the next."""
    frames_per_turn: int | None = Field(default=None, ge=1)
    """None: the benchmark's own."""
    max_pixels: int = Field(default=MAX_PIXELS, ge=28 * 28)
    """Pixels of a frame, at most."""
    format: Literal["no_reply", "open_turn"] = "no_reply"
    """How silence is spelled."""
    reply_at: ReplyAt = "end"
    """Where in its span a gold reply is put."""
    max_frames: int | None = Field(default=None, ge=1)
    """Frames of an example, at most; longer episodes are cut into several."""
    max_tokens: int | None = Field(default=None, ge=256)
    """Tokens of an example, at most; beyond, the oldest frames leave, as in an agent with `max_context`."""

    freeze: tuple[Part, ...] = ()
    """Parts of the model that are not trained."""
    lora: LoraConfig | None = None
    """None: all weights are trained that are not frozen."""
    balance: float | None = Field(default=None, ge=0, lt=1)
    """The beta of class-balanced weights for the decisions to speak and to be silent; None: all tokens count alike."""
    learning_rate: float = Field(default=1e-5, gt=0)
    """At its peak; a cosine follows."""
    warmup: float = Field(default=0.05, ge=0, lt=1)
    """Share of the steps in which the learning rate rises."""
    weight_decay: float = Field(default=0.0, ge=0)
    """AdamW's."""
    adam_beta2: float = Field(default=0.999, ge=0, lt=1)
    """Of AdamW's second moment; a short run at a high learning rate wants less than the usual 0.999."""
    epochs: float = Field(default=1.0, gt=0)
    """How often every example is seen."""
    steps: int | None = Field(default=None, ge=1)
    """Optimizer steps, instead of `epochs`; None: as many as those have."""
    batch_size: int = Field(default=1, ge=1)
    """Examples of a forward pass in one process."""
    accumulation: int = Field(default=1, ge=1)
    """Forward passes of an optimizer step."""
    bf16: bool = False
    """Compute in bfloat16."""
    gradient_checkpointing: bool = False
    """Keep no activations, compute them again: less memory, more time."""
    deepspeed: str | None = None
    """`zero2` or a file in DeepSpeed's own format; None: plain data parallelism."""
    seed: int = Field(default=0, ge=0)
    """Of the order of examples, of random weights, and of `reply_at: middle`."""
    workers: int = Field(default=0, ge=0)
    """Processes that prepare the pictures."""

    log_every: int = Field(default=10, ge=1)
    """Steps."""
    save_every: int = Field(default=500, ge=1)
    """Steps; the run resumes from there."""
    evaluate_every: int = Field(default=500, ge=1)
    """Steps after which the held-out episodes are played; they are at the end, too."""
    report_to: tuple[Literal["tensorboard", "trackio", "wandb"], ...] = ("tensorboard",)

    @property
    def decoding(self) -> Decoding:
        """How the agent that is taught draws its replies."""
        return Decoding(format=self.format, max_context=self.max_tokens)
