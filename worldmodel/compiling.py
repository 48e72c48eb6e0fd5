"""Compile the parts of a predictor that take most time, where compiling pays."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from data_prep.errors import InputError
from worldmodel.config import Compile, Precision
from worldmodel.predictor import Clips, Predictor

# Planned steps from which compiling has paid in every case measured (benchmarks/RESULTS.md); on a
# GPU none has been. A number of steps, not a stop-watch, decides, so that a run repeats itself.
PAYS_FROM = {"cpu": 3000, "cuda": 1000}

# torch 2.15 writes into a buffer that the energy's backward pass still reads, and gradients come
# out wrong by a tenth (tests/test_compiling.py), unless it leaves writing in place.
OPTIONS: dict[str, str | int | bool | Callable[..., Any]] = {"inplace_buffers": False}

# Of a step's gradient against the eager one, as a share of its norm: rounding stays far below.
LARGEST_DIFFERENCE, LARGEST_DIFFERENCE_BF16 = 1e-3, 0.05


@contextmanager
def compiled(predictor: Predictor, wanted: bool = True) -> Iterator[None]:
    """Within the block, run the predictor's regions through `torch.compile`, if that is wanted.

    The first call of each takes a minute or more; later processes find it in torch's own cache.
    Afterwards torch forgets all regions, for it keeps a few versions of a method only, and those
    of the next predictor must not be refused for these.
    """
    if not wanted:
        yield
        return
    _quieten()
    with ExitStack() as stack:
        for module, method in predictor.regions():
            region = torch.compile(getattr(module, method), options=OPTIONS)
            stack.enter_context(replaced(module, method, region))
        stack.callback(torch.compiler.reset)
        yield


class MiscompiledError(InputError):
    """The compiled predictor computes something else than the eager one."""


def warm_up(predictor: Predictor, batch: Clips, precision: Precision) -> float:
    """Compile for training, and compare the gradients of a step on `batch` with eager ones.

    Returns the seconds that it took.

    Raises:
        MiscompiledError: the gradients differ by more than rounding explains.
    """
    start = time.perf_counter()
    lower = precision == "bf16-mixed"
    predictor.train()
    with torch.autocast(batch.embeddings.device.type, torch.bfloat16, enabled=lower):
        found = _gradient(predictor, batch)
        with torch.compiler.set_stance("force_eager"):
            expected = _gradient(predictor, batch)
    difference = float((found - expected).norm() / expected.norm())
    if not difference < (LARGEST_DIFFERENCE_BF16 if lower else LARGEST_DIFFERENCE):
        raise MiscompiledError(
            f"compiled by torch {torch.__version__}, {type(predictor).__name__} would learn from "
            f"gradients that are off by {difference:.1%}: set training.compile to off"
        )
    return time.perf_counter() - start


def _gradient(predictor: Predictor, batch: Clips) -> Tensor:
    """The gradient of a training step on all parameters, in one vector."""
    before = predictor.training_state()
    for loss in predictor.training_losses(batch, seed=0):
        loss.backward()
    predictor.load_training_state(before)  # nothing has been learned
    parameters = [p for p in predictor.parameters() if p.requires_grad]
    found = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    predictor.zero_grad()
    return torch.cat([gradient.flatten() for gradient in found])


@contextmanager
def replaced(module: nn.Module, method: str, by: Callable[..., Any]) -> Iterator[None]:
    """Within the block, call `by` where a method of this one module is called."""
    before = vars(module).get(method)
    setattr(module, method, by)
    try:
        yield
    finally:
        delattr(module, method)
        if before is not None:
            setattr(module, method, before)


def is_to_compile(wanted: Compile, steps: int, device: str) -> bool:
    """Whether a training of `steps` steps is to be compiled.

    Raises:
        InputError: `wanted` is `on`, and this machine cannot compile.
    """
    if wanted == "off" or (wanted == "auto" and steps < PAYS_FROM[device]):
        return False
    _quieten()
    try:
        torch.compile(torch.sin)(torch.zeros(2, device=device))
    except Exception as error:  # torch names no class for all that can be missing
        if wanted == "on":
            line = str(error).strip().splitlines()[0]
            raise InputError(
                f"training.compile is on, but torch.compile does not work here ({line}): install "
                "a C++ compiler, or set it to off"
            ) from error
        return False
    return True


def _quieten() -> None:
    """Hide torch's warning that this machine has no CUDA."""
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
