"""An energy that is the expected error: its loss, and where it leads on a solvable problem."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from data_prep.errors import InputError
from worldmodel.config import BackboneConfig, EBTConfig
from worldmodel.energy import deviance
from worldmodel.next_frame import NextFrameEBT
from worldmodel.predictor import Clips, Thinking

DIM, NOISE = 4, (0.3, 1.5)


@pytest.mark.parametrize("scale", [1e-2, 1.0, 1e3])
def test_the_deviance_is_lowest_at_the_mean_of_the_errors(scale: float) -> None:
    generator = torch.Generator().manual_seed(0)
    errors = scale * torch.empty(10_000, dtype=torch.float64).exponential_(generator=generator)
    for factor, sign in ((0.5, -1), (0.98, -1), (1.0, 0), (1.02, 1), (2.0, 1)):
        energy = (factor * errors.mean()).requires_grad_()
        deviance(energy.expand(100, 10, 10), errors.view(100, 10, 10)).backward()
        assert energy.grad is not None
        slope = float(energy.grad * energy.detach())
        assert slope == pytest.approx(0, abs=1e-9) if sign == 0 else sign * slope > 0.01


def test_the_deviance_of_a_perfect_prediction_is_finite() -> None:
    energy = torch.zeros(1, 1, 3, requires_grad=True)
    deviance(energy, torch.zeros(1, 1, 3)).backward()
    assert energy.grad is not None
    assert energy.grad.isfinite().all()


def observations(batch: int, generator: torch.Generator) -> tuple[Clips, Tensor]:
    """Clips of a noisy frame and the clean one, standard normal; and the noise of each clip.

    The level of the noise, one of two, stands in the last dimension of the noisy frame.
    """
    clean = torch.randn(batch, 1, 1, DIM, generator=generator)
    loud = torch.rand(batch, generator=generator) < 0.5
    std = torch.where(loud, NOISE[1], NOISE[0])
    clean[..., -1] = 0.0
    noisy = clean + std[:, None, None, None] * torch.randn(clean.shape, generator=generator)
    noisy[..., -1] = (2.0 * loud - 1)[:, None, None]
    return Clips(torch.cat([noisy, clean], dim=1), [str(i) for i in range(batch)]), std


@pytest.fixture(scope="module")
def trained() -> NextFrameEBT:
    torch.manual_seed(0)
    model = NextFrameEBT(EBTConfig(energy_loss_weight=0.1), BackboneConfig(1, 1, 16), (1, 1), DIM)
    generator = torch.Generator().manual_seed(1)
    steps = 250
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-2, steps)
    for step in range(steps):
        clips, _ = observations(256, generator)
        optimizer.zero_grad()
        for loss in model.training_losses(clips, step):
            loss.backward()
        optimizer.step()
        schedule.step()
    return model.eval()


def test_the_energy_reaches_its_closed_form(trained: NextFrameEBT) -> None:
    """E(c) = 1/2 |c - m|^2 + 1/2 Var, with m and Var of the Gaussian posterior."""
    clips, std = observations(4096, torch.Generator().manual_seed(2))
    trajectory = trained.predict(clips.frames(0, 1), Thinking(2), energies=True)
    assert trajectory.energies is not None
    variance = std**2 / (1 + std**2)  # of a dimension
    mean = clips.embeddings[:, :1] / (1 + std**2)[:, None, None, None]
    mean[..., -1] = 0.0
    for candidate, energy in zip(trajectory.candidates, trajectory.energies, strict=True):
        closed = (candidate - mean).square().sum((1, 2, 3)) / 2 + (DIM - 1) * variance / 2
        for level in NOISE:
            chosen = std == level
            ratio = energy[chosen, 0].mean() / closed[chosen].mean()
            assert float(ratio) == pytest.approx(1, abs=0.05)


def test_the_weight_belongs_to_the_form_whose_energy_can_be_an_error() -> None:
    assert EBTConfig().resolved_energy_loss_weight > 0
    assert replace(EBTConfig(), form="linear").resolved_energy_loss_weight == 0
    with pytest.raises(
        InputError, match="energy_loss_weight has no meaning where form is quadratic"
    ):
        EBTConfig(form="quadratic", energy_loss_weight=0.1)
    with pytest.raises(InputError, match="energy_loss_weight 0 has no meaning where candidate_in"):
        EBTConfig(candidate_in_features=False, energy_loss_weight=0.0)
