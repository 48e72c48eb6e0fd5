"""Command lines: parsers whose errors are one line, and hints at what may have been meant."""

import difflib
import itertools
import re
import sys
from collections.abc import Callable
from typing import NoReturn

from jsonargparse import ArgumentParser, set_parsing_settings

from data_prep.errors import InputError, StorageError

set_parsing_settings(docstring_parse_attribute_docstrings=False)


class Parser(ArgumentParser):
    """An argument parser whose errors are InputErrors."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise `message`.

        Raises:
            InputError: always.
        """
        raise InputError(message)


def run_command(command: Callable[[], int]) -> int:
    """The exit code of a command; wrong input is one line and code 2, a failing disk code 1."""
    try:
        return command()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (NotADirectoryError, IsADirectoryError, PermissionError) as error:
        print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    except (StorageError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def config_first(arguments: list[str]) -> list[str]:
    """`--config` files before all options, or they would silently undo those before them."""
    first, rest = [], []
    position = 0
    while position < len(arguments):
        argument = arguments[position]
        if argument == "--config" and position + 1 < len(arguments):
            first += arguments[position : position + 2]
            position += 1
        elif argument.startswith("--config="):
            first.append(argument)
        else:
            rest.append(argument)
        position += 1
    return first + rest


def values_of(arguments: list[str], option: str) -> list[str]:
    following = itertools.pairwise(arguments)
    spaced = [value for argument, value in following if argument == option]
    return spaced + [a.split("=", 1)[1] for a in arguments if a.startswith(f"{option}=")]


def value_of(arguments: list[str], option: str) -> str | None:
    return next(iter(values_of(arguments, option)), None)


def explain(message: str, parser: ArgumentParser, arguments: list[str], files: list[str]) -> str:
    """jsonargparse's message as one line in our words: what, where, and what may be meant."""
    line = " ".join(message.split())
    line = re.sub(
        r"Group '([\w.]+)' does not accept option '([\w.]+)'", r"unknown key '\1.\2'", line
    )
    line = re.sub(r"Option '([\w.]+)' is not accepted", r"unknown key '\1'", line)
    line = re.sub(r'Parser key "([\w.]+)": ', r"--\1: ", line)
    line = re.sub(r"Expected an? (?:<class '(\w+)'>|typing\.Literal)", r"expected \1", line)
    if line.startswith("Problems parsing config"):
        return f"{', '.join(files)}: {line}"
    key = re.search(r"(?:--|unknown key ')([\w.]+)", line)
    if key is None:
        return line
    name = f"--{key.group(1)}"
    if not any(argument.split("=")[0] == name for argument in arguments):
        line = f"{', '.join(files)}: {line}"
    known = [option for action in parser._actions for option in action.option_strings]
    close = difflib.get_close_matches(name, known, n=1)
    return f"{line} (did you mean {close[0]}?)" if name not in known and close else line


def did_you_mean(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    return f"{hint}known are {', '.join(known)}"
