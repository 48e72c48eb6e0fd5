"""From the models that a task declares to those of a run: sizes, steps and options resolved."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import torch

from benchmarks.config import JSON, RunConfig
from benchmarks.measure.costs import count_flops
from benchmarks.models import ModelSpec, RunData
from data_prep.encoders.base import Encoder
from worldmodel.config import BackboneConfig, ModelConfig, TrainingConfig
from worldmodel.data import ordered_batches, training_batches
from worldmodel.predictor import Clips, Predictor, Setting

MULTIPLE = 8  # of the width inside the SwiGLU


@dataclass(frozen=True)
class PlannedModel:
    """A declared model with all that a run decides; one without `steps` is not trained.

    `step_flops` are those of a training step, where planning had to count them.
    """

    spec: ModelSpec
    config: ModelConfig | None
    backbone: BackboneConfig
    steps: int
    step_flops: int | None = None

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.spec.name

    def training(self, config: RunConfig) -> TrainingConfig:
        """How the model is trained: as all others, for its own steps, by its own optimiser."""
        training = replace(config.training, steps=self.steps)
        if self.config is None:
            return training
        return replace(
            training,
            optimizer=self.config.optimizer or training.optimizer,
            weight_decay=training.weight_decay
            if self.config.weight_decay is None
            else self.config.weight_decay,
        )

    def build(self, data: RunData) -> Predictor:
        """The model with fresh weights."""
        return self.spec.build(self.config, self.backbone, data)

    def written(self, encoder: Encoder) -> JSON:
        """What the model's class is called with, as `from_pretrained` reads it."""
        assert self.config is not None
        return {
            "config": asdict(self.config),
            "backbone": asdict(self.backbone),
            "grid": list(encoder.grid),
            "dim": encoder.dim,
        }

    @property
    def cost_identity(self) -> tuple[object, ...]:
        """Models with the same identity cost the same: training changes no cost."""
        if self.config is None:
            return (self.name,)
        return (
            self.spec.build,
            repr(replace(self.config, learning_rate=1.0, optimizer=None, weight_decay=None)),
            repr(self.backbone),
        )


def plan_models(
    specs: Sequence[ModelSpec],
    config: RunConfig,
    data: RunData,
    settings: Mapping[str, Setting] | None = None,
) -> list[PlannedModel]:
    """The models that `config` names, in its order, without those that cannot run here.

    `settings` says how models run to whose inference others are made equal; one that it does not
    name runs as it was trained.
    """
    planner = _Planner(config, data, {spec.name: spec for spec in specs}, settings or {}, {})
    found = [planner.planned(name) for name in config.models]
    return [planner.with_flops(planned) for planned in found if planned.spec.available]


def skipped_models(specs: Sequence[ModelSpec], config: RunConfig) -> list[str]:
    """What is said of the models that `config` names and that cannot run here."""
    return [
        f"{spec.name}: not installed; pip install -e '.[{spec.package}]' adds it"
        for spec in specs
        if spec.name in config.models and not spec.available
    ]


def training_flops(planned: PlannedModel, config: RunConfig, data: RunData) -> int:
    """FLOPs of a training step on all devices: those of real steps of one clip, times clips."""
    if planned.step_flops is not None:
        return planned.step_flops
    clip: Clips = next(iter(training_batches(data.train, 1, 0, 0, 1))).to("cpu")
    predictor = planned.build(data)
    predictor.calibrate(clip)

    def steps() -> None:
        for seed in range(predictor.training_draws):
            for loss in predictor.training_losses(clip, seed):
                loss.backward()

    training = config.training
    rows = training.batch_size * training.devices * training.nodes * (1 + predictor.added_rows)
    return round(count_flops(steps) / predictor.training_draws * rows)


@dataclass(frozen=True)
class _Planner:
    """Plans single models of a run."""

    config: RunConfig
    data: RunData
    declared: Mapping[str, ModelSpec]
    settings: Mapping[str, Setting]
    counted: dict[Hashable, int]  # FLOPs that are known already

    def planned(self, name: str) -> PlannedModel:
        """A declared model with its size and steps."""
        config, spec = self.config, self.declared[name]
        section = config.section_of(spec)
        steps = config.training.steps if section is not None else 0
        planned = PlannedModel(spec, section, config.backbone, steps)
        if spec.equal_inference_to is not None:
            flops = self._prediction_flops(
                self.planned(spec.equal_inference_to), self.settings.get(spec.equal_inference_to)
            )
            planned = self._repeated(planned, flops) if spec.looped else self._grown(planned, flops)
        if spec.equal_training_to is not None:
            dear = self._training_flops(self.planned(spec.equal_training_to))
            steps = round(steps * dear / self._training_flops(planned))
            planned = replace(planned, steps=max(1, steps))
        return planned

    def with_flops(self, planned: PlannedModel) -> PlannedModel:
        """The model with the FLOPs of its training step, if they are known already."""
        return replace(planned, step_flops=self.counted.get(("training", planned.cost_identity)))

    def _repeated(self, planned: PlannedModel, flops: int) -> PlannedModel:
        """The model with its blocks passed as often as a prediction of `flops` allows."""
        layers = planned.backbone.layers
        once, per_block = self._flops_by_blocks(planned, "depth")
        depth = max(layers, layers + round((flops - once) / per_block))
        return replace(planned, backbone=replace(planned.backbone, depth=depth))

    def _grown(self, planned: PlannedModel, flops: int) -> PlannedModel:
        """The model with the layers, and the width inside their SwiGLU, of `flops` a prediction."""
        once, per_layer = self._flops_by_blocks(planned, "layers")
        layers = max(1, planned.backbone.layers + round((flops - once) / per_layer))
        grown = replace(planned, backbone=replace(planned.backbone, layers=layers))
        hidden = grown.backbone.resolved_hidden
        wider = replace(grown, backbone=replace(grown.backbone, hidden=hidden + MULTIPLE))
        have = self._prediction_flops(grown)
        steps = round((flops - have) / (self._prediction_flops(wider) - have))
        hidden = max(MULTIPLE, hidden + steps * MULTIPLE)
        return replace(grown, backbone=replace(grown.backbone, hidden=hidden))

    def _flops_by_blocks(self, planned: PlannedModel, field: str) -> tuple[int, float]:
        """FLOPs of a prediction of the model as it is, and of each block more."""
        layers = planned.backbone.layers
        changes: dict[str, int] = {field: 2 * layers}
        twice = replace(planned, backbone=replace(planned.backbone, **changes))
        once = self._prediction_flops(planned)
        return once, (self._prediction_flops(twice) - once) / layers

    def _training_flops(self, planned: PlannedModel) -> int:
        key = ("training", planned.cost_identity)
        if key not in self.counted:
            self.counted[key] = training_flops(planned, self.config, self.data)
        return self.counted[key]

    def _prediction_flops(self, planned: PlannedModel, setting: Setting | None = None) -> int:
        """FLOPs of a prediction for one clip; without a setting at the trained one."""
        key = (setting, planned.cost_identity)
        if key not in self.counted:
            self.counted[key] = self._count_prediction(planned, setting)
        return self.counted[key]

    def _count_prediction(self, planned: PlannedModel, setting: Setting | None) -> int:
        predictor = planned.build(self.data).eval()
        batch: Clips = next(iter(ordered_batches(self.data.validation, 1))).to("cpu")
        context = batch.frames(0, -1)
        with torch.no_grad():
            return count_flops(
                lambda: predictor.predict(context, setting or predictor.trained_setting())
            )
