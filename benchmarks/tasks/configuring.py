"""From options by name, of a command line or a file, to a configuration and back."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.config import JSON, RunConfig, require_models, side_by_side
from benchmarks.models import ModelSpec
from benchmarks.tasks.contract import AnyTask, ModelTask, plain_fields, sections_of
from benchmarks.tasks.registry import DEFAULT_PRESET, load_task, presets_of
from data_prep.errors import InputError
from worldmodel.config import ModelConfig

# In the folder of a run: what it was configured by, and how it was begun.
OPTIONS, COMMAND = "config.yaml", "command.txt"


def sections_of_run(task: AnyTask) -> dict[str, type]:
    """The configuration classes of a task by section of the options, its models' last."""
    if not isinstance(task, ModelTask):
        return task.sections()
    families = {spec.section: spec.config for spec in task.specs if spec.config}
    return sections_of(RunConfig) | sections_of(task.domain.config) | task.sections() | families


def variants_of(task: AnyTask) -> list[ModelSpec]:
    """The models of a task that override options of their family."""
    if not isinstance(task, ModelTask):
        return []
    return [spec for spec in task.specs if spec.config and spec.section != spec.name]


def plain_options(task: AnyTask) -> dict[str, type]:
    """The options of a task that stand in no section, with the class whose fields they are."""
    holders = [task.config]
    if isinstance(task, ModelTask):
        holders.append(task.domain.config)
    sections = task.sections()
    return {name: h for h in holders for name in plain_fields(h) if name not in sections}


def build_config(task: AnyTask, values: JSON) -> Any:
    """The configuration of a task from options by name; what is not given is as by default.

    Raises:
        InputError: a value is wrong, or an option is unknown; names it.
    """
    if not isinstance(task, ModelTask):
        return _part(task.config, task.sections(), values)
    specs = task.specs
    models = values.get("models") or [spec.name for spec in specs if spec.by_default]
    if isinstance(models, str):
        models = [name.strip() for name in models.split(",")]
    require_models(models, specs)
    seeds = values.get("seeds", [0])
    common = {
        name: _section(name, kind, values.get(name) or {})
        for name, kind in sections_of(RunConfig).items()
    }
    return RunConfig(
        **common,
        domain=_part(task.domain.config, sections_of(task.domain.config), values),
        task=_part(task.config, task.sections(), values),
        sections=_model_sections(specs, models, values),
        models=models,
        seeds=_seeds(seeds) if isinstance(seeds, str) else seeds,
    )


def _model_sections(
    specs: Sequence[ModelSpec], models: Sequence[str], values: JSON
) -> dict[str, ModelConfig]:
    """The configurations of the models, without those that do not run and cannot be as told."""
    found: dict[str, ModelConfig] = {}
    for spec in specs:
        if spec.config is not None:
            try:
                where = spec.name if values.get(spec.name) or spec.overrides else spec.section
                found[spec.name] = _model_section(where, spec.config, _given(spec, values))
            except InputError:
                if spec.name in models or spec.section == spec.name:
                    raise
    return found


def _given(spec: ModelSpec, values: JSON) -> JSON:
    """The options of a model: those of its family, what makes it different, and its own."""
    own = values.get(spec.name) or {}
    if spec.section == spec.name:
        return dict(own)
    return {**(values.get(spec.section) or {}), **spec.overrides, **own}


def options_of(task: str, config: RunConfig) -> JSON:
    """The options that make a configuration: what `build_config` takes, for a file."""
    options = side_by_side(config)
    sections = options.pop("sections")
    names = {"models": ",".join(config.models), "seeds": ",".join(map(str, config.seeds))}
    return {"task": task, "domain": None} | options | sections | names


def preset_config(name: str, preset: str = DEFAULT_PRESET, domain: str | None = None) -> Any:
    """The configuration of a task as a preset has it."""
    import yaml

    task = load_task(name, domain)
    values: JSON = {}
    for file in presets_of(task)[preset]:
        for key, value in yaml.safe_load(file.read_text()).items():
            before = values.get(key)
            values[key] = before | value if isinstance(before, dict) else value
    return build_config(task, values)


def _part(kind: type, sections: Mapping[str, type], values: JSON) -> Any:
    """A configuration of which some options stand in sections."""
    given = {n: _section(n, of, values.get(n) or {}) for n, of in sections.items()}
    plain = {n: values[n] for n in plain_fields(kind) if n in values and n not in sections}
    return kind(**given, **plain)


def _section(name: str, kind: Callable[..., Any], values: JSON) -> Any:
    try:
        return kind(**values)
    except TypeError as error:
        raise InputError(f"{name}: {error}; see the options by --help") from None


def _model_section(name: str, kind: Callable[..., Any], values: JSON) -> Any:
    """The configuration of a model; its class does not know the model's name."""
    try:
        return _section(name, kind, values)
    except InputError as error:
        said = str(error)
        raise InputError(said if said.startswith(name) else f"{name}.{said}") from None


def _seeds(given: str) -> list[int]:
    try:
        return [int(seed) for seed in given.split(",")]
    except ValueError:
        raise InputError(f"--seeds {given}: give whole numbers, such as 0,1,2") from None
