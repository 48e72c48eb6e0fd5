"""A line of any list of clips, and the reading of lists."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from data_prep.errors import InputError
from data_prep.shards.storage import fetched

DELIMITERS = ",;\t"


@dataclass(frozen=True)
class Row:
    """What a line of a list says of one clip; what it does not say is None.

    `name` is the path of the file, or in an official list its path or name without suffix.
    `others` are further names that the file may go under where `name` is not there.
    """

    name: str
    split: str | None = None
    group: str | None = None
    label: str | None = None
    others: tuple[str, ...] = ()


def read_text(location: str) -> str:
    """The text of a file or URL.

    Raises:
        InputError: it cannot be read, or is not UTF-8.
        StorageError: the network fails for good.
    """
    try:
        with fetched(location) as path:
            return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{location}: is not UTF-8; save it as UTF-8") from None
    except OSError as error:
        raise InputError(f"{location}: cannot be read ({error})") from None


def read_csv(text: str) -> tuple[list[str], Iterator[tuple[int, dict[str, str]]]]:
    """The columns of a csv, in small letters, and its lines with their numbers.

    Commas, semicolons or tabs separate the fields, whichever the first line has most of. Spaces
    around a field are no part of it.

    Raises:
        csv.Error: a line is wrong; names the line. Raised while the lines are read.
    """
    first = text.split("\n", 1)[0]
    delimiter = max(DELIMITERS, key=first.count)
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, skipinitialspace=True)
    columns = [name.strip().lower() for name in next(reader, [])]
    return columns, _lines(reader, columns)


def _lines(reader: Any, columns: list[str]) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        for fields in reader:
            values = [value.strip() for value in fields]
            if not any(values):
                continue
            for position, value in enumerate(values):
                if value and (position >= len(columns) or not columns[position]):
                    raise csv.Error(
                        f"{value!r} stands in no column; put names that hold a separator in quotes"
                    )
            yield reader.line_num, dict(zip(columns, values, strict=False))
    except csv.Error as error:
        raise csv.Error(f"{reader.line_num}: {error}") from None
