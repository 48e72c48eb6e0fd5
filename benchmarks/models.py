"""Build and train the models of a run: the same data, order and schedule for all of them."""

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch

from benchmarks.costs import count_flops
from benchmarks.parallel import run_in_processes
from benchmarks.results import Training
from worldmodel.compiling import compiled
from worldmodel.config import BackboneConfig, TrainingConfig
from worldmodel.data import EmbeddingClips, training_batches
from worldmodel.predictor import Clips, Predictor
from worldmodel.training import RECORD, TrainingData, TrainingRecord, train_predictor

# These do not decide the weights: a run may be continued with others.
OTHER_OPTIONS = ("inference_steps", "passes", "recursions", "processes")


class RunConfig(Protocol):
    """What every task's configuration has."""

    backbone: BackboneConfig
    training: TrainingConfig
    models: list[str]
    seeds: list[int]


class RunData(Protocol):
    """What every task's data has."""

    @property
    def train(self) -> EmbeddingClips:
        """Training clips."""
        ...

    @property
    def validation(self) -> EmbeddingClips:
        """Validation clips."""
        ...

    @property
    def fingerprint(self) -> str:
        """Name of what models are trained on: the same data, the same name."""
        ...


@dataclass(frozen=True)
class ModelSpec:
    """How a model is built and trained; models without `steps` are not trained.

    `section` is the part of the configuration that decides it.
    """

    name: str
    build: Callable[[], Predictor]
    section: str | None = None
    learning_rate: float = 0.0
    steps: int = 0


@dataclass(frozen=True)
class TrainedModel:
    """A model of the run, a predictor per seed, with what training cost."""

    spec: ModelSpec
    predictors: list[Predictor]
    training: Training | None

    @contextmanager
    def running(self, compile: bool) -> Iterator[None]:
        """Within the block, its predictors are compiled if asked for."""
        with ExitStack() as stack:
            for predictor in self.predictors:
                stack.enter_context(compiled(predictor, compile))
            yield

    @property
    def parameters(self) -> int:
        """Number of parameters of one predictor."""
        return sum(p.numel() for p in self.predictors[0].parameters())


def train_models(
    specs: list[ModelSpec], config: RunConfig, data: RunData, out: Path, device: str
) -> list[TrainedModel]:
    """Train every model with every seed, each in its folder below `out`."""
    if device == "cpu" and config.training.processes > 1:
        _train_in_processes(specs, config, data, out)
    return [_train(spec, config, data, out, device) for spec in specs]


def train_model(
    spec: ModelSpec,
    config: RunConfig,
    data: RunData,
    folder: Path,
    seed: int,
    device: str,
    report: Callable[[int], None] | None = None,
) -> tuple[Predictor, TrainingRecord]:
    """Build and train one model with one seed in `folder`; gives it and its training record."""
    torch.manual_seed(seed)
    predictor = spec.build()
    training = replace(config.training, steps=spec.steps)
    batches = TrainingData(data.train, data.validation, training, seed)
    description = spec.name if len(config.seeds) == 1 else f"{spec.name} (seed {seed})"
    plan = _plan(spec, config, data, seed)
    record = train_predictor(
        predictor, batches, spec.learning_rate, folder, device, description, plan, report
    )
    return predictor.eval(), record


def training_folder(name: str, seed: int) -> str:
    """Where a model's training lies in the folder of a run."""
    return f"models/{name}/seed{seed}"


def training_logs(specs: list[ModelSpec], seeds: list[int]) -> dict[str, list[str]]:
    """The folders of CSV logs of each trained model, one per seed."""
    return {
        spec.name: [f"{training_folder(spec.name, seed)}/logs" for seed in seeds]
        for spec in specs
        if spec.steps
    }


def equal_training_steps(
    config: RunConfig, data: RunData, dear: Callable[[], Predictor], cheap: Callable[[], Predictor]
) -> int:
    """Steps of the cheap model that cost as many FLOPs as `training.steps` of the dear one."""
    batch = _first_batch(config, data)
    ratio = _training_flops(dear(), batch) / _training_flops(cheap(), batch)
    return round(config.training.steps * ratio)


def _plan(spec: ModelSpec, config: RunConfig, data: RunData, seed: int) -> dict[str, Any]:
    """What decides the weights of a model: option by option, and the data's checksum."""
    training = replace(config.training, steps=spec.steps)
    sections: dict[str, Any] = {"backbone": config.backbone, "training": training}
    if spec.section is not None:
        sections[spec.section] = getattr(config, spec.section)
    options = {
        f"{name}.{field}": value
        for name, section in sections.items()
        for field, value in dataclasses.asdict(section).items()
        if field not in OTHER_OPTIONS
    }
    return {"model": spec.name, "seed": seed, **options, "data": data.fingerprint}


def _train(
    spec: ModelSpec, config: RunConfig, data: RunData, out: Path, device: str
) -> TrainedModel:
    if not spec.steps:
        return TrainedModel(spec, [spec.build().to(device)], None)
    predictors, records = [], []
    for seed in config.seeds:
        folder = out / training_folder(spec.name, seed)
        predictor, record = train_model(spec, config, data, folder, seed, device)
        predictors.append(predictor.to(device))
        records.append(record)
    flops = spec.steps * _training_flops(spec.build(), _first_batch(config, data))
    seconds, start_up = (
        sum(values) / len(records)
        for values in zip(*((r.seconds, r.start_up_seconds) for r in records), strict=True)
    )
    return TrainedModel(spec, predictors, Training(spec.steps, flops, seconds, start_up))


def _train_in_processes(
    specs: list[ModelSpec], config: RunConfig, data: RunData, out: Path
) -> None:
    """Leave every training finished in its folder, from where it is then loaded."""
    jobs: dict[str, tuple[tuple[Any, ...], int]] = {}
    for spec in specs:
        for seed in config.seeds if spec.steps else []:
            folder = out / training_folder(spec.name, seed)
            if not (folder / RECORD).is_file():
                name = spec.name if len(config.seeds) == 1 else f"{spec.name} (seed {seed})"
                jobs[name] = ((spec, config, data, folder, seed, "cpu"), spec.steps)
    if jobs:
        longest_first = dict(sorted(jobs.items(), key=lambda job: -job[1][1]))
        run_in_processes(train_model, longest_first, config.training.processes)


def _first_batch(config: RunConfig, data: RunData) -> Clips:
    batch: Clips = next(iter(training_batches(data.train, config.training.batch_size, 0, 0, 1)))
    return batch


def _training_flops(predictor: Predictor, batch: Clips) -> int:
    """FLOPs of one real training step; all steps have the same shapes."""
    predictor.calibrate(batch)

    def step() -> None:
        for loss in predictor.training_losses(batch, seed=0):
            loss.backward()

    return count_flops(step)
