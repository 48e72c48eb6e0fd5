"""Thinking: descent of the energy on the candidate."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from worldmodel.backbone import EncodedContext, Visible
from worldmodel.energy import EnergyTransformer
from worldmodel.predictor import Trajectory

# Tokens of candidates that are thought about at once: few on a CPU, for the sake of memory, more on
# a GPU, which a few do not fill.
GROUPED_TOKENS = {"cpu": 256}
MOST_TOKENS = 1024


class NonFiniteError(FloatingPointError):
    """An energy or gradient that is not finite; names the thinking step and the clips."""


def thinking_step(
    energy: EnergyTransformer,
    candidate: Tensor,
    context: EncodedContext,
    visible: Visible,
    factors: Tensor | None = None,
    noise: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """One gradient step on the candidate `[B, C, P, D]`.

    `factors` multiply the step size of each element, `noise` is added to the moved candidate.

    Returns the moved candidate and the energies of patches `[B, C, P]` before the step; both can
    be back-propagated through where gradients are recorded.
    """
    gradient, patch_energies = energy.input_gradient(candidate, context, visible)
    size = energy.step_size if factors is None else energy.step_size * factors
    moved = candidate - size * gradient
    return moved if noise is None else moved + noise, patch_energies


def think(
    energy: EnergyTransformer,
    start: Tensor,
    context: EncodedContext,
    visible: Visible,
    steps: int,
    keys: Sequence[str],
    energies: bool = False,
    noise: Callable[[int], Tensor | None] = lambda step: None,
    checked: bool = True,
) -> Trajectory:
    """Descend from `start [B, C, P, D]` for `steps` steps, without a graph.

    With `energies` the final candidates are scored as well, by one more forward pass. `noise` gives
    what is added to the candidates after a step, by its number from 1 on. Without `checked` nobody
    waits for the device to know whether all is finite.

    Raises:
        NonFiniteError: an energy or candidate is not finite.
    """
    parts = []
    with torch.no_grad():
        added = {step: noise(step) for step in range(1, steps + 1)}
        for group in frame_groups(start):
            parts.append(_descend(energy, start, context, visible, group, added, energies))
    candidates, values = (
        [torch.cat(each, dim=1) for each in zip(*of_groups, strict=True)]
        for of_groups in zip(*parts, strict=True)
    )
    if checked:
        require_finite(candidates[1:], values, keys)
    return Trajectory(torch.stack(candidates), torch.stack(values) if energies else None)


def frame_groups(candidates: Tensor) -> list[slice]:
    """Candidate frames `[B, C, P, D]` in groups of few tokens: none depends on another.

    So the memory of a thinking step does not grow with the number of frames. Small frames make one
    group.
    """
    frames, patches = candidates.shape[1:3]
    size = max(1, GROUPED_TOKENS.get(candidates.device.type, MOST_TOKENS) // patches)
    return [slice(first, min(first + size, frames)) for first in range(0, frames, size)]


def _descend(
    energy: EnergyTransformer,
    start: Tensor,
    context: EncodedContext,
    visible: Visible,
    group: slice,
    noise: Mapping[int, Tensor | None],
    energies: bool,
) -> tuple[list[Tensor], list[Tensor]]:
    """Candidates `[B, C, P, D]` and energies of patches of a group of frames after every step."""
    candidates, values, visible = [start[:, group]], [], visible[group]
    for added in noise.values():
        candidate, value = thinking_step(
            energy,
            candidates[-1],
            context,
            visible,
            noise=None if added is None else added[:, group],
        )
        candidates.append(candidate)
        values.append(value)
    if energies:
        values.append(energy.patch_energies(candidates[-1], context, visible))
    return candidates, values


def require_finite(candidates: list[Tensor], values: list[Tensor], keys: Sequence[str]) -> None:
    """Check all steps at once, after the last, so that the loop never waits for the device.

    Candidates and energies are `[B, ...]`, one tensor for each step.

    Raises:
        NonFiniteError: one is not finite; names the thinking step and the clip.
    """
    for what, tensors in (("energy", values), ("gradient", candidates)):
        if not tensors:
            continue
        finite = torch.stack([t.flatten(1).isfinite().all(dim=1) for t in tensors])  # [M, B]
        if not bool(finite.all()):
            step, clip = (~finite).nonzero()[0].tolist()
            raise NonFiniteError(
                f"{what} not finite at thinking step {step + 1}, clip {keys[clip]}"
            )
