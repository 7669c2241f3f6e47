"""transformers' Trainer, but tokens have weights, evaluation plays episodes, and batches hold similar lengths.

The order of examples depends on seed and epoch alone, however many processes share them.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from accelerate.utils import gather_object
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils.data import Sampler
from transformers import Trainer, TrainerCallback
from transformers.trainer_pt_utils import get_length_grouped_indices

from proactive_env.recipes import console
from proactive_env.recipes.training.held_out import HeldOut, summary
from proactive_env.recipes.training.sft.collator import IGNORED
from proactive_env.turn import Transcript

# Where several processes share a CPU, Trainer restores the optimizer to cpu:0, cpu:1, ...: torch knows only cpu.
torch.serialization.register_package(
    15, lambda _: None, lambda storage, place: storage if place.startswith("cpu:") else None
)


class SimilarLengths(Sampler[int]):
    """Shuffles anew each epoch, and sorts a few dozen steps at a time by length.

    Args:
        lengths: Tokens of each example.
        step: Examples of one optimizer step, over all processes.
        seed: Together with the epoch, it fixes the order.
    """

    def __init__(self, lengths: Sequence[int], step: int, seed: int) -> None:
        self._lengths, self._step, self._seed = lengths, step, seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called before each epoch."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self._seed + self._epoch)
        return iter(get_length_grouped_indices(self._lengths, self._step, generator=generator))


class SftTrainer(Trainer):  # type: ignore[misc]
    """Trains on batches of `Collator`; the loss is the sum of the trained tokens' weighted losses over their number.

    `eval_dataset` is a `HeldOut`.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.transcripts: list[Transcript] = []
        """Of the held-out episodes."""
        self.played_at: int | None = None
        """The step after which they were played."""
        self.model_accepts_loss_kwargs = True  # compute_loss takes num_items_in_batch, whatever the model's own does

    def _get_train_sampler(self, train_dataset: Any = None) -> SimilarLengths:
        lengths = [len(example.ids) for example in self.train_dataset]
        step = self.args.train_batch_size * self.args.gradient_accumulation_steps * self.args.world_size
        self._sampler = SimilarLengths(lengths, step, self.args.seed)
        return self._sampler

    def _run_epoch(self, *, epoch: int, **others: Any) -> None:
        """See `Trainer._run_epoch`; it takes a step after the last one."""
        self._sampler.set_epoch(epoch)  # accelerate does not find it in an epoch that several processes resume
        if self.state.global_step < self.state.max_steps:
            super()._run_epoch(epoch=epoch, **others)

    def _load_from_checkpoint(self, *arguments: Any, **options: Any) -> None:
        """The model that is given has the checkpoint's weights: Trainer's own way misses those saved by other names."""

    def compute_loss(
        self, model: Any, inputs: dict[str, Tensor], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Logits are computed only where some row of the batch has a label: they are large, and labels are few."""
        labels, weights = inputs.pop("labels")[:, 1:], inputs.pop("weights")[:, 1:]
        kept = (labels != IGNORED).any(0).nonzero()[:, 0]
        outputs = model(**inputs, logits_to_keep=kept, use_cache=False)
        losses = cross_entropy(
            outputs.logits.float().flatten(0, 1),
            labels[:, kept].flatten(),
            ignore_index=IGNORED,
            reduction="none",
        )
        loss = (losses * weights[:, kept].flatten()).sum() / num_items_in_batch
        loss = loss * (self.accelerator.num_processes if self.args.average_tokens_across_devices else 1)
        return (loss, outputs) if return_outputs else loss

    def evaluate(self, *arguments: Any, **options: Any) -> dict[str, float]:
        """Play the held-out episodes, each process a part of them, and log what `summary` says."""
        held_out: HeldOut = self.eval_dataset
        part = slice(self.accelerator.process_index, None, self.accelerator.num_processes)
        model = self.accelerator.unwrap_model(self.model)
        self.transcripts = gather_object(held_out.play_model(model, self.processing_class, part))
        self.played_at = self.state.global_step
        numbers = summary(self.transcripts, held_out.environment["frame_interval"])
        metrics = {f"eval_{name}": number for name, number in numbers.items()}
        self.log(metrics)
        self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


class Narrator(TrainerCallback):  # type: ignore[misc]
    """Tells what is logged, a line each time."""

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **others: Any) -> None:
        """See `TrainerCallback.on_log`."""
        if state.is_world_process_zero:
            numbers = (f"{name} {number:.4g}" for name, number in logs.items() if name != "epoch")
            console.err.print(f"step {state.global_step}/{state.max_steps}: {', '.join(numbers)}", highlight=False)
