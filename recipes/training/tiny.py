"""A Qwen2.5-VL of about a million random parameters, with all that a real checkpoint has.

It knows nothing, but it loads wherever a Qwen2.5-VL does, and it is large enough to learn TinyWorld.
"""

from pathlib import Path
from typing import Any

from proactive_env.agents.models.dialogue import SYSTEM_PROMPT
from proactive_env.datasets import tinyworld
from proactive_env.errors import InputError
from proactive_env.extras import require
from proactive_env.turn import NO_REPLY
from proactive_env.video import MAX_PIXELS

SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
LONGEST_CONTEXT = 131_072
"""Tokens."""
SPREAD = 0.1
"""Standard deviation of the random weights: with the usual 0.02, made for layers ten times as wide, so small a model
needs twice as long until it looks at pictures at all."""

# ChatML with pictures, the dialogue format of Qwen2.5-VL.
CHAT_TEMPLATE = """\
{%- if messages[0].role != 'system' %}<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}
{%- for message in messages %}<|im_start|>{{ message.role + '\n' }}
{%- if message.content is string %}{{ message.content }}
{%- else %}{% for part in message.content %}
{%- if part.type == 'image' or part.type == 'image_url' %}<|vision_start|><|image_pad|><|vision_end|>
{%- elif part.type == 'video' %}<|vision_start|><|video_pad|><|vision_end|>
{%- else %}{{ part.text }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"""


def make_tiny(out: Path, seed: int = 0) -> int:
    """Write the checkpoint to `out`; the same seed gives the same weights. Returns the number of parameters.

    Raises:
        InputError: `out` holds something already, or transformers is not installed.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: expected a new or empty folder for the checkpoint; name another with --out")
    require("transformers")
    import torch
    from transformers import GenerationConfig, Qwen2_5_VLForConditionalGeneration

    processor = _processor()
    config = _config(processor.tokenizer)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen2_5_VLForConditionalGeneration(config)
    text = config.text_config
    model.generation_config = GenerationConfig(
        eos_token_id=text.eos_token_id, pad_token_id=text.pad_token_id, do_sample=False
    )
    model.save_pretrained(out)
    processor.save_pretrained(out)
    return int(model.num_parameters())


def _processor() -> Any:
    from transformers import Qwen2_5_VLProcessor, Qwen2VLImageProcessor, Qwen2VLVideoProcessor

    pixels = {"min_pixels": 28 * 28, "max_pixels": MAX_PIXELS}
    return Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(**pixels),
        video_processor=Qwen2VLVideoProcessor(**pixels),
        tokenizer=_tokenizer(),
        chat_template=CHAT_TEMPLATE,
    )


def _tokenizer() -> Any:
    from tokenizers import ByteLevelBPETokenizer
    from transformers import Qwen2TokenizerFast

    trainer = ByteLevelBPETokenizer()
    words = [
        *tinyworld.texts(),
        *[SYSTEM_PROMPT, NO_REPLY, "You are a helpful assistant.", "system user assistant"] * 8,
    ]
    trainer.train_from_iterator(words, vocab_size=1024, min_frequency=2, show_progress=False)
    return Qwen2TokenizerFast(
        tokenizer_object=trainer._tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=list(SPECIAL_TOKENS),
        model_max_length=LONGEST_CONTEXT,
    )


def _config(tokenizer: Any) -> Any:
    from transformers import Qwen2_5_VLConfig

    token = {name: tokenizer.convert_tokens_to_ids(f"<|{name}|>") for name in ("im_start", "im_end", "endoftext")}
    vision = ("vision_start", "vision_end", "image_pad", "video_pad")
    start, end, image, video = (tokenizer.convert_tokens_to_ids(f"<|{name}|>") for name in vision)
    return Qwen2_5_VLConfig(
        architectures=["Qwen2_5_VLForConditionalGeneration"],
        dtype="float32",
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 128,
            "intermediate_size": 384,
            "num_hidden_layers": 4,
            "initializer_range": SPREAD,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": LONGEST_CONTEXT,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [4, 6, 6]},
            "bos_token_id": token["endoftext"],
            "eos_token_id": token["im_end"],
            "pad_token_id": token["endoftext"],
            "tie_word_embeddings": True,
        },
        vision_config={
            "depth": 2,
            "initializer_range": SPREAD,
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_heads": 2,
            "out_hidden_size": 128,
            "fullatt_block_indexes": [1],
        },
        initializer_range=SPREAD,
        vision_start_token_id=start,
        vision_end_token_id=end,
        image_token_id=image,
        video_token_id=video,
        tie_word_embeddings=True,
    )
