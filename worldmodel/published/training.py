"""The thinking steps of a training step, as published.

Letters in shapes: B fresh clips, R replayed clips, C candidate frames, F width of a flattened
frame, W model width.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as functional
from torch import Tensor

from worldmodel.backbone import EncodedContext, Visible
from worldmodel.noise import Stream
from worldmodel.published.config import PublishedEBTConfig
from worldmodel.published.energy import PublishedEnergy
from worldmodel.published.noise import Noise
from worldmodel.published.replay import Rows


class TrainingStep(NamedTuple):
    """A thinking step: candidates `[B + R, C, F]` after it, energies `[B + R, C]` before it.

    The loss is the step's part of the training loss, None where it has none.
    """

    candidates: Tensor
    energies: Tensor
    loss: Tensor | None


def training_steps(
    energy: PublishedEnergy, config: PublishedEBTConfig, noise: Noise, rows: Rows, seed: int
) -> Iterator[TrainingStep]:
    """The thinking steps on fresh and replayed clips; their losses add up to a mean over steps.

    With `detach` the loss of each must be back-propagated before the next is made, and the context
    is encoded for each; else its graph is shared by the steps in one landscape.
    """
    frames = torch.arange(rows.target.shape[1], device=rows.target.device)
    visible = Visible.every(len(frames), frames.device)
    sizes = _step_sizes(config, noise, rows, frames, seed)
    candidate = _start(energy, config, noise, rows, frames, seed)
    landscapes = _landscapes(config, noise, seed)
    judged = 1 if config.truncate else len(landscapes)
    contexts: dict[tuple[int, bool], EncodedContext] = {}
    for step, landscape in enumerate(landscapes):
        recorded = step >= len(landscapes) - judged
        start = candidate.detach() if config.detach else candidate
        added = _langevin_noise(config, noise, rows, frames, energy.width, (seed, step))
        place = (landscape, recorded)
        with torch.set_grad_enabled(recorded):
            if config.detach or place not in contexts:
                contexts = {place: energy.encode(rows.context, landscape)}
            gradient, energies = energy.input_gradient(start, contexts[place], visible, added)
        candidate = start - energy.step_size * sizes * gradient
        loss = None
        if recorded:
            loss = functional.smooth_l1_loss(candidate, rows.target) / judged
        yield TrainingStep(candidate, energies, loss)


def _start(
    energy: PublishedEnergy,
    config: PublishedEBTConfig,
    noise: Noise,
    rows: Rows,
    frames: Tensor,
    seed: int,
) -> Tensor:
    """Start candidates `[B + R, C, F]`: noise, and what was stored of replayed clips."""
    target, fresh = rows.target, len(rows.target) - len(rows.continued)
    drawn = noise.normal(Stream.TRAINING_START, (seed,), rows.keys, frames, target.shape[2])
    start = energy.start(config.start_noise * drawn.to(target)[:fresh], config.retained_noise)
    return torch.cat([start, rows.continued])


def _landscapes(config: PublishedEBTConfig, noise: Noise, seed: int) -> list[int]:
    """The landscape of each thinking step."""
    visits = [
        noise.whole(
            Stream.TRAINING_STEPS, (seed, landscape), config.least_visits, config.most_visits
        )
        for landscape in range(config.landscapes)
    ]
    return [landscape for landscape, count in enumerate(visits) for _ in range(count)]


def _step_sizes(
    config: PublishedEBTConfig, noise: Noise, rows: Rows, frames: Tensor, seed: int
) -> Tensor | float:
    """Factors `[B + R, C, 1]` of the step size, the same in all steps."""
    largest = config.random_step_size
    if largest == 1:
        return 1.0
    share = noise.uniform(Stream.TRAINING_STEP_SIZE, (seed,), rows.keys, frames)
    return 1 / largest + share.to(rows.target) * (largest - 1 / largest)


def _langevin_noise(
    config: PublishedEBTConfig,
    noise: Noise,
    rows: Rows,
    frames: Tensor,
    width: int,
    seeds: tuple[int, int],
) -> Tensor | None:
    """Noise `[B + R, C, W]` on the projected candidates; None where there is none."""
    if not config.langevin_noise:
        return None
    drawn = noise.normal(Stream.TRAINING_LANGEVIN, seeds, rows.keys, frames, width)
    return config.langevin_noise * drawn.to(rows.target)
