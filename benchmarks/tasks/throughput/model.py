"""What the energy core costs: training steps and rollouts, beside the FLOPs that are their floor.

Steps are timed by process CPU time on one thread (by the clock on a GPU), pairs in turn; a step is
the losses and their backward passes, without the optimiser, which is the same for all.
"""

import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from rich.console import Console
from torch import Tensor

from baselines.config import TransformerPPConfig
from baselines.transformer_pp import TransformerPP
from benchmarks.config import MeasureConfig
from benchmarks.costs import count_flops, peak_memory
from benchmarks.naive import NaiveEBT
from benchmarks.results import Measurement
from benchmarks.tasks.throughput.measuring import Series, measurement
from worldmodel.config import BackboneConfig, EBTConfig
from worldmodel.next_frame import NextFrameEBT
from worldmodel.predictor import Clips

SIZES = {  # arXiv 2507.02092, table of model sizes
    "4xs": BackboneConfig(layers=2, heads=2, width=128),
    "xxs": BackboneConfig(layers=6, heads=6, width=384),
    "small": BackboneConfig(layers=12, heads=12, width=768),
}
# Patches in a frame, and the width of an embedding: one token as published, or patches of latents.
TOKENS = {"1 token a frame": ((1, 1), 3136), "16 patches": ((4, 4), 64), "64 patches": ((8, 8), 64)}
FRAMES = 15
FEW_FRAMES = {("small", "64 patches"): 3}  # or one step would take minutes on a CPU
STEPS = 2


@dataclass(frozen=True)
class Case:
    """A size of model and of frames."""

    size: str
    tokens: str
    frames: int
    device: str

    @property
    def name(self) -> str:
        """For the table."""
        return f"{self.size}, {self.tokens}, {self.frames} frames"

    def clips(self) -> Clips:
        """A random clip; one frame more than the context has."""
        (rows, columns), dim = TOKENS[self.tokens]
        generator = torch.Generator().manual_seed(0)
        embeddings = torch.randn(1, self.frames + 1, rows * columns, dim, generator=generator)
        return Clips(embeddings.to(self.device), ["clip"])

    def ebt(self, **options: object) -> NextFrameEBT:
        """An EBT of this size."""
        torch.manual_seed(0)
        grid, dim = TOKENS[self.tokens]
        config = EBTConfig(training_steps=STEPS, **options)  # type: ignore[arg-type]
        with warnings.catch_warnings(action="ignore"):  # wider than the model, as published
            return NextFrameEBT(config, SIZES[self.size], grid, dim).to(self.device)

    def transformer_pp(self) -> TransformerPP:
        """A Transformer++ of this size."""
        torch.manual_seed(0)
        grid, dim = TOKENS[self.tokens]
        model = TransformerPP(TransformerPPConfig(), SIZES[self.size], grid, dim)
        return model.to(self.device)


def measure_model(config: MeasureConfig, device: str, console: Console) -> list[Measurement]:
    """All figures of `--part model`."""
    found = []
    with _one_thread(device):
        for size in config.sizes:
            for tokens in TOKENS:
                case = Case(size, tokens, FEW_FRAMES.get((size, tokens), FRAMES), device)
                console.print(f"training steps: {case.name}", highlight=False)
                found += _training(case, config.repeats)
        for context in config.contexts:
            for tokens in ("1 token a frame", "16 patches"):
                case = Case(config.rollout_size, tokens, context, device)
                console.print(f"rollout: {case.name}", highlight=False)
                found += _rollout(case, config.repeats)
        found.append(_memory(Case(config.sizes[0], "16 patches", FRAMES, device)))
    return found


def _training(case: Case, repeats: int) -> list[Measurement]:
    model, plain, batch = case.ebt(), case.transformer_pp(), case.clips()
    naive = NaiveEBT(model)
    calls = {
        "fast": lambda: _backward(model.training_losses(batch, 0)),
        "naive": lambda: _backward(naive.training_losses(batch, 0)),
        "plain": lambda: _backward(plain.training_losses(batch, 0)),
    }
    flops = {name: count_flops(call) for name, call in calls.items()}
    times = _in_turn(calls, repeats, case.device)
    saved = flops["naive"] / flops["fast"]
    floor = flops["fast"] / flops["plain"]
    over = Series(
        fast / plain / floor for fast, plain in zip(times["fast"], times["plain"], strict=True)
    )
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
        measurement(
            f"time over Transformer++ by FLOPs over Transformer++, {case.name}",
            f"of the FLOP ratio {floor:.2f}",
            over,
            note=f"{times['fast'].median:.0f} against {times['plain'].median:.0f} ms",
            target=1.2,
            at_most=True,
        ),
    ]


def _rollout(case: Case, repeats: int) -> list[Measurement]:
    """One new frame after a context: with the cache at hand, and all positions anew."""
    model, plain = case.ebt(), case.transformer_pp()
    clips = case.clips().frames(0, case.frames)
    naive = NaiveEBT(model)
    known, new = clips.embeddings[:, :-1], clips.embeddings[:, -1:]
    with torch.no_grad():
        past, plain_past = model.energy.encode(known), plain.context(known)

    def fast() -> None:
        with torch.no_grad():
            model.next_frame(model.energy.encode(new, past), clips.keys, {"steps": STEPS})

    def cached_plain() -> None:
        with torch.no_grad():
            plain.next_frame(plain.context(new, plain_past))

    calls = {
        "fast": fast,
        "naive": lambda: naive.rollout(clips, 1, STEPS),
        "plain": cached_plain,
    }
    flops = {name: count_flops(call) for name, call in calls.items()}
    times = _in_turn(calls, repeats, case.device)
    saved = flops["naive"] / flops["fast"]
    over = Series(a / b for a, b in zip(times["fast"], times["plain"], strict=True))
    targets = {
        ("16 patches", 16): 6.0,
        ("16 patches", 64): 20.0,
        ("1 token a frame", 16): 1.6,
        ("1 token a frame", 64): 3.5,
    }
    return [
        measurement(
            f"one frame of a rollout, {case.name}",
            "ms",
            times["fast"],
            f"all positions anew (FLOP ratio {saved:.1f})",
            times["naive"],
            target=targets.get((case.tokens, case.frames)),
            less_is_better=True,
        ),
        measurement(
            f"one frame over cached Transformer++, {case.name}",
            "times",
            over,
            note=f"{times['fast'].median:.1f} against {times['plain'].median:.1f} ms, "
            f"FLOP ratio {flops['fast'] / flops['plain']:.2f}",
            target=5.3,
            at_most=True,
        ),
    ]


def _memory(case: Case) -> Measurement:
    """Peak memory of a detached training step at 1 and at 4 thinking steps."""
    batch = case.clips()
    peaks = []
    for steps in (1, 4):
        model = case.ebt()
        model.config.training_steps = steps
        _backward(model.training_losses(batch, 0))  # gradients exist from here on

        def step(model: NextFrameEBT = model) -> None:
            _backward(model.training_losses(batch, 0))

        peaks.append(peak_memory(step, case.device))
    return measurement(
        f"memory of a training step of 4 thinking steps over that of 1, {case.name}",
        "times",
        Series([peaks[1] / peaks[0]]),
        note=f"{peaks[1] / 1e6:.0f} against {peaks[0] / 1e6:.0f} MB",
        target=1.05,
        at_most=True,
    )


def _backward(losses: Iterable[Tensor]) -> None:
    for loss in losses:
        loss.backward()


def _in_turn(
    calls: Mapping[str, Callable[[], object]], repeats: int, device: str
) -> dict[str, Series]:
    """Milliseconds of each call, one after the other, `repeats` times after a warm-up."""
    times: dict[str, Series] = {name: Series() for name in calls}
    for repeat in range(-1, repeats):
        for name, call in calls.items():
            start = _now(device)
            call()
            if repeat >= 0:
                times[name].append((_now(device) - start) * 1e3)
    return times


def _now(device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


@contextmanager
def _one_thread(device: str) -> Iterator[None]:
    threads = torch.get_num_threads()
    if device == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
