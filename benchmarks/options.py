"""The options of a run: parsing, presets, and the configuration that they make.

Nothing heavy is imported before it is needed.
"""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

from jsonargparse import DefaultHelpFormatter, Namespace

from benchmarks.additions import add_all
from benchmarks.checkpoints import absolute, source_of
from benchmarks.config import ComparisonConfig, require_models
from benchmarks.models import place_of
from benchmarks.tasks.registry import PARTS, TASKS, load_task, preset_files
from data_prep.encoders.named import named as own_encoders
from data_prep.errors import InputError
from data_prep.options import (
    Parser,
    config_first,
    did_you_mean,
    explain,
    value_of,
    values_of,
    with_underscores,
)
from worldmodel.config import SIZES

DEFAULT_PRESET = "cpu"
COMPARISON_FIELDS = ("sections", "models", "seeds")
RENAMED = {"calibration": "energy_loss_weight"}  # options by the names of earlier versions
EXAMPLES = """\
Add --task to see the options of a task.

examples:
  python benchmarks/run.py --task {first}
  python benchmarks/run.py --task {first} --preset smoke
  python benchmarks/run.py --task {first} --data FOLDER --seeds 0,1,2
  python benchmarks/run.py --resume runs/20261122-101500-{first}
  python benchmarks/run.py --report runs/20261122-101500-{first}
"""


class _HelpFormatter(argparse.RawDescriptionHelpFormatter, DefaultHelpFormatter):
    """Keeps the lines of the examples."""


def sections_of(task: str) -> dict[str, type]:
    """The configuration classes of a task by section of the options, its models' last."""
    found = load_task(task)
    sections = {
        f.name: f.type
        for f in fields(found.config)
        if isinstance(f.type, type) and is_dataclass(f.type)
    }
    return sections | {spec.name: spec.config for spec in found.specs if spec.config}


def build_parser(task: str | None, defaults: Path | None) -> Parser:
    """The parser of a task, with the values of the YAML file `defaults` as its defaults."""
    parser = Parser(
        prog="python benchmarks/run.py",
        description="Does an energy-based transformer predict better, and what does it cost?",
        epilog=EXAMPLES.format(first=next(iter(TASKS))),
        formatter_class=_HelpFormatter,
        default_config_files=[str(defaults)] if defaults is not None else [],
        allow_abbrev=False,
    )
    parser.add_argument("--task", choices=list(TASKS), help="what to run")
    names = ", ".join(preset_files(task)) if task else "cpu, smoke, gpu"
    parser.add_argument("--preset", default=DEFAULT_PRESET, help=f"sizes of the run: {names}")
    parser.add_argument(
        "--data",
        type=str | None,
        help="folder of videos or images, or a shard set (default: the built-in corpus)",
    )
    parser.add_argument(
        "--out", type=str | None, help="folder of the run (default: runs/TIME-TASK)"
    )
    parser.add_argument(
        "--cache-dir",
        type=str | None,
        help="folder of prepared data (default: EBT_BENCH_CACHE, or ~/.cache/ebt-bench)",
    )
    parser.add_argument(
        "--device", choices=["auto", "cpu", "cuda"], default="auto", help="where to compute"
    )
    parser.add_argument(
        "--quiet", action="store_true", help="show no progress, only the report and errors"
    )
    parser.add_argument(
        "--report", type=str | None, help="make the report of this run again, without training"
    )
    parser.add_argument(
        "--compare", nargs="+", type=str, help="compare the models of these finished runs"
    )
    parser.add_argument(
        "--export",
        type=str | None,
        help="folder for the figures as PNG and SVG and the tables as CSV, Markdown and LaTeX",
    )
    parser.add_argument(
        "--push",
        type=str | None,
        help="folder, or repository of the hub as hf:USER/NAME, for the model --model of a --run",
    )
    if task is None:
        parser.add_argument("--run", type=str | None, help="folder of a finished run, for --push")
        parser.add_argument("--model", type=str | None, help="name of its model, for --push")
    else:
        _add_task_options(parser, task)
    parser.add_argument("--config", action="config", help="YAML file of options")
    for name, section in sections_of(task).items() if task else ():
        parser.add_class_arguments(section, name)
    return parser


def _add_task_options(parser: Parser, task: str) -> None:
    found = load_task(task)
    if task in PARTS:
        names = " or ".join(PARTS[task])
        parser.add_argument("--part", type=str | None, help=f"part of the task: {names}")
    if found.reserved_test_sets is not None:
        parser.add_argument(
            "--test", action="append", help="one more test set, NAME=FOLDER; can be given again"
        )
    if found.declared:
        parser.add_argument("--seeds", default="0", help="training seeds, such as 0,1,2")
        names = ", ".join(spec.name for spec in found.specs)
        parser.add_argument("--models", type=str | None, help=f"models to run, of {names}")
        if found.takes is not None:
            parser.add_argument(
                "--model",
                action="append",
                help="one more model, package.module:Class; can be given again",
            )
        if found.takes is not None and not found.starts_runs:
            parser.add_argument(
                "--checkpoint",
                action="append",
                help="one more model, judged without training, NAME=PLACE of what --push wrote: a "
                "folder or hf:USER/NAME; can be given again",
            )
        parser.add_argument(
            "--size", type=str | None, help=f"size of all backbones by name: {', '.join(SIZES)}"
        )
        parser.add_argument("--resume", type=str | None, help="continue the run in this folder")
        parser.add_argument(
            "--dry-run",
            action="store_true",
            help="say what would be trained, what it costs and whether it fits; train nothing",
        )
        parser.add_argument(
            "--search",
            action="store_true",
            help="search optimisers and learning rates on validation",
        )
    plain = [name for name in _plain_fields(found.config) if name not in COMPARISON_FIELDS]
    if plain:
        skip = {f.name for f in fields(found.config)} - set(plain)
        parser.add_class_arguments(found.config, skip=skip)


def parse(arguments: list[str]) -> Namespace:
    """Arguments to a validated namespace.

    Order of precedence: options, `--config` files, then the preset (or the resumed run's own
    configuration).

    Raises:
        InputError: an option, key or value is wrong.
    """
    arguments = config_first(_with_size(_with_part(arguments)))
    resumed = value_of(arguments, "--resume")
    preset = value_of(arguments, "--preset") or DEFAULT_PRESET
    defaults = None
    if resumed is not None:
        defaults = Path(resumed) / "config.yaml"
        if not defaults.is_file():
            raise InputError(f"--resume {resumed}: no config.yaml there; give the folder of a run")
    task = value_of(arguments, "--task") or _task_of(values_of(arguments, "--config"), defaults)
    if task in TASKS and defaults is None:
        presets = preset_files(task)
        if presets and preset not in presets:
            raise InputError(f"--preset {preset}: {did_you_mean(preset, list(presets))}")
        defaults = presets.get(preset)
    if task in TASKS:
        add_all(task, arguments, defaults if resumed else None)
    parser = build_parser(task if task in TASKS else None, defaults)
    if task in TASKS:
        arguments = _with_plain_options(arguments, load_task(task).config)
    try:
        options = parser.parse_args(arguments)
        _require_named_encoder(options, arguments)
        return options
    except InputError as error:
        files = [argument for argument in arguments if argument.endswith((".yaml", ".yml"))]
        said = explain(str(error), parser, arguments, files or [str(defaults)], RENAMED)
        if resumed is not None:
            said += "; a run of an earlier version cannot be continued: start it anew"
        raise InputError(said) from None


def _require_named_encoder(options: Namespace, arguments: list[str]) -> None:
    """Raise InputError where a file, and not the command line, names the code of an encoder."""
    own_encoders.update(values_of(arguments, "--encoder.name"))
    name = str((options.get("encoder") or {}).get("name", ""))
    if name.startswith("own:") and name not in own_encoders:
        raise InputError(f"--encoder.name: {name} is code: give --encoder.name {name} again")


def to_config(options: Namespace) -> Any:
    """The run's configuration from parsed options, of the class that its task names.

    Raises:
        InputError: a value is wrong; names the option.
    """
    task = load_task(options.task)
    given: dict[str, Any] = {}
    of_models: dict[str, Any] = {}
    declared = {spec.name for spec in task.specs if spec.config}
    for name, section in sections_of(options.task).items():
        if name in declared:
            of_models[name] = _section(name, section, vars(options[name]))
        else:
            given[name] = section(**vars(options[name]))
    if issubclass(task.config, ComparisonConfig):
        given["sections"] = of_models
        given["seeds"] = _seeds(str(options.seeds))
        if options.models is not None:
            given["models"] = [name.strip() for name in options.models.split(",")]
        chosen = [*(options.get("model") or []), *map(absolute, options.get("checkpoint") or [])]
        added = [s.name for s in task.specs if place_of(s) in chosen or source_of(s) in chosen]
        if added:
            models = given.get("models") or default_models(task.config)
            given["models"] = [*models, *(name for name in added if name not in models)]
    for name in _plain_fields(task.config):
        if name not in COMPARISON_FIELDS:
            given[name] = options[name]
    config = task.config(**given)
    if isinstance(config, ComparisonConfig):
        require_models(config.models, task.specs)
    return config


def default_models(config: type[ComparisonConfig]) -> list[str]:
    """The models that a configuration names where nothing else is said."""
    (models,) = (f for f in fields(config) if f.name == "models")
    assert callable(models.default_factory)
    names: list[str] = models.default_factory()
    return names


def to_options(task: str, config: Any) -> dict[str, Any]:
    """The options that make a configuration: what `--config` takes, and `to_config` gives back."""
    found: dict[str, Any] = {"task": task}
    for f in fields(config):
        value = getattr(config, f.name)
        plain = is_dataclass(value) and not isinstance(value, type)
        found[f.name] = asdict(value) if plain else value
    if isinstance(config, ComparisonConfig):
        found |= {name: asdict(section) for name, section in found.pop("sections").items()}
        found["models"] = ",".join(config.models)
        found["seeds"] = ",".join(map(str, config.seeds))
    return found


def preset_config(task: str, preset: str = DEFAULT_PRESET) -> Any:
    """The configuration of a task as a preset has it."""
    return to_config(parse(["--task", task, "--preset", preset]))


def _section(name: str, kind: Callable[..., Any], values: Mapping[str, Any]) -> Any:
    """The configuration of a model; its class does not know the model's name."""
    try:
        return kind(**values)
    except InputError as error:
        raise InputError(f"{name}.{error}") from None


def _plain_fields(config: type) -> list[str]:
    """The fields of a configuration that are no sections of options."""
    return [
        f.name for f in fields(config) if not (isinstance(f.type, type) and is_dataclass(f.type))
    ]


def _seeds(given: str) -> list[int]:
    try:
        return [int(seed) for seed in given.split(",")]
    except ValueError:
        raise InputError(f"--seeds {given}: give whole numbers, such as 0,1,2") from None


def _with_part(arguments: list[str]) -> list[str]:
    """The arguments with `--task` and `--part` of a task in parts joined to the name of the part.

    Raises:
        InputError: there is no such part.
    """
    task, part = value_of(arguments, "--task"), value_of(arguments, "--part")
    if part is None or task not in PARTS:
        return arguments
    if part not in PARTS[task]:
        raise InputError(f"--part {part}: {did_you_mean(part, list(PARTS[task]))}")
    kept: list[str] = []
    for before, argument in zip(["", *arguments], arguments, strict=False):
        if "--task" in (before, argument.partition("=")[0]):
            continue
        if "--part" in (before, argument.partition("=")[0]):
            continue
        kept.append(argument)
    return ["--task", PARTS[task][part], *kept]


def _with_plain_options(arguments: list[str], config: type) -> list[str]:
    """The arguments with a task's own options as they are declared.

    `--job-index` may stand for `--job_index`, and `--search-each` alone for `--search_each true`.
    """
    kinds = {f"--{name}": get_type_hints(config)[name] for name in _plain_fields(config)}
    found = []
    for argument, after in zip(arguments, [*arguments[1:], "--"], strict=True):
        renamed = with_underscores(argument)
        if renamed.partition("=")[0] not in kinds:
            found.append(argument)
        elif kinds.get(renamed) is bool and after.startswith("--"):
            found.append(f"{renamed}=true")
        else:
            found.append(renamed)
    return found


def _with_size(arguments: list[str]) -> list[str]:
    """The arguments with layers, heads and width before them that `--size` stands for.

    Raises:
        InputError: there is no such size.
    """
    name = value_of(arguments, "--size")
    if name is None:
        return arguments
    if name not in SIZES:
        raise InputError(f"--size {name}: {did_you_mean(name, list(SIZES))}")
    size = SIZES[name]
    given = {"layers": size.layers, "heads": size.heads, "width": size.width}
    return [*(f"--backbone.{option}={value}" for option, value in given.items()), *arguments]


def _task_of(files: list[str], resumed: Path | None) -> str | None:
    """The task that a file of options names; broken files are reported when they are parsed."""
    import yaml

    for path in [*map(Path, files), *([resumed] if resumed else [])]:
        try:
            return str(yaml.safe_load(path.read_text())["task"])
        except (OSError, yaml.YAMLError, KeyError, TypeError):
            continue
    return None
