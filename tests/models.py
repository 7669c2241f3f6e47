"""Tiny checkpoints, and engines that record or force what is drawn."""

import math
from dataclasses import replace

import numpy as np

from proactive_env.agents.models.engine import Context, Draw, Drawn, Engine


def make_llava(folder):
    """A random LLaVA with a ChatML template: no M-RoPE, no tokens around a frame."""
    import torch
    from tokenizers import ByteLevelBPETokenizer
    from transformers import (
        CLIPImageProcessor,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
        PreTrainedTokenizerFast,
    )

    trainer = ByteLevelBPETokenizer()
    trainer.train_from_iterator(["NO REPLY system user assistant What appears? A red circle."] * 4, vocab_size=400)
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>"]
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=trainer._tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=special,
    )
    template = (
        "{% for message in messages %}<|im_start|>{{ message.role + '\n' }}{% for part in message.content %}"
        "{% if part.type == 'image' %}<image>{% else %}{{ part.text }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    size = {"height": 56, "width": 56}
    LlavaProcessor(
        image_processor=CLIPImageProcessor(size=size, crop_size=size),
        tokenizer=tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        chat_template=template,
        num_additional_image_tokens=1,
    ).save_pretrained(folder)
    layers = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = LlavaConfig(
        vision_config={"model_type": "clip_vision_model", "image_size": 56, "patch_size": 14, **layers},
        text_config={"model_type": "llama", "vocab_size": len(tokenizer), "num_key_value_heads": 1, **layers}
        | {"max_position_embeddings": 32768},
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )
    torch.manual_seed(0)
    LlavaForConditionalGeneration(config).save_pretrained(folder)


class Recorder(Engine, Context):
    """Reads nothing and draws by `script`, a function of the `Draw`; keeps every segment and draw.

    `silence` is the probability of `NO REPLY`, or of waiting for the next frame.
    """

    longest_context = 10**9
    most_frames = 10**9

    def __init__(self, processor, script, silence=0.5):
        self.processor = processor
        self.script = script
        self.silence = silence
        self.segments, self.draws, self.seeds = [], [], []

    @property
    def opened(self):
        return len(self.seeds)

    def open(self, seed):
        self.seeds.append(seed)
        return self

    def close(self):
        pass

    async def sample(self, segment, draw):
        self.segments.append(segment)
        self.draws.append(draw)
        shares = (self.silence, 1 - self.silence)
        return Drawn(
            self.script(draw), {token: math.log(share) for token, share in zip(draw.watched, shares, strict=False)}
        )


class Forcing(Engine):
    """Lets an engine read, and watches the probability of every token, but draws by `script`.

    The script is a function of the `Draw`; with None the engine's own draws stand.
    """

    def __init__(self, engine, script=None, watched=None):
        self.engine = engine
        self.script = script
        self.watched = range(len(engine.processor.tokenizer) if watched is None else watched)
        self.processor = engine.processor
        self.longest_context, self.most_frames = engine.longest_context, engine.most_frames
        self.conversations = []

    def open(self, seed):
        self.conversations.append(_Forced(self, self.engine.open(seed)))
        return self.conversations[-1]

    def close(self):
        self.engine.close()


class _Forced(Context):
    def __init__(self, forcing, context):
        self.forcing, self.context = forcing, context
        self.segments, self.log_probs, self.draws = [], [], []

    async def sample(self, segment, draw):
        everything = tuple(self.forcing.watched)
        watching = replace(draw, watched=everything)
        if self.forcing.script is not None:
            watching = Draw(1, watched=everything)
        drawn = await self.context.sample(segment, watching)
        self.segments.append(segment)
        self.draws.append(draw)
        self.log_probs.append(np.array([drawn.log_probs[token] for token in everything]))
        tokens = drawn.tokens if self.forcing.script is None else self.forcing.script(draw)
        unwatched = dict.fromkeys(draw.watched, math.log(0.5))
        return Drawn(tokens, unwatched | dict(drawn.log_probs))


def pieces(processor, segments):
    """The token ids of each segment, placeholders expanded, and the frames of all of them."""
    ids, frames = [], []
    for segment in segments:
        images = {"images": list(segment.frames)} if segment.frames else {}
        read = (
            processor(text=[segment.text], **images, add_special_tokens=False)["input_ids"][0] if segment.text else []
        )
        ids.append([*segment.drawn, *np.array(read, dtype=int).tolist()])
        frames += segment.frames
    return ids, frames


def reencoded(model, processor, segments):
    """Log-probabilities of the next token after each segment, by reading the whole conversation at once."""
    import torch

    ids, frames = pieces(processor, segments)
    whole = [token for piece in ids for token in piece]
    inputs = {"input_ids": torch.tensor([whole])}
    inputs |= dict(processor.image_processor(images=frames, return_tensors="pt"))
    is_image = inputs["input_ids"] == processor.tokenizer.convert_tokens_to_ids(processor.image_token)
    if "image_grid_thw" in inputs:
        inputs["mm_token_type_ids"] = is_image.int()
    with torch.inference_mode():
        model.base_model.rope_deltas = None
        logits = model(**inputs, attention_mask=torch.ones_like(inputs["input_ids"]), use_cache=False).logits[0]
    ends = np.cumsum([len(piece) for piece in ids]) - 1
    return logits.float().log_softmax(-1)[ends].numpy()


def play_real(agent, real_data):
    """Play the real videos of WEB, TV and VAD, all at once."""
    from proactive_env import datasets
    from proactive_env.agents.rollout import rollout

    episodes = datasets.load("proactivevideoqa", real_data / "proactivevideoqa")
    played = []

    def fail(question_id, error):
        raise error

    rollout(agent, episodes, environment={}, on_transcript=played.append, on_bad_video=fail)
    assert {transcript.episode.subset for transcript in played} == {"WEB", "TV", "VAD"}
    assert all(turn.stats["context_tokens"] > 0 for transcript in played for turn in transcript.turns)
