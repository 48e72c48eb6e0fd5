"""What can go wrong with what a user gives: the whole input, or one source of many."""


class InputError(ValueError):
    """Input that cannot be used; the message names the file or field and says what to do."""


class DecodeError(Exception):
    """A video or image that cannot be used; the message is the reason in plain words.

    The source is skipped and the reason recorded; the work goes on.
    """
