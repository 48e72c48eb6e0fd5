"""Compiling what a predictor spends its time in, and when that pays."""

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from data_prep.errors import InputError
from worldmodel.config import Compile
from worldmodel.predictor import Predictor

# Planned steps from which compiling has paid in every case measured (benchmarks/RESULTS.md). A
# number of steps, not a stop-watch, decides, so that the same run always takes the same way.
PAYS_FROM = {"cpu": 3000, "cuda": 1000}

# torch 2.15 writes into a buffer that the energy's backward pass still reads, and gradients come
# out wrong by a tenth (tests/test_compiling.py), unless it leaves writing in place.
OPTIONS = {"inplace_buffers": False}


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
    # It warns that there is no CUDA on a machine that nobody took for one with it.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    with ExitStack() as stack:
        for module, method in predictor.regions():
            region = torch.compile(getattr(module, method), options=OPTIONS)
            stack.enter_context(replaced(module, method, region))
        stack.callback(torch.compiler.reset)
        yield


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
    if wanted == "off" or (wanted == "auto" and steps < PAYS_FROM.get(device, PAYS_FROM["cuda"])):
        return False
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
