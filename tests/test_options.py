import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from asking import ASKED

from benchmarks.cli.command_line import main as run
from benchmarks.cli.docs_tables import main as documents
from benchmarks.cli.options import build_parser, parse, to_config
from benchmarks.tasks.registry import load_task
from data_prep import prepare
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


@pytest.mark.parametrize(("task", "domain"), ASKED)
def test_no_misspelt_option_of_a_task_is_taken(task: str, domain: str) -> None:
    made = build_parser(load_task(task, domain), [])
    known = [option for option in made._option_string_actions if option.startswith("--")]
    mappings = {"--variants"}  # their keys are the user's
    assert len(known) > 30
    for option in known:
        wrong = [f"{option}x", option[:-1]]
        wrong += [] if option in mappings else [f"{option}.widht"]
        for name in set(wrong) - set(known):
            for arguments in ([name, "3"], [f"{name}=3"], [name]):
                with pytest.raises(InputError, match=re.escape(name)):
                    made.parse_args(arguments)


@pytest.mark.parametrize(("task", "domain"), ASKED)
def test_no_option_takes_a_field_from_a_file(task: str, domain: str, tmp_path: Path) -> None:
    """Those of sections are checked by jsonargparse."""
    made = build_parser(load_task(task, domain), [])
    file = tmp_path / "mine.yaml"
    options = made._option_string_actions
    plain = {
        a.dest for a in made._actions if not any(o.startswith(f"--{a.dest}.") for o in options)
    }
    for name in plain - {"help", "variants", "print_config"}:
        if "." not in name:
            for text in (f"{name}:\n  widht: 3\n", f"{name}.widht: 3\n"):
                file.write_text(text)
                with pytest.raises(InputError, match=f"unknown key '{name}.widht'"):
                    made.parse_args(["--config", str(file)])


@pytest.mark.parametrize(
    "text",
    ["model: 3", "quiet: 3", "backbone:\n  widht: 3", "zz: 3", "zz:\n  x: 3", "modell: [a:B]"],
)
def test_no_wrong_key_of_a_file_is_taken(text: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    assert run(["--task", "next_frame", "--config", str(tmp_path / "mine.yaml")]) == 2


@pytest.mark.parametrize("command", ["shards", "embed", "verify", "inspect"])
def test_no_misspelt_option_of_a_preparation_is_taken(command: str) -> None:
    for option in prepare.build_parser(command)._option_string_actions:
        if option.startswith("--"):
            with pytest.raises(InputError, match="unrecognized arguments: --"):
                prepare.parse_command(command, ["place", f"{option}.x", "3"])


@pytest.mark.parametrize(
    ("main", "arguments", "said"),
    [
        (run, ["--task", "next_frame", "--model.widht", "3"], "(did you mean --backbone.width?)"),
        (
            run,
            ["--task", "next_frame", "--ebt.calibration", "0"],
            "(it is called --ebt.energy_loss_weight now)",
        ),
        (run, ["--task", "next_frame", "--dry-rn"], "(did you mean --dry-run?)"),
        (run, ["--task", "probe", "--cache-di=x"], "(did you mean --cache-dir?)"),
        (prepare.main, ["shards", "a", "b", "--frams", "3"], "(did you mean --frames?)"),
        (documents, ["tables", "--kep"], "unrecognized arguments: --kep"),
        (
            documents,
            ["tabels"],
            "invalid choice: 'tabels' (choose from 'keep', 'tables', 'pictures', 'check')",
        ),
    ],
)
def test_a_misspelt_option_is_one_line_and_code_2(
    main: Callable[[list[str]], int],
    arguments: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert line.endswith(said)


def test_a_run_with_an_option_of_a_former_name_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.yaml").write_text("task: next_frame\nebt:\n  calibration: 0.1\n")
    assert run(["--resume", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {tmp_path / 'config.yaml'}: unknown key 'ebt.calibration'")
    assert "(it is called --ebt.energy_loss_weight now)" in line
    assert line.endswith("a run of an earlier version cannot be continued: start it anew")


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


@pytest.mark.parametrize("task", ["next_frame", "denoise"])
def test_the_full_preset_is_the_default_one_and_more(task: str) -> None:
    default, full = (to_config(parse(["--task", task, "--preset", p])) for p in ("cpu", "full"))
    assert set(default.models) < set(full.models)
    assert (full.training, full.backbone, full.encoder) == (
        default.training,
        default.backbone,
        default.encoder,
    )
    rates = [{n: c.sections[n].learning_rate for n in default.sections} for c in (default, full)]
    searched = [name for name in default.models if name in default.sections]
    assert all(rates[0][name] == rates[1][name] for name in searched)
    assert rates[0] != rates[1]
