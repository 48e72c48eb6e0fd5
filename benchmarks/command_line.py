"""Parse and dispatch. Nothing heavy is imported before it is needed."""

import difflib
import os
import re
import sys
import time
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn

from jsonargparse import ArgumentParser, Namespace, set_parsing_settings

from benchmarks.config import NextFrameConfig
from data_prep.errors import InputError

PRESETS = Path(__file__).parent / "presets"
SECTIONS = {
    f.name: f.type
    for f in fields(NextFrameConfig)
    if isinstance(f.type, type) and f.name not in ("models", "seeds")
}
EXAMPLES = """\
examples:
  python benchmarks/run.py --task next_frame
  python benchmarks/run.py --task next_frame --preset smoke
  python benchmarks/run.py --task next_frame --data ~/videos --corpus.frame_interval 0.25
  python benchmarks/run.py --task next_frame --seeds 0,1,2 --training.steps 2000
  python benchmarks/run.py --resume runs/20261122-101500-next_frame
  python benchmarks/run.py --report runs/20261122-101500-next_frame
"""


class _Parser(ArgumentParser):
    """An argument parser whose errors are one line and exit code 2."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        raise InputError(message)


def build_parser(defaults: Path) -> ArgumentParser:
    """The parser, with the values of the YAML file `defaults` as its defaults."""
    set_parsing_settings(docstring_parse_attribute_docstrings=False)
    parser = _Parser(
        prog="python benchmarks/run.py",
        description="Does an energy-based transformer predict better, and what does it cost?",
        epilog=EXAMPLES,
        default_config_files=[str(defaults)],
        allow_abbrev=False,
    )
    parser.add_argument("--task", choices=["next_frame"], help="what to run")
    parser.add_argument("--preset", default="cpu", help=f"sizes: {', '.join(preset_names())}")
    parser.add_argument(
        "--data", type=str | None, help="folder of videos or shard set (default: embedded corpus)"
    )
    parser.add_argument(
        "--out", type=str | None, help="folder of the run (default: runs/TIME-TASK)"
    )
    parser.add_argument(
        "--cache-dir", type=str | None, help="folder of prepared data (or EBT_BENCH_CACHE)"
    )
    parser.add_argument("--seeds", default="0", help="training seeds, such as 0,1,2")
    parser.add_argument("--models", type=str | None, help="models to run, such as ebt,copy_last")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="where")
    parser.add_argument("--resume", type=str | None, help="continue the run in this folder")
    parser.add_argument("--report", type=str | None, help="re-make this run's report, no training")
    parser.add_argument(
        "--search", action="store_true", help="search learning rates and forms on validation"
    )
    parser.add_argument("--config", action="config", help="YAML file of options")
    for name, section in SECTIONS.items():
        parser.add_class_arguments(section, name)
    return parser


def preset_names() -> list[str]:
    """The shipped presets."""
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def parse(arguments: list[str]) -> Namespace:
    """Arguments to a validated namespace.

    Order of precedence: options, `--config` files, then the preset (or the resumed run's own
    configuration).

    Raises:
        InputError: an option, key or value is wrong.
    """
    arguments = _config_first(arguments)
    resumed, preset = _value(arguments, "--resume"), _value(arguments, "--preset") or "cpu"
    if resumed is not None:
        defaults = Path(resumed) / "config.yaml"
        if not defaults.is_file():
            raise InputError(f"--resume {resumed}: no config.yaml there; give the folder of a run")
    else:
        defaults = PRESETS / f"{preset}.yaml"
        if not defaults.is_file():
            raise InputError(f"--preset {preset}: {_did_you_mean(preset, preset_names())}")
    parser = build_parser(defaults)
    try:
        return parser.parse_args(arguments)
    except InputError as error:
        files = [argument for argument in arguments if argument.endswith((".yaml", ".yml"))]
        raise InputError(
            _explain(str(error), parser, arguments, files or [str(defaults)])
        ) from None


def to_config(options: Namespace) -> NextFrameConfig:
    """The run's configuration from parsed options."""
    sections = {name: section(**vars(options[name])) for name, section in SECTIONS.items()}
    if options.models is not None:
        sections["models"] = [name.strip() for name in options.models.split(",")]
    try:
        seeds = [int(seed) for seed in str(options.seeds).split(",")]
    except ValueError:
        raise InputError(f"--seeds {options.seeds}: give whole numbers, such as 0,1,2") from None
    return NextFrameConfig(**sections, seeds=seeds)


def main(arguments: list[str]) -> int:
    """Run the command line; gives the exit code."""
    try:
        options = parse(arguments)
        if options.report is not None:
            return _report(Path(options.report))
        if options.task is None:
            raise InputError("--task is missing: give --task next_frame (or --report, --resume)")
        return _run(options, to_config(options))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except FloatingPointError as error:
        print(f"error: {error}; lower the learning rate of this model", file=sys.stderr)
        return 1


def _report(folder: Path) -> int:
    from benchmarks.report import print_report, write_report
    from benchmarks.results import read_result

    result = read_result(folder)
    write_report(folder, result)
    print_report(_terminal(), result)
    print(f"report: {folder / 'report.md'}")
    return 0


def _run(options: Namespace, config: NextFrameConfig) -> int:
    data = Path(options.data) if options.data else None
    if data is not None and not data.exists():
        raise InputError(f"--data {data}: no such file or folder")
    started = time.strftime("%Y%m%d-%H%M%S")
    out = Path(options.resume or options.out or f"runs/{started}-{options.task}")
    if options.resume is None and (out / "config.yaml").exists():
        raise InputError(f"--out {out}: holds a run already; continue it with --resume {out}")
    out.mkdir(parents=True, exist_ok=True)
    if options.resume is None:
        _write_config(options, out)
    try:
        code = _run_next_frame(config, data, out, options)
        _write_config(options, out)  # what a resumed run was given besides
        return code
    except KeyboardInterrupt:
        print(
            f"\ninterrupted; continue with: python benchmarks/run.py --resume {out}",
            file=sys.stderr,
        )
        return 130


def _run_next_frame(
    config: NextFrameConfig, data_path: Path | None, out: Path, options: Namespace
) -> int:
    from rich.console import Console

    console = Console(stderr=True)
    console.print(f"run: {out}", highlight=False)
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the memory profiler's own chatter
    with console.status("importing torch and lightning"):
        import torch

        from benchmarks.report import print_report, write_report
        from benchmarks.results import write_result
        from benchmarks.tasks.next_frame import run
        from benchmarks.tasks.next_frame_data import prepare_data
    if options.device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: torch sees no GPU here; use --device cpu")
    device = options.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    data = prepare_data(config, data_path, _cache_folder(options))
    described = data.describe()
    console.print(
        f"data: {described['corpus']}, clips {described['clips']}, "
        f"{len(described['rejected'])} videos rejected",
        highlight=False,
    )
    for entry in described["rejected"][:5]:
        console.print(
            f"  rejected {entry['source']}: {entry['reason']}", highlight=False, markup=False
        )
    if options.search:
        from benchmarks.search import search

        search(config, data, out, device, console)
        return 0
    result = run(config, data, out, device)
    write_result(out, result)
    write_report(out, result)
    print_report(_terminal(), result)
    print(f"report: {out / 'report.md'}")
    return 0


def _terminal() -> Any:
    """A console wide enough for the tables where the output is no terminal."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=120)


def _cache_folder(options: Namespace) -> Path:
    chosen = options.cache_dir or os.environ.get("EBT_BENCH_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ebt-bench"


def _write_config(options: Namespace, out: Path) -> None:
    """Keep the run's options, so that it can be resumed and repeated."""
    import yaml

    kept = options.as_dict()
    for name in ("config", "resume", "report", "out", "search", "__default_config__"):
        kept.pop(name, None)
    for name in ("data", "cache_dir"):  # so that a run can be resumed from any folder
        kept[name] = str(Path(kept[name]).resolve()) if kept[name] else None
    (out / "config.yaml").write_text(yaml.safe_dump(kept, sort_keys=False))


def _config_first(arguments: list[str]) -> list[str]:
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


def _value(arguments: list[str], option: str) -> str | None:
    for position, argument in enumerate(arguments):
        if argument == option and position + 1 < len(arguments):
            return arguments[position + 1]
        if argument.startswith(f"{option}="):
            return argument.split("=", 1)[1]
    return None


def _explain(message: str, parser: ArgumentParser, arguments: list[str], files: list[str]) -> str:
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


def _did_you_mean(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    return f"{hint}known are {', '.join(known)}"
