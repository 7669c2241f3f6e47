"""Sends all weights as the trainer does, and reads them back out of the engine: a script of the tests, run in CPU mode.

python read_back.py CHECKPOINT FOLDER prints a line of JSON: before and after an engine with the checkpoint gets other
weights, which of its parameters differ from those of an engine that loaded these from FOLDER, and how both answer.
"""

import json
import shutil
import socket
import sys
import threading

import openrlhf.utils.distributed_util as distributed
import torch
from transformers import AutoModelForImageTextToText, AutoTokenizer
from vllm import LLM, SamplingParams


def main(checkpoint, folder):
    trained = AutoModelForImageTextToText.from_pretrained(checkpoint, dtype="float32")
    torch.manual_seed(0)
    with torch.no_grad():
        for weights in trained.parameters():
            weights.add_(0.02 * torch.randn_like(weights))
    shutil.copytree(checkpoint, folder)
    trained.save_pretrained(folder)
    ids = AutoTokenizer.from_pretrained(checkpoint)("What appears?")["input_ids"]

    engine, loaded = start(checkpoint), start(folder)

    def compare():
        here, there = held_by(engine), held_by(loaded)
        return {
            "differ": [name for name in here if not torch.equal(here[name], there[name])],
            "log_probs": [log_prob(engine, ids), log_prob(loaded, ids)],
        }

    before = compare()
    send(trained, engine)
    read = {"parameters": list(held_by(engine)), "before": before, "after": compare()}
    sys.stdout.write("\n" + json.dumps(read) + "\n")


def start(checkpoint):
    return LLM(
        checkpoint,
        dtype="bfloat16",
        max_model_len=256,
        enforce_eager=True,
        gpu_memory_utilization=0.2,
        worker_extension_cls="openrlhf.trainer.ray.vllm_worker_wrap.WorkerWrap",
    )


def held_by(engine):
    worker = engine.llm_engine.engine_core.engine_core.model_executor.driver_worker.worker
    return dict(worker.model_runner.model.named_parameters())


def log_prob(engine, ids):
    drawn = engine.generate({"prompt_token_ids": ids}, SamplingParams(max_tokens=1, temperature=0, logprobs=0))
    return drawn[0].outputs[0].cumulative_logprob


def send(trained, engine):
    """Every parameter under its name in transformers, by the calls that OpenRLHF's actor makes."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]

    def actor():
        group = distributed.stateless_init_process_group("127.0.0.1", port, 0, 2, None)
        for weights in trained.parameters():
            group.broadcast(weights.data, src=0)
        received.wait()  # the store lives in the group

    received = threading.Event()
    thread = threading.Thread(target=actor, daemon=True)
    thread.start()
    engine.collective_rpc("init_process_group", args=("127.0.0.1", port, 1, 2, "openrlhf", "gloo", False))
    for name, weights in trained.named_parameters():
        engine.collective_rpc("update_weight", args=(name, weights.dtype, weights.shape))
    received.set()
    thread.join()
    engine.reset_prefix_cache()


if __name__ == "__main__":
    main(*sys.argv[1:])
