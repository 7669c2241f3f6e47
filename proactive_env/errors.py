"""Errors that are the caller's to mend: the command line prints them without a traceback."""


class InputError(ValueError):
    """Something given cannot be used; the message says what was expected, what was found, and what to do."""
