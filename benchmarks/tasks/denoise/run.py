"""Image denoising: prepare data, train every model, judge them alike, write the result."""

import dataclasses
import functools
from pathlib import Path

from rich.console import Console
from rich.progress import track

from baselines.classical import BM3D, GaussianBlur, Identity, NonLocalMeans, Wavelet
from baselines.direct import DirectDenoiser
from baselines.dit import DiTDenoiser
from benchmarks.config import DenoiseConfig
from benchmarks.metrics import lpips_weights
from benchmarks.models import ModelSpec, equal_training_steps, train_models, training_logs
from benchmarks.results import Model, Result, describe_environment
from benchmarks.tasks.denoise.data import DenoiseData, prepare_data
from benchmarks.tasks.denoise.evaluation import Evaluator, Scores, compare, score_rows
from denoise.config import step_of
from denoise.corruption import signal_and_noise
from denoise.model import EBTDenoiser

__all__ = ["model_specs", "prepare_data", "run"]

EBTS = ("ebt", "ebt_without_context", "ebt_linear")
DITS = ("dit", "dit_full_range", "dit_single_level")
DIRECTS = ("direct", "direct_multi_level")


def model_specs(config: DenoiseConfig, data: DenoiseData) -> list[ModelSpec]:
    """The models that `config` names, in its order.

    `dit_equal_training` and `direct_equal_training` take as many steps as cost the EBT's training
    FLOPs.
    """
    specs = {}
    for names, kind in ((EBTS, EBTDenoiser), (DITS, DiTDenoiser), (DIRECTS, DirectDenoiser)):
        for name in names:
            section = getattr(config, name)
            build = functools.partial(
                kind, section, config.backbone, data.encoder.grid, data.encoder.dim
            )
            specs[name] = ModelSpec(name, build, name, section.learning_rate, config.training.steps)
    for name in ("dit", "direct"):
        longer = f"{name}_equal_training"
        if longer in config.models:
            steps = equal_training_steps(config, data, specs["ebt"].build, specs[name].build)
            specs[longer] = dataclasses.replace(specs[name], name=longer, steps=steps)
            if name == "dit":  # its sweep and the published protocol are shown for `dit` itself
                section = dataclasses.replace(
                    config.dit, passes=config.evaluation.few, recursions=[]
                )
                build = functools.partial(
                    DiTDenoiser, section, config.backbone, data.encoder.grid, data.encoder.dim
                )
                specs[longer] = dataclasses.replace(specs[longer], build=build)
    for name, floor in (
        ("identity", Identity),
        ("gaussian_blur", lambda: GaussianBlur(data.encoder)),
        ("wavelet", lambda: Wavelet(data.encoder)),
        ("non_local_means", lambda: NonLocalMeans(data.encoder)),
        ("bm3d", lambda: BM3D(data.encoder)),
    ):
        specs[name] = ModelSpec(name, floor)
    return [specs[name] for name in config.models if name != "bm3d" or BM3D.available()]


def run(config: DenoiseConfig, data: DenoiseData, out: Path, device: str) -> Result:
    """Train, judge and compare all models; figures' data and weights go to `out`."""
    console = Console(stderr=True)
    skipped = _say_what_is_skipped(config, console)
    specs = model_specs(config, data)
    trained = train_models(specs, config, data, out, device)
    evaluator = Evaluator(config.evaluation, data, device)
    scores: dict[str, Scores] = {}
    for model in track(trained, "evaluation", console=console, transient=True):
        with model.running(config.evaluation.compile):
            scores[model.spec.name] = evaluator.score(model.predictors)
    unit = evaluator.unit_flops(
        DirectDenoiser(config.direct, config.backbone, data.encoder.grid, data.encoder.dim)
    )
    models = []
    for model in track(trained, "costs", console=console, transient=True):
        predictor = model.predictors[0]
        with model.running(config.evaluation.compile):
            costs = evaluator.costs(predictor, unit)
        rows = score_rows(scores[model.spec.name], costs, config.evaluation)
        models.append(
            Model(
                model.spec.name, model.parameters, model.training, rows, bool(predictor.told_noise)
            )
        )
    shown = {m.spec.name: (m.predictors[0], scores[m.spec.name]) for m in trained}
    return Result(
        task="denoise",
        config=dataclasses.asdict(config),
        seeds=config.seeds,
        environment=describe_environment(device),
        data=data.describe()
        | {"corruptions": _describe_corruptions(data, evaluator), "skipped": skipped},
        models=models,
        comparisons=compare(scores, list(data.test_sets), config.evaluation),
        files={
            "pictures": evaluator.write_pictures(out, shown),
            "logs": training_logs(specs, config.seeds),
        },
    )


def _say_what_is_skipped(config: DenoiseConfig, console: Console) -> list[str]:
    skipped = []
    if "bm3d" in config.models and not BM3D.available():
        skipped.append("bm3d: not installed; pip install -e '.[bm3d]' adds it")
    if not lpips_weights().is_file():
        skipped.append(f"LPIPS: its weights are not at hand ({lpips_weights().name})")
    for line in skipped:
        console.print(f"skipped {line}", highlight=False, markup=False)
    return skipped


def _describe_corruptions(data: DenoiseData, evaluator: Evaluator) -> list[dict[str, object]]:
    """Each corruption with its diffusion step and noise; told models are told this step."""
    described: list[dict[str, object]] = []
    first = next(iter(data.test_sets))
    for corruption in data.corruptions:
        step = (
            step_of(corruption.level)
            if corruption.level is not None
            else evaluator.noisy(first, corruption).step
        )
        described.append(
            {
                "name": corruption.name,
                "level": corruption.level,
                "step": step,
                "noise_std": signal_and_noise(step)[1],
            }
        )
    return described
