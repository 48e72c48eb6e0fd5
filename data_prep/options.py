"""Command lines: errors are one line and suggest the option that may have been meant."""

import argparse
import difflib
import functools
import itertools
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

from jsonargparse import ArgumentParser, set_parsing_settings

from data_prep.errors import InputError, LostWorkerError, StorageError
from data_prep.stopping import exit_code, stoppable

NEAR = 0.6  # likeness from which on a name is worth suggesting, as difflib has it

set_parsing_settings(docstring_parse_attribute_docstrings=False)


class Parser(ArgumentParser):
    """An argument parser whose errors are InputErrors, and that takes no option it does not have.

    jsonargparse takes `--model.x 3` for a field of `--model`, even where it has none.
    """

    def __init__(self, *others: Any, **named: Any):
        self._overridden: dict[str, Any] = {}  # classes by option
        super().__init__(*others, **named)

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, *others: Any, **named: Any
    ) -> Any:
        """As jsonargparse has it.

        Raises:
            InputError: an option, a key of a file, or a value is wrong.
        """
        given = sys.argv[1:] if args is None else list(args)
        for argument, after in zip(given, [*given[1:], "--"], strict=False):
            name = argument.partition("=")[0]
            if name == "--":
                break
            if name.startswith("--") and not self._has(name):
                value = "" if after.startswith("--") or "=" in argument else f" {after}"
                self.error(f"unrecognized arguments: {argument}{value}")
        for file in [*values_of(given, "--config"), *map(str, self.default_config_files)]:
            for key, value in file_content(file).items():
                self._require_known(str(key), value)
        return super().parse_args(args, *others, **named)

    def add_overrides(self, name: str, kind: type, help: str) -> None:
        """Add an option whose fields are those of a dataclass, any of which may be given."""
        self.add_argument(f"--{name}", type=dict[str, Any], default={}, help=help)
        self._overridden[name] = kind

    def overrides(self, name: str, options: Any, args: Sequence[str]) -> dict[str, Any]:
        """The fields that are given for an option, in files and as arguments, with their types.

        Raises:
            InputError: a value is wrong.
        """
        files = [*map(str, self.default_config_files), *values_of(list(args), "--config")]
        given: dict[str, Any] = {}
        for content in map(file_content, files):
            given |= content.get(name) or {}
        given |= options[name] or {}
        if not given:
            return {}
        checked = Parser()
        checked.add_class_arguments(self._overridden[name], name)
        typed = checked.parse_object({name: given})[name].as_dict()
        return {field: typed[field] for field in given}

    def _has(self, option: str) -> bool:
        """Whether there is this option, or the option whose value, a mapping, has this field."""
        strings = self._option_string_actions
        name, _, field = option.removeprefix("--").partition(".")
        if name in self._overridden and field:
            return field in self._fields(name)
        return option in strings or _takes_fields(strings.get(option.partition(".")[0]))

    def _require_known(self, key: str, value: Any) -> None:
        """Raise for what jsonargparse lets pass in a file, of options that are no sections."""
        name, _, field = key.partition(".")
        strings = self._option_string_actions
        action = strings.get(f"--{name}") or strings.get(f"--{name.replace('_', '-')}")
        section = any(string.startswith(f"--{name}.") for string in strings)
        if name in self._overridden:
            given = {field: value} if field else value
            if isinstance(given, dict | None):
                for wrong in set(given or {}) - self._fields(name):
                    self.error(f"unknown key '{name}.{wrong}'")
            if field or not isinstance(value, dict | None):
                self.error(f"--{name}: give its options below it, {name}: {{option: value}}")
            return
        if action is None or section or _takes_fields(action):
            return
        if isinstance(value, dict) and value:
            field = next(iter(value))
        if field:
            self.error(f"unknown key '{name}.{field}'")
        if action.nargs == 0 and not isinstance(value, bool):
            self.error(f"--{name}: expected true or false. Got value: {value}")
        if isinstance(action, argparse._AppendAction) and not isinstance(value, list | None):
            self.error(f"--{name}: expected a list. Got value: {value}")

    @property
    def overriding_options(self) -> list[str]:
        """Every field of every option of overrides, as it is given."""
        return [f"--{name}.{f}" for name in self._overridden for f in sorted(self._fields(name))]

    def _fields(self, name: str) -> set[str]:
        return {field.name for field in fields(self._overridden[name])}

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise `message`.

        Raises:
            InputError: always.
        """
        raise InputError(message)


def _takes_fields(action: argparse.Action | None) -> bool:
    return str(getattr(action, "_typehint", "")).startswith("dict[")


class PlainParser(argparse.ArgumentParser):
    """A parser of few options whose errors are InputErrors."""

    def error(self, message: str) -> NoReturn:
        """Raise `message`.

        Raises:
            InputError: always.
        """
        raise InputError(message)


def file_content(file: str | Path) -> dict[str, Any]:
    """What a file of options holds; broken ones are reported when they are parsed."""
    try:
        return _mapping(Path(file).read_text())
    except (OSError, ValueError):
        return {}


@functools.lru_cache(maxsize=8)
def _mapping(text: str) -> dict[str, Any]:
    """The mapping that a text in YAML holds, or nothing; every variant of a model asks for it."""
    import yaml

    try:
        content = yaml.safe_load(text)
    except (ValueError, yaml.YAMLError):
        return {}
    return content if isinstance(content, dict) else {}


def run_command(command: Callable[[], int], again: str = "") -> int:
    """Run a command and return its exit code.

    An error is printed as one line; wrong input gives code 2, a failing disk, network or worker
    code 1. Stopped by a signal, it gives 130 or 143 and says how to go on `again`.
    """
    with stoppable() as stopped:
        try:
            return _explained(command, stopped)
        except KeyboardInterrupt as signal:
            print(f"\ninterrupted{again and '; '}{again}", file=sys.stderr)
            return exit_code(signal)


def _explained(command: Callable[[], int], stopped: Callable[[], KeyboardInterrupt | None]) -> int:
    try:
        return command()
    except Exception as error:
        if (signal := stopped()) is not None:  # the error is what a library made of it
            raise signal from error
        if isinstance(error, InputError):
            print(f"error: {error}", file=sys.stderr)
            return 2
        if isinstance(error, NotADirectoryError | IsADirectoryError | PermissionError):
            print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)
            return 2
        if isinstance(error, StorageError | LostWorkerError | OSError):
            print(f"error: {error}", file=sys.stderr)
            return 1
        raise


def config_first(arguments: list[str]) -> list[str]:
    """The arguments with all `--config` files first, so that they never undo an option."""
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
    """The values given to an option, as text, before anything is parsed."""
    following = itertools.pairwise(arguments)
    spaced = [value for argument, value in following if argument == option]
    return spaced + [a.split("=", 1)[1] for a in arguments if a.startswith(f"{option}=")]


def with_underscores(argument: str) -> str:
    """The argument with underscores in its name, so that `--job-index` is `--job_index`."""
    if not argument.startswith("--"):
        return argument
    name, separator, value = argument.partition("=")
    return "--" + name[2:].replace("-", "_") + separator + value


def value_of(arguments: list[str], option: str) -> str | None:
    """The first of the values given to an option, or None."""
    return next(iter(values_of(arguments, option)), None)


def explain(
    message: str,
    parser: ArgumentParser,
    arguments: list[str],
    files: list[str],
    renamed: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """jsonargparse's message as one plain line: what is wrong, where, and what may be meant.

    `files` are the configuration files that were read, named where an error is not in `arguments`.
    `renamed` gives the present name of an option, without its section, or of a section by the
    former one.
    """
    line = " ".join(message.split())
    line = re.sub(
        r"Group '([\w.]+)' does not accept option '([\w.]+)'", r"unknown key '\1.\2'", line
    )
    line = re.sub(r"Option '([\w.]+)' is not accepted", r"unknown key '\1'", line)
    line = re.sub(r'Parser key "([\w.]+)": ', r"--\1: ", line)
    line = re.sub(r"Expected an? (?:<class '(\w+)'>|typing\.Literal)", r"expected \1", line)
    # --data.size where --data is no section: jsonargparse takes it for a wrong value of --data.
    line = re.sub(r"--([\w.]+): .*NestedArg\(key='([\w.]+)'.*", r"unknown key '\1.\2'", line)
    if line.startswith("Problems parsing config"):
        return f"{', '.join(files)}: {line}"
    key = re.search(r"(?:--|unknown key ')([\w.+-]+)", line)
    if key is None:
        return line
    name = f"--{key.group(1)}"
    if not any(argument.split("=")[0] == name for argument in arguments):
        line = f"{', '.join(files)}: {line}"
    known = [option for action in parser._actions for option in action.option_strings]
    known += getattr(parser, "overriding_options", [])
    section, dot, leaf = name.rpartition(".")
    present = renamed.get(section.removeprefix("--"))
    now = f"--{present}{dot}{leaf}" if present else f"{section}{dot}{renamed.get(leaf)}"
    if name not in known and (now in known or f"--{present}" in known):
        return f"{line} (it is called {now} now)"
    meant = None if name in known else nearest_option(key.group(1), known)
    return line if meant is None else f"{line} (did you mean {meant}?)"


def nearest_option(name: str, known: list[str]) -> str | None:
    """The option among `known`, such as `--section.leaf`, that `name` may stand for, or None.

    A name with a dot is compared with such options, by the leaf first and, where leaves are alike,
    by the section: one half is often right. Options without a dot, and whole names, come after.
    A name without a dot is compared with options without one, then with the leaves of the others.
    """
    section, _, leaf = name.lstrip("-").rpartition(".")
    parts = {option: option.lstrip("-").rpartition(".")[::2] for option in known}
    dotted = [option for option in known if parts[option][0]]
    plain = [option for option in known if not parts[option][0]]

    def by_leaf(option: str) -> tuple[float, float]:
        return _likeness(leaf, parts[option][1]), _likeness(section, parts[option][0])

    def by_name(option: str) -> tuple[float, float]:
        return _likeness(name, option.lstrip("-")), 0.0

    if section:
        attempts = [(dotted, by_leaf), (plain, by_leaf), (dotted, by_name)]
    else:
        attempts = [(plain, by_name), (dotted, by_leaf)]
    for options, likeness in attempts:
        best = max(options, key=likeness, default=None)
        if best is not None and likeness(best)[0] >= NEAR:
            return best
    return None


def _likeness(one: str, other: str) -> float:
    """How alike two names are, from 0 to 1."""
    return difflib.SequenceMatcher(None, one, other).ratio()


def did_you_mean(name: str, known: list[str]) -> str:
    """A hint at the known name nearest to a wrong one, and the list of all."""
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    return f"{hint}known are {', '.join(known)}"
