"""A training that was interrupted goes on bit for bit: every model of every task."""

import functools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from random_data import RandomData

from benchmarks.config import RunConfig
from benchmarks.domains.registry import DOMAINS, load_domain
from benchmarks.models import ModelSpec
from benchmarks.tasks.configuring import preset_config
from benchmarks.training.fit import train_model
from benchmarks.training.plan import PlannedModel
from worldmodel.config import BackboneConfig
from worldmodel.predictor import Predictor
from worldmodel.training import CHECKPOINT, RECORD

BACKBONE = BackboneConfig(layers=1, heads=2, width=64)
STEPS, INTERRUPTED_AT = 4, 3  # after a validation, and not at it


def models() -> dict[str, tuple[str, ModelSpec]]:
    """Every way to train a network: some models share theirs."""
    found: dict[object, tuple[str, ModelSpec]] = {}
    for domain in map(load_domain, DOMAINS):
        for spec in domain.declared:
            if spec.config is not None:
                found.setdefault((spec.build, spec.config), (domain.compares, spec))
    return {f"{task}-{spec.name}": (task, spec) for task, spec in found.values()}


MODELS = models()


@functools.cache
def small(task: str) -> tuple[RunConfig, RandomData]:
    """The configuration of a task, and random data for it."""
    config: RunConfig = preset_config(task)
    if hasattr(config.domain, "images"):
        images = replace(config.domain.images, size=16)
        config = replace(config, domain=replace(config.domain, images=images))
    return config, RandomData.of(config, frames=3)


def trained(
    name: str, changes: dict[str, Any], folder: Path, until: int, patch: pytest.MonkeyPatch
) -> Predictor:
    """The model as `train_model` leaves it, which is interrupted before step `until`."""
    task, spec = MODELS[name]
    config, data = small(task)
    training = replace(config.training, batch_size=2, validate_every=2, warmup_steps=2, **changes)
    config = replace(config, training=training)
    section = replace(config.sections[spec.name], optimizer=training.optimizer)
    planned = PlannedModel(spec, section, BACKBONE, STEPS)
    kind = type(planned.build(data))
    original, steps = kind.training_losses, []

    def losses(self, batch, seed):  # type: ignore[no-untyped-def]
        steps.append(seed)
        if len(steps) > until:
            raise KeyboardInterrupt
        drawn = torch.get_rng_state()
        yield from original(self, batch, seed)
        assert torch.equal(drawn, torch.get_rng_state())  # a resumed training starts it afresh

    with patch.context() as context:
        context.setattr(kind, "training_losses", losses)
        return train_model(planned, config, data, folder, 0, "cpu")[0]


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        *((name, {}) for name in MODELS),
        ("next_frame-transformer_pp", {"ema": 0.5}),
        ("next_frame-ebt_residual", {"optimizer": "adamw"}),
    ],
)
@pytest.mark.filterwarnings("ignore:embedding width")
def test_a_resumed_training_is_bit_identical(
    name: str, changes: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unbroken = trained(name, changes, tmp_path / "unbroken", STEPS, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        trained(name, changes, tmp_path / "broken", INTERRUPTED_AT, monkeypatch)
    assert (tmp_path / "broken" / CHECKPOINT).is_file()
    assert not (tmp_path / "broken" / RECORD).exists()
    resumed = trained(name, changes, tmp_path / "broken", STEPS, monkeypatch)
    weights = resumed.state_dict()
    for place, value in unbroken.state_dict().items():
        assert torch.equal(weights[place], value), place
