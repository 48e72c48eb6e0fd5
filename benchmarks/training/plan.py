"""From the models that a task declares to those of a run: sizes, steps and options resolved."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from benchmarks.config import ComparisonConfig
from benchmarks.measure.costs import count_flops
from benchmarks.models import ModelSpec, RunData
from worldmodel.config import BackboneConfig, ModelConfig, TrainingConfig
from worldmodel.data import training_batches
from worldmodel.predictor import Clips, Predictor


@dataclass(frozen=True)
class PlannedModel:
    """A declared model with all that a run decides; one without `steps` is not trained."""

    spec: ModelSpec
    config: ModelConfig | None
    backbone: BackboneConfig
    steps: int

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.spec.name

    def training(self, config: ComparisonConfig) -> TrainingConfig:
        """How the model is trained: as all others, for its own steps, by its own optimiser."""
        training = replace(config.training, steps=self.steps)
        if self.config is not None and self.config.optimizer is not None:
            training = replace(training, optimizer=self.config.optimizer)
        return training

    def build(self, data: RunData) -> Predictor:
        """The model with fresh weights."""
        return self.spec.build(self.config, self.backbone, data)

    @property
    def cost_identity(self) -> tuple[object, ...]:
        """Models with the same identity cost the same: training changes no cost."""
        if self.config is None:
            return (self.name,)
        return (
            self.spec.build,
            repr(replace(self.config, learning_rate=1.0, optimizer=None)),
            repr(self.backbone),
        )


def plan_models(
    specs: Sequence[ModelSpec], config: ComparisonConfig, data: RunData
) -> list[PlannedModel]:
    """The models that `config` names, in its order, without those that cannot run here."""
    declared = {spec.name: spec for spec in specs}
    wanted = [declared[name] for name in config.models]
    return [_planned(spec, declared, config, data) for spec in wanted if spec.available]


def skipped_models(specs: Sequence[ModelSpec], config: ComparisonConfig) -> list[str]:
    """What is said of the models that `config` names and that cannot run here."""
    return [
        f"{spec.name}: not installed; pip install -e '.[{spec.package}]' adds it"
        for spec in specs
        if spec.name in config.models and not spec.available
    ]


def training_flops(planned: PlannedModel, config: ComparisonConfig, data: RunData) -> int:
    """FLOPs of one real training step; all steps have the same shapes."""
    predictor, batch = planned.build(data), first_batch(config, data)
    predictor.calibrate(batch)

    def step() -> None:
        for loss in predictor.training_losses(batch, seed=0):
            loss.backward()

    return count_flops(step)


def first_batch(config: ComparisonConfig, data: RunData) -> Clips:
    """The first training batch."""
    batch: Clips = next(iter(training_batches(data.train, config.training.batch_size, 0, 0, 1)))
    return batch


def _planned(
    spec: ModelSpec, declared: dict[str, ModelSpec], config: ComparisonConfig, data: RunData
) -> PlannedModel:
    section = config.section_of(spec)
    steps = config.training.steps if section is not None else 0
    planned = PlannedModel(spec, section, config.backbone, steps)
    if spec.equal_inference_to is not None:
        dear = _planned(declared[spec.equal_inference_to], declared, config, data)
        planned = replace(planned, backbone=_equal_inference(planned, dear, config, data))
    if spec.equal_training_to is not None:
        dear = _planned(declared[spec.equal_training_to], declared, config, data)
        ratio = training_flops(dear, config, data) / training_flops(planned, config, data)
        planned = replace(planned, steps=round(steps * ratio))
    return planned


def _equal_inference(
    cheap: PlannedModel, dear: PlannedModel, config: ComparisonConfig, data: RunData
) -> BackboneConfig:
    """The backbone with as many layers as cost the FLOPs of a prediction of the dear model."""
    layers = cheap.backbone.layers
    twice = replace(cheap, backbone=replace(cheap.backbone, layers=2 * layers))
    wanted, once, doubled = (
        _prediction_flops(planned, config, data) for planned in (dear, cheap, twice)
    )
    per_layer = (doubled - once) / layers
    return replace(cheap.backbone, layers=max(1, layers + round((wanted - once) / per_layer)))


def _prediction_flops(planned: PlannedModel, config: ComparisonConfig, data: RunData) -> int:
    """FLOPs of a prediction for a training batch, at the setting that training optimises."""
    predictor = planned.build(data).eval()
    context = first_batch(config, data).frames(0, -1)
    with torch.no_grad():
        return count_flops(lambda: predictor.predict(context, predictor.trained_setting()))
