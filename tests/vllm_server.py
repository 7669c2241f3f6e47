"""A real OpenAI-compatible server: vLLM's, in processes of their own that end with the `with` block."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path

MODEL = "tiny"
"""The name under which the checkpoint is served."""
PATIENCE_S = 300
ARGUMENTS = {
    "--served-model-name": MODEL,
    "--dtype": "float32",
    "--max-model-len": "8192",
    "--limit-mm-per-prompt": '{"image": 64}',
    "--block-size": "32",
    "--gpu-memory-utilization": "0.3",
}
ENVIRONMENT = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "TORCHDYNAMO_DISABLE": "1",
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
}


@contextmanager
def vllm_server(checkpoint, log):
    """Serve a checkpoint; gives the base URL. What the server prints goes to the file `log`."""
    port = free_port()
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(checkpoint)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--enforce-eager", "--enable-prompt-tokens-details"]
    command += [word for option in ARGUMENTS.items() for word in option]
    with Path(log).open("wb") as out:
        process = subprocess.Popen(
            command, env=os.environ | ENVIRONMENT, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        wait_until_healthy(process, f"http://127.0.0.1:{port}/health", Path(log))
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        end(process)


def make_talkative(checkpoint, folder):
    """A copy of a random checkpoint that says something else to other frames, where the original repeats a token."""
    import torch
    from transformers import AutoModelForImageTextToText

    shutil.copytree(checkpoint, folder)
    model = AutoModelForImageTextToText.from_pretrained(checkpoint)
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if "language_model.layers" in name and weights.ndim == 2:
                weights.mul_(5)
    model.save_pretrained(folder)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until_healthy(process, url, log):
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    last_words = "\n".join(log.read_text(errors="replace").splitlines()[-40:])
    raise RuntimeError(f"vLLM's server did not come up in {PATIENCE_S} s, exit code {process.poll()}:\n{last_words}")


def end(process):
    """The server, and its engine, which lives in the same process group."""
    os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(20)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
