"""Sends weights as the trainer does, and reads them back out of the engine: a script of the tests, run in CPU mode.

python read_back.py CHECKPOINT prints a line of JSON: what was read, before and after, of a weight and of an answer.
"""

import json
import socket
import sys
import threading

import openrlhf.utils.distributed_util as distributed
import torch
from transformers import AutoTokenizer
from vllm import LLM, SamplingParams


def main(checkpoint):
    engine = LLM(
        checkpoint,
        dtype="bfloat16",
        max_model_len=256,
        enforce_eager=True,
        gpu_memory_utilization=0.2,
        worker_extension_cls="openrlhf.trainer.ray.vllm_worker_wrap.WorkerWrap",
    )
    (worker,) = [engine.llm_engine.engine_core.engine_core.model_executor.driver_worker.worker]
    weights = dict(worker.model_runner.model.named_parameters())
    (name,) = [one for one in weights if one.endswith("layers.0.mlp.down_proj.weight")]
    ids = AutoTokenizer.from_pretrained(checkpoint)("What appears?")["input_ids"]

    def read():
        drawn = engine.generate({"prompt_token_ids": ids}, SamplingParams(max_tokens=1, temperature=0, logprobs=0))
        token = drawn[0].outputs[0]
        return {"weight": weights[name].float().sum().item(), "log_prob": token.cumulative_logprob}

    before = read()
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    sent = torch.full(weights[name].shape, 0.01)
    hugging_face_name = "model.language_model.layers.0.mlp.down_proj.weight"

    groups = []  # the store of the first lives in it

    def actor():
        groups.append(distributed.stateless_init_process_group("127.0.0.1", port, 0, 2, None))
        groups[0].broadcast(sent, src=0)

    trainer = threading.Thread(target=actor)
    trainer.start()
    engine.collective_rpc("init_process_group", args=("127.0.0.1", port, 1, 2, "openrlhf", "gloo", False))
    engine.collective_rpc("update_weight", args=(hugging_face_name, sent.dtype, sent.shape))
    trainer.join()
    engine.reset_prefix_cache()
    same = bool(torch.equal(weights[name], sent.to(torch.bfloat16)))
    sys.stdout.write("\n" + json.dumps({"before": before, "after": read(), "same": same}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
