"""The trainer's own vLLM engine as a dialogue's engine: it draws, and keeps what the training needs to know about it.

What is trained is every token that was drawn and stands in the conversation; where the model ended a reply with another
token than the template's, the template's stands there, and is not trained.
"""

import asyncio
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import numpy as np

from proactive_env.agents.models.engine import Context, Draw, Drawn, Engine, Segment, frame_id
from proactive_env.agents.models.tape import Role, Speller, Tape
from proactive_env.agents.models.vllm import complete
from proactive_env.recipes.training.grpo.rollout_credits import TurnTokens

if TYPE_CHECKING:
    from PIL.Image import Image
    from transformers import BatchFeature


class ContextFullError(RuntimeError):
    """Another turn and its reply might not fit, and nothing may be forgotten."""


class RolloutEngine(Engine):
    """The engine of one rollout.

    Args:
        llm: vLLM's `AsyncLLM`, on the running event loop.
        processor: The checkpoint's processor.
        speller: Of that processor.
        longest_context: Tokens of the sequence, at most.
        period: Part of the frames' ids: vLLM encodes a frame again in another period.
        held_out: Whether the dialogue counts, not the sequence: a full conversation goes on in a new context, of which
            alone the sequence then consists.
        log_probs: Whether to keep the log-probabilities of what is drawn. Without them, and if not held out, those that
            a draw watches are NaN: nobody reads them, and they cost the engine time at every token.
    """

    def __init__(
        self,
        llm: Any,
        processor: Any,
        speller: Speller,
        *,
        longest_context: int,
        period: int,
        held_out: bool,
        log_probs: bool,
    ) -> None:
        self.llm = llm
        self.processor = processor
        self.speller = speller
        self.longest_context = min(longest_context, llm.model_config.max_model_len)
        self.most_frames = llm.model_config.multimodal_config.get_limit_per_prompt("image")
        self.period = period
        self.turn = 0
        """The turn that is played, counted from the first one."""
        self.recording: Recording | None = None
        """The newest context."""
        self._held_out = held_out
        self._log_probs = log_probs

    def open(self, seed: int) -> Context:
        """See `Engine.open`.

        Raises:
            ContextFullError: this is not the first context, and nothing may be forgotten.
        """
        if self.recording is not None and not self._held_out:
            raise ContextFullError
        self.recording = Recording(self, seed)
        return self.recording

    def close(self) -> None:
        """The engine is the trainer's."""

    async def generate(self, prompt: dict[str, Any], draw: Draw, seed: int) -> Any:
        """See `proactive_env.agents.models.vllm.complete`."""
        watched = list(draw.watched) if self._held_out or self._log_probs else []
        return await complete(
            self.llm,
            prompt,
            draw,
            seed=seed,
            logprob_token_ids=watched or None,  # with them comes the drawn token's
            logprobs=0 if self._log_probs and not watched else None,
        )


class Recording(Context):
    """A conversation, and what the training needs to know about it."""

    def __init__(self, engine: RolloutEngine, seed: int) -> None:
        self._seed = seed
        self.images: list[Image] = []
        self.image_ids: list[str] = []
        """Made from the images' content."""
        self._engine = engine
        self._prompt: list[int] = []  # for vLLM: one token an image
        self._tape = Tape()
        self._turns: list[int] = []
        """Of each token, -1 for those that are read."""
        self._log_probs: list[float] = []
        self._said: list[float] = []
        self._said_by = 0

    async def sample(self, segment: Segment, draw: Draw) -> Drawn:
        """See `Context.sample`."""
        await asyncio.to_thread(self._read, segment)
        prompt = {
            "prompt_token_ids": list(self._prompt),
            "multi_modal_data": {"image": list(self.images)},
            "multi_modal_uuids": {"image": list(self.image_ids)},
        }
        completion = await self._engine.generate(prompt, draw, (self._seed + len(self._prompt)) % 2**63)
        tokens = tuple(completion.token_ids)
        reply = tokens[:-1] if tokens[-1] in draw.ends and not draw.allowed else tokens
        said = tokens if tokens[-1] == self._engine.speller.end else reply
        self._tape.say(said)
        self._said_by = self._engine.turn
        if completion.logprobs is None:
            self._said = [0.0] * len(said)
            return Drawn(reply, dict.fromkeys(draw.watched, math.nan))
        self._said = [place[token].logprob for token, place in zip(said, completion.logprobs, strict=False)]
        return Drawn(reply, {token: completion.logprobs[0][token].logprob for token in draw.watched})

    def finish(self) -> tuple[list[int], tuple[TurnTokens, ...], list[float]]:
        """The conversation's tokens, those of them that are trained, and the log-probability of each.

        The log-probabilities are 0.0 for tokens that are read.
        """
        turns = [*self._turns, *[self._said_by] * len(self._said)]
        ids, roles = self._tape.cut()
        edges = np.flatnonzero(np.diff(roles != Role.READ, prepend=False, append=False))
        trained = tuple(
            TurnTokens(turn=turns[start], start=int(start), end=int(end)) for start, end in edges.reshape(-1, 2)
        )
        return ids.tolist(), trained, self._log_probs + self._said

    def _read(self, segment: Segment) -> None:
        from PIL import Image

        speller = self._engine.speller
        tokens = [*segment.drawn, *speller.spell(segment.text, [frame.shape[:2] for frame in segment.frames])]
        self._tape.read(tokens)
        self._turns += [self._said_by] * len(self._said) + [-1] * (len(tokens) - len(self._said))
        self._log_probs += self._said + [0.0] * (len(tokens) - len(self._said))
        self._prompt += [*segment.drawn, *speller.template.tokens(segment.text)]
        for frame in segment.frames:
            self.images.append(Image.fromarray(frame))
            self.image_ids.append(f"{self._engine.period}-{frame_id(frame)}")


class Features:
    """What the trained model reads of frames; sequences with the same frames share it while one of them has it.

    So it travels once for the rollouts of a window, not once for each. To be called in one thread.

    Args:
        processor: The checkpoint's processor.
    """

    def __init__(self, processor: Any) -> None:
        self._processor = processor
        self._shared: WeakValueDictionary[tuple[str, ...], BatchFeature] = WeakValueDictionary()

    def of(self, images: Sequence["Image"], ids: Sequence[str]) -> "BatchFeature":
        """The image processor's tensors, such as `pixel_values` and `image_grid_thw`."""
        features = self._shared.get(tuple(ids))
        if features is None:
            features = self._processor.image_processor(images=list(images), return_tensors="pt")
            self._shared[tuple(ids)] = features
        return features
