"""Parse and dispatch. Nothing heavy is imported before it is needed."""

import importlib
import os
import sys
import time
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from jsonargparse import Namespace

from benchmarks.allocation import keep_freed_memory
from benchmarks.config import DenoiseConfig, Inputs, NextFrameConfig, ThroughputConfig
from data_prep.errors import InputError
from data_prep.options import (
    Parser,
    config_first,
    did_you_mean,
    explain,
    run_command,
    value_of,
    values_of,
)

PRESETS = Path(__file__).parent / "presets"
RESERVED_NAMES = ("validation", "dead_leaves", "photographs")  # of the suite's own image sets
TASKS: dict[str, type] = {
    "next_frame": NextFrameConfig,
    "denoise": DenoiseConfig,
    "throughput": ThroughputConfig,
}
EXAMPLES = """\
Add --task to see the options of a task.

examples:
  python benchmarks/run.py --task next_frame
  python benchmarks/run.py --task denoise --preset smoke
  python benchmarks/run.py --task denoise --data ~/photographs --test mine=~/holiday
  python benchmarks/run.py --task next_frame --data ~/videos --corpus.frame_interval 0.25
  python benchmarks/run.py --task next_frame --seeds 0,1,2 --training.steps 2000
  python benchmarks/run.py --task throughput --part data
  python benchmarks/run.py --resume runs/20261122-101500-next_frame
  python benchmarks/run.py --report runs/20261122-101500-next_frame
"""


def sections_of(task: str) -> dict[str, type]:
    """The configuration sections of a task, by name."""
    return {
        f.name: f.type
        for f in fields(TASKS[task])
        if isinstance(f.type, type) and is_dataclass(f.type)
    }


def build_parser(task: str | None, defaults: Path | None) -> Parser:
    """The parser of a task, with the values of the YAML file `defaults` as its defaults."""
    parser = Parser(
        prog="python benchmarks/run.py",
        description="Does an energy-based transformer predict better, and what does it cost?",
        epilog=EXAMPLES,
        default_config_files=[str(defaults)] if defaults is not None else [],
        allow_abbrev=False,
    )
    parser.add_argument("--task", choices=list(TASKS), help="what to run")
    names = ", ".join(preset_names(task)) if task else "cpu, smoke, gpu"
    parser.add_argument("--preset", default="cpu", help=f"sizes: {names}")
    parser.add_argument(
        "--data",
        type=str | None,
        help="folder of videos or images, or a shard set (default: embedded corpus)",
    )
    if task == "denoise":
        parser.add_argument(
            "--test", action="append", help="one more test set, NAME=FOLDER; repeatable"
        )
    parser.add_argument(
        "--out", type=str | None, help="folder of the run (default: runs/TIME-TASK)"
    )
    parser.add_argument(
        "--cache-dir", type=str | None, help="folder of prepared data (or EBT_BENCH_CACHE)"
    )
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="where")
    parser.add_argument("--report", type=str | None, help="re-make this run's report, no training")
    if task == "throughput":
        parser.add_argument("--part", choices=["all", "data", "model"], default="all", help="what")
        parser.add_argument(
            "--profile", action="store_true", help="show where the time goes: the top operations"
        )
    else:
        _add_training_options(parser)
    parser.add_argument("--config", action="config", help="YAML file of options")
    for name, section in sections_of(task).items() if task else ():
        parser.add_class_arguments(section, name)
    return parser


def _add_training_options(parser: Parser) -> None:
    parser.add_argument("--seeds", default="0", help="training seeds, such as 0,1,2")
    parser.add_argument("--models", type=str | None, help="models to run, such as ebt,copy_last")
    parser.add_argument("--resume", type=str | None, help="continue the run in this folder")
    parser.add_argument(
        "--search", action="store_true", help="search learning rates and forms on validation"
    )


def preset_names(task: str) -> list[str]:
    """The shipped presets of a task."""
    return sorted(path.stem for path in (PRESETS / task).glob("*.yaml"))


def parse(arguments: list[str]) -> Namespace:
    """Arguments to a validated namespace.

    Order of precedence: options, `--config` files, then the preset (or the resumed run's own
    configuration).

    Raises:
        InputError: an option, key or value is wrong.
    """
    arguments = config_first(arguments)
    resumed, preset = value_of(arguments, "--resume"), value_of(arguments, "--preset") or "cpu"
    defaults = None
    if resumed is not None:
        defaults = Path(resumed) / "config.yaml"
        if not defaults.is_file():
            raise InputError(f"--resume {resumed}: no config.yaml there; give the folder of a run")
    task = value_of(arguments, "--task") or _task_of(values_of(arguments, "--config"), defaults)
    if task in TASKS and defaults is None:
        defaults = PRESETS / task / f"{preset}.yaml"
        if not defaults.is_file():
            raise InputError(f"--preset {preset}: {did_you_mean(preset, preset_names(task))}")
    parser = build_parser(task if task in TASKS else None, defaults)
    try:
        return parser.parse_args(arguments)
    except InputError as error:
        files = [argument for argument in arguments if argument.endswith((".yaml", ".yml"))]
        raise InputError(explain(str(error), parser, arguments, files or [str(defaults)])) from None


def to_config(options: Namespace) -> Any:
    """The run's configuration from parsed options: of the class that `TASKS` names."""
    sections: dict[str, Any] = {
        name: section(**vars(options[name])) for name, section in sections_of(options.task).items()
    }
    if options.task == "throughput":
        return ThroughputConfig(**sections, part=options.part, profile=options.profile)
    if options.models is not None:
        sections["models"] = [name.strip() for name in options.models.split(",")]
    try:
        seeds = [int(seed) for seed in str(options.seeds).split(",")]
    except ValueError:
        raise InputError(f"--seeds {options.seeds}: give whole numbers, such as 0,1,2") from None
    return TASKS[options.task](**sections, seeds=seeds)


def main(arguments: list[str]) -> int:
    """Run the command line; gives the exit code."""
    try:
        return run_command(lambda: _dispatch(parse(arguments)))
    except FloatingPointError as error:
        print(f"error: {error}; lower the learning rate of this model", file=sys.stderr)
        return 1


def _dispatch(options: Namespace) -> int:
    if options.report is not None:
        return _report(Path(options.report))
    if options.task is None:
        raise InputError(
            f"--task is missing: give --task {' or '.join(TASKS)} (or --report, --resume)"
        )
    return _run(options, to_config(options))


def _report(folder: Path) -> int:
    from benchmarks.results import read_result

    result = read_result(folder)
    report = importlib.import_module(f"benchmarks.tasks.{result.task}.report")
    report.write_report(folder, result)
    report.print_report(_terminal(), result)
    print(f"report: {folder / 'report.md'}")
    return 0


def _run(options: Namespace, config: Any) -> int:
    inputs = _inputs(options)
    started = time.strftime("%Y%m%d-%H%M%S")
    out = Path(options.get("resume") or options.out or f"runs/{started}-{options.task}")
    resumed = options.get("resume") is not None
    if not resumed and (out / "config.yaml").exists():
        raise InputError(f"--out {out}: holds a run already; continue it with --resume {out}")
    out.mkdir(parents=True, exist_ok=True)
    if not resumed:
        _write_config(options, out)
    try:
        code = _run_task(config, inputs, out, options)
        _write_config(options, out)  # what a resumed run was given besides
        return code
    except KeyboardInterrupt:
        again = f"--resume {out}" if "resume" in options else "--task throughput"
        print(f"\ninterrupted; continue with: python benchmarks/run.py {again}", file=sys.stderr)
        return 130


def _run_task(config: Any, inputs: Inputs, out: Path, options: Namespace) -> int:
    from rich.console import Console

    console = Console(stderr=True)
    console.print(f"run: {out}", highlight=False)
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the memory profiler's own chatter
    keep_freed_memory()
    with console.status("importing torch and lightning"):
        import torch

        from benchmarks.results import write_result

        task = importlib.import_module(f"benchmarks.tasks.{options.task}.run")
    if options.device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: torch sees no GPU here; use --device cpu")
    device = options.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    data = task.prepare_data(config, inputs)
    described = data.describe()
    console.print(
        f"data: {described['corpus']}, clips {described['clips']}, "
        f"{len(described['rejected'])} files rejected",
        highlight=False,
    )
    for entry in described["rejected"][:5]:
        console.print(
            f"  rejected {entry['source']}: {entry['reason']}", highlight=False, markup=False
        )
    if options.get("search"):
        from benchmarks.search import search

        search(options.task, config, data, out, device, console)
        return 0
    result = task.run(config, data, out, device)
    report = importlib.import_module(f"benchmarks.tasks.{options.task}.report")
    write_result(out, result)
    report.write_report(out, result)
    report.print_report(_terminal(), result)
    print(f"report: {out / 'report.md'}")
    return 0


def _terminal() -> Any:
    """A console wide enough for the tables where the output is no terminal."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=120)


def _inputs(options: Namespace) -> Inputs:
    data = Path(options.data) if options.data else None
    if data is not None and not data.exists():
        raise InputError(f"--data {data}: no such file or folder")
    test_sets: dict[str, Path] = {}
    for given in options.get("test") or []:
        name, separator, folder = given.partition("=")
        if not (name and separator and folder):
            raise InputError(f"--test {given}: give NAME=FOLDER")
        if name in test_sets or name in RESERVED_NAMES:
            raise InputError(f"--test {given}: the name {name} is taken; give another")
        if not Path(folder).expanduser().exists():
            raise InputError(f"--test {given}: no such file or folder")
        test_sets[name] = Path(folder).expanduser()
    return Inputs(data, test_sets, _cache_folder(options))


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
    if kept.get("test"):
        pairs = [given.split("=", 1) for given in kept["test"]]
        kept["test"] = [f"{name}={Path(folder).expanduser().resolve()}" for name, folder in pairs]
    (out / "config.yaml").write_text(yaml.safe_dump(kept, sort_keys=False))


def _task_of(files: list[str], resumed: Path | None) -> str | None:
    """The task that a file of options names; broken files are reported when they are parsed."""
    import yaml

    for path in [*map(Path, files), *([resumed] if resumed else [])]:
        try:
            return str(yaml.safe_load(path.read_text())["task"])
        except (OSError, yaml.YAMLError, KeyError, TypeError):
            continue
    return None
