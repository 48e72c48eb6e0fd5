"""What a prediction or a training step costs, counted on the real call."""

import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from benchmarks.config import JSON
from benchmarks.record.costs import Cost
from worldmodel.compiling import replaced

WARM_UPS = 3
TIMING_BUDGET = 0.5  # seconds of timed calls, the warm-ups aside
LEAST_TIMED = 3  # calls, however long they take


class _FlopCounter(TorchDispatchMode):
    """Sums torch's own FLOP formulas over every operation, second-order ones included.

    `FlopCounterMode` would do, but its module tracker breaks on `autograd.grad` in a module.
    """

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: JSON | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        formula = flop_registry.get(function._overloadpacket)
        if formula is not None:
            self.flops += formula(*args, **(kwargs or {}), out_val=result)
        return result


def count_flops(call: Callable[[], object]) -> int:
    """FLOPs of `call`: two per multiply-add of its matrix products, as executed.

    Attention runs on the math kernel meanwhile, since fused kernels have been counted as zero.
    """
    eager = torch.compiler.set_stance("force_eager")  # a compiled region cannot be looked into
    with eager, sdpa_kernel(SDPBackend.MATH), _FlopCounter() as counter:
        call()
    return counter.flops


PASSES = {"forward": "forward", "candidates": "forward", "input_gradient": "gradient"}


@contextmanager
def _counted_passes(backbone: nn.Module | None) -> Iterator[dict[str, int]]:
    """Count real calls of the forward and input-gradient passes of a backbone, or of several."""
    passes = {"forward": 0, "gradient": 0}

    def counted(call: Callable[..., Any], kind: str) -> Callable[..., Any]:
        def counting(*args: Any, **kwargs: Any) -> Any:
            passes[kind] += 1
            return call(*args, **kwargs)

        return counting

    networks = backbone if isinstance(backbone, nn.ModuleList) else [backbone]
    with ExitStack() as stack:
        for network, (name, kind) in itertools.product(networks, PASSES.items()):
            if network is not None and hasattr(network, name):
                call = counted(getattr(network, name), kind)
                stack.enter_context(replaced(network, name, call))
        yield passes


def measure_cost(
    call: Callable[[], object],
    backbone: nn.Module | None,
    unit_flops: int,
    repeats: int,
    device: str,
) -> Cost:
    """Cost of `call`, a prediction at batch 1.

    Latency is the median of `repeats` calls after 3 warm-ups; of long calls it is that of at least
    three, until half a second is spent on them. `unit_flops` are the FLOPs of one forward pass of
    the run's plain baseline. Passes and FLOPs of methods without a backbone are not defined.
    """
    with _counted_passes(backbone) as passes:
        flops = count_flops(call)
    times = _latencies(call, repeats, device)
    return Cost(
        forward_passes=passes["forward"] if backbone is not None else None,
        input_gradient_passes=passes["gradient"] if backbone is not None else None,
        forward_equivalents=flops / unit_flops if backbone is not None else None,
        flops=flops if backbone is not None else None,
        latency_ms=statistics.median(times) * 1e3,
        latency_repeats=len(times),
        peak_memory_bytes=peak_memory(call, device),
    )


def _latencies(call: Callable[[], object], repeats: int, device: str) -> list[float]:
    """Seconds of each timed call."""
    for _ in range(WARM_UPS):
        call()
    times: list[float] = []
    while len(times) < repeats and (len(times) < LEAST_TIMED or sum(times) < TIMING_BUDGET):
        _synchronise(device)
        start = time.perf_counter()
        call()
        _synchronise(device)
        times.append(time.perf_counter() - start)
    return times


def peak_memory(call: Callable[[], object], device: str) -> int:
    """Largest sum of tensor bytes that `call` holds at once, beyond what was held before."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        _synchronise(device)
        return torch.cuda.max_memory_allocated() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        call()
    held = peak = 0
    for event in profiler.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    return peak


def _synchronise(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
