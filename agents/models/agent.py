"""An agent that is a model in an engine: it opens dialogues in the format asked for."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from proactive_env.agents.base import ChatAgent, Conversation
from proactive_env.agents.models.chat_template import ChatTemplate
from proactive_env.agents.models.checkpoint import load_processor
from proactive_env.agents.models.dialogue import FORMATS, NoReply
from proactive_env.agents.models.engine import Decoding, Engine
from proactive_env.environment import Observation, PastTurn
from proactive_env.errors import InputError
from proactive_env.plugin import did_you_mean
from proactive_env.turn import Reply, Transcript


class ModelAgent(ChatAgent):
    """Opens dialogues with an engine.

    Args:
        engine: The model.
        decoding: How replies are drawn.
    """

    def __init__(self, engine: Engine, decoding: Decoding) -> None:
        self.engine = engine
        self.decoding = decoding
        self._template = _read_template(engine.processor, decoding)

    def open(self, history: Sequence[PastTurn] = (), episode: Transcript | None = None) -> Conversation:
        """See `Agent.open`."""
        return FORMATS[self.decoding.format](self.engine, self._template, self.decoding, history=history)

    async def ask(self, frames: NDArray[np.uint8], text: str) -> Reply:
        """See `ChatAgent.ask`."""
        plain = self.decoding.model_copy(update={"threshold": None})
        observation: Observation = {"frames": frames, "text": text, "time": np.array(0.0)}
        return await NoReply(self.engine, self._template, plain, system=None).respond(observation)

    def close(self) -> None:
        """See `Agent.close`."""
        self.engine.close()


def prepare(model: str, options: dict[str, Any]) -> tuple[Any, Decoding]:
    """A checkpoint's processor and the decoding that an agent's options describe, checked against one another.

    Raises:
        InputError: one of them cannot be used, or not with the other.
    """
    decoding = read_decoding(options)
    processor = load_processor(model)
    _read_template(processor, decoding)
    return processor, decoding


def _read_template(processor: Any, decoding: Decoding) -> ChatTemplate:
    template = ChatTemplate(processor)
    if decoding.format == "open_turn":
        template.decisions()
    return template


def read_decoding(options: dict[str, Any]) -> Decoding:
    """The decoding that an agent's options describe.

    Raises:
        InputError: an unknown option, or a value that does not fit.
    """
    for name in options:
        if name not in Decoding.model_fields:
            raise InputError(f"there is no option {name!r}{did_you_mean(name, tuple(Decoding.model_fields))}")
    try:
        return Decoding(**options)
    except ValidationError as error:
        problems = "; ".join(f"{item['loc'][0]}: {item['msg']}, found {item['input']!r}" for item in error.errors())
        raise InputError(problems) from error
