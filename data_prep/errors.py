"""The one exception that stands for a user's mistake: shown as one line, exit code 2."""


class InputError(ValueError):
    """Input that cannot be used; the message names the file or field and says what to do."""
