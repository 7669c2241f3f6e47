"""The errors of the library, by the boundary at which they arise.

Those that are the caller's to mend are `InputError`s: the command line prints them without a traceback. The others are
states of something outside, which pass: nothing is ever scored in their place.
"""


class InputError(ValueError):
    """Something given cannot be used; the message says what was expected, what was found, and what to do."""


class DatasetError(InputError):
    """A data set, or a row of one, that cannot be used; the message names file, row and field."""


class VideoError(InputError):
    """A file that cannot give the frames asked of it; the message starts with the file's path."""


class NoScenesError(InputError):
    """A video without a single scene."""


class EngineError(RuntimeError):
    """The engine cannot go on: out of memory, its process has ended, or it was closed."""


class TrainingError(EngineError):
    """The trainer ended before its last step."""


class ChatUnavailable(RuntimeError):  # noqa: N818 (a state of the server's, which passes)
    """There was no answer: a timeout, a lost connection, status 429 or 5xx after all retries, or no chat completion."""


class ChatRejected(ValueError):  # noqa: N818 (the server's word on these messages)
    """The server refuses these messages: too long, images it cannot read, a parameter it does not know."""


class JudgeUnavailable(RuntimeError):  # noqa: N818 (a state of the judge's, which passes)
    """The judge gave no answer: it cannot be reached, or still fails after its own retries."""
