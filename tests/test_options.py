from dataclasses import dataclass
from pathlib import Path

import pytest

from data_prep.errors import InputError, StorageError
from data_prep.options import Parser, config_first, explain, nearest_option, run_command


@dataclass
class Backbone:
    """A section.

    Args:
        width: of the model.
        layers: of the model.
    """

    width: int = 8
    layers: int = 2


@dataclass
class Rates:
    """Another section.

    Args:
        learning_rate: of the optimiser.
        layers: that learn.
    """

    learning_rate: float = 0.1
    layers: int = 1


def parser() -> Parser:
    made = Parser(prog="test", allow_abbrev=False)
    made.add_argument("--config", action="config")
    made.add_argument("--task")
    made.add_argument("--models", type=str | None)
    made.add_class_arguments(Backbone, "backbone")
    made.add_class_arguments(Rates, "dit")
    made.add_class_arguments(Rates, "ebt")
    return made


def explained(arguments: list[str], files: list[str] | None = None) -> str:
    made = parser()
    with pytest.raises(InputError) as caught:
        made.parse_args(arguments)
    return explain(str(caught.value), made, arguments, files or [])


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("--tsk", "--task"),
        ("--model", "--models"),
        ("--width", "--backbone.width"),
        ("--widht", "--backbone.width"),
        ("--learning_rate", "--dit.learning_rate"),  # the first of those that are alike
        ("--model.widht", "--backbone.width"),
        ("--models.width", "--backbone.width"),
        ("--ebt.width", "--backbone.width"),
        ("--ebtt.learning_rate", "--ebt.learning_rate"),
        ("--ebt.learning_rat", "--ebt.learning_rate"),
        ("--ebt.layer", "--ebt.layers"),
        ("--bakbone.layers", "--backbone.layers"),
        ("--backbone.task", "--task"),
        ("--backbone.ayrs", "--backbone.layers"),
    ],
)
def test_a_mistyped_option_is_understood(name: str, meant: str) -> None:
    assert explained([name, "3"]).endswith(f"(did you mean {meant}?)")


@pytest.mark.parametrize("name", ["--zzzz", "--zzzz.qqqq"])
def test_nothing_is_suggested_where_nothing_is_near(name: str) -> None:
    line = explained([name, "3"])
    assert name in line
    assert "did you mean" not in line


def test_no_options_no_suggestion() -> None:
    assert nearest_option("width", []) is None
    assert nearest_option("a.width", []) is None


def test_a_wrong_value_is_explained_without_a_suggestion() -> None:
    line = explained(["--backbone.width", "wide"])
    assert line.startswith("--backbone.width: expected int")
    assert "did you mean" not in line


def test_a_mistyped_key_of_a_file_is_understood_and_the_file_named(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("model:\n  widht: 3\n")
    line = explained(["--config", str(file)], [str(file)])
    assert line.startswith(f"{file}: ")
    assert line.endswith("(did you mean --backbone.width?)")


def test_files_come_before_the_options_that_overrule_them(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("backbone:\n  width: 5\n  layers: 5\n")
    line = ["--backbone.width", "7", f"--config={tmp_path / 'a.yaml'}", "--task", "x"]
    backbone = parser().parse_args(config_first(line)).backbone
    assert (backbone.width, backbone.layers) == (7, 5)


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (InputError("wrong"), 2, "error: wrong\n"),
        (IsADirectoryError(21, "Is a directory", "x"), 2, "error: x: Is a directory\n"),
        (StorageError("full"), 1, "error: full\n"),
        (OSError("lost"), 1, "error: lost\n"),
    ],
)
def test_errors_are_one_line_and_a_code(
    error: Exception, code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> int:
        raise error

    assert run_command(fail) == code
    assert capsys.readouterr().err == told
