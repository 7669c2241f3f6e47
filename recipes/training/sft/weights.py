"""Where the weights come from, and which are trained: all but the frozen parts, or adapters in the language model."""

from pathlib import Path
from typing import Any

from proactive_env.errors import InputError
from proactive_env.recipes.training.sft.config import LoraConfig, Part, SftConfig

# How the modules are called by transformers, in order: a projector may be part of the vision tower's module.
_NAMES: dict[Part, tuple[str, ...]] = {
    "projector": ("merger", "multi_modal_projector", "connector"),
    "vision": ("visual", "vision_tower", "vision_model"),
    "language": ("language_model", "lm_head"),
}


def part_of(name: str) -> Part | None:
    """The part that a parameter or module belongs to, by its full name; None: it cannot be told.

    Example:
        >>> part_of("model.visual.merger.mlp.0.weight"), part_of("model.visual.blocks.0.norm1.weight")
        ('projector', 'vision')
    """
    modules = name.split(".")
    return next((part for part, names in _NAMES.items() if any(module in names for module in modules)), None)


def load_model(source: str, config: SftConfig, last: Path | None) -> Any:
    """The model that is trained.

    Args:
        source: Its weights at the start: a folder, or a name on the Hugging Face Hub.
        config: Of the run.
        last: The checkpoint that the run goes on from, if it does.

    Raises:
        InputError: the weights cannot be loaded, or there are none in a part to be frozen.
    """
    from transformers import AutoModelForImageTextToText

    weights = str(last) if last and not config.lora else source
    try:
        model = AutoModelForImageTextToText.from_pretrained(weights, dtype="float32", attn_implementation="sdpa")
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"{weights} cannot be loaded: {error}") from error
    if config.lora:
        return _with_adapters(model, config.lora, config.seed, last)
    for part in config.freeze:
        _freeze(model, part)
    return model


def _freeze(model: Any, part: Part) -> None:
    parameters = [parameter for name, parameter in model.named_parameters() if part_of(name) == part]
    if not parameters:
        raise InputError(f"freeze: expected parameters of the {part} part, found none in {type(model).__name__}")
    for parameter in parameters:
        parameter.requires_grad_(False)


def _with_adapters(model: Any, lora: LoraConfig, seed: int, last: Path | None) -> Any:
    """The model with LoRA (arXiv 2106.09685) in each linear layer of its language model; all else is frozen."""
    import torch
    from peft import LoraConfig as PeftConfig
    from peft import get_peft_model, load_peft_weights, set_peft_model_state_dict

    layers = [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and part_of(name) == "language" and not name.endswith("lm_head")
    ]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        adapters = PeftConfig(target_modules=layers, r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout)
        adapted = get_peft_model(model, adapters)
    if last:
        set_peft_model_state_dict(adapted, load_peft_weights(str(last)))
    return adapted
