import pytest
import torch
from torch import Tensor

from data_prep.config import EncoderConfig
from data_prep.encoders.dct import BlockDCT
from data_prep.errors import InputError
from denoise.config import CorruptionConfig, step_of
from denoise.corruption import Corruption, corruptions
from denoise.diffusion import cumulative_alphas, matching_step, signal_and_noise

ENCODER = BlockDCT(EncoderConfig(patch_size=4, frequencies=None), 16)
CONFIG = CorruptionConfig()


def pictures(count: int = 3, size: int = 16) -> Tensor:
    """Smooth colourful images in [0, 1]."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 3, 4, 4, generator=generator)
    return torch.nn.functional.interpolate(coarse, size, mode="bilinear").clamp(0, 1)


def keys(count: int = 3) -> list[str]:
    return [f"image-{index}" for index in range(count)]


def at_level(level: float) -> Corruption:
    return Corruption(f"level {level}", level)


def test_the_schedule_is_the_published_one() -> None:
    betas = torch.linspace(1e-4, 2e-2, 1000, dtype=torch.float64)
    product, alphas = 1.0, cumulative_alphas()
    for step, beta in enumerate(betas.tolist()):
        product *= 1 - beta
        assert float(alphas[step]) == pytest.approx(product, rel=1e-5)
    assert step_of(0.1) == 99
    assert signal_and_noise(99)[1] == pytest.approx(0.321, abs=1e-3)
    assert signal_and_noise(199)[1] == pytest.approx(0.584, abs=1e-3)


def test_noise_on_pixels_has_the_statistics_of_the_schedule() -> None:
    frames = pictures(40, 32)
    encoder = BlockDCT(EncoderConfig(patch_size=4, frequencies=None), 32)
    for level in (0.05, 0.1, 0.2, 0.3):
        noisy = at_level(level).apply(frames, keys(40), encoder, 0, step_of(level))
        signal, std = signal_and_noise(step_of(level))
        pixels = encoder.decode(noisy.embeddings[:, 0]) * 2 - 1
        noise = pixels - signal * (frames * 2 - 1)
        assert float(noise.mean()) == pytest.approx(0, abs=0.01)
        assert float(noise.std()) == pytest.approx(std, rel=0.02)
        kurtosis = float((noise / noise.std()).pow(4).mean())
        assert kurtosis == pytest.approx(3, abs=0.1)
        neighbours = (noise[..., 1:] * noise[..., :-1]).mean() / noise.var()
        assert float(neighbours) == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("corruption", corruptions(CONFIG), ids=lambda c: c.name)
def test_noise_depends_on_image_and_seed_alone(corruption: Corruption) -> None:
    whole = corruption.apply(pictures(), keys(), ENCODER, 0, 99)
    alone = corruption.apply(pictures()[2:], keys()[2:], ENCODER, 0, 99)
    assert torch.allclose(whole.embeddings[2:], alone.embeddings, atol=1e-6)
    other = corruption.apply(pictures(), keys(), ENCODER, 1, 99)
    random = corruption.name not in ("jpeg", "blur")
    assert torch.equal(whole.embeddings, other.embeddings) != random
    assert not torch.allclose(whole.embeddings, ENCODER.encode(pictures())[:, None], atol=1e-2)


def test_other_kinds_do_what_they_are_called() -> None:
    frames = pictures(20, 32)
    encoder = BlockDCT(EncoderConfig(patch_size=4, frequencies=None), 32)
    made = {
        c.name: encoder.decode(c.apply(frames, keys(20), encoder, 0, 99).embeddings[:, 0])
        for c in corruptions(CONFIG)
        if c.level is None
    }
    photons = made["poisson"] * CONFIG.poisson_peak
    assert torch.allclose(photons, photons.round(), atol=1e-3)
    ratio = (made["poisson"] - frames).square().mean() / (frames.mean() / CONFIG.poisson_peak)
    assert float(ratio) == pytest.approx(1, abs=0.05)
    changed = ((made["salt and pepper"] - frames).abs() > 1e-4).any(dim=1)
    assert float(changed.float().mean()) == pytest.approx(CONFIG.salt_and_pepper, abs=0.01)
    grains = made["salt and pepper"].permute(0, 2, 3, 1)[changed]
    assert torch.allclose(grains, grains.round(), atol=1e-4)
    assert float(made["blur"].var()) < float(frames.var())
    assert float((made["jpeg"] - frames).abs().mean()) < 0.1


def test_the_matching_step_has_the_same_strength() -> None:
    for step in (10, 99, 500):
        signal, noise = signal_and_noise(step)
        assert matching_step(noise / signal) == step
    poisson = next(c for c in corruptions(CONFIG) if c.name == "poisson")
    step = poisson.step([(pictures(), keys())], 0)
    assert 50 < step < 300
    halves = [(pictures()[part], keys()[part]) for part in (slice(0, 1), slice(1, None))]
    assert poisson.step(halves, 0) == step
    noisy = poisson.apply(pictures(), keys(), ENCODER, 0, step)
    assert (noisy.signal, noisy.step) == (1, step)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"levels": [0.1, 2.0]}, "corruption.levels: 2.0 is not in"),
        ({"swept_levels": [0.1, 0.15]}, "corruption.swept_levels must be among"),
        ({"jpeg_quality": 0}, "corruption.jpeg_quality"),
        ({"salt_and_pepper": 1.0}, "corruption.salt_and_pepper"),
    ],
)
def test_impossible_corruptions_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        CorruptionConfig(**options)  # type: ignore[arg-type]
