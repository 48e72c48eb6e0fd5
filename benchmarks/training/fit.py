"""Train the models of a run: the same data, order and schedule for all of them."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from benchmarks.config import JSON, RunConfig
from benchmarks.models import ModelSpec, RunData
from benchmarks.progress import Work
from benchmarks.record.results import Training
from benchmarks.training.plan import PlannedModel, plan_models, training_flops
from benchmarks.training.pretrained import Checkpoint, WeightsOfOthers
from benchmarks.training.processes import ALL, Job, run_in_processes, said_of
from benchmarks.training.selected import Selected
from worldmodel.callbacks import Report, float32_products
from worldmodel.compiling import compiled, replaced
from worldmodel.config import Float32Precision, Precision
from worldmodel.predictor import Predictor, Setting
from worldmodel.processes import Processes
from worldmodel.training import RECORD, TrainingData, TrainingRecord, train_predictor

# Options that do not change the weights: a run may be continued with other values.
OTHER_OPTIONS = ("recursions", "processes", "workers", "logger")
# Version of a training's folder; it changes when weights of earlier versions would not fit.
FORMAT = 6
# What runs the network of a predictor.
CALLS = ("predict", "predict_all", "rollout", "features")


@dataclass(frozen=True)
class TrainedModel:
    """A model of the run, a predictor per seed, with what training cost."""

    planned: PlannedModel
    predictors: list[Predictor]
    training: Training | None
    precision: Precision = "32-true"
    float32_precision: Float32Precision = "highest"

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.planned.name

    @contextmanager
    def running(self, compile: bool) -> Iterator[None]:
        """Within the block, its predictors run in the precision of their training.

        They are compiled if that is asked for.
        """
        lower = self.training is not None and self.precision == "bf16-mixed"
        with float32_products(self.float32_precision), ExitStack() as stack:
            for predictor in self.predictors:
                stack.enter_context(compiled(predictor, compile))
                if lower:
                    stack.enter_context(_in_bfloat16(predictor))
            yield

    @property
    def parameters(self) -> int:
        """Number of parameters of one predictor."""
        return sum(p.numel() for p in self.predictors[0].parameters())

    @property
    def parameters_in_blocks(self) -> int:
        """Number of parameters of one predictor without embeddings and heads."""
        blocks = self.predictors[0].blocks
        return sum(p.numel() for p in blocks.parameters()) if blocks is not None else 0


@contextmanager
def _in_bfloat16(predictor: Predictor) -> Iterator[None]:
    """Within the block, run the predictor in bfloat16, and nothing else.

    Its clips are read as they are stored, in float16, which autocast does not take on a CPU, and
    what it predicts is decoded and judged in float32.
    """
    device = next(predictor.parameters()).device.type
    with ExitStack() as stack:
        for name in CALLS:
            lower = torch.autocast(device, torch.bfloat16)
            stack.enter_context(replaced(predictor, name, lower(getattr(predictor, name))))
        yield


def train_models(
    specs: Sequence[ModelSpec],
    config: RunConfig,
    data: RunData,
    out: Path,
    device: str,
    select: Callable[[TrainedModel], Setting],
) -> list[TrainedModel]:
    """Train the models that `config` names with every seed, each in its folder below `out`.

    Models whose size depends on how another one runs best come last: `select` gives the setting
    that validation selects for that one, which is kept in `out`.

    Raises:
        InputError: a model that was trained before was so on other embeddings.
        SystemExit: this is not the first process, and its work is done.
    """
    for spec in specs:
        before = isinstance(spec.build, Checkpoint | WeightsOfOthers)
        if spec.name in config.models and before:
            if isinstance(spec.build, Checkpoint):
                spec.build.require_same_embeddings(data)
            spec.build(None, config.backbone, data)  # or broken files would show after training
    selected = Selected(out)
    known = {*config.models, *selected.counts}
    waiting = [
        spec.name
        for spec in specs
        if spec.name in config.models and spec.equal_inference_to in known
    ]
    trained: dict[str, TrainedModel] = {}
    early = [name for name in config.models if name not in waiting]
    if early:
        planned = plan_models(specs, replace(config, models=early), data)
        trained |= {m.name: m for m in _train_all(planned, config, data, out, device)}
    if waiting:
        for spec in specs:
            name = spec.equal_inference_to
            if spec.name in waiting and name is not None and name not in selected.counts:
                selected.keep(name, _agreed(trained[name], select))
        deciding = plan_models(specs, replace(config, models=list(selected.counts)), data)
        settings = {model.name: selected.setting(model, data) for model in deciding}
        planned = plan_models(specs, replace(config, models=waiting), data, settings)
        trained |= {m.name: m for m in _train_all(planned, config, data, out, device)}
    if not Processes.current().first:
        raise SystemExit(0)  # the first process judges alone
    return [trained[name] for name in config.models if name in trained]


def _agreed(model: TrainedModel, select: Callable[[TrainedModel], Setting]) -> int:
    """The steps or passes that the first process selects, 0 for none; the others wait for it."""
    processes = Processes.current()
    with model.running(compile=False):
        count = select(model).count if processes.first else None
    return processes.first_says(count or 0)


def _train_all(
    models: list[PlannedModel], config: RunConfig, data: RunData, out: Path, device: str
) -> list[TrainedModel]:
    training = config.training
    alone = training.devices * training.nodes == 1
    models = [_counted(planned, config, data) for planned in models]
    waiting = _waiting(models, config, data, out, device)
    if waiting and device == "cpu" and alone and training.processes > 1:
        longest_first = dict(sorted(waiting.items(), key=lambda job: -job[1].cost))
        run_in_processes(train_model, longest_first, training.processes)
        waiting = {}
    done: dict[str, tuple[Predictor, TrainingRecord]] = {}
    with Work(ALL, {n: job.cost for n, job in waiting.items()} or {ALL: 1.0}, True) as work:
        for name, job in waiting.items():

            def report(steps: int, loss: float, name: str = name, total: int = job.steps) -> None:
                work.update(name, steps / total, said_of(loss))

            done[name] = job.call(train_model, report)
            work.finish(name)
            work.print(f"trained {name}")
    return [_trained(planned, config, data, out, device, done) for planned in models]


def _counted(planned: PlannedModel, config: RunConfig, data: RunData) -> PlannedModel:
    """The model with the FLOPs of its training step."""
    if not planned.steps:
        return planned
    return replace(planned, step_flops=training_flops(planned, config, data))


def _waiting(
    models: list[PlannedModel], config: RunConfig, data: RunData, out: Path, device: str
) -> dict[str, Job]:
    """The trainings that are not finished in their folders, by name; they cost FLOPs."""
    jobs: dict[str, Job] = {}
    for planned in models:
        for seed in config.seeds if planned.steps else []:
            folder = out / training_folder(planned.name, seed)
            if not (folder / RECORD).is_file():
                arguments = (planned, config, data, folder, seed, device)
                cost = planned.steps * float(planned.step_flops or 1)
                jobs[_description(planned, config, seed)] = Job(arguments, planned.steps, cost)
    return jobs


def train_model(
    planned: PlannedModel,
    config: RunConfig,
    data: RunData,
    folder: Path,
    seed: int,
    device: str,
    report: Report | None = None,
) -> tuple[Predictor, TrainingRecord]:
    """Build and train one model with one seed in `folder`; gives it and its training record."""
    torch.manual_seed(seed)
    predictor = planned.build(data)
    predictor.seed_starts(seed)
    training = planned.training(config)
    batches = TrainingData(data.train, data.validation, training, seed)
    rate = planned.config.learning_rate if planned.config is not None else 0.0
    plan = _plan(planned, config, data, seed)
    description = _description(planned, config, seed)
    record = train_predictor(predictor, batches, rate, folder, device, description, plan, report)
    return predictor.eval(), record


def training_folder(name: str, seed: int) -> str:
    """The place of a model's training in the folder of a run."""
    return f"models/{name}/seed{seed}"


def training_logs(models: Sequence[TrainedModel], seeds: list[int]) -> dict[str, list[str]]:
    """The folders of CSV logs of each trained model, one per seed."""
    return {
        model.name: [f"{training_folder(model.name, seed)}/logs" for seed in seeds]
        for model in models
        if model.training
    }


def _plan(planned: PlannedModel, config: RunConfig, data: RunData, seed: int) -> JSON:
    """What decides the weights of a model: option by option, and the data's checksum."""
    training = planned.training(config)
    sections: JSON = {"backbone": planned.backbone, "training": training}
    if planned.config is not None:
        sections[planned.name] = planned.config
    options = {
        f"{name}.{field}": value
        for name, section in sections.items()
        for field, value in dataclasses.asdict(section).items()
        if field not in OTHER_OPTIONS
    }
    decided = {"model": planned.name, "seed": seed, **options, "data": data.fingerprint}
    return {"format": FORMAT} | decided


def _trained(
    planned: PlannedModel,
    config: RunConfig,
    data: RunData,
    out: Path,
    device: str,
    done: Mapping[str, tuple[Predictor, TrainingRecord]],
) -> TrainedModel:
    """The model with what was `done` in this process, the rest loaded from its folders."""
    build = planned.spec.build
    precisions = config.training.precision, config.training.float32_precision
    if isinstance(build, Checkpoint):  # one model stands for every seed
        predictor = planned.build(data).to(device)
        return TrainedModel(planned, [predictor] * len(config.seeds), build.training, *precisions)
    if not planned.steps:
        return TrainedModel(planned, [planned.build(data).to(device)], None)
    predictors, records = [], []
    for seed in config.seeds:
        folder = out / training_folder(planned.name, seed)
        found = done.get(_description(planned, config, seed))
        predictor, record = found or train_model(planned, config, data, folder, seed, device)
        predictors.append(predictor.to(device))
        records.append(record)
    flops = planned.steps * training_flops(planned, config, data)
    seconds, start_up = (
        sum(values) / len(records)
        for values in zip(*((r.seconds, r.start_up_seconds) for r in records), strict=True)
    )
    training = Training(planned.steps, flops, seconds, start_up)
    return TrainedModel(planned, predictors, training, *precisions)


def _description(planned: PlannedModel, config: RunConfig, seed: int) -> str:
    return planned.name if len(config.seeds) == 1 else f"{planned.name} (seed {seed})"
