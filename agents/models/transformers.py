"""A checkpoint run by transformers: keys and values stay from turn to turn, and only new frames are encoded.

One thread owns the model. Conversations that wait at the same time are read, and draw, as one batch.
"""

import asyncio
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from proactive_env.agents.models.agent import ModelAgent, prepare
from proactive_env.agents.models.engine import Context, Draw, Drawn, Engine, Segment
from proactive_env.errors import EngineError, InputError

if TYPE_CHECKING:
    from torch import Generator, Tensor
    from transformers import PreTrainedModel

    from proactive_env.agents.models.key_values import KeyValues

DTYPES = ("auto", "float32", "bfloat16", "float16")
_NOT_FOR_THE_MODEL = ("input_ids", "attention_mask", "mm_token_type_ids")


class TransformersAgent(ModelAgent):
    """A checkpoint that transformers loads, in this process.

    Args:
        model: A folder, or a name on the Hugging Face Hub.
        device: Where it runs, such as `cuda:1`; None: a GPU if there is one, else the CPU.
        dtype: Of its weights: `auto` (the checkpoint's own), `float32`, `bfloat16` or `float16`.
        attention: transformers' attention implementation, such as `sdpa` or `flash_attention_2`.
        max_batch: How many conversations are read at once.
        decoding: The fields of `Decoding`.

    Raises:
        InputError: the checkpoint or an option cannot be used, or transformers is not installed.
    """

    def __init__(
        self,
        model: str,
        *,
        device: str | None = None,
        dtype: str = "auto",
        attention: str = "sdpa",
        max_batch: int = 16,
        **decoding: Any,
    ) -> None:
        if dtype not in DTYPES:
            raise InputError(f"expected a dtype of {', '.join(DTYPES)}, found {dtype!r}")
        if not (isinstance(max_batch, int) and max_batch >= 1):
            raise InputError(f"expected max_batch >= 1, found {max_batch!r}")
        processor, drawing = prepare(model, decoding)
        import torch
        from safetensors import SafetensorError
        from transformers import AutoModelForImageTextToText

        try:
            loaded = AutoModelForImageTextToText.from_pretrained(model, dtype=dtype, attn_implementation=attention)
            loaded.to(device or ("cuda" if torch.cuda.is_available() else "cpu")).eval()
        except (OSError, ValueError, ImportError, RuntimeError, AssertionError, SafetensorError) as error:
            raise InputError(f"{model} cannot be loaded: {error}") from error
        super().__init__(TransformersEngine(loaded, processor, max_batch), drawing)


class TransformersEngine(Engine):
    """A model in this process.

    Args:
        model: A vision-language model of transformers, in evaluation mode.
        processor: Its processor.
        max_batch: How many conversations are read at once.

    Raises:
        InputError: its layers are not all of the kind that this engine keeps.
    """

    def __init__(self, model: "PreTrainedModel", processor: Any, max_batch: int = 16) -> None:
        text_config = model.config.get_text_config()
        kinds = getattr(text_config, "layer_types", None)  # models with one kind only have no such field
        if set(kinds or ()) - {"full_attention"}:
            raise InputError(
                f"{model.name_or_path} mixes kinds of attention, which this engine does not keep: use the vllm agent"
            )
        self.processor = processor
        self._model: Any = model
        self.longest_context = text_config.max_position_embeddings
        self.most_frames = sys.maxsize
        self._layers = text_config.num_hidden_layers
        self._max_batch = max_batch
        # Qwen's vision-language models count positions in three dimensions; other models simply count tokens.
        self._rope_index = getattr(model.model, "get_rope_index", None)
        self._readers = ThreadPoolExecutor(2, thread_name_prefix="proactive_env reader")
        self._closed = False
        self._gate = threading.Lock()
        self._waiting: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="proactive_env transformers", daemon=True)
        self._thread.start()

    def open(self, seed: int) -> Context:
        """See `Engine.open`."""
        from torch import Generator

        from proactive_env.agents.models.key_values import KeyValues

        self._check_open()
        return _Conversation(self, KeyValues(), Generator(self._model.device).manual_seed(seed))

    def close(self) -> None:
        """See `Engine.close`."""
        with self._gate:
            self._closed = True
            self._waiting.put(None)
        self._thread.join()
        self._readers.shutdown()
        self._model = None

    async def draw(self, read: "Callable[[], _Job]") -> Drawn:
        """Read a segment in a thread of the engine's own, then wait for what is drawn after it."""
        self._check_open()
        job = await asyncio.wrap_future(self._readers.submit(read))
        with self._gate:
            self._check_open()
            self._waiting.put(job)
        return await asyncio.wrap_future(job.future)

    def _check_open(self) -> None:
        if self._closed:
            raise EngineError("the agent was closed")

    def encode(self, text: str, frames: Sequence[Any]) -> "tuple[Tensor, Tensor | None, dict[str, Tensor]]":
        """Tokens, their relative positions, and what the vision tower reads."""
        import torch

        if not text:
            return torch.empty(0, dtype=torch.long), None, {}
        images = {"images": [frame.copy() for frame in frames]} if frames else {}  # those of a window are read-only
        inputs = self.processor(text=[text], **images, add_special_tokens=False, return_tensors="pt")
        ids = inputs["input_ids"]
        pixels = {name: value for name, value in inputs.items() if name not in _NOT_FOR_THE_MODEL}
        if not frames or self._rope_index is None:
            return ids[0], None, pixels
        grid = {name: value for name, value in pixels.items() if name.endswith("grid_thw")}
        positions, _ = self._rope_index(ids, mm_token_type_ids=inputs["mm_token_type_ids"], **grid)
        return ids[0], positions[:, 0], pixels

    def _serve(self) -> None:
        drawing: list[_Job] = []
        while True:
            new: list[_Job] = []
            while len(drawing) + len(new) < self._max_batch and not (self._waiting.empty() and (drawing or new)):
                job = self._waiting.get()
                if self._closed:
                    self._give_up([*drawing, *new, job])
                    return
                assert job is not None
                if job.future.set_running_or_notify_cancel():
                    new.append(job)
            for jobs in (new, drawing):
                self._advance(jobs)
            drawing = [job for job in drawing + new if not job.future.done()]

    def _give_up(self, jobs: "list[_Job | None]") -> None:
        while not self._waiting.empty():
            jobs.append(self._waiting.get())
        for job in jobs:
            if job is not None and not job.future.cancelled():
                job.future.set_exception(EngineError("the agent was closed"))

    def _advance(self, jobs: "list[_Job]") -> None:
        if not jobs:
            return
        try:
            for job, logits in zip(jobs, self._forward(jobs), strict=True):
                job.take(logits)
        except Exception as error:
            for job in jobs:
                if not job.future.done():
                    job.future.set_exception(_explained(error))

    def _forward(self, jobs: "list[_Job]") -> "Tensor":
        """The logits, (jobs, vocabulary) in float32, after the last unread token of each."""
        import torch
        from torch.nn.utils.rnn import pad_sequence

        from proactive_env.agents.models.key_values import Batch

        counts = [len(job.unread) for job in jobs]
        cache = Batch([job.conversation.keys for job in jobs], counts, self._layers)
        positions = [job.positions() for job in jobs]
        pixels = {name: torch.cat([job.pixels[name] for job in jobs if job.pixels]) for name in _names(jobs)}
        mask = cache.mask()
        last = sorted({count - 1 for count in counts})
        inputs = {
            "input_ids": pad_sequence([job.unread for job in jobs], batch_first=True),
            "position_ids": pad_sequence([item.T for item in positions], batch_first=True).permute(2, 0, 1),
            "logits_to_keep": torch.tensor(last),
            **({} if mask is None else {"attention_mask": mask}),
            **pixels,
        }
        if self._rope_index is None:
            inputs["position_ids"] = inputs["position_ids"][0]
        with torch.inference_mode():
            inputs = {name: value.to(self._model.device) for name, value in inputs.items()}
            logits = self._model(**inputs, past_key_values=cache, use_cache=True).logits
        cache.keep()
        return torch.stack([row[last.index(count - 1)] for row, count in zip(logits, counts, strict=True)]).float()


class _Conversation(Context):
    def __init__(self, engine: TransformersEngine, keys: "KeyValues", generator: "Generator") -> None:
        self._engine = engine
        self.keys = keys
        self.generator = generator
        self.next_position = 0
        self.tentative: list[int] = []
        """Drawn tokens whose keys are there already, and which stay if the next segment begins with them."""

    async def sample(self, segment: Segment, draw: Draw) -> Drawn:
        return await self._engine.draw(partial(self._job, segment, draw))

    def _job(self, segment: Segment, draw: Draw) -> "_Job":
        import torch

        kept = 0
        while kept < len(self.tentative) and segment.drawn[kept : kept + 1] == (self.tentative[kept],):
            kept += 1
        self.keys.length -= len(self.tentative) - kept
        self.next_position -= len(self.tentative) - kept
        self.tentative = []
        drawn = torch.tensor(segment.drawn[kept:], dtype=torch.long)
        ids, positions, pixels = self._engine.encode(segment.text, segment.frames)
        return _Job(self, draw, torch.cat([drawn, ids]), len(drawn), positions, pixels)


@dataclass
class _Job:
    conversation: _Conversation
    draw: Draw
    unread: "Tensor"
    """Tokens to be read, (n,)."""
    drawn_before: int = 0
    """How many of them were drawn earlier: plain text before the rendered text."""
    rendered_positions: "Tensor | None" = None
    """Positions of the rendered text, (3, n), counted from 0; None: it is text alone."""
    pixels: "dict[str, Tensor]" = field(default_factory=dict)
    tokens: list[int] = field(default_factory=list)
    log_probs: dict[int, float] = field(default_factory=dict)
    future: "Future[Drawn]" = field(default_factory=Future)

    def positions(self) -> "Tensor":
        """Positions of the unread tokens, (3, n)."""
        import torch

        text = torch.arange(len(self.unread)).expand(3, -1)
        if self.rendered_positions is not None:
            text = torch.cat([text[:, : self.drawn_before], self.rendered_positions + self.drawn_before], dim=1)
        return text + self.conversation.next_position

    def take(self, logits: "Tensor") -> None:
        """Draw a token from `logits`, (vocabulary,): the unread tokens have been read."""
        import torch

        self.conversation.next_position = int(self.positions().max()) + 1
        if not self.tokens and self.draw.watched:
            log_probs = logits.log_softmax(-1)[list(self.draw.watched)]
            self.log_probs = dict(zip(self.draw.watched, log_probs.tolist(), strict=True))
        self.conversation.tentative = list(self.tokens)
        token = _pick(logits, self.draw, self.conversation.generator)
        ended = token in self.draw.ends and not self.draw.allowed
        if not ended:
            self.tokens.append(token)
        if ended or len(self.tokens) == self.draw.max_tokens:
            self.future.set_result(Drawn(tuple(self.tokens), self.log_probs))
        self.unread, self.drawn_before, self.rendered_positions, self.pixels = torch.tensor([token]), 0, None, {}


def _explained(error: Exception) -> Exception:
    import torch

    if isinstance(error, torch.OutOfMemoryError):
        return EngineError(
            f"out of memory: let old frames leave (max_context), or play fewer episodes at once; {error}"
        )
    return error


def _pick(logits: "Tensor", draw: Draw, generator: "Generator") -> int:
    import torch

    decoding = draw.decoding
    if draw.allowed:
        allowed = torch.full_like(logits, -torch.inf)
        allowed[list(draw.allowed)] = logits[list(draw.allowed)]
        logits = allowed
    logits = logits.index_fill(0, torch.tensor(draw.banned, dtype=torch.long, device=logits.device), -torch.inf)
    if decoding.temperature == 0:
        return int(logits.argmax())
    ordered, tokens = (logits / decoding.temperature).sort(descending=True)
    if decoding.top_k:
        ordered[decoding.top_k :] = -torch.inf
    shares = ordered.softmax(-1)
    shares[shares.cumsum(-1) - shares > decoding.top_p] = 0.0
    return int(tokens[torch.multinomial(shares, 1, generator=generator)])


def _names(jobs: "list[_Job]") -> list[str]:
    return sorted({name for job in jobs for name in job.pixels})
