"""What a checkpoint must bring along, checked before anything heavy is loaded."""

from typing import Any

from proactive_env.errors import InputError
from proactive_env.extras import require


def load_processor(model: str) -> Any:
    """The processor of a vision-language checkpoint.

    Args:
        model: A folder, or a name on the Hugging Face Hub.

    Raises:
        InputError: there is no such checkpoint, it sees no pictures, or it lacks a processor or chat template.
    """
    require("transformers")
    from transformers import AutoConfig, AutoProcessor, ProcessorMixin
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

    try:
        config = AutoConfig.from_pretrained(model)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{model!r} is neither the folder of a checkpoint nor a model of the Hugging Face Hub that can be reached: "
            f"{error}"
        ) from error
    if config.model_type not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
        raise InputError(f"{model} is a {config.model_type}, which sees no pictures: expected a vision-language model")
    try:
        processor = AutoProcessor.from_pretrained(model)
    except (OSError, ValueError, TypeError, AttributeError, ImportError) as error:
        raise InputError(f"{model}: its processor cannot be loaded; {_COPY}: {error}") from error
    if not isinstance(processor, ProcessorMixin):
        raise InputError(f"{model} has a tokenizer but no processor; {_COPY}")
    if not processor.chat_template:
        raise InputError(f"{model} has no chat template; {_COPY}")
    return processor


_COPY = "copy the files of the processor, the tokenizer and the chat template from the checkpoint that it was made from"
