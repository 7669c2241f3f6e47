"""A checkpoint run by vLLM's asynchronous engine, whose core is a child process that ends with the agent.

Each draw is a request with the whole conversation's tokens. Prefix caching keeps what was read before, and frames go by
ids made from their content: the engine encodes and receives one again only if it no longer holds it.
"""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

from proactive_env.agents.models.agent import ModelAgent, prepare
from proactive_env.agents.models.engine import Context, Draw, Drawn, Engine, Segment, frame_id
from proactive_env.errors import EngineError, InputError
from proactive_env.extras import require
from proactive_env.serving import background

# On a CPU: a gigabyte of keys and values, threads where the system puts them, and no compiler, which would take longer
# than what it saves.
CPU_SETTINGS = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind", "TORCHDYNAMO_DISABLE": "1"}
_CPU_ARGUMENTS = {"gpu_memory_utilization": 0.3, "block_size": 32, "enforce_eager": True}
_requests = count()


class VllmAgent(ModelAgent):
    """A checkpoint that vLLM serves, on a GPU or a CPU.

    Args:
        model: A folder, or a name on the Hugging Face Hub.
        dtype: Of its weights: `auto` (the checkpoint's own), `float32`, `bfloat16` or `float16`.
        max_model_len: Tokens of a conversation, at most; None: as many as the model takes and memory holds.
        max_frames: Frames of a conversation, at most.
        tensor_parallel_size: How many GPUs share the model.
        gpu_memory_utilization: The share of a GPU's memory that vLLM takes; None: vLLM's own choice.
        enforce_eager: Start faster and run slower, without compiling the model.
        decoding: The fields of `Decoding`.

    Raises:
        InputError: the checkpoint or an option cannot be used, the engine does not start, or vLLM is not installed.
    """

    def __init__(
        self,
        model: str,
        *,
        dtype: str = "auto",
        max_model_len: int | None = None,
        max_frames: int = 1024,
        tensor_parallel_size: int = 1,
        gpu_memory_utilization: float | None = None,
        enforce_eager: bool = False,
        **decoding: Any,
    ) -> None:
        require("vllm")
        processor, drawing = prepare(model, decoding)
        arguments = {
            "model": model,
            "dtype": dtype,
            "max_model_len": max_model_len or -1,
            "limit_mm_per_prompt": {"image": max_frames, "video": 0},
            "tensor_parallel_size": tensor_parallel_size,
            "enforce_eager": enforce_eager,
        }
        if gpu_memory_utilization is not None:
            arguments["gpu_memory_utilization"] = gpu_memory_utilization
        super().__init__(VllmEngine(processor, arguments), drawing)


class VllmEngine(Engine):
    """See `VllmAgent`; `arguments` are those of vLLM's `AsyncEngineArgs`."""

    def __init__(self, processor: Any, arguments: dict[str, Any]) -> None:
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
        self.processor = processor
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.platforms import current_platform
        from vllm.v1.engine.async_llm import AsyncLLM

        cpu = current_platform.is_cpu()
        with _environment(CPU_SETTINGS if cpu else {}):
            try:
                self.llm = AsyncLLM.from_engine_args(
                    AsyncEngineArgs(
                        **({**_CPU_ARGUMENTS, **arguments, "enforce_eager": True} if cpu else arguments),
                        enable_prefix_caching=True,
                        disable_log_stats=True,
                    )
                )
            except (ValueError, RuntimeError) as error:
                raise InputError(
                    f"vLLM does not start with {arguments['model']}; what its process printed above says why (a script "
                    f"that makes this agent needs `if __name__ == '__main__':`, since that process imports it): {error}"
                ) from error
        self.longest_context = self.llm.model_config.max_model_len
        self.most_frames = arguments["limit_mm_per_prompt"]["image"]

    def open(self, seed: int) -> Context:
        """See `Engine.open`."""
        return _Conversation(self, seed)

    def close(self) -> None:
        """See `Engine.close`."""

        async def shut_down() -> None:
            self.llm.shutdown()

        background.run(shut_down())

    async def generate(self, prompt: dict[str, Any], draw: Draw, seed: int) -> Drawn:
        """Draw after a prompt; runs on the loop that the engine's outputs arrive on."""
        drawn = await complete(self.llm, prompt, draw, seed=seed, logprob_token_ids=list(draw.watched) or None)
        tokens = list(drawn.token_ids)
        if tokens and tokens[-1] in draw.ends and not draw.allowed:
            tokens.pop()
        first = drawn.logprobs[0] if draw.watched else {}
        return Drawn(tuple(tokens), {token: first[token].logprob for token in draw.watched})


async def complete(llm: Any, prompt: dict[str, Any], draw: Draw, **sampling: Any) -> Any:
    """The completion of a prompt by vLLM: `token_ids` with the one that ended it, and `logprobs`.

    Args:
        llm: Its `AsyncLLM`, on the running event loop.
        prompt: Tokens, and frames with their ids.
        draw: What may be drawn.
        sampling: What `SamplingParams` takes beside.

    Raises:
        EngineError: vLLM gave the request up, or its process has ended.
    """
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind
    from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

    parameters = SamplingParams(
        max_tokens=draw.max_tokens,
        temperature=draw.decoding.temperature,
        top_p=draw.decoding.top_p,
        top_k=draw.decoding.top_k,
        stop_token_ids=[] if draw.allowed else sorted(draw.ends),
        ignore_eos=bool(draw.allowed),
        allowed_token_ids=list(draw.allowed) or None,
        logit_bias=dict.fromkeys(draw.banned, -100.0) or None,
        detokenize=False,
        output_kind=RequestOutputKind.FINAL_ONLY,
        **sampling,
    )
    for _ in range(2):  # a core that has lost frames gives up; then vLLM knows, and sends them again
        try:
            async for output in llm.generate(prompt, parameters, f"draw-{next(_requests)}"):
                completion = output.outputs[0]
        except (EngineDeadError, EngineGenerateError) as error:
            raise EngineError(f"vLLM's process has ended or was closed: {error!r}, {error.__cause__!r}") from error
        if completion.finish_reason in ("stop", "length"):
            return completion
    raise EngineError("vLLM gave up a request; what its process printed above says why")


class _Conversation(Context):
    def __init__(self, engine: VllmEngine, seed: int) -> None:
        self._engine = engine
        self._seed = seed
        self._tokens: list[int] = []
        self._frames: list[Any] = []
        self._ids: list[str] = []

    async def sample(self, segment: Segment, draw: Draw) -> Drawn:
        from PIL import Image

        text = self._engine.processor.tokenizer(segment.text, add_special_tokens=False)["input_ids"]
        self._tokens += [*segment.drawn, *text]
        for frame in segment.frames:
            self._frames.append(Image.fromarray(frame))
            self._ids.append(frame_id(frame))
        prompt = {
            "prompt_token_ids": list(self._tokens),
            "multi_modal_data": {"image": list(self._frames)},
            "multi_modal_uuids": {"image": list(self._ids)},
        }
        # vLLM draws with a generator of its own for each request: another seed for each of them.
        seed = (self._seed + len(self._tokens)) % 2**63
        return await asyncio.wrap_future(background.submit(self._engine.generate(prompt, draw, seed)))


@contextmanager
def _environment(settings: dict[str, str]) -> Iterator[None]:
    """Environment variables for a child process that starts meanwhile; those that are set stay as they are."""
    added = {name: value for name, value in settings.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]
