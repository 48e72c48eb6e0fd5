import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from asking import ASKED, PRESETS

from benchmarks.cli.command_line import main
from benchmarks.cli.options import parse, to_config
from benchmarks.config import RunConfig
from benchmarks.tasks.configuring import sections_of_run
from benchmarks.tasks.registry import load_task, task_names
from benchmarks.training.pretrained import NEEDED
from data_prep.prepare import parse_command

ROOT = Path(__file__).parent.parent
RUN = ROOT / "benchmarks" / "run.py"


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import runpy, sys\n"
        f"for task, domain in {ASKED!r}:\n"
        "    sys.argv = ['run.py', '--task', task, '--domain', domain, '--help']\n"
        f"    try: runpy.run_path({str(RUN)!r}, run_name='__main__')\n"
        "    except SystemExit: pass\n"
        "    print('END')\n"
        "heavy = {'torch', 'lightning', 'diffusers', 'numpy', 'matplotlib', 'decord', 'av'}\n"
        "print('HEAVY', sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *shown, heavy = done.stdout.split("END\n")
    assert heavy == "HEAVY []\n"
    for (task, domain), said in zip(ASKED, shown, strict=True):
        assert f"--{next(iter(sections_of_run(load_task(task, domain))))}." in said


def test_help_without_a_task_names_the_tasks(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    assert all(task in shown for task in task_names())


@pytest.mark.parametrize(("task", "domain", "preset"), PRESETS)
def test_every_preset_parses(task: str, domain: str, preset: str) -> None:
    config = to_config(parse(["--task", task, "--domain", domain, "--preset", preset]))
    asked = load_task(task, domain)
    if isinstance(config, RunConfig):
        assert isinstance(config.task, asked.config)
        assert isinstance(config.domain, asked.domain.config)
        assert set(config.models) <= {s.name for s in asked.domain.specs}
        trained = {s.name for s in asked.domain.specs if s.config and s.name in config.models}
        assert trained <= set(config.sections)
    else:
        assert isinstance(config, asked.config)


def documented_commands(program: str) -> list[list[str]]:
    """The arguments of each command of the README and of the documentation."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    blocks = [re.findall(r"```bash\n(.*?)```", page.read_text(), re.DOTALL) for page in pages]
    lines = "".join(block for found in blocks for block in found).replace("\\\n", " ").splitlines()
    commands = [part for line in lines for part in line.split("&&") if program in part]
    split = [shlex.split(command, comments=True) for command in commands]
    found = {tuple(words[words.index(program) + 1 :]) for words in split}
    return [list(arguments) for arguments in sorted(found)]


def test_the_documented_commands_parse(tmp_path: Path) -> None:
    commands = documented_commands("benchmarks/run.py")
    assert ["--task", "next_frame"] in commands
    assert ["--task", "denoise"] in commands
    (tmp_path / "mine.yaml").write_text("training:\n  steps: 5\n")
    (tmp_path / "config.yaml").write_text("task: next_frame\n")
    about = dict.fromkeys(NEEDED) | {"class": "NextFrameEBT"}
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "config.json").write_text(json.dumps(about))
    (tmp_path / "shared" / "model.safetensors").touch()
    for arguments in commands:
        if "--checkpoint" in arguments:
            given = arguments.index("--checkpoint") + 1
            assert "=" in arguments[given]
            arguments[given] = f"shared={tmp_path / 'shared'}"
        if "--config" in arguments:
            arguments[arguments.index("--config") + 1] = str(tmp_path / "mine.yaml")
        if "--resume" in arguments:
            arguments[arguments.index("--resume") + 1] = str(tmp_path)
        if "--print_config" in arguments:
            arguments.remove("--print_config")  # prints and exits, as its own test shows
        options = parse(arguments)
        if not (options.report or options.compare or options.push):
            config = to_config(options)
            asked = getattr(config, "task", config)
            assert isinstance(asked, load_task(options.task, options.domain).config)


def test_the_documented_commands_of_preparation_parse() -> None:
    commands = documented_commands("data_prep.prepare")
    assert {command for command, *_ in commands} == {"shards", "embed", "verify", "inspect"}
    for command, *arguments in commands:
        options = parse_command(command, arguments)
        assert options.get("source") or options.get("shards") or options.get("set")


def test_the_readme_stays_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_precedence_is_option_then_config_then_preset(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("training:\n  steps: 77\n  batch_size: 5\n")
    arguments = ["--task", "next_frame", "--training.steps", "11", "--config", str(file)]
    config = to_config(parse([*arguments, "--preset", "smoke"]))
    assert (config.training.steps, config.training.batch_size) == (11, 5)
    assert config.training.validate_every == 20


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--task is missing"),
        (["--task", "next_fram"], "invalid choice: 'next_fram'"),
        (["--tsk", "next_frame"], "did you mean --task?"),
        (["--task", "next_frame", "--ebt.learning_rat", "1"], "did you mean --ebt.learning_rate?"),
        (["--task", "next_frame", "--ebt.learning_rate", "abc"], "expected float. Got value: abc"),
        (["--task", "next_frame", "--ebt.form", "residul"], "Got value: residul"),
        (
            ["--task", "next_frame", "--ebt.form", "linear", "--ebt.anchor", "zero"],
            "ebt.anchor zero has no meaning where form is linear",
        ),
        (["--task", "next_frame", "--training.steps", "1.5"], "--training.steps: expected int"),
        (["--task", "next_frame", "--training.steps", "0"], "training.steps must be at least 1"),
        (["--task", "next_frame", "--preset", "cpx"], "did you mean cpu?"),
        (["--task", "next_frame", "--models", "ebt_residual,foo"], "'foo' is none of"),
        (["--task", "next_frame", "--seeds", "x"], "--seeds x: give whole numbers"),
        (["--task", "next_frame", "--data", "/nowhere"], "--data /nowhere: no such file or folder"),
        (["--task", "next_frame", "--evaluation.horizon", "20"], "corpus.frames is 12"),
        (["--task", "next_frame", "--config", "/nowhere.yaml"], "/nowhere.yaml"),
        (["--task", "next_frame", "--test", "a=/b"], "unrecognized arguments: --test a=/b"),
        (["--task", "denoise", "--test", "here"], "--test here: give NAME=FOLDER"),
        (
            ["--task", "denoise", "--test", "a=/nowhere"],
            "--test a=/nowhere: no such file or folder",
        ),
        (["--task", "denoise", "--test", "photographs=."], "the name photographs is taken"),
        (["--task", "denoise", "--corpus.size", "8"], "unrecognized arguments: --corpus.size 8"),
        (["--task", "denoise", "--models", "transformer_pp"], "'transformer_pp' is none of"),
        (["--task", "denoise", "--encoder.frequencies", "3"], "encoder.frequencies must be null"),
        (
            ["--task", "denoise", "--dit.levels", "[0.1]"],
            "dit.levels must be a lowest and a highest level",
        ),
        (["--task", "denoise", "--corruption.levels", "[0.2]"], "corruption.levels must hold 0.1"),
        (["--task", "denoise", "--images.size", "500"], "images.size is 500"),
        (["--report", "/nowhere"], "/nowhere: no results.json"),
        (["--resume", "/nowhere"], "--resume /nowhere: no config.yaml"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert error.startswith("error: ")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("ebt:\n  learning_rat: 1\n", "unknown key 'ebt.learning_rat' (did you mean"),
        ("ebtt:\n  learning_rate: 1\n", "(did you mean --ebt.learning_rate?)"),
        ("training:\n  steps: many\n", "--training.steps: expected int"),
        ("ebt: [\n", "Problems parsing config"),
    ],
)
def test_a_wrong_key_in_a_file_names_the_file(
    tmp_path: Path, content: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(content)
    assert main(["--task", "next_frame", "--config", str(file)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {file}: ")
    assert message in error
    assert error.count("\n") == 1


def test_print_config_gives_a_file_that_can_be_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(
            ["--task", "next_frame", "--preset", "smoke", "--ebt.form", "linear", "--print_config"]
        )
    assert stopped.value.code == 0
    file = tmp_path / "printed.yaml"
    file.write_text(capsys.readouterr().out)
    config = to_config(parse(["--config", str(file)]))
    assert config.sections["ebt_residual"].form == "linear"  # type: ignore[attr-defined]
    assert config == to_config(
        parse(["--task", "next_frame", "--preset", "smoke", "--ebt.form", "linear"])
    )


def test_a_size_by_name_gives_way_to_what_is_said_of_the_backbone() -> None:
    config = to_config(parse(["--task", "next_frame", "--size", "xxs"]))
    assert (config.backbone.layers, config.backbone.heads, config.backbone.width) == (6, 6, 384)
    arguments = ["--task", "denoise", "--backbone.layers", "3", "--size=small"]
    backbone = to_config(parse(arguments)).backbone
    assert (backbone.layers, backbone.heads, backbone.width) == (3, 12, 768)


def test_an_unknown_size_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--task", "next_frame", "--size", "smal"]) == 2
    assert "--size smal: did you mean small?" in capsys.readouterr().err
