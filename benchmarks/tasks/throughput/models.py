"""What a training step and a prediction of a domain's models cost beside its plain baseline."""

from collections.abc import Callable
from dataclasses import replace

import torch
from rich.console import Console

from benchmarks.config import RunConfig
from benchmarks.domains.contract import Domain
from benchmarks.domains.fake import repeated
from benchmarks.measure.costs import count_flops, peak_memory
from benchmarks.models import ModelSpec
from benchmarks.record.results import Measurement
from benchmarks.tasks.configuring import preset_config
from benchmarks.tasks.throughput.cases import backward, in_turn
from benchmarks.tasks.throughput.measuring import Series, measurement
from worldmodel.predictor import Predictor

Calls = dict[str, Callable[[], object]]


def measure_models(
    domain: Domain, repeats: int, device: str, console: Console
) -> list[Measurement]:
    """Every trained model of a kind of its own, at the size of the domain's default preset."""
    config: RunConfig = preset_config(domain.compares)
    steps, predictions = {}, {}
    for spec in _measured(domain):
        console.print(f"models: {spec.name}", highlight=False)
        steps[spec.name], predictions[spec.name] = _calls(domain, spec, config, device)
    return [
        *_beside("a training step", domain.plain, steps, repeats, device),
        *_beside("a prediction", domain.plain, predictions, repeats, device),
    ]


def _measured(domain: Domain) -> list[ModelSpec]:
    """The plain baseline, and the first model of each other network."""
    found: dict[object, ModelSpec] = {}
    for spec in domain.declared:
        if spec.config is not None:
            found.setdefault(spec.build, spec)
    return sorted(found.values(), key=lambda spec: spec.name != domain.plain)


def _calls(
    domain: Domain, spec: ModelSpec, config: RunConfig, device: str
) -> tuple[Callable[[], object], Callable[[], object]]:
    """A training step of a batch of the preset, and a prediction for one sample."""
    data = domain.fake_data(config)
    torch.manual_seed(0)
    model: Predictor = spec.build(config.section_of(spec), config.backbone, data).to(device)
    clip = data.train.collate([data.train.stored(0)])
    random = torch.randn(clip.embeddings.shape, generator=torch.Generator().manual_seed(0))
    clip = replace(clip, embeddings=random)
    batch = repeated(clip, config.training.batch_size).to(device)
    model.calibrate(batch)
    context = data.validation.collate([data.validation.stored(0)]).frames(0, -1).to(device)
    setting = model.trained_setting()

    def step() -> None:
        model.zero_grad()
        backward(model.training_losses(batch, 0))

    return step, lambda: model.predict(context, setting)


def _beside(what: str, plain: str, calls: Calls, repeats: int, device: str) -> list[Measurement]:
    times = in_turn(calls, repeats, device)
    flops = {name: count_flops(call) for name, call in calls.items()}
    memory = {name: peak_memory(call, device) for name, call in calls.items()}
    return [
        measurement(
            f"{what} of {name} over {what} of {plain}",
            "times",
            Series(a / b for a, b in zip(times[name], times[plain], strict=False)),
            note=f"{times[name].median:.1f} against {times[plain].median:.1f} ms, FLOP ratio "
            f"{flops[name] / flops[plain]:.2f}, memory ratio {memory[name] / memory[plain]:.2f}",
        )
        for name in calls
        if name != plain
    ]
