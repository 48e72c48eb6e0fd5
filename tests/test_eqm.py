"""Equilibrium Matching: the field and its energy, its target, and the descent."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from test_denoise import BACKBONE, DIM, GRID, noisy_and_clean
from torch import Tensor

from baselines.config import EqMConfig, TransformerPPConfig
from baselines.eqm import Descent, EqMDenoiser
from baselines.transformer_pp import TransformerPP
from data_prep.errors import InputError
from denoise.config import STEPS, EBTDenoiserConfig
from denoise.data import NoisyImages
from denoise.diffusion import signal_and_noise
from denoise.model import EBTDenoiser
from worldmodel.predictor import Clips, Setting

ENERGIES = [None, "dot", "norm"]


def eqm(**options: object) -> EqMDenoiser:
    torch.manual_seed(0)
    return EqMDenoiser(EqMConfig(**options), BACKBONE, GRID, DIM).eval()  # type: ignore[arg-type]


class Oracle(EqMDenoiser):
    """The field that is learned where a single image is all there is: the noise is then known."""

    clean: Tensor
    away: Tensor  # noise - clean

    def field(self, images: Tensor) -> Tensor:
        """c(gamma) (noise - clean), where images - clean is (1 - gamma) (noise - clean)."""
        offset = images - self.clean
        share = offset.norm() / self.away.norm()  # 1 - gamma
        if share == 0:
            return torch.zeros_like(images)
        return self.strength(1 - share) * offset / share


def oracle(level: float, **options: object) -> tuple[Oracle, NoisyImages]:
    """The oracle of one image, and the image diffused to a level."""
    noisy, clean = noisy_and_clean(level)
    noisy = replace(noisy, embeddings=noisy.embeddings[:1], keys=noisy.keys[:1])
    model = Oracle(EqMConfig(**options), BACKBONE, GRID, DIM)  # type: ignore[arg-type]
    signal, spread = signal_and_noise(noisy.step)
    model.clean = clean[:1]
    model.away = (noisy.embeddings - signal * clean[:1]) / spread - clean[:1]
    return model, noisy


def test_where_the_field_decays_one_step_lands_on_the_clean_image() -> None:
    model, noisy = oracle(0.05)  # gamma 0.81 there
    found = model.predict(noisy, Descent(3)).candidates
    for candidate in found[1:]:
        assert torch.allclose(candidate, model.clean, atol=1e-4)


def test_above_it_steps_of_one_length_lead_there() -> None:
    model, noisy = oracle(0.3)
    found = model.predict(noisy, Descent(8)).candidates
    lengths = (found[1:] - found[:-1]).flatten(1).norm(dim=1)
    unit = 0.2 * model.away.norm()  # (1 - a) / lambda of lambda (noise - clean)
    assert lengths[0] == pytest.approx(float(unit), rel=1e-4)
    assert lengths[1] == pytest.approx(float(unit), rel=1e-4)
    assert torch.allclose(found[-1], model.clean, atol=1e-4)


@pytest.mark.parametrize("level", [0.05, 0.1, 0.3])
def test_the_loss_is_zero_for_the_true_field(level: float) -> None:
    """Which holds only if the target is c(gamma) (noise - clean) at the point that is shown."""
    model, noisy = oracle(level)
    signal, spread = signal_and_noise(noisy.step)
    noise = (noisy.embeddings - signal * model.clean) / spread
    batch, step = Clips(model.clean, noisy.keys), torch.tensor([noisy.step])
    (loss,) = model.denoising_losses(batch, noisy.embeddings, noise, step, 0)
    assert float(loss) < 1e-6
    (loss,) = model.denoising_losses(batch, noisy.embeddings, noise + 0.1, step, 0)
    assert float(loss) > 1e-3


def test_the_strength_is_flat_then_falls_to_zero() -> None:
    gamma = torch.tensor([0.0, 0.5, 0.8, 0.9, 1.0])
    expected = torch.tensor([4.0, 4.0, 4.0, 2.0, 0.0])
    assert torch.allclose(eqm().strength(gamma), expected, atol=1e-5)
    linear = eqm(decay_from=0.0, multiplier=1.0)
    assert torch.allclose(linear.strength(gamma), 1 - gamma)


@pytest.mark.parametrize("energy", [None, "dot"])
def test_a_trained_field_almost_vanishes_at_the_clean_image(energy: str | None) -> None:
    model, (_, clean) = eqm(levels=[1 / STEPS, 0.3], energy=energy).train(), noisy_and_clean()
    batch = Clips(clean.repeat(8, 1, 1, 1), [str(number) for number in range(8 * len(clean))])
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    for seed in range(120):
        optimizer.zero_grad()
        (loss,) = model.training_losses(batch, seed)
        loss.backward()
        optimizer.step()
    signal, spread = signal_and_noise(299)
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(5))
    noisy = (signal * clean + spread * noise) / (signal + spread)
    with torch.no_grad():
        at_clean, at_noise = (model.field(x).square().mean() for x in (clean, noisy))
    assert at_clean < at_noise / 10


@pytest.mark.parametrize("energy", ["dot", "norm"])
def test_the_field_of_an_energy_is_its_gradient(energy: str) -> None:
    model, (noisy, _) = eqm(energy=energy).double(), noisy_and_clean()
    images = noisy.embeddings[:2].double()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        field = model.field(images)
        for _ in range(3):
            way = torch.randn(images.shape, generator=generator, dtype=torch.float64)
            ends = [model.energies(images + by * way).sum() for by in (1e-5, -1e-5)]
            assert float((field * way).sum()) == pytest.approx(
                float(ends[0] - ends[1]) / 2e-5, rel=1e-5, abs=1e-8
            )


@pytest.mark.parametrize("energy", ENERGIES)
def test_one_pass_is_one_gradient_step(energy: str | None) -> None:
    model, (noisy, _) = eqm(energy=energy, step_size=0.7), noisy_and_clean()
    found = model.predict(noisy, Descent(2)).candidates
    signal, spread = signal_and_noise(noisy.step)
    assert torch.allclose(found[0], noisy.embeddings / (signal + spread))
    for before, after in pairwise(found):
        assert torch.allclose(after, before - 0.7 * 0.05 * model.field(before).detach(), atol=1e-6)
    ahead = model.predict(noisy, Descent(3, nesterov=True)).candidates
    assert torch.equal(ahead[:2], found[:2])
    point = ahead[1] + 0.3 * (ahead[1] - ahead[0])
    expected = ahead[1] - 0.7 * 0.05 * model.field(point).detach()
    assert torch.allclose(ahead[2], expected, atol=1e-6)


@pytest.mark.parametrize("energy", ENERGIES)
def test_images_do_not_see_each_other_and_settings_share_their_passes(energy: str | None) -> None:
    model, (noisy, _) = eqm(energy=energy), noisy_and_clean()
    settings = model.settings([1, 3])
    assert [setting.label for setting in settings] == [
        "descent, 1 pass",
        "descent, 2 passes",
        "nesterov, 2 passes",
        "descent, 3 passes",
        "nesterov, 3 passes",
    ]
    assert model.trained_setting() in settings
    with torch.inference_mode():  # as in validation
        together = model.predict_all(noisy, settings, energies=True)
    for setting, found in zip(settings, together, strict=True):
        alone = replace(noisy, embeddings=noisy.embeddings[1:2], keys=noisy.keys[1:2])
        own = model.predict(alone, setting, energies=True)
        assert torch.allclose(own.candidates, found.candidates[:, 1:2], atol=1e-5)
        if energy is None:
            assert found.energies is None
        else:
            assert own.energies is not None
            assert found.energies is not None
            assert torch.allclose(own.energies, found.energies[:, 1:2], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("energy", ENERGIES)
def test_recomputed_blocks_learn_the_same(energy: str | None) -> None:
    _, clean = noisy_and_clean()
    batch = Clips(clean, [str(number) for number in range(len(clean))])
    gradients = []
    for recompute in (False, True):
        model = eqm(energy=energy).train()
        if recompute:
            model.backbone.enable_gradient_checkpointing()  # type: ignore[operator]
        (loss,) = model.training_losses(batch, 0)
        loss.backward()
        assert all(p.grad is not None for p in model.parameters())
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))  # type: ignore[union-attr]
    assert gradients[0].any()
    assert torch.allclose(*gradients, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("grid", [(2, 2), (7, 7)])  # frames at once, and one by one
def test_attention_that_can_be_differentiated_twice_is_the_fused_one(grid: tuple[int, int]) -> None:
    torch.manual_seed(0)
    model = TransformerPP(TransformerPPConfig(), BACKBONE, grid, DIM)
    clips = Clips(torch.randn(2, 3, grid[0] * grid[1], DIM), ["a", "b"])
    fused = model.predict(clips, Setting()).prediction
    model.stack.enable_second_derivatives()
    assert torch.allclose(model.predict(clips, Setting()).prediction, fused, atol=1e-5)


def test_the_backbone_is_that_of_the_ebt() -> None:
    own, other = eqm().blocks, EBTDenoiser(EBTDenoiserConfig(), BACKBONE, GRID, DIM).blocks
    assert own is not None
    assert other is not None
    assert {n: p.shape for n, p in own.named_parameters()} == {
        n: p.shape for n, p in other.named_parameters()
    }


def test_a_field_without_an_energy_has_none() -> None:
    with pytest.raises(ValueError, match="no gradient of an energy"):
        eqm().energies(noisy_and_clean()[1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"levels": [0.2, 0.1]}, "levels must be"),
        ({"decay_from": 1.0}, "decay_from must be"),
        ({"multiplier": 0.0}, "multiplier must be above 0"),
        ({"step_size": -1.0}, "step_size must be above 0"),
        ({"momentum": 1.0}, "momentum must be"),
        ({"passes": 0}, "passes must be at least 1"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        EqMConfig(**options)  # type: ignore[arg-type]
