"""Every preset trains: two steps of each kind of network, at reduced width, in its precision."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from asking import WITH_MODELS
from random_data import RandomData

from benchmarks.config import RunConfig
from benchmarks.models import ModelSpec
from benchmarks.tasks.configuring import preset_config
from benchmarks.tasks.registry import load_task
from benchmarks.training.fit import train_model
from benchmarks.training.plan import PlannedModel
from worldmodel.config import BackboneConfig, TrainingConfig

BACKBONE = BackboneConfig(layers=1, heads=2, width=64)
SHORT = {"steps": 2, "batch_size": 2, "accumulate": 1, "warmup_steps": 1, "validate_every": 2}


def kinds_of_network(task: str, domain: str) -> list[ModelSpec]:
    """The first declared model of each builder."""
    found: dict[object, ModelSpec] = {}
    for spec in load_task(task, domain).domain.declared:
        if spec.config is not None:
            found.setdefault(spec.build, spec)
    return list(found.values())


def ways_to_train(domain: str) -> Iterator[tuple[str, ModelSpec, RunConfig]]:
    """The presets of a domain with their kinds of network, but each way to train one only once.

    A way is all options of a model and of training but its sizes and rates.
    """
    met: set[str] = set()
    for task, preset in [(task, preset) for task, of, preset in WITH_MODELS if of == domain]:
        config = preset_config(task, preset, domain)
        training: TrainingConfig = replace(config.training, **SHORT)  # type: ignore[arg-type]
        config = replace(config, training=training)
        for spec in kinds_of_network(task, domain):
            options = replace(config.sections[spec.name], learning_rate=1.0)
            way = f"{spec.name} {options} {replace(training, processes=1, clips=None)}"
            if way not in met:
                met.add(way)
                yield f"{spec.name} in {task}, {preset}", spec, config


@pytest.mark.slow
@pytest.mark.parametrize("domain", sorted({domain for _, domain, _ in WITH_MODELS}))
@pytest.mark.filterwarnings("ignore:embedding width")
def test_two_steps_of_every_preset(domain: str, tmp_path: Path) -> None:
    for name, spec, config in ways_to_train(domain):
        data = RandomData.of(config, frames=3)
        planned = PlannedModel(spec, config.sections[spec.name], BACKBONE, steps=2)
        before = [p.detach().clone() for p in planned.build(data).parameters()]
        predictor, record = train_model(planned, config, data, tmp_path / name, 0, "cpu")
        assert record.steps == 2, name
        assert math.isfinite(record.validation_loss), name
        after = list(predictor.parameters())
        assert all(p.dtype == torch.float32 and bool(p.isfinite().all()) for p in after), name
        assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True)), name
