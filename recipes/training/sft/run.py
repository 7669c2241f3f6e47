"""A warm start as a run folder: `config.yaml`, `checkpoints/` to resume from, and the final checkpoint itself.

What is wrong with the config, the episodes to learn from or a file to mix in is found before the first step; a picture
to mix in that breaks off, or a broken held-out video, when it is read.
"""

import json
import tempfile
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proactive_env import agents
from proactive_env.agents.models.checkpoint import load_processor
from proactive_env.agents.models.tape import Speller
from proactive_env.environment import EnvironmentArguments
from proactive_env.errors import InputError
from proactive_env.extras import require
from proactive_env.recipes.record import alone, record
from proactive_env.recipes.training.held_out import HeldOut, scores_of, summary
from proactive_env.recipes.training.sft.collator import Collator
from proactive_env.recipes.training.sft.config import SftConfig
from proactive_env.recipes.training.sft.examples import Example
from proactive_env.recipes.training.sft.prepare import class_balanced, label_episodes, make_examples
from proactive_env.recipes.training.sft.weights import load_model
from proactive_env.recipes.training.tiny import make_tiny
from proactive_env.turn import Transcript

if TYPE_CHECKING:
    from transformers import TrainingArguments

CHECKPOINTS = "checkpoints"
RESULT = "result.json"
"""There when the run is finished."""
TINY = "tiny"


def train(
    config: SftConfig,
    out: Path,
    *,
    on_start: Callable[[int, int], None],
    on_episode: Callable[[], None],
) -> dict[str, Any]:
    """Train, or go on where a run into the same folder was stopped; write the final checkpoint to `out`.

    A run that is finished is not trained again.

    Args:
        config: Must be the folder's own if it holds checkpoints.
        out: The run's folder.
        on_start: Called with the number of episodes to prepare, and 0.
        on_episode: Called after each of them.

    Returns:
        `runs`: the scores of silence, of the oracle and of the final model on the held-out episodes, by name;
        `summary`: what `held_out.summary` says of the model. Empty without such episodes, and in all processes but the
        first.

    Raises:
        InputError: something that the config names cannot be used, or it is not the folder's own.
    """
    require("sft")
    with tempfile.TemporaryDirectory() as scratch:
        return _train(_source(config, Path(scratch)), config, out, on_start, on_episode)


def _train(
    source: str, config: SftConfig, out: Path, on_start: Callable[[int, int], None], on_episode: Callable[[], None]
) -> dict[str, Any]:
    arguments = _arguments(config, out)  # from here on, this process knows the others
    main, last, result = arguments.process_index == 0, _last_checkpoint(out), out / RESULT
    if last or result.exists():
        record(out, config, begun=True)
    if result.exists():
        before: dict[str, Any] = json.loads(result.read_text())
        return before if main else {}
    processor = load_processor(source)
    episodes = config.train.load()
    on_start(len(episodes), 0)
    first = len(episodes) * arguments.process_index // arguments.world_size
    dialogues = label_episodes(episodes, config, first=first, on_episode=on_episode)
    examples = make_examples(dialogues, Speller(processor), config)
    model = load_model(source, config, last)
    _check_lengths(examples, model)
    with alone(out) if main else nullcontext():
        if _last_checkpoint(out) != last:
            raise InputError(f"{out}: another process has trained into this folder meanwhile; start again")
        if main and not last:
            record(out, config, begun=False)
        return _fit(model, processor, examples, config, out, arguments, last)


def _fit(
    model: Any,
    processor: Any,
    examples: Sequence[Example],
    config: SftConfig,
    out: Path,
    arguments: "TrainingArguments",
    last: Path | None,
) -> dict[str, Any]:
    from transformers import PrinterCallback

    from proactive_env.recipes.training.sft.trainer import Narrator, SftTrainer

    weights = class_balanced(examples, config.balance) if config.balance is not None else {}
    held_out = _held_out(config)
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
    elif trainer.is_world_process_zero():
        trainer.accelerator.unwrap_model(trainer.model).merge_and_unload().save_pretrained(out)
        processor.save_pretrained(out)
    if not trainer.is_world_process_zero():
        return {}
    found = _scores(held_out, trainer.transcripts, out, config) if held_out else {}
    partial = (out / RESULT).with_suffix(".partial")
    partial.write_text(json.dumps(found))
    partial.replace(out / RESULT)
    return found


def _held_out(config: SftConfig) -> HeldOut | None:
    if config.held_out is None:
        return None
    environment: EnvironmentArguments = {
        "frame_interval": config.frame_interval,
        "frames_per_turn": config.frames_per_turn,
        "max_pixels": config.max_pixels,
    }
    return HeldOut(config.held_out.load(), environment, config.decoding)


def _scores(held_out: HeldOut, transcripts: Sequence[Transcript], out: Path, config: SftConfig) -> dict[str, Any]:
    played = {name: held_out.play(agents.load(name)) for name in ("silent", "oracle")} | {str(out): transcripts}
    return {
        "runs": {name: scores_of(found).as_dict() for name, found in played.items()},
        "summary": summary(transcripts, config.frame_interval),
    }


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
    arguments = TrainingArguments(
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
        ddp_find_unused_parameters=True,  # a batch without pictures uses no vision tower
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
    if arguments.n_gpu > 1:
        raise InputError(
            f"expected a process for each GPU, found one for {arguments.n_gpu}: begin the command with "
            f"torchrun --nproc-per-node {arguments.n_gpu} -m proactive_env.recipes.cli sft, or choose a GPU by "
            "CUDA_VISIBLE_DEVICES"
        )
    return arguments


def _check_lengths(examples: Sequence[Example], model: Any) -> None:
    longest = max(len(example.ids) for example in examples)
    taken = model.config.get_text_config().max_position_embeddings
    if longest > taken:
        raise InputError(
            f"the longest example has {longest} tokens, but the model takes {taken}: set max_tokens or max_frames"
        )


def _last_checkpoint(out: Path) -> Path | None:
    """The newest checkpoint that was written to its end: the trainer's state is written last, and may be torn."""
    states = (out / CHECKPOINTS).glob("checkpoint-*/trainer_state.json")
    complete = [state.parent for state in states if _is_whole(state)]
    return max(complete, key=lambda folder: int(folder.name.rpartition("-")[2]), default=None)


def _is_whole(file: Path) -> bool:
    try:
        json.loads(file.read_text())
    except ValueError:
        return False
    return True
