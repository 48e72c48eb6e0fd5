"""What is measured of models: sizes, frames, and calls timed in turn.

A training step is the losses and their backward passes, without the optimiser, which is the same
for all. Time is process CPU time on one thread, or the clock's on a GPU.
"""

import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from baselines.config import TransformerPPConfig
from baselines.transformer_pp import TransformerPP
from benchmarks.tasks.throughput.measuring import Series
from worldmodel.config import SIZES, EBTConfig
from worldmodel.next_frame import NextFrameEBT
from worldmodel.predictor import Clips, Predictor

# Patches in a frame, and the width of an embedding: one token as published, or patches of latents.
TOKENS = {"1 token a frame": ((1, 1), 3136), "16 patches": ((4, 4), 64), "64 patches": ((8, 8), 64)}
LARGE = {"196 patches": ((14, 14), 16), "256 patches": ((16, 16), 384)}
FRAMES = 15
# One clip of one token a frame is fifteen tokens, for which a step reads weights more than it
# computes; the published batch is 256.
MANY_CLIPS = {"1 token a frame": 16}
FEW_FRAMES = {("small", "64 patches"): 3}  # or one step would take minutes on a CPU
SHAPES = TOKENS | LARGE
STEPS = 2
Model = TypeVar("Model", bound=nn.Module)
ENOUGH_SECONDS, ENOUGH_REPEATS = 60.0, 3  # of the slowest calls


@dataclass(frozen=True)
class Case:
    """A size of model and of frames."""

    size: str
    tokens: str
    frames: int
    device: str
    batch: int = 1

    @classmethod
    def of(cls, size: str, tokens: str, device: str, batch: int = 1) -> "Case":
        """The case with as many frames as a training step takes."""
        return cls(size, tokens, FEW_FRAMES.get((size, tokens), FRAMES), device, batch)

    @property
    def name(self) -> str:
        """For the table."""
        clips = f", {self.batch} clips" if self.batch > 1 else ""
        return f"{self.size}, {self.tokens}, {self.frames} frames{clips}"

    def clips(self) -> Clips:
        """Random clips; one frame more than the context has."""
        (rows, columns), dim = SHAPES[self.tokens]
        shape = self.batch, self.frames + 1, rows * columns, dim
        embeddings = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        return Clips(embeddings.to(self.device), [f"clip {clip}" for clip in range(self.batch)])

    def ebt(self, **options: object) -> NextFrameEBT:
        """An EBT of this size."""
        torch.manual_seed(0)
        grid, dim = SHAPES[self.tokens]
        config = EBTConfig(**{"training_steps": STEPS} | options)  # type: ignore[arg-type]
        with warnings.catch_warnings(action="ignore"):  # wider than the model, as published
            return self._placed(NextFrameEBT(config, SIZES[self.size], grid, dim))

    def transformer_pp(self) -> TransformerPP:
        """A Transformer++ of this size."""
        torch.manual_seed(0)
        grid, dim = SHAPES[self.tokens]
        model = TransformerPP(TransformerPPConfig(), SIZES[self.size], grid, dim)
        return self._placed(model)

    def _placed(self, model: Model) -> Model:
        # Fake models are on no device, and cannot be moved to one.
        return model if self.device == "cpu" else model.to(self.device)


class OptimiserStep:
    """A whole step of training: all losses, clipping, AdamW."""

    def __init__(self, predictor: Predictor):
        self.predictor = predictor
        self.optimizer = torch.optim.AdamW(predictor.parameters(), lr=1e-4, fused=True)

    def __call__(self, batch: Clips) -> None:
        self.optimizer.zero_grad()
        for loss in self.predictor.training_losses(batch, 0):
            loss.backward()
        torch.nn.utils.clip_grad_norm_(self.predictor.parameters(), 1.0)
        self.optimizer.step()


def backward(losses: Iterable[Tensor]) -> None:
    """Back-propagate each loss before the next is made."""
    for loss in losses:
        loss.backward()


def in_turn(
    calls: Mapping[str, Callable[[], object]], repeats: int, device: str
) -> dict[str, Series]:
    """Milliseconds of each call, one after the other, `repeats` times after a warm-up.

    The slowest calls are repeated three times only.
    """
    times: dict[str, Series] = {name: Series() for name in calls}
    begin = time.perf_counter()
    for repeat in range(-1, repeats):
        if repeat >= ENOUGH_REPEATS and time.perf_counter() - begin > ENOUGH_SECONDS:
            break
        for name, call in calls.items():
            start = _now(device)
            call()
            if repeat >= 0:
                times[name].append((_now(device) - start) * 1e3)
    return times


@contextmanager
def one_thread(device: str) -> Iterator[None]:
    """Compute on one thread, if on a CPU."""
    threads = torch.get_num_threads()
    if device == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _now(device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()
