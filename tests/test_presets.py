"""Every preset trains: two steps of each kind of network, at reduced width, in its precision."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from asking import WITH_MODELS
from random_data import RandomData

from benchmarks.models import ModelSpec
from benchmarks.tasks.configuring import preset_config
from benchmarks.tasks.registry import load_task
from benchmarks.training.fit import train_model
from benchmarks.training.plan import PlannedModel
from worldmodel.config import BackboneConfig


def kinds_of_network(task: str, domain: str) -> list[ModelSpec]:
    """The first declared model of each builder."""
    found: dict[object, ModelSpec] = {}
    for spec in load_task(task, domain).domain.declared:
        if spec.config is not None:
            found.setdefault(spec.build, spec)
    return list(found.values())


@pytest.mark.parametrize(("task", "domain", "preset"), WITH_MODELS)
@pytest.mark.filterwarnings("ignore:embedding width")
def test_two_steps_of_a_preset(task: str, domain: str, preset: str, tmp_path: Path) -> None:
    config = preset_config(task, preset, domain)
    data = RandomData.of(config, frames=3)
    training = replace(config.training, batch_size=2, accumulate=1, validate_every=2)
    config = replace(config, training=training)
    backbone = BackboneConfig(layers=1, heads=2, width=64)
    for spec in kinds_of_network(task, domain):
        planned = PlannedModel(spec, config.sections[spec.name], backbone, steps=2)
        before = [p.detach().clone() for p in planned.build(data).parameters()]
        folder = tmp_path / spec.name
        predictor, record = train_model(planned, config, data, folder, 0, "cpu")
        assert record.steps == 2
        assert math.isfinite(record.validation_loss)
        after = list(predictor.parameters())
        assert all(p.dtype == torch.float32 and bool(p.isfinite().all()) for p in after)
        assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
