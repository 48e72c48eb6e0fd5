"""What a run would train, cost and hold in memory, found out without data, time or memory."""

import functools
import os
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import torch
from rich.console import Console
from rich.progress import track

from benchmarks.config import Inputs, RunConfig
from benchmarks.domains.contract import Domain, DomainData
from benchmarks.domains.fake import FakeData, repeated
from benchmarks.measure.costs import count_flops
from benchmarks.measure.memory import fake_tensors, held_bytes
from benchmarks.reporting.page import print_report
from benchmarks.reporting.report import Report, Section
from benchmarks.reporting.tables import number
from benchmarks.tasks.contract import ModelTask
from benchmarks.training.plan import PlannedModel, training_flops
from data_prep.shards.format import MANIFEST, ShardSet
from data_prep.sources.corpus import SPLITS
from data_prep.sources.layouts import list_corpus
from data_prep.workers import Workers
from denoise.diffusion import cumulative_alphas
from worldmodel.compiling import is_to_compile
from worldmodel.config import TrainingConfig
from worldmodel.optimizers import block_matrices
from worldmodel.predictor import Clips, Predictor

GIB = 2**30
USUAL_GPU = 80 * 10**9  # bytes, of an A100 or H100
# Dense FLOPs a second of an H100 (SXM) by precision of training, and the share of them that
# trainings of transformers usually reach.
H100 = {"float32": 67e12, "TensorFloat-32": 495e12, "bfloat16": 989e12}
UTILISATION = 0.4
DAY = 86400  # seconds
FLOAT, MOMENTS = 4, 2  # bytes of a parameter, and AdamW's moments of each; Muon has one
WITHOUT_COST = ("learning_rate", "optimizer", "weight_decay", "levels")


@dataclass(frozen=True)
class Outline:
    """What one model would cost; bytes are those of one device."""

    name: str
    parameters: int
    in_blocks: int
    steps: int
    training_flops: int
    prediction_flops: int
    training_bytes: int
    evaluation_bytes: int


def dry_run(
    task: ModelTask[DomainData], config: RunConfig, inputs: Inputs, device: str, console: Console
) -> None:
    """Print data, models, FLOPs and memory of a run, and whether it fits the device."""
    config = task.largest(config)
    cumulative_alphas()  # kept for ever, so it must not be fake
    console.print(_describe_data(task.domain, config, inputs), highlight=False, markup=False)
    data = task.domain.fake_data(config)
    with warnings.catch_warnings(action="ignore"), fake_tensors():
        planned = [model for model in task.models(config, data) if model.steps]
    known = _outlines({_cost_key(model): model for model in planned}, config, data)
    outlines = []
    for model in planned:
        found = known[_cost_key(model)]
        flops = found.training_flops * model.steps // found.steps
        outlines.append(replace(found, name=model.name, steps=model.steps, training_flops=flops))
    sentences = [
        f"Encoder: {config.encoder.name}, {data.encoder.grid[0]}x{data.encoder.grid[1]} patches of "
        f"width {data.encoder.dim}.",
        "Models made equal in inference FLOPs are those of the trained number of steps; a run "
        "takes the number that validation selects.",
        *_fits(outlines, config, device),
        _days(outlines, config),
    ]
    section = Section("What would be trained", [_table(outlines, len(config.seeds))])
    print_report(console, Report("Dry run", [], table=section), sentences, most=None)


def _outlines(
    models: dict[tuple[object, ...], PlannedModel], config: RunConfig, data: FakeData
) -> dict[tuple[object, ...], Outline]:
    """What each model would cost; several are fake at once, each in a process."""
    console = Console(stderr=True)
    outline_of = functools.partial(_fake_outline, config=config, data=data)
    with Workers(min(len(models), os.cpu_count() or 1)) as workers:
        outlines = track(
            workers.map(outline_of, models.values()),
            "models",
            total=len(models),
            console=console,
            transient=True,
        )
        return dict(zip(models, outlines, strict=True))


def _fake_outline(planned: PlannedModel, config: RunConfig, data: FakeData) -> Outline:
    """In a process of its own."""
    torch.set_num_threads(1)
    cumulative_alphas()  # kept for ever, so it must not be fake
    with warnings.catch_warnings(action="ignore"), fake_tensors():
        return outline(planned, config, data)


def _cost_key(planned: PlannedModel) -> tuple[object, ...]:
    """Models with the same key cost the same in a step: levels of noise change no shape."""
    assert planned.config is not None
    options = {f.name: getattr(planned.config, f.name) for f in fields(planned.config)}
    changing = {name: value for name, value in options.items() if name not in WITHOUT_COST}
    return planned.spec.build, repr(planned.backbone), repr(changing)


def outline(planned: PlannedModel, config: RunConfig, data: FakeData) -> Outline:
    """What a model would cost; to be called where tensors are fake."""
    predictor = planned.build(data)
    training = planned.training(config)
    if training.checkpoint_blocks and predictor.backbone is not None:
        predictor.backbone.enable_gradient_checkpointing()  # type: ignore[operator]
    parameters = sum(p.numel() for p in predictor.parameters())
    orthogonalised = sum(p.numel() for p in block_matrices(predictor))
    blocks = predictor.blocks
    moments = MOMENTS * parameters
    if training.optimizer == "muon":
        moments -= orthogonalised
    kept = FLOAT * (parameters + moments + (parameters if training.ema else 0))
    size = max(1, training.batch_size // training.accumulate)
    lower = torch.autocast("cpu", torch.bfloat16, enabled=training.precision == "bf16-mixed")
    clip = data.validation.collate([data.validation.stored(0)]).frames(0, -1)
    setting, evaluation = predictor.trained_setting(), config.evaluation
    many, counts = repeated(clip, evaluation.batch_size), evaluation.counts
    with lower:
        return Outline(
            name=planned.name,
            parameters=parameters,
            in_blocks=sum(p.numel() for p in blocks.parameters()) if blocks is not None else 0,
            steps=planned.steps,
            training_flops=planned.steps * training_flops(planned, config, data),
            prediction_flops=count_flops(lambda: predictor.predict(clip, setting)),
            training_bytes=kept + held_bytes(_step(predictor, data, size), predictor.parameters()),
            evaluation_bytes=FLOAT * parameters + _prediction_bytes(predictor, many, counts),
        )


def _prediction_bytes(predictor: Predictor, batch: Clips, counts: list[int]) -> int:
    """What the longest prediction holds: beyond the trained one, each step adds its candidates."""
    setting = predictor.trained_setting()
    held = held_bytes(lambda: predictor.predict(batch, setting), predictor.parameters())
    longest = max((s.count or 0 for s in predictor.settings(counts)), default=0)
    return held + max(0, longest - (setting.count or 0)) * FLOAT * batch.embeddings.numel()


def _step(predictor: Predictor, data: FakeData, size: int) -> Callable[[], None]:
    batch = repeated(data.train.collate([data.train.stored(0)]), size)

    def step() -> None:
        for loss in predictor.training_losses(batch, 0):
            loss.backward()

    return step


def _table(outlines: list[Outline], seeds: int) -> tuple[list[str], list[list[str]]]:
    header = [
        "model",
        "parameters",
        "of them in blocks",
        "steps",
        "training TFLOPs" if seeds == 1 else f"training TFLOPs, {seeds} seeds",
        "GFLOPs a prediction",
        "GiB in training",
        "GiB in evaluation",
    ]
    rows = [
        [
            found.name,
            f"{found.parameters:,}",
            f"{found.in_blocks:,}",
            number(found.steps),
            number(seeds * found.training_flops / 1e12, 2),
            number(found.prediction_flops / 1e9, 3),
            number(found.training_bytes / GIB, 2),
            number(found.evaluation_bytes / GIB, 2),
        ]
        for found in outlines
    ]
    return header, rows


def _fits(outlines: list[Outline], config: RunConfig, device: str) -> list[str]:
    """Whether the largest need fits the device, and a usual GPU."""
    peaks = {
        f"{found.name} in {what}": size
        for found in outlines
        for what, size in (
            ("training", found.training_bytes),
            ("evaluation", found.evaluation_bytes),
        )
    }
    most = max(peaks, key=lambda name: peaks[name])
    if device == "cuda":
        places = {f"this GPU ({torch.cuda.get_device_name()})": torch.cuda.mem_get_info()[1]}
    else:
        at_once = config.training.processes
        together = f" ({at_once} models at once)" if at_once > 1 else ""
        places = {}
        if hasattr(os, "sysconf"):  # Windows does not say
            memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
            places[f"this machine's memory{together}"] = memory // at_once
    places["a GPU of 80 GB"] = USUAL_GPU
    said = [
        f"{'fits' if peaks[most] < 0.9 * size else 'DOES NOT FIT'} {place}, {size / GIB:.0f} GiB"
        for place, size in places.items()
    ]
    compiled = is_to_compile(config.training.compile, config.training.steps, device)
    return [
        f"Largest need: {peaks[most] / GIB:.2f} GiB, {most}: {'; '.join(said)}. Counted on the "
        "tensors of a step as they would be made; what operations use inside themselves comes on "
        "top. Less is needed with training.accumulate, training.checkpoint_blocks or a smaller "
        "evaluation.batch_size.",
        f"Training {'would be' if compiled else 'is not'} compiled.",
    ]


def _days(outlines: list[Outline], config: RunConfig) -> str:
    """How long one H100 would train all models."""
    precision = _products(config.training)
    flops = len(config.seeds) * sum(found.training_flops for found in outlines)
    days = flops / (UTILISATION * H100[precision]) / DAY
    return (
        f"One H100 would train for {days:.3g} days at {UTILISATION:.0%} of its "
        f"{H100[precision] / 1e12:.0f} TFLOPs a second in {precision}."
    )


def _products(training: TrainingConfig) -> str:
    """The type in which a GPU multiplies matrices in training."""
    if training.precision == "bf16-mixed":
        return "bfloat16"
    return "float32" if training.float32_precision == "highest" else "TensorFloat-32"


def _describe_data(domain: Domain, config: RunConfig, inputs: Inputs) -> str:
    if inputs.data is None:
        what, built_in = domain.built_in(config.domain)
        counts = {split: getattr(built_in, split) for split in SPLITS}
        return f"data: built in, {_counted(counts)} {what}"
    if (inputs.data / MANIFEST).is_file():
        shards = ShardSet(inputs.data)
        return f"data: {inputs.data}, {_counted({s: len(shards.samples(s)) for s in SPLITS})} clips"
    sources = config.domain.sources()
    if sources is None:
        return f"data: {inputs.data}"
    options, media = sources
    corpus = list_corpus(str(inputs.data), options, "--data", media=media)
    counts = dict(Counter(source.split for source in corpus.sources))
    return f"data: {inputs.data}, {_counted(counts)} {media.noun}s; not read yet"


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{counts.get(split, 0)} {split}" for split in SPLITS)
