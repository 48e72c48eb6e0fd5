"""Where the time of a training step and of a frame of a rollout goes: the top operations."""

from collections.abc import Callable

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.record.results import Operation, Profile
from benchmarks.tasks.throughput.cases import STEPS, Case, backward, one_thread
from benchmarks.tasks.throughput.config import MeasureConfig
from worldmodel.predictor import Thinking

TOP = 15


def profiles(config: MeasureConfig, device: str) -> list[Profile]:
    """Profiles at the size that rolls out, with 16 patches a frame."""
    case = Case.of(config.rollout_size, "16 patches", device)
    model, plain, batch = case.ebt(), case.transformer_pp(), case.clips()
    context = batch.frames(0, -1)
    calls: dict[str, Callable[[], object]] = {
        "EBT training step": lambda: backward(model.training_losses(batch, 0)),
        "Transformer++ training step": lambda: backward(plain.training_losses(batch, 0)),
        "EBT rollout of a frame, its context encoded": lambda: model.rollout(
            context, 1, Thinking(STEPS)
        ),
    }
    with one_thread(device):
        return [_profile(f"{name}, {case.name}", call, device) for name, call in calls.items()]


def _profile(name: str, call: Callable[[], object], device: str) -> Profile:
    call()  # what happens once is not to be seen
    on_gpu = device == "cuda"
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * on_gpu
    with profile(activities=activities) as profiler:
        call()
        if on_gpu:
            torch.cuda.synchronize()
    found = [
        Operation(
            event.key,
            event.count,
            (event.self_device_time_total if on_gpu else event.self_cpu_time_total) / 1e3,
        )
        for event in profiler.key_averages()
    ]
    found.sort(key=lambda operation: -operation.milliseconds)
    total = sum(operation.milliseconds for operation in found)
    return Profile(name, total, sum(operation.calls for operation in found), found[:TOP])
