"""A line of any list of clips, and the reading of lists."""

from dataclasses import dataclass

from data_prep.errors import InputError
from data_prep.shards.storage import fetched


@dataclass(frozen=True)
class Row:
    """What a line of a list says of one clip; what it does not say is None.

    `name` is the path of the file, or in an official list the file's name without folder and
    suffix.
    """

    name: str
    split: str | None = None
    group: str | None = None
    label: str | None = None


def read_text(location: str) -> str:
    """The text of a file or URL.

    Raises:
        InputError: it cannot be read, or is not UTF-8.
        StorageError: the network fails for good.
    """
    try:
        with fetched(location) as path:
            return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{location}: cannot be read ({error})") from None
