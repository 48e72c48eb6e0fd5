"""The errors of this suite: in the input, in one source of many, or in the storage."""


class Terminated(KeyboardInterrupt):
    """The process was told to end (SIGTERM); what it can save is saved."""


class InputError(ValueError):
    """Input that cannot be used. The message names the file or option and says what to do."""


class DecodeError(Exception):
    """A video or image that cannot be used. The message is the reason in plain words.

    The source is skipped, its reason is recorded, and the work goes on.
    """


class StorageError(Exception):
    """A disk or network that fails. The input is not wrong, and running again may help."""


class RefusedError(PermissionError):
    """A server refuses one file, as with HTTP 403: asking again does not help."""


class LostWorkerError(Exception):
    """A process that worked for this one was killed, or crashed; what is finished is kept."""
