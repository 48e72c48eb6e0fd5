"""Noise has a stream of its own for each use, and start noise never holds the answer."""

import itertools

import pytest
import torch

from data_prep.config import EncoderConfig
from data_prep.encoders.dct import BlockDCT
from denoise.config import EBTDenoiserConfig
from denoise.corruption import Corruption, signal_and_noise
from denoise.model import EBTDenoiser
from worldmodel.config import BackboneConfig
from worldmodel.noise import Stream, keyed_noise, noise_like, stream_generator
from worldmodel.predictor import Clips, Thinking

BACKBONE = BackboneConfig(layers=1, heads=2, width=48)
ENCODER = BlockDCT(EncoderConfig(patch_size=4, frequencies=None), 16)


def correlation(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1])


def test_streams_share_no_numbers() -> None:
    like = torch.zeros(20, 20)
    drawn = {stream: noise_like(like, stream, 0) for stream in Stream}
    drawn |= {f"keyed {s}": keyed_noise(s, (0,), ["0"], [1], 20, 20)[0, 0] for s in Stream}
    for (a, first), (b, second) in itertools.combinations(drawn.items(), 2):
        assert abs(correlation(first, second)) < 0.2, (a, b)
        assert not (first == second).any()


def test_a_stream_repeats_by_its_key() -> None:
    def drawn(*key: int | str) -> list[float]:
        return torch.rand(3, generator=stream_generator(Stream.START, *key)).tolist()

    assert drawn(0, "clip", 1) == drawn(0, "clip", 1)
    assert drawn(0, "clip", 1) != drawn(0, "clip", 2)
    assert drawn(0, "clip", 1) != drawn(1, "clip", 1)


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_the_start_of_a_denoiser_does_not_know_the_noise_to_remove(share: float) -> None:
    torch.manual_seed(0)
    config = EBTDenoiserConfig(start_noise=share, training_steps=1)
    model = EBTDenoiser(config, BACKBONE, ENCODER.grid, ENCODER.dim)
    frames, keys = torch.rand(4, 3, 16, 16), [f"image-{i}" for i in range(4)]
    clean = ENCODER.encode(frames)[:, None]
    signal, deviation = signal_and_noise(99)

    noisy = Corruption("level 0.1", 0.1).apply(frames, keys, ENCODER, seed=0)
    start = model.predict(noisy, Thinking(1)).candidates[0]
    noise = (noisy.embeddings - signal * clean) / deviation
    assert abs(correlation(start - (1 - share) * noisy.embeddings, noise)) < 0.1

    seen: dict[str, torch.Tensor] = {}
    model.denoising_losses = lambda clean, noisy, noise, *_: seen.update(noise=noise) or []  # type: ignore
    list(model.training_losses(Clips(clean, keys), seed=3))
    assert abs(correlation(noise_like(clean, Stream.TRAINING_START, 3), seen["noise"])) < 0.1
