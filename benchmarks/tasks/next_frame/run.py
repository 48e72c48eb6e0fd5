"""Next-frame prediction: prepare data, train every model, judge them alike, write the result."""

import dataclasses
import functools
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import track

from baselines.transformer_pp import TransformerPP
from baselines.trivial import CopyLast, LinearExtrapolation, MeanFrame
from benchmarks.config import NextFrameConfig
from benchmarks.models import ModelSpec, equal_training_steps, train_models, training_logs
from benchmarks.results import Model, Result, describe_environment
from benchmarks.tasks.next_frame.data import NextFrameData, prepare_data
from benchmarks.tasks.next_frame.evaluation import (
    Evaluator,
    Scores,
    compare,
    encoder_ceiling,
    score_rows,
)
from worldmodel.next_frame import NextFrameEBT

__all__ = ["model_specs", "prepare_data", "run"]


def model_specs(config: NextFrameConfig, data: NextFrameData) -> list[ModelSpec]:
    """The models that `config` names.

    `transformer_pp_equal_training` takes as many steps as cost the EBT's training FLOPs,
    `transformer_pp_equal_inference` as many layers as cost its inference FLOPs.
    """
    grid, dim, steps = data.encoder.grid, data.encoder.dim, config.training.steps
    passes = 1 + 2 * config.ebt.training_steps
    deep = replace(config.backbone, layers=config.backbone.layers * passes)

    ebt = functools.partial(NextFrameEBT, config.ebt, config.backbone, grid, dim)
    transformer_pp = functools.partial(
        TransformerPP, config.transformer_pp, config.backbone, grid, dim
    )
    deep_transformer_pp = functools.partial(
        TransformerPP, config.transformer_pp_equal_inference, deep, grid, dim
    )
    rate, deep_rate = (
        config.transformer_pp.learning_rate,
        config.transformer_pp_equal_inference.learning_rate,
    )
    specs = [
        ModelSpec("ebt", ebt, "ebt", config.ebt.learning_rate, steps),
        ModelSpec("transformer_pp", transformer_pp, "transformer_pp", rate, steps),
        ModelSpec(
            "transformer_pp_equal_inference",
            deep_transformer_pp,
            "transformer_pp_equal_inference",
            deep_rate,
            steps,
        ),
        ModelSpec("copy_last", CopyLast),
        ModelSpec("linear_extrapolation", LinearExtrapolation),
        ModelSpec("mean_frame", lambda: MeanFrame(data.mean_frame())),
    ]
    if "transformer_pp_equal_training" in config.models:
        longer = equal_training_steps(config, data, ebt, transformer_pp)
        name = "transformer_pp_equal_training"
        specs.insert(2, ModelSpec(name, transformer_pp, "transformer_pp", rate, longer))
    return [spec for spec in specs if spec.name in config.models]


def run(config: NextFrameConfig, data: NextFrameData, out: Path, device: str) -> Result:
    """Train, judge and compare all models; figures' data and weights go to `out`."""
    console = Console(stderr=True)
    specs = model_specs(config, data)
    trained = train_models(specs, config, data, out, device)
    evaluator = Evaluator(config.evaluation, data, device)
    unit = evaluator.unit_flops(
        TransformerPP(config.transformer_pp, config.backbone, data.encoder.grid, data.encoder.dim)
    )
    scores: dict[str, Scores] = {"copy_last": evaluator.score([CopyLast()])}
    for model in track(trained, "evaluation", console=console, transient=True):
        with model.running(config.evaluation.compile):
            scores[model.spec.name] = evaluator.score(model.predictors)
    models = []
    for model in track(trained, "costs", console=console, transient=True):
        with model.running(config.evaluation.compile):
            costs = evaluator.costs(model.predictors[0], unit, config.evaluation.latency_repeats)
        rows = score_rows(scores[model.spec.name], scores["copy_last"], costs, config.evaluation)
        models.append(Model(model.spec.name, model.parameters, model.training, rows))
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
        files={"predictions": predictions, "logs": training_logs(specs, config.seeds)},
    )
