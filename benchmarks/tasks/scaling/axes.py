"""From a sweep to its points: each an ordinary comparison with one thing changed.

Imports nothing heavy.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

from benchmarks.config import JSON, RunConfig
from benchmarks.models import ModelSpec
from benchmarks.tasks.compare.config import CompareConfig
from benchmarks.tasks.scaling.config import Axis, size_of
from data_prep.config import require
from worldmodel.config import BackboneConfig

# How the learning rate falls with the width, so that updates change features alike at every width:
# Muon's have a spectral norm that grows with its square root, AdamW's with the width itself
# (Yang et al., 2023, "A spectral condition for feature learning").
WIDTH_POWER = {"muon": 0.5, "adamw": 1.0}
RULE = (
    "Learning rates are those of the base size, times (base width / width)^p with p = 1/2 under "
    "Muon and 1 under AdamW, and times the square root of the ratio of batch sizes; depth changes "
    "nothing"
)
SEARCHED = "Optimiser and learning rate of every point were searched on validation"


@dataclass(frozen=True)
class Planned:
    """A point of a sweep: its place in the folder of the run, and its run."""

    variant: str
    value: str
    config: RunConfig

    def folder(self, axis: Axis) -> str:
        """Such as `points/width-64`."""
        return "/".join(
            ["points", *([self.variant] if self.variant else []), f"{axis}-{self.value}"]
        )


def planned_points(config: RunConfig, specs: Sequence[ModelSpec]) -> list[Planned]:
    """All points, variant by variant, each from small to large.

    Raises:
        InputError: a variant names an option that does not exist, or a value cannot be used.
    """
    points = []
    for name, options in (config.task.variants or {"": {}}).items():
        base = _with_options(config, specs, options, f"variants.{name}")
        for value in getattr(config.task.values, config.task.axis):
            points.append(Planned(name, str(value), _point(base, config.task.axis, value)))
    return points


def _point(config: RunConfig, axis: Axis, value: Any) -> RunConfig:
    """The comparison of one value."""
    changed = CHANGES[axis](config, value)
    base, now = config.backbone.width, changed.backbone.width
    batches = changed.training.batch_size / config.training.batch_size
    sections = {
        name: replace(
            section,
            learning_rate=section.learning_rate
            * (base / now) ** WIDTH_POWER[section.optimizer or config.training.optimizer]
            * batches**0.5,
        )
        for name, section in config.sections.items()
    }
    task = CompareConfig(changed.task.evaluation, changed.task.perception)
    return replace(changed, task=task, sections=sections)


def _sized(config: RunConfig, layers: int, width: int) -> RunConfig:
    """With a backbone of another size, its heads as wide as before as far as that divides."""
    backbone = config.backbone
    head = backbone.width // backbone.heads
    heads = max(1, width // head)
    require(
        width % (8 * heads) == 0,
        f"values.{config.task.axis}: a backbone of width {width} cannot have heads of width "
        f"{head}: use multiples of {head}",
    )
    resized = replace(backbone, layers=layers, width=width, heads=heads)
    return replace(config, backbone=resized)


def _steps(config: RunConfig, steps: int) -> RunConfig:
    """As many steps, the warm-up being the same share of them; never a longer one."""
    training = config.training
    warmup = min(training.warmup_steps, round(training.warmup_steps * steps / training.steps))
    return replace(config, training=replace(training, steps=steps, warmup_steps=warmup))


def _context(config: RunConfig, context: int) -> RunConfig:
    """The first frames of the same clips, one more than the context."""
    changed: RunConfig = config.domain.with_context(
        config, context, max(config.task.values.context)
    )
    return changed


def _flops(config: RunConfig, value: str) -> RunConfig:
    """Steps in proportion to the parameters of the blocks, so that both grow together."""
    layers, width = size_of(value, "values.flops")
    resized = _sized(config, layers, width)
    share = _in_blocks(resized.backbone) / _in_blocks(config.backbone)
    return _steps(resized, max(1, round(config.training.steps * share)))


def _in_blocks(backbone: BackboneConfig) -> int:
    """The parameters of the matrices of all blocks."""
    width = backbone.width
    return backbone.layers * width * (4 * width + 3 * backbone.resolved_hidden)


CHANGES: dict[Axis, Callable[[RunConfig, Any], RunConfig]] = {
    "width": lambda config, width: _sized(config, config.backbone.layers, width),
    "depth": lambda config, depth: _sized(config, depth, config.backbone.width),
    "parameters": lambda config, size: _sized(config, *size_of(size, "values.parameters")),
    "data": lambda config, clips: replace(config, training=replace(config.training, clips=clips)),
    "batch": lambda config, clips: replace(
        config, training=replace(config.training, batch_size=clips)
    ),
    "steps": _steps,
    "context": _context,
    "flops": _flops,
}


def _with_options(
    config: RunConfig, specs: Sequence[ModelSpec], options: JSON, place: str
) -> RunConfig:
    """The configuration with options such as `encoder.frequencies` or `ebt.form` changed.

    Those of a family change all of its models that do not override them.

    Raises:
        InputError: there is no such option.
    """
    for option, value in options.items():
        require(
            option != "encoder.name" or not str(value).startswith("own:"),
            f"{place}: {value} is code: give it as --encoder.name of the whole sweep",
        )
        section, _, name = option.partition(".")
        family = [s.name for s in specs if s.section == section and name not in s.overrides]
        changing = [n for n in family or [section] if n in config.sections and n in config.models]
        if changing:
            for model in changing:
                require(
                    hasattr(config.sections[model], name), f"{place}: there is no option {option}"
                )
                changed = replace(config.sections[model], **{name: value})
                config = config.with_section(model, changed)
            continue
        parts: JSON = {"": config, "domain": config.domain, "task": config.task}
        holder = next(
            (n for n, part in parts.items() if section in {f.name for f in fields(part)}), ""
        )
        found = getattr(parts[holder], section, None)
        known = [f.name for f in fields(found)] if is_dataclass(found) else []
        require(name in known, f"{place}: there is no option {option}")
        assert found is not None
        whole = replace(found, **{name: value})
        if holder:
            config = replace(config, **{holder: replace(parts[holder], **{section: whole})})
        else:
            config = replace(config, **{section: whole})
    return config
