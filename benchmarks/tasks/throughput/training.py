"""What a training step of the EBT costs, beside the FLOPs that are its floor."""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from rich.console import Console

from benchmarks.measure.costs import count_flops, peak_memory
from benchmarks.measure.memory import fake_tensors, held_bytes
from benchmarks.measure.substitute import substituted
from benchmarks.record.results import Measurement
from benchmarks.tasks.throughput.cases import (
    FRAMES,
    MANY_CLIPS,
    STEPS,
    TOKENS,
    Case,
    backward,
    in_turn,
)
from benchmarks.tasks.throughput.config import MeasureConfig
from benchmarks.tasks.throughput.measuring import Series, measurement
from worldmodel import attention
from worldmodel.backbone import Visible
from worldmodel.compiling import compiled
from worldmodel.next_frame import NextFrameEBT
from worldmodel.predictor import Clips, Predictor
from worldmodel.reference import ReferenceEBT

# How far over the FLOP ratio the time of the EBT may lie when both are compiled.
PRECISIONS = {"float32": 1.08, "bfloat16": 1.02}
GIB = 2**30


def measure_training(config: MeasureConfig, device: str, console: Console) -> list[Measurement]:
    """Eager against naive and Transformer++, compiled against compiled, and memory."""
    found = []
    for size in config.sizes:
        for tokens in TOKENS:
            for batch in (1, MANY_CLIPS[tokens]) if tokens in MANY_CLIPS else (1,):
                case = Case.of(size, tokens, device, batch)
                console.print(f"training steps: {case.name}", highlight=False)
                found += _eager(case, config.repeats)
    for size, tokens in (name.split(", ") for name in config.compiled):
        for precision in PRECISIONS:
            case = Case.of(size, tokens, device)
            console.print(f"compiled training steps: {case.name}, {precision}", highlight=False)
            found += _compiled(case, precision, config.repeats)
    case = Case.of(config.rollout_size, "16 patches", device)
    found += [_last_only(case), *_memory(case)]
    for tokens in config.large:
        console.print(f"memory: {config.rollout_size}, {tokens}", highlight=False)
        found += _large_frames(Case(config.rollout_size, tokens, FRAMES, device))
    return found


def _eager(case: Case, repeats: int) -> list[Measurement]:
    model, plain, batch = case.ebt(), case.transformer_pp(), case.clips()
    calls = {
        "fast": _step(model, batch),
        "naive": _step(model, batch, ReferenceEBT(model)),
        "plain": _step(plain, batch),
    }
    flops = {name: _useful_flops(call) for name, call in calls.items()}
    times = in_turn(calls, repeats, case.device)
    saved = flops["naive"] / flops["fast"]
    return [
        measurement(
            f"EBT training step, {case.name}",
            "ms",
            times["fast"],
            f"naive EBT (FLOP ratio {saved:.2f})",
            times["naive"],
            target=saved if case.size == "small" else 1.5,
            less_is_better=True,
        ),
        _over(case.name, times["fast"], times["plain"], flops["fast"] / flops["plain"], 1.2),
    ]


def _compiled(case: Case, precision: str, repeats: int) -> list[Measurement]:
    eager, plain, batch = case.ebt(), case.transformer_pp(), case.clips()
    floor = _useful_flops(_step(eager, batch)) / _useful_flops(_step(plain, batch))
    model = case.ebt()
    lower = torch.autocast(case.device, torch.bfloat16, enabled=precision == "bfloat16")
    with lower, _empty_compile_cache(), compiled(model), compiled(plain):
        calls = {"ebt": _step(model, batch), "pp": _step(plain, batch)}
        start_up = _seconds(calls["ebt"])
        times = in_turn(calls | {"eager": _step(eager, batch)}, repeats, case.device)
    saved = times["eager"].median - times["ebt"].median
    paid = f"paid after {start_up / saved * 1e3:,.0f} steps" if saved > 0 else "never paid"
    name = f"{case.name}, {precision}"
    return [
        measurement(
            f"compiled EBT training step, {name}",
            "ms",
            times["ebt"],
            "eager",
            times["eager"],
            note=f"start-up {start_up:.0f} s, {paid}",
            less_is_better=True,
        ),
        _over(f"both compiled, {name}", times["ebt"], times["pp"], floor, PRECISIONS[precision]),
    ]


def _useful_flops(call: Callable[[], object]) -> int:
    """FLOPs of a call where nothing hidden is multiplied, which is the floor of its time."""
    with substituted(attention, "LEAST_PATCHES", 1):
        return count_flops(call)


def _over(name: str, ours: Series, plain: Series, floor: float, target: float) -> Measurement:
    return measurement(
        f"time over Transformer++ by FLOPs over Transformer++, {name}",
        f"of the FLOP ratio {floor:.2f}",
        Series(a / b / floor for a, b in zip(ours, plain, strict=True)),
        note=f"{ours.median:.0f} against {plain.median:.0f} ms",
        target=target,
        at_most=True,
    )


def _last_only(case: Case) -> Measurement:
    """What the setting `loss_at: last` costs."""
    batch = case.clips()
    each, last, plain = (
        count_flops(_step(model, batch))
        for model in (case.ebt(), case.ebt(loss_at="last"), case.transformer_pp())
    )
    return measurement(
        f"FLOPs of a training step with the loss on the last step only, {case.name}",
        "times Transformer++",
        Series([last / plain]),
        note=f"{each / plain:.2f} with the loss on each of {STEPS} steps",
    )


def _memory(case: Case) -> list[Measurement]:
    """Peak memory of a detached training step: at 4 steps over 1, and beside Transformer++."""
    batch = case.clips()
    steps = {count: _settled(case.ebt(training_steps=count), batch) for count in (1, STEPS, 4)}
    peaks = {count: peak_memory(step, case.device) for count, step in steps.items()}
    plain = peak_memory(_settled(case.transformer_pp(), batch), case.device)
    candidates = peak_memory(_candidate_stream(case.ebt(training_steps=1), batch), case.device)
    return [
        measurement(
            f"memory of a training step of 4 thinking steps over that of 1, {case.name}",
            "times",
            Series([peaks[4] / peaks[1]]),
            note=f"{peaks[4] / 1e6:.0f} against {peaks[1] / 1e6:.0f} MB",
            target=1.05,
            at_most=True,
        ),
        measurement(
            f"memory of a training step, less the candidate stream's, over Transformer++'s, "
            f"{case.name}",
            "times",
            Series([(peaks[STEPS] - candidates) / plain]),
            note=f"{peaks[STEPS] / 1e6:.0f} MB, of them {candidates / 1e6:.0f} for the candidate "
            f"stream alone, on a context that is held already; Transformer++ {plain / 1e6:.0f} MB",
            target=1.3,
            at_most=True,
        ),
    ]


def _large_frames(case: Case) -> list[Measurement]:
    """Memory of one clip of many patches, with blocks recomputed; on fake tensors."""
    device, case = case.device, replace(case, device="cpu")
    twice = replace(case, frames=2 * case.frames + 1)
    plain, ebt, longer = (
        _held(case, case.transformer_pp, device),
        _held(case, case.ebt, device),
        _held(twice, twice.ebt, device),
    )
    with fake_tensors(device):
        model, context = case.ebt(), case.clips().frames(0, -1)
        setting = model.trained_setting()
        predicted = held_bytes(lambda: model.predict(context, setting), model.parameters())
    return [
        measurement(
            f"memory of a training step, {case.name}",
            "GiB",
            Series([ebt / GIB]),
            note=f"Transformer++ {plain / GIB:.2f} GiB, {plain / ebt:.2f} of it; both with "
            "training.checkpoint_blocks, beside weights and their gradients",
            target=0.5,
            at_most=True,
        ),
        measurement(
            f"memory of a prediction, {case.name}",
            "GiB",
            Series([predicted / GIB]),
            target=0.15,
            at_most=True,
        ),
        measurement(
            f"memory of a training step, {2 * case.frames + 2} frames over {case.frames + 1}, "
            f"{case.size}, {case.tokens}",
            "times",
            Series([longer / ebt]),
            target=2.2,
            at_most=True,
        ),
    ]


def _held(case: Case, build: Callable[[], Predictor], device: str) -> int:
    """What a training step holds beside weights and their gradients."""
    with fake_tensors(device):
        model = build()
        assert model.backbone is not None
        model.backbone.enable_gradient_checkpointing()  # type: ignore[operator]
        parameters = list(model.parameters())
        held = held_bytes(_step(model, case.clips()), parameters)
    return held - sum(4 * parameter.numel() for parameter in parameters)


def _candidate_stream(model: NextFrameEBT, batch: Clips) -> Callable[[], None]:
    """The one thinking step of a training step, on a context that needs no gradient."""
    with torch.no_grad():
        encoded = model.energy.encode(batch.embeddings[:, :-1])
    visible = Visible.every(encoded.frames, encoded.features.device)
    start = model.start(encoded, visible, batch.keys)

    def step() -> None:
        gradient, _ = model.energy.input_gradient(start, encoded, visible)
        (start - gradient - batch.embeddings[:, 1:]).square().mean().backward()

    step()
    return step


def _step(model: Predictor, batch: Clips, slow: ReferenceEBT | None = None) -> Callable[[], None]:
    """A training step; the gradients of the one before are dropped first, as training does."""

    def step() -> None:
        model.zero_grad()
        backward((slow or model).training_losses(batch, 0))

    return step


def _settled(model: Predictor, batch: Clips) -> Callable[[], None]:
    """A training step that adds to gradients which exist already, so that they do not count."""
    backward(model.training_losses(batch, 0))
    return lambda: backward(model.training_losses(batch, 0))


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


@contextmanager
def _empty_compile_cache() -> Iterator[None]:
    """Without what earlier runs have compiled, so that the start-up is a first one's."""
    before = os.environ.get("TORCHINDUCTOR_CACHE_DIR")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
        try:
            yield
        finally:
            del os.environ["TORCHINDUCTOR_CACHE_DIR"]
            if before is not None:
                os.environ["TORCHINDUCTOR_CACHE_DIR"] = before
