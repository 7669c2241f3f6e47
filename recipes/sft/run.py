"""A warm start as a run folder: `config.yaml`, `checkpoints/` to resume from, and the final checkpoint itself.

Everything that can be wrong with the input is found before the first step.
"""

import tempfile
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proactive_env.agents.checkpoint import load_processor
from proactive_env.agents.engine import Decoding
from proactive_env.errors import InputError
from proactive_env.extras import require
from proactive_env.recipes.config import record
from proactive_env.recipes.sft.collator import Collator
from proactive_env.recipes.sft.config import SftConfig
from proactive_env.recipes.sft.examples import Example
from proactive_env.recipes.sft.held_out import HeldOut
from proactive_env.recipes.sft.prepare import class_balanced, label_episodes, make_examples
from proactive_env.recipes.sft.tape import Speller
from proactive_env.recipes.sft.weights import load_model
from proactive_env.recipes.tiny import make_tiny
from proactive_env.turn import Transcript

if TYPE_CHECKING:
    from transformers import TrainingArguments

CHECKPOINTS = "checkpoints"
TINY = "tiny"


def train(
    config: SftConfig,
    out: Path,
    *,
    on_start: Callable[[int, int], None],
    on_episode: Callable[[], None],
) -> list[Transcript]:
    """Train, or go on where a run into the same folder was stopped; write the final checkpoint to `out`.

    Args:
        config: Must be the folder's own if it holds checkpoints.
        out: The run's folder.
        on_start: Called with the number of episodes to prepare, and 0.
        on_episode: Called after each of them.

    Returns:
        The transcripts of the held-out episodes, played by the final model; empty in all processes but the first.

    Raises:
        InputError: something that the config names cannot be used, or it is not the folder's own.
    """
    require("sft")
    with tempfile.TemporaryDirectory() as scratch:
        return _train(_source(config, Path(scratch)), config, out, on_start, on_episode)


def held_out_of(config: SftConfig) -> HeldOut | None:
    """The episodes that are played during the training."""
    if config.held_out is None:
        return None
    environment = config.model_dump(include={"frame_interval", "frames_per_turn", "max_pixels"})
    decoding = Decoding(format=config.format, max_context=config.max_tokens)
    return HeldOut(config.held_out.load(), environment, decoding)


def _train(
    source: str, config: SftConfig, out: Path, on_start: Callable[[int, int], None], on_episode: Callable[[], None]
) -> list[Transcript]:
    from transformers import PrinterCallback

    from proactive_env.recipes.sft.trainer import Narrator, SftTrainer

    arguments = _arguments(config, out)  # from here on, this process knows the others
    main, last = arguments.process_index == 0, _last_checkpoint(out)
    if last:
        record(out, config, begun=True)
    processor = load_processor(source)
    episodes = config.train.load()
    on_start(len(episodes), 0)
    first = len(episodes) * arguments.process_index // arguments.world_size
    dialogues = label_episodes(episodes, config, first=first, on_episode=on_episode)
    examples = make_examples(dialogues, Speller(processor), config)
    model = load_model(source, config, last)
    _check_lengths(examples, model)
    if main and not last:
        record(out, config, begun=False)
    weights = class_balanced(examples, config.balance) if config.balance is not None else {}
    held_out = held_out_of(config)
    trainer = SftTrainer(
        model,
        arguments,
        data_collator=Collator(processor, weights),
        train_dataset=examples,
        eval_dataset=held_out,
        processing_class=processor,
        callbacks=[Narrator()],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=str(last) if last else None)
    if held_out and trainer.played_at != trainer.state.global_step:
        trainer.evaluate()
    if not config.lora:
        trainer.save_model(str(out))
    elif main:
        trainer.accelerator.unwrap_model(trainer.model).merge_and_unload().save_pretrained(out)
        processor.save_pretrained(out)
    return trainer.transcripts if main else []


def _source(config: SftConfig, scratch: Path) -> str:
    """Where the weights at the start are."""
    if config.model != TINY:
        return config.model
    make_tiny(scratch / TINY, config.seed)
    return str(scratch / TINY)


def _arguments(config: SftConfig, out: Path) -> "TrainingArguments":
    import torch
    from transformers import TrainingArguments

    named = [*config.report_to, *(["deepspeed"] if config.deepspeed else [])]
    missing = [name for name in named if find_spec(name) is None]
    if missing:
        raise InputError(f"the config names {', '.join(missing)}: pip install {' '.join(missing)}")
    deepspeed = Path(__file__).parent / "zero2.json" if config.deepspeed == "zero2" else config.deepspeed
    return TrainingArguments(
        output_dir=str(out / CHECKPOINTS),
        per_device_train_batch_size=config.batch_size,
        gradient_accumulation_steps=config.accumulation,
        learning_rate=config.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=config.warmup,
        weight_decay=config.weight_decay,
        adam_beta2=config.adam_beta2,
        num_train_epochs=config.epochs,
        max_steps=config.steps or -1,
        bf16=config.bf16,
        gradient_checkpointing=config.gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False},
        deepspeed=str(deepspeed) if deepspeed else None,
        ddp_find_unused_parameters=False,
        seed=config.seed,
        dataloader_num_workers=config.workers,
        dataloader_pin_memory=torch.cuda.is_available(),
        use_cpu=not torch.accelerator.is_available(),
        remove_unused_columns=False,
        eval_strategy="steps" if config.held_out else "no",
        eval_steps=config.evaluate_every,
        save_steps=config.save_every,
        save_total_limit=2,
        logging_steps=config.log_every,
        report_to=list(config.report_to),
        disable_tqdm=True,
    )


def _check_lengths(examples: Sequence[Example], model: Any) -> None:
    longest = max(len(example.ids) for example in examples)
    taken = model.config.get_text_config().max_position_embeddings
    if longest > taken:
        raise InputError(
            f"the longest example has {longest} tokens, but the model takes {taken}: set max_tokens or max_frames"
        )


def _last_checkpoint(out: Path) -> Path | None:
    """The newest checkpoint that was written to its end: the trainer's state is written last."""
    complete = [state.parent for state in (out / CHECKPOINTS).glob("checkpoint-*/trainer_state.json")]
    return max(complete, key=lambda folder: int(folder.name.rpartition("-")[2]), default=None)
