"""`load`: an agent from one string, `kind:model?option=value&option=value`."""

import inspect
from urllib.parse import parse_qsl

import yaml

from proactive_env.agents.base import Agent
from proactive_env.errors import InputError
from proactive_env.plugin import did_you_mean, load_class

KINDS = {
    "silent": "proactive_env.agents.scripted:Silent",
    "oracle": "proactive_env.agents.scripted:Oracle",
    "late": "proactive_env.agents.scripted:Late",
    "chatter": "proactive_env.agents.scripted:Chatter",
    "random": "proactive_env.agents.scripted:Random",
}
"""The agents that have names; all others are named by `module:Class` or `file.py:Class`."""


def load(spec: str) -> Agent:
    """The agent that `spec` names.

    Args:
        spec: `kind`, `kind:model`, `module:Class` or `file.py:Class`, with `?option=value&...` for its arguments;
            values are read as YAML scalars.

    Raises:
        InputError: an unknown kind or option.

    Example:
        >>> load("random?p=0.5&seed=3").p
        0.5
    """
    head, _, query = spec.partition("?")
    kind, _, model = head.partition(":")
    if kind in KINDS:
        cls, arguments = load_class(KINDS[kind]), [model] if model else []
    elif model and ("." in kind or "/" in kind):
        cls, arguments = load_class(head), []
    else:
        raise InputError(f"there is no agent {kind!r}{did_you_mean(kind, tuple(KINDS))}, or 'module:Class'")
    options = {name: yaml.safe_load(value) for name, value in parse_qsl(query, keep_blank_values=True)}
    try:
        inspect.signature(cls).bind(*arguments, **options)
    except TypeError as error:
        raise InputError(f"agent {spec!r}: {error}; expected {kind}{inspect.signature(cls)}") from error
    agent = cls(*arguments, **options)
    if not isinstance(agent, Agent):
        raise InputError(f"agent {spec!r}: expected a subclass of Agent, found {cls.__name__}")
    return agent
