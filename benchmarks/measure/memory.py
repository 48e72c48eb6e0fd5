"""What a call holds in memory, counted on its tensors, which may be fake ones."""

import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.config import JSON
from benchmarks.measure.substitute import substituted
from worldmodel import attention, thinking
from worldmodel.noise import forget_states


class _Held(TorchDispatchMode):
    """Sums the bytes of all storages that are alive, as operations make them."""

    def __init__(self, known: Iterable[Tensor]):
        super().__init__()
        self.held = self.peak = 0
        self._alive = {id(tensor.untyped_storage()): None for tensor in known}

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: JSON | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self._add(tensor.untyped_storage())
        self.peak = max(self.peak, self.held)
        return result

    def _add(self, storage: torch.UntypedStorage) -> None:
        place, size = id(storage), storage.nbytes()
        if place in self._alive:
            return

        def freed(_: object) -> None:
            self.held -= size
            del self._alive[place]

        self._alive[place] = weakref.ref(storage, freed)  # type: ignore[assignment]
        self.held += size


def held_bytes(call: Callable[[], object], known: Iterable[Tensor] = ()) -> int:
    """Largest sum of bytes of tensors that `call` holds at once, without the `known` ones.

    What operations use inside themselves is not seen.
    """
    with _Held(list(known)) as held:
        call()
    return held.peak


class _Believing(TorchDispatchMode):
    """Answers whatever is asked of a fake value with one, so that checks are passed."""

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: JSON | None = None
    ) -> Any:
        if function is torch.ops.aten._local_scalar_dense.default:
            return True if args[0].dtype == torch.bool else 1
        return function(*args, **(kwargs or {}))


@contextmanager
def fake_tensors(device: str = "cuda") -> Iterator[None]:
    """Within the block, tensors have shapes but no values: nothing is computed or allocated.

    Work is divided as on the device: a GPU takes more at once than a CPU.
    """
    sizes = (
        (attention, "TILE_WEIGHTS", attention.MOST_WEIGHTS),
        (thinking, "GROUPED_TOKENS", thinking.MOST_TOKENS),
    )
    with FakeTensorMode(allow_non_fake_inputs=True), _Believing(), ExitStack() as stack:
        for module, name, most in sizes:
            of_device = getattr(module, name)
            as_there = of_device | {"cpu": of_device.get(device, most)}
            stack.enter_context(substituted(module, name, as_there))
        forget_states()
        stack.callback(forget_states)  # no fake one may be kept
        yield
