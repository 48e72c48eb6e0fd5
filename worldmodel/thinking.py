"""Thinking: descent of the energy on the candidate."""

import hashlib
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from worldmodel.predictor import Trajectory

Energy = Callable[[Tensor], Tensor]


class NonFiniteError(FloatingPointError):
    """An energy or gradient that is not finite; names the thinking step and the clips."""


def thinking_step(
    energy: Energy, candidate: Tensor, step_size: Tensor, create_graph: bool
) -> tuple[Tensor, Tensor]:
    """One gradient step on the candidate `[B, C, P, D]`.

    Returns the moved candidate and the energy `[B, C]` before the step. Predictions are
    independent, so one gradient of the summed energy serves them all. With `create_graph` the
    step can be differentiated (second order).
    """
    if not candidate.requires_grad:
        candidate = candidate.detach().requires_grad_()
    value = energy(candidate)
    (gradient,) = torch.autograd.grad(value.sum(), candidate, create_graph=create_graph)
    return candidate - step_size * gradient, value


def think(
    energy: Energy,
    start: Tensor,
    steps: int,
    step_size: Tensor,
    keys: Sequence[str],
    energies: bool = False,
) -> Trajectory:
    """Descend from `start [B, C, P, D]` for `steps` steps, without a graph.

    Works under `torch.no_grad` and `torch.inference_mode` too. With `energies` the final
    candidates are scored as well, by one more forward pass.

    Raises:
        NonFiniteError: an energy or candidate is not finite.
    """
    candidate, step_size = start.detach(), step_size.detach()
    candidates, values = [candidate], []
    for _ in range(steps):
        with torch.enable_grad():
            candidate, value = thinking_step(energy, candidate, step_size, create_graph=False)
        candidate = candidate.detach()
        candidates.append(candidate)
        values.append(value.detach())
    if energies:
        with torch.no_grad():
            values.append(energy(candidate))
    _require_finite(candidates[1:], values, keys)
    return Trajectory(torch.stack(candidates), torch.stack(values) if energies else None)


def _require_finite(candidates: list[Tensor], values: list[Tensor], keys: Sequence[str]) -> None:
    """One look after the last step, so that the loop never waits for the device."""
    for what, tensors in (("energy", values), ("gradient", candidates)):
        if not tensors:
            continue
        finite = torch.stack([t.flatten(1).isfinite().all(dim=1) for t in tensors])  # [M, B]
        if not bool(finite.all()):
            step, clip = (~finite).nonzero()[0].tolist()
            raise NonFiniteError(
                f"{what} not finite at thinking step {step + 1}, clip {keys[clip]}"
            )


def keyed_noise(
    seed: int, keys: Sequence[str], frames: Sequence[int], patches: int, dim: int
) -> Tensor:
    """Standard normal noise `[B, C, P, D]` that depends only on seed, clip key and frame.

    So a clip's prediction is the same in any batch, in parallel or one frame at a time.
    """
    noise = torch.empty(len(keys), len(frames), patches, dim)
    for row, key in enumerate(keys):
        for column, frame in enumerate(frames):
            generator = keyed_generator(seed, key, frame)
            torch.randn(patches, dim, generator=generator, out=noise[row, column])
    return noise


def keyed_generator(seed: int, key: str, part: int | str) -> torch.Generator:
    """A generator whose numbers depend only on seed, clip key and the part of the clip."""
    digest = hashlib.blake2b(f"{seed}/{key}/{part}".encode(), digest_size=7).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest))
