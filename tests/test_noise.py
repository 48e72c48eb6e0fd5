"""Noise has a stream of its own for each use, and start noise never holds the answer."""

import itertools

import pytest
import torch

from data_prep.config import EncoderConfig
from data_prep.encoders.dct import BlockDCT
from denoise.config import EBTDenoiserConfig
from denoise.corruption import Corruption
from denoise.diffusion import signal_and_noise
from denoise.model import EBTDenoiser
from worldmodel.config import BackboneConfig
from worldmodel.noise import Stream, keyed_noise, keyed_uniform, noise_like, stream_generator
from worldmodel.predictor import Clips, Thinking

BACKBONE = BackboneConfig(layers=1, heads=2, width=48)
ENCODER = BlockDCT(EncoderConfig(patch_size=4, frequencies=None), 16)


def correlation(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1])


def test_streams_share_no_numbers() -> None:
    like = torch.zeros(1, 1, 20, 20)
    drawn = {stream: noise_like(like, ["0"], stream, 0)[0, 0] for stream in Stream}
    drawn |= {f"seed 1, {stream}": noise_like(like, ["0"], stream, 1)[0, 0] for stream in Stream}
    for (a, first), (b, second) in itertools.combinations(drawn.items(), 2):
        assert abs(correlation(first, second)) < 0.2, (a, b)
        assert not (first == second).any()


def test_a_stream_repeats_by_its_key() -> None:
    def drawn(*key: int | str) -> list[float]:
        return torch.rand(3, generator=stream_generator(Stream.START, *key)).tolist()

    assert drawn(0, "clip", 1) == drawn(0, "clip", 1)
    assert drawn(0, "clip", 1) != drawn(0, "clip", 2)
    assert drawn(0, "clip", 1) != drawn(1, "clip", 1)


def test_noise_depends_on_seed_key_and_frame_alone() -> None:
    def drawn(seed: int, keys: list[str], frames: list[int]) -> torch.Tensor:
        return keyed_noise(Stream.START, (seed,), keys, torch.tensor(frames), 5, 7)

    noise = drawn(0, ["a", "b"], [1, 2, 3])
    assert noise.shape == (2, 3, 5, 7)
    assert torch.equal(noise[1, 2], drawn(0, ["b"], [3])[0, 0])
    for other in (noise[0, 1], noise[1, 0], drawn(1, ["a"], [1])[0, 0]):
        assert not (noise[0, 0] == other).any()
    whole = noise_like(torch.zeros(2, 4, 5, 7), ["a", "b"], Stream.START, 0)
    assert torch.equal(whole[:, 1:], noise)


def test_noise_is_normal_and_independent() -> None:
    keys = [str(number) for number in range(100)]
    noise = keyed_noise(Stream.START, (0,), keys, torch.arange(20), 25, 20)
    flat = noise.flatten()  # a million numbers
    assert float(flat.mean()) == pytest.approx(0, abs=0.004)
    assert float(flat.std()) == pytest.approx(1, abs=0.003)
    assert float(flat.pow(3).mean()) == pytest.approx(0, abs=0.015)
    assert float(flat.pow(4).mean()) == pytest.approx(3, abs=0.03)
    probabilities = torch.special.ndtr(flat.double()).sort().values
    expected = (torch.arange(len(flat)) + 0.5) / len(flat)
    assert float((probabilities - expected).abs().max()) < 1.95 / len(flat) ** 0.5  # Kolmogorov
    for axis in range(4):  # neighbours along clips, frames, patches and the width
        first = noise.narrow(axis, 0, noise.shape[axis] - 1)
        second = noise.narrow(axis, 1, noise.shape[axis] - 1)
        assert abs(correlation(first, second)) < 0.005
        assert abs(correlation(first.square(), second.square())) < 0.005


def test_uniform_numbers_cover_the_unit_interval() -> None:
    keys = [str(number) for number in range(100)]
    drawn = keyed_uniform(Stream.TRAINING_STEP_SIZE, (0, 1), keys, torch.arange(10), 100)
    assert drawn.shape == (100, 10, 100)
    assert 0 <= float(drawn.min()) < 1e-4
    assert 1 - 1e-4 < float(drawn.max()) < 1
    counts = torch.histc(drawn, 20, 0, 1)
    assert float(((counts - 5000).square() / 5000).sum()) < 50  # chi-squared, 19 degrees


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_the_start_of_a_denoiser_does_not_know_the_noise_to_remove(share: float) -> None:
    torch.manual_seed(0)
    config = EBTDenoiserConfig(start_noise=share, training_steps=1)
    model = EBTDenoiser(config, BACKBONE, ENCODER.grid, ENCODER.dim)
    frames, keys = torch.rand(4, 3, 16, 16), [f"image-{i}" for i in range(4)]
    clean = ENCODER.encode(frames)[:, None]
    signal, deviation = signal_and_noise(99)

    noisy = Corruption("level 0.1", 0.1).apply(frames, keys, ENCODER, 0, 99)
    start = model.predict(noisy, Thinking(1)).candidates[0]
    noise = (noisy.embeddings - signal * clean) / deviation
    assert abs(correlation(start - (1 - share) * noisy.embeddings, noise)) < 0.1

    seen: dict[str, torch.Tensor] = {}
    model.denoising_losses = lambda clean, noisy, noise, *_: seen.update(noise=noise) or []  # type: ignore
    list(model.training_losses(Clips(clean, keys), seed=3))
    assert abs(correlation(noise_like(clean, keys, Stream.TRAINING_START, 3), seen["noise"])) < 0.1
