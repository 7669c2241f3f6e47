"""One vLLM engine for all rollouts, as OpenRLHF's worker has it, without Ray around it."""

from types import SimpleNamespace

import pytest


@pytest.fixture(scope="session")
def worker(talkative_checkpoint):
    """What the executor sees of OpenRLHF's rollout worker: `llm`, a vLLM engine in float32."""
    from proactive_env.agents.checkpoint import load_processor
    from proactive_env.agents.vllm import VllmEngine

    arguments = {
        "model": str(talkative_checkpoint),
        "dtype": "float32",
        "max_model_len": 8192,
        "limit_mm_per_prompt": {"image": 64, "video": 0},
        "enforce_eager": True,
    }
    engine = VllmEngine(load_processor(str(talkative_checkpoint)), arguments)
    yield SimpleNamespace(llm=engine.llm, processor=engine.processor, folder=talkative_checkpoint)
    engine.close()
