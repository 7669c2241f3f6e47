"""What is installed only on request: `require` names the command when it is not."""

from importlib.util import find_spec

from proactive_env.errors import InputError

EXTRAS = {
    "grpo": ("deepspeed", "openrlhf", "psutil", "ray", "tensorboard", "torch", "transformers", "vllm", "wrapt"),
    "openai": ("openai",),
    "ray": ("ray",),
    "scenes": ("scenedetect", "webvtt"),
    "sft": ("accelerate", "peft", "tensorboard", "torch", "torchvision", "transformers"),
    "transformers": ("torch", "torchvision", "transformers"),
    "vllm": ("vllm", "torch", "torchvision", "transformers"),
}
"""The modules that each optional requirement of the package brings."""


def install(extra: str) -> str:
    """What installs an optional requirement; no index has the package."""
    return f"pip install -e '.[{extra}]' in the checkout of proactive-env"


def require(extra: str) -> None:
    """Check that an optional requirement is installed.

    Raises:
        InputError: it is not; the message names the command that installs it.
    """
    missing = [module for module in EXTRAS[extra] if find_spec(module) is None]
    if missing:
        raise InputError(f"{', '.join(missing)} not installed: {install(extra)}")
