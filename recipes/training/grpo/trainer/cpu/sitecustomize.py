"""OpenRLHF 0.11.2 without CUDA: what its trainer, its vLLM engines and DeepSpeed must be told on a CPU.

`proactive grpo` puts this folder on the PYTHONPATH of its processes where there is no CUDA, and only there: Python then
imports this file first in every one of them, Ray's workers and vLLM's engine cores included. A module is patched when
it is imported.
"""

import sys
from functools import partial
from importlib.machinery import ModuleSpec
from importlib.metadata import version
from types import ModuleType
from typing import Any

from wrapt import when_imported

OPENRLHF = "0.11.2"
FLASH_ATTN = {
    "flash_attn": (),
    "flash_attn.bert_padding": ("index_first_axis", "pad_input", "rearrange", "unpad_input"),
    "flash_attn.utils": (),
    "flash_attn.utils.distributed": ("all_gather",),
}


class _Cpu(str):
    """The device for `.to()`; but `f"cuda:{device}"`, which the replay buffer makes and does not use, must parse."""

    __slots__ = ()

    def __format__(self, _: str) -> str:
        return "0"


class _Broadcast:
    """PyNcclCommunicator's interface over TCP: there is no NCCL."""

    def __init__(self, group: Any) -> None:
        self._group = group

    def broadcast(self, tensor: Any, src: int, stream: None = None) -> None:
        received = self._group.broadcast(tensor.detach().contiguous(), src)
        if received is not tensor:
            tensor.copy_(received)


@when_imported("openrlhf")
def _torch(_: ModuleType) -> None:
    found = version("openrlhf")
    if found != OPENRLHF:
        raise ImportError(
            f"CPU mode is written for openrlhf {OPENRLHF}, found {found}: pip install openrlhf=={OPENRLHF}"
        )
    import torch
    import torch.distributed.device_mesh as device_mesh

    cuda: Any = torch.cuda
    cuda.current_device = lambda: _Cpu("cpu")  # tensors are sent to it
    for name in ("set_device", "synchronize", "empty_cache", "current_stream"):  # called, and raise without a driver
        setattr(cuda, name, lambda *_, **__: None)
    make = device_mesh.init_device_mesh
    mesh: Any = device_mesh
    mesh.init_device_mesh = lambda _, *args, **options: make("cpu", *args, **options)  # asked for on "cuda"

    for name, functions in FLASH_ATTN.items():  # imported for packed samples, which vision models do not have
        stub: Any = sys.modules.setdefault(name, ModuleType(name))
        stub.__spec__ = ModuleSpec(name, None, is_package=True)
        stub.__path__ = []
        for function in functions:
            setattr(stub, function, None)
    import openrlhf.models.ring_attn_utils  # noqa: F401 (the one module that imports it)

    for name in FLASH_ATTN:  # whoever looks for flash-attn afterwards does not find it
        del sys.modules[name]


@when_imported("openrlhf.utils.utils")
def _float32(module: Any) -> None:
    import torch

    module.convert_to_torch_dtype = lambda _: torch.float32  # bf16's backward pass is 30 times slower without AMX


@when_imported("openrlhf.utils.deepspeed.deepspeed_utils")
def _deepspeed_configs(module: Any) -> None:
    float32 = {"bf16": {"enabled": False}, "fp16": {"enabled": False}}
    train, evaluate = module.get_train_ds_config, module.get_eval_ds_config

    def get_train_ds_config(*args: Any, optim_config: Any = None, **options: Any) -> Any:
        if optim_config:  # torch's Adam: DeepSpeed's own would be compiled for minutes
            optim_config = {**optim_config, "params": {**optim_config["params"], "torch_adam": True}}
        return train(*args, optim_config=optim_config, **options) | float32

    module.get_train_ds_config = get_train_ds_config
    module.get_eval_ds_config = lambda *args, **options: evaluate(*args, **options) | float32


@when_imported("deepspeed.comm.torch")
def _no_shared_memory_operator(module: Any) -> None:
    module.build_shm_op = lambda: None  # another operator that would be compiled


@when_imported("openrlhf.utils.distributed_util")
def _weights_over_tcp(module: Any) -> None:
    def stateless_init_process_group(host: str, port: int, rank: int, world_size: int, _: Any) -> _Broadcast:
        from vllm.distributed.utils import StatelessProcessGroup

        return _Broadcast(StatelessProcessGroup.create(host=host, port=port, rank=rank, world_size=world_size))

    module.stateless_init_process_group = stateless_init_process_group


@when_imported("openrlhf.trainer.ray.vllm_worker_wrap")
def _weights_into_the_engine(module: Any) -> None:
    def update_weight(self: Any, name: str, dtype: Any, shape: Any, _: bool = False) -> None:
        import torch

        weight = torch.empty(shape, dtype=dtype)  # not on "cuda"
        self._model_update_group.broadcast(weight, src=0)
        weight = weight.to(self.model_config.dtype)  # trained in float32, rolled out in bf16
        self.model_runner.model.load_weights(weights=[(name, weight)])

    module.WorkerWrap.update_weight = update_weight


@when_imported("openrlhf.trainer.ray.vllm_engine")
def _small_blocks(module: Any) -> None:
    # vLLM's 128 tokens a block on a CPU are more than a turn; prefixes are shared by whole blocks.
    module.vllm.AsyncEngineArgs = partial(module.vllm.AsyncEngineArgs, block_size=32)


@when_imported("vllm.model_executor.layers.utils")
def _plain_weights(module: Any) -> None:
    def dispatch_cpu_unquantized_gemm(layer: Any, **_: Any) -> None:
        from torch.nn.functional import linear

        layer.cpu_linear = linear

    module.dispatch_cpu_unquantized_gemm = dispatch_cpu_unquantized_gemm  # packed weights cannot be loaded again


@when_imported("vllm.v1.worker.gpu_model_runner")
def _seeded_draws(module: Any) -> None:
    # A prompt that is read in parts draws too early, and vLLM turns its generator back: a CPU's has no offset to turn.
    bookkeeping = module.GPUModelRunner._bookkeeping_sync

    def without_turning_back(self: Any, *args: Any, **kwargs: Any) -> Any:
        generators, self.input_batch.generators = self.input_batch.generators, {}
        try:
            return bookkeeping(self, *args, **kwargs)
        finally:
            self.input_batch.generators = generators

    module.GPUModelRunner._bookkeeping_sync = without_turning_back
