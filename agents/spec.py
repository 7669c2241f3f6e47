"""`load`: an agent from one string, `kind:model?option=value&option=value`."""

from typing import Any

from proactive_env.agents.base import Agent
from proactive_env.plugin import Registry

KINDS = Registry(
    "agent",
    {
        "silent": "proactive_env.agents.scripted:Silent",
        "oracle": "proactive_env.agents.scripted:Oracle",
        "late": "proactive_env.agents.scripted:Late",
        "chatter": "proactive_env.agents.scripted:Chatter",
        "random": "proactive_env.agents.scripted:Random",
        "transformers": "proactive_env.agents.models.transformers:TransformersAgent",
        "vllm": "proactive_env.agents.models.vllm:VllmAgent",
        "openai": "proactive_env.agents.openai:OpenAIAgent",
        "polling": "proactive_env.agents.polling:Polling",
    },
)
"""The agents that have names; all others are named by `module:Class` or `file.py:Class`."""


def load(spec: str, **options: Any) -> Agent:
    """The agent that `spec` names.

    Args:
        spec: `kind`, `kind:model`, `module:Class` or `file.py:Class`, with `?option=value&...` for its arguments;
            values are read as JSON where they are JSON, else as text.
        options: Further arguments.

    Raises:
        InputError: an unknown kind or option.

    Example:
        >>> load("random?p=0.5&seed=3").p
        0.5
    """
    return KINDS.construct(spec, Agent, **options)
