"""The options of a run: parsing, presets, and the configuration that they make.

Nothing heavy is imported before it is needed.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

from jsonargparse import DefaultHelpFormatter, Namespace

from benchmarks.cli.plugins import add_all
from benchmarks.config import JSON
from benchmarks.domains.registry import DOMAINS
from benchmarks.former_names import FORMER
from benchmarks.models import place_of
from benchmarks.tasks.configuring import (
    OPTIONS,
    build_config,
    plain_options,
    sections_of_run,
    variants_of,
)
from benchmarks.tasks.contract import AnyTask, ModelTask
from benchmarks.tasks.registry import DEFAULT_PRESET, domains_of, load_task, presets_of, task_names
from benchmarks.training.pretrained import absolute, source_of
from data_prep.encoders.named import named as own_encoders
from data_prep.errors import InputError
from data_prep.options import (
    Parser,
    config_first,
    did_you_mean,
    explain,
    file_content,
    value_of,
    values_of,
    with_underscores,
)
from worldmodel.config import SIZES

# Options and sections of options by the names of earlier versions.
RENAMED = {name: now for name, now in FORMER.items() if name not in ("ebt", "dit_published")}
RENAMED |= {"calibration": "energy_loss_weight", "ladders": "shifts"}
EXAMPLES = """\
Add --task to see the options of a task.

examples:
  python benchmarks/run.py --task {first}
  python benchmarks/run.py --task {first} --preset smoke
  python benchmarks/run.py --task {first} --data FOLDER --seeds 0,1,2
  python benchmarks/run.py --resume runs/20261122-101500-{first}
  python benchmarks/run.py --report runs/20261122-101500-{first}
  ebt-bench list          tasks, presets, models, encoders and layouts of corpora
  ebt-bench runs          the runs of a folder, and its index.html
"""


class _HelpFormatter(argparse.RawDescriptionHelpFormatter, DefaultHelpFormatter):
    """Keeps the lines of the examples."""


def build_parser(task: AnyTask | None, defaults: Sequence[Path]) -> Parser:
    """The parser of a task in a domain; its defaults are in YAML files, the last one first."""
    parser = Parser(
        prog="python benchmarks/run.py",
        description="Does an energy-based transformer predict better, and what does it cost?",
        epilog=EXAMPLES.format(first=task_names()[0]),
        formatter_class=_HelpFormatter,
        default_config_files=[str(file) for file in defaults],
        allow_abbrev=False,
    )
    parser.add_argument("--task", choices=task_names(), help="what to run")
    names = ", ".join(presets_of(task)) if task else "cpu, smoke, gpu"
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
        "--index", type=str | None, help="write index.html of the runs in this folder"
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
    for name, section in sections_of_run(task).items() if task else ():
        parser.add_class_arguments(section, name)
    for spec in variants_of(task) if task else ():
        assert spec.config is not None
        said = ", ".join(f"{name} {value}" for name, value in spec.overrides.items())
        help = f"options of {spec.section} that differ in {spec.name}" + f" ({said})" * bool(said)
        parser.add_overrides(spec.name, spec.config, help)
    return parser


def _add_task_options(parser: Parser, task: AnyTask) -> None:
    parser.add_argument(
        "--domain", type=str | None, help=f"what is predicted: {' or '.join(DOMAINS)}"
    )
    if isinstance(task, ModelTask):
        if task.domain.reserved_test_sets is not None:
            parser.add_argument(
                "--test", action="append", help="one more test set, NAME=FOLDER; can be given again"
            )
        parser.add_argument("--seeds", default="0", help="training seeds, such as 0,1,2")
        names = ", ".join(spec.name for spec in task.specs)
        parser.add_argument("--models", type=str | None, help=f"models to run, of {names}")
        parser.add_argument(
            "--model",
            action="append",
            help="one more model, package.module:Class; can be given again",
        )
        if not task.starts_runs:
            parser.add_argument(
                "--checkpoint",
                action="append",
                help="one more model, judged without training, NAME=PLACE of what --push wrote: a "
                "folder or hf:USER/NAME; a denoiser of others is NAME=dncnn:FILE; can be given "
                "again",
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
    for kind in dict.fromkeys(plain_options(task).values()):
        own = {name for name, of in plain_options(task).items() if of is kind}
        parser.add_class_arguments(kind, skip={f.name for f in fields(kind)} - own)


def parse(arguments: list[str]) -> Namespace:
    """Arguments to a validated namespace.

    Order of precedence: options, `--config` files, then the preset (or the resumed run's own
    configuration).

    Raises:
        InputError: an option, key or value is wrong.
    """
    arguments = config_first(_with_size(_of_domain(arguments)))
    resumed = value_of(arguments, "--resume")
    files = [Path(file) for file in values_of(arguments, "--config")]
    preset = value_of(arguments, "--preset") or _named(files, "preset") or DEFAULT_PRESET
    run = Path(resumed) / OPTIONS if resumed is not None else None
    if run is not None and not run.is_file():
        raise InputError(f"--resume {resumed}: no {OPTIONS} there; give the folder of a run")
    task = _task(arguments, run)
    defaults = [run] if run is not None else []
    if task is not None and run is None:
        presets = presets_of(task)
        if preset not in presets and (presets or preset != DEFAULT_PRESET):
            if preset == "paper":
                raise InputError("--preset paper: is gone; see the presets published_*")
            raise InputError(f"--preset {preset}: {did_you_mean(preset, list(presets))}")
        defaults = presets.get(preset, [])
    if isinstance(task, ModelTask):
        add_all(task.domain, arguments, run)
    parser = build_parser(task, defaults)
    if task is not None:
        arguments = _with_plain_options(arguments, plain_options(task))
    try:
        options = parser.parse_args(arguments)
        for spec in variants_of(task) if task else ():
            options[spec.name] = parser.overrides(spec.name, options, arguments)
        _require_named_encoder(options, arguments)
        return options
    except InputError as error:
        named = [argument for argument in arguments if argument.endswith((".yaml", ".yml"))]
        said = explain(
            str(error), parser, arguments, named or [str(file) for file in defaults], RENAMED
        )
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
    """The run's configuration from parsed options, of the task that they name.

    Raises:
        InputError: a value is wrong; names the option.
    """
    task = load_task(options.task, options.domain)
    values: JSON = options.as_dict()
    if isinstance(task, ModelTask):
        chosen = [*(values.get("model") or []), *map(absolute, values.get("checkpoint") or [])]
        added = [s.name for s in task.specs if place_of(s) in chosen or source_of(s) in chosen]
        by_default = [
            spec.name for spec in task.specs if spec.by_default and spec.name not in added
        ]
        models = (
            [n.strip() for n in values["models"].split(",")] if values["models"] else by_default
        )
        values["models"] = [*models, *(name for name in added if name not in models)]
    return build_config(task, values)


def _of_domain(arguments: list[str]) -> list[str]:
    """The arguments; raises InputError where `--part` stands for what is now `--domain`."""
    part = value_of(arguments, "--part")
    domains = {"next_frame": "video", "videos": "video", "denoise": "image", "images": "image"}
    if part in domains:
        raise InputError(f"--part {part}: is now --domain {domains[part]}")
    return arguments


def _with_plain_options(arguments: list[str], plain: Mapping[str, type]) -> list[str]:
    """The arguments with a task's own options as they are declared.

    `--job-index` may stand for `--job_index`, and `--search-each` alone for `--search_each true`.
    """
    kinds = {f"--{name}": get_type_hints(holder)[name] for name, holder in plain.items()}
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


def _task(arguments: list[str], resumed: Path | None) -> AnyTask | None:
    """The task that arguments or a file of options name, in its domain; None where none do."""
    files = [*map(Path, values_of(arguments, "--config")), *([resumed] if resumed else [])]
    name = value_of(arguments, "--task") or _named(files, "task")
    domain = value_of(arguments, "--domain") or _named(files, "domain")
    if name not in task_names():
        return None
    known = domains_of(name)
    if domain is not None and domain not in known:
        raise InputError(f"--domain {domain}: {name} is of {' or '.join(known)}")
    return load_task(name, domain)


def _named(files: list[Path], option: str) -> str | None:
    """What the first of the files that names an option gives; broken ones fail when parsed."""
    for path in files:
        if (found := file_content(path).get(option)) is not None:
            return str(found)
    return None
