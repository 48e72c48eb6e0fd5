"""What can go wrong: with what a user gives, with one source of many, or with the storage."""


class InputError(ValueError):
    """Input that cannot be used; the message names the file or field and says what to do."""


class DecodeError(Exception):
    """A video or image that cannot be used; the message is the reason in plain words.

    The source is skipped and the reason recorded; the work goes on.
    """


class StorageError(Exception):
    """A disk or network that fails: nobody's input is wrong, and running again may help."""
