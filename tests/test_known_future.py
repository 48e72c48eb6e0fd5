"""Samples by flows of a future that is known: normal, and a linear function of the last frame."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from baselines.config import FlowConfig
from baselines.flow import NextFrameFlow
from baselines.flow_sampling import Sampled, Sampler, solve
from benchmarks.measure.sampling import energy_score
from worldmodel.config import BackboneConfig
from worldmodel.predictor import Clips

BACKBONE = BackboneConfig(layers=2, heads=2, width=32)
# A known future: each number of the next frame is normal, a linear function of the last frame's.
GAIN, OFFSET, SPREAD = 0.8, 0.5, 0.6


def known_clean(last: Tensor) -> Callable[[Tensor, float], Tensor]:
    """What is expected of the clean frame at a point of its path: the least squares of normals."""
    mean = GAIN * last + OFFSET

    def clean(noisy: Tensor, time: float) -> Tensor:
        variance = time**2 * SPREAD**2 + (1 - time) ** 2
        return mean + time * SPREAD**2 / variance * (noisy - time * mean)

    return clean


@pytest.mark.parametrize("setting", [Sampled(500), Sampled(50, Sampler.DPM_SOLVER)])
def test_samples_of_a_known_future_have_its_mean_and_variance(setting: Sampled) -> None:
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(4000, generator=generator)
    noise = (noise - noise.mean()) / noise.std()
    last = torch.tensor([-2.0, 0.0, 3.0])[:, None].expand(3, len(noise))
    found = solve(known_clean(last), noise.expand(3, -1), setting)
    expected = GAIN * last + OFFSET
    assert torch.allclose(found.mean(1), expected[:, 0], atol=0.01)
    assert torch.allclose(found.std(1), torch.full((3,), SPREAD), rtol=0.01)


def closed_form_score() -> float:
    """What samples of the known future score: the CRPS of a normal that is right, on average."""
    return SPREAD / math.sqrt(math.pi)


def test_the_energy_score_of_samples_of_a_known_future_is_its_closed_form() -> None:
    generator = torch.Generator().manual_seed(0)
    noise, truth = torch.randn(2, 80_000, generator=generator)
    last = torch.full_like(noise, 3.0)
    found = solve(known_clean(last), noise, Sampled(500)).reshape(10_000, 8, 1)
    came = GAIN * 3.0 + OFFSET + SPREAD * truth[:10_000, None]
    assert float(energy_score(found, came).mean()) == pytest.approx(closed_form_score(), rel=0.02)


@pytest.mark.parametrize("sampler", Sampler)
def test_few_passes_narrow_even_a_known_future(sampler: Sampler) -> None:
    noise = torch.linspace(-3, 3, 1001)
    last = torch.ones_like(noise)
    spreads = [
        float(solve(known_clean(last), noise, Sampled(passes, sampler)).std() / noise.std())
        for passes in (3, 10, 20)
    ]
    assert spreads == sorted(spreads)
    assert spreads[1] < 0.9 * SPREAD
    assert spreads[2] < SPREAD


@pytest.mark.slow
def test_a_trained_flow_samples_a_known_future() -> None:
    torch.manual_seed(0)
    flow = NextFrameFlow(FlowConfig(), BACKBONE, (1, 1), 1)
    optimiser = torch.optim.AdamW(flow.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.01, 2000)
    for step in range(2000):
        optimiser.zero_grad()
        for loss in flow.training_losses(known_clips(64, seed=step), step):
            loss.backward()
        optimiser.step()
        schedule.step()
    batch = known_clips(600, seed=10_000)
    observed = replace(batch, embeddings=batch.embeddings[:, :-1])
    found = flow.eval().sample(observed, Sampled(50, Sampler.DPM_SOLVER), 8)[:, -1].flatten(2)
    last, came = batch.embeddings[:, -2, 0], batch.embeddings[:, -1, 0]
    assert float((found.mean(1) - GAIN * last).mean()) == pytest.approx(0, abs=0.05)
    assert float(found.var(1).mean()) == pytest.approx(SPREAD**2, rel=0.1)
    known = GAIN * last[:, None] + SPREAD * torch.randn(600, 64, 1)
    best = float(energy_score(known, came).mean())
    assert best == pytest.approx(closed_form_score(), rel=0.1)
    assert float(energy_score(found, came).mean()) == pytest.approx(best, rel=0.05)


def known_clips(batch: int, seed: int, frames: int = 4) -> Clips:
    """Clips of one number, standardised as embeddings are: 0.8 of the last one and noise."""
    generator = torch.Generator().manual_seed(seed)
    numbers = [torch.randn(batch, 1, 1, generator=generator)]
    for _ in range(frames):
        noise = torch.randn(batch, 1, 1, generator=generator)
        numbers.append(GAIN * numbers[-1] + SPREAD * noise)
    return Clips(torch.stack(numbers, 1), [f"clip-{seed}-{i}" for i in range(batch)])


def test_more_passes_come_nearer_to_the_exact_path_and_dpm_solver_sooner() -> None:
    """The exact path keeps a normal variable's quantile."""
    noise, last = torch.linspace(-2, 2, 9), torch.ones(9)
    exact = GAIN * last + OFFSET + SPREAD * noise

    def error(passes: int, sampler: Sampler) -> float:
        found = solve(known_clean(last), noise, Sampled(passes, sampler))
        return float((found - exact).square().mean())

    euler = [error(passes, Sampler.EULER) for passes in (1, 2, 5, 10, 20, 50)]
    assert euler == sorted(euler, reverse=True)
    for passes in (5, 10, 20):
        assert error(passes, Sampler.DPM_SOLVER) < error(passes, Sampler.EULER)
