"""Next-frame prediction: prepare data, train every model, judge them alike, write the result."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import track

from baselines.transformer_pp import TransformerPP
from baselines.trivial import CopyLast, LinearExtrapolation, MeanFrame
from benchmarks.config import NextFrameConfig
from benchmarks.costs import count_flops
from benchmarks.evaluation import Evaluator, Scores, compare, encoder_ceiling, score_rows
from benchmarks.results import Model, Result, Training, describe_environment
from benchmarks.tasks.next_frame_data import NextFrameData
from data_prep.prepare import digest
from worldmodel.data import training_batches
from worldmodel.next_frame import NextFrameEBT
from worldmodel.predictor import Clips, Predictor
from worldmodel.training import TrainingData, train_predictor


@dataclass(frozen=True)
class ModelSpec:
    """How a model is built and trained; floors are not trained."""

    name: str
    build: Callable[[], Predictor]
    learning_rate: float = 0.0
    steps: int = 0


@dataclass(frozen=True)
class Trained:
    """A model of the run, a predictor per seed, with what training cost."""

    spec: ModelSpec
    predictors: list[Predictor]
    training: Training | None


def model_specs(config: NextFrameConfig, data: NextFrameData) -> list[ModelSpec]:
    """The models that `config` names.

    `transformer_pp_equal_training` takes as many steps as cost the EBT's training FLOPs,
    `transformer_pp_equal_inference` as many layers as cost its inference FLOPs.
    """
    grid, dim, steps = data.encoder.grid, data.encoder.dim, config.training.steps
    passes = 1 + 2 * config.ebt.training_steps
    deep = replace(config.backbone, layers=config.backbone.layers * passes)

    def ebt() -> Predictor:
        return NextFrameEBT(config.ebt, config.backbone, grid, dim)

    def transformer_pp() -> Predictor:
        return TransformerPP(config.transformer_pp, config.backbone, grid, dim)

    def deep_transformer_pp() -> Predictor:
        return TransformerPP(config.transformer_pp_equal_inference, deep, grid, dim)

    rate, deep_rate = (
        config.transformer_pp.learning_rate,
        config.transformer_pp_equal_inference.learning_rate,
    )
    specs = [
        ModelSpec("ebt", ebt, config.ebt.learning_rate, steps),
        ModelSpec("transformer_pp", transformer_pp, rate, steps),
        ModelSpec("transformer_pp_equal_inference", deep_transformer_pp, deep_rate, steps),
        ModelSpec("copy_last", CopyLast),
        ModelSpec("linear_extrapolation", LinearExtrapolation),
        ModelSpec("mean_frame", lambda: MeanFrame(data.mean_frame())),
    ]
    if "transformer_pp_equal_training" in config.models:
        batch = _first_batch(config, data)
        ratio = _training_flops(ebt(), batch) / _training_flops(transformer_pp(), batch)
        longer = round(steps * ratio)
        specs.insert(2, ModelSpec("transformer_pp_equal_training", transformer_pp, rate, longer))
    return [spec for spec in specs if spec.name in config.models]


def run(config: NextFrameConfig, data: NextFrameData, out: Path, device: str) -> Result:
    """Train, judge and compare all models; figures' data and weights go to `out`."""
    console = Console(stderr=True)
    specs = model_specs(config, data)
    trained = [_train(spec, config, data, out, device) for spec in specs]
    evaluator = Evaluator(config.evaluation, data, device)
    unit = evaluator.unit_flops(
        TransformerPP(config.transformer_pp, config.backbone, data.encoder.grid, data.encoder.dim)
    )
    scores: dict[str, Scores] = {"copy_last": evaluator.score([CopyLast()])}
    for model in track(trained, "evaluation", console=console, transient=True):
        scores[model.spec.name] = evaluator.score(model.predictors)
    models = []
    for model in track(trained, "costs", console=console, transient=True):
        costs = evaluator.costs(model.predictors[0], unit, config.evaluation.latency_repeats)
        rows = score_rows(scores[model.spec.name], scores["copy_last"], costs, config.evaluation)
        parameters = sum(p.numel() for p in model.predictors[0].parameters())
        models.append(Model(model.spec.name, parameters, model.training, rows))
    names = [model.spec.name for model in trained]
    selected = {m.spec.name: (m.predictors[0], scores[m.spec.name].selected) for m in trained}
    predictions = evaluator.write_predictions(out, selected)
    return Result(
        task="next_frame",
        config=dataclasses.asdict(config),
        seeds=config.seeds,
        environment=describe_environment(device),
        data=data.describe() | {"encoder_ceiling": encoder_ceiling(data, config.evaluation)},
        models=models,
        comparisons=compare(scores, names, config.evaluation),
        files={
            "predictions": predictions,
            "logs": {
                spec.name: [f"{_folder(spec.name, seed)}/logs" for seed in config.seeds]
                for spec in specs
                if spec.steps
            },
        },
    )


def train_model(
    spec: ModelSpec,
    config: NextFrameConfig,
    data: NextFrameData,
    folder: Path,
    seed: int,
    device: str,
) -> tuple[Predictor, Any]:
    """Build and train one model with one seed in `folder`; gives it and its training record."""
    torch.manual_seed(seed)
    predictor = spec.build()
    training = replace(config.training, steps=spec.steps)
    batches = TrainingData(data.train, data.validation, training, seed)
    description = spec.name if len(config.seeds) == 1 else f"{spec.name} (seed {seed})"
    plan = _plan(spec, config, data, seed)
    record = train_predictor(
        predictor, batches, spec.learning_rate, folder, device, description, plan
    )
    return predictor.eval(), record


def _plan(
    spec: ModelSpec, config: NextFrameConfig, data: NextFrameData, seed: int
) -> dict[str, Any]:
    """What decides the weights of a model: option by option, and the data's checksum."""
    names = ("backbone", "ebt", "transformer_pp", "transformer_pp_equal_inference", "training")
    sections = {name: dataclasses.asdict(getattr(config, name)) for name in names}
    del sections["ebt"]["inference_steps"]  # only read after training
    options = {
        f"{name}.{field}": value
        for name, section in sections.items()
        for field, value in section.items()
    }
    shards = data.embeddings.manifest["shards"]
    return {"model": spec.name, "seed": seed, **options, "data": digest(shards)}


def _train(
    spec: ModelSpec, config: NextFrameConfig, data: NextFrameData, out: Path, device: str
) -> Trained:
    if not spec.steps:
        return Trained(spec, [spec.build().to(device)], None)
    predictors, records = [], []
    for seed in config.seeds:
        folder = out / _folder(spec.name, seed)
        predictor, record = train_model(spec, config, data, folder, seed, device)
        predictors.append(predictor.to(device))
        records.append(record)
    flops = spec.steps * _training_flops(spec.build(), _first_batch(config, data))
    seconds = sum(record.seconds for record in records) / len(records)
    return Trained(spec, predictors, Training(spec.steps, flops, seconds))


def _folder(name: str, seed: int) -> str:
    return f"models/{name}/seed{seed}"


def _first_batch(config: NextFrameConfig, data: NextFrameData) -> Clips:
    batch: Clips = next(iter(training_batches(data.train, config.training.batch_size, 0, 0, 1)))
    return batch


def _training_flops(predictor: Predictor, batch: Clips) -> int:
    """FLOPs of one real training step; all steps have the same shapes."""
    predictor.calibrate(batch)

    def step() -> None:
        for loss in predictor.training_losses(batch, seed=0):
            loss.backward()

    return count_flops(step)
