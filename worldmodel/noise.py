"""Noise that depends only on its use: the same numbers in any batch, in any order, on any device.

Every use draws from a stream of its own, so that no two ever share their numbers. Noise of clips is
counter-based: an element's number is a hash of the stream, the seeds, the clip's key, the frame and
the element, with no state between them. So a batch may be split between micro-batches and devices.
"""

import functools
import hashlib
import math
from collections.abc import Sequence
from enum import StrEnum

import torch
from torch import Tensor


class Stream(StrEnum):
    """What noise is used for."""

    TRAINING_START = "start candidates in training"
    TRAINING_CONTEXT = "noise on the observed frames in training"
    TRAINING_CONTEXT_LEVEL = "strength of the noise on the observed frames in training"
    TRAINING_CORRUPTION = "corruption of training images"
    TRAINING_LEVEL = "diffusion steps of training images"
    TRAINING_STEPS = "numbers of thinking steps in training"
    TRAINING_STEP_SIZE = "sizes of thinking steps in training"
    TRAINING_LANGEVIN = "noise on the candidates in training"
    TRAINING_REPLAY = "choice of the candidates that training continues"
    TRAINING_FLOW = "noise at which the paths of a flow start in training"
    TRAINING_FLOW_TIME = "times on the paths of a flow in training"
    TRAINING_NEGATIVES = "frames from which an energy learns to tell the true one"
    CALIBRATION = "corruption of the images that calibrate an energy"
    START = "start candidates of predictions"
    LANGEVIN = "noise on the candidates of predictions"
    PROJECTED_LANGEVIN = "noise on the projected candidates of predictions"
    FLOW = "noise at which the samples of a flow start"
    VARIANCE = "noise of a predicted variance around predictions"
    MEMBER = "choice of the member of an ensemble that gives a sample"
    CORRUPTION = "corruption of test images"


def stream_generator(stream: Stream, *key: int | str) -> torch.Generator:
    """A generator whose numbers depend only on the stream and the key."""
    return torch.Generator().manual_seed(_digest(stream, *key) & (1 << 56) - 1)


def noise_like(clips: Tensor, keys: Sequence[str], stream: Stream, *seeds: int) -> Tensor:
    """Standard normal noise for clips `[B, T, P, D]`; a clip's depends on seeds and key alone."""
    frames = torch.arange(clips.shape[1], device=clips.device)
    patches, dim = clips.shape[2:]
    return keyed_noise(stream, seeds, keys, frames, patches, dim).to(clips)


def keyed_noise(
    stream: Stream,
    seeds: Sequence[int],
    keys: Sequence[str],
    frames: Tensor,
    patches: int,
    dim: int,
) -> Tensor:
    """Standard normal noise `[B, C, P, D]` for the numbers of frames `[C]`, on their device.

    A frame's depends on seeds, clip key and frame alone, so a clip's prediction is the same in any
    batch, in parallel or one frame at a time. By the method of Box and Muller (1958).
    """
    size = patches * dim
    bits = _bits(stream, seeds, keys, frames, (size + 1) // 2)
    high = _shifted(bits, 32).float().add_(0.5).mul_(2.0**-32)
    low = bits.bitwise_and_(0xFFFFFFFF).float().mul_(2 * math.pi * 2.0**-32)
    radius = high.log_().mul_(-2).sqrt_()
    pairs = torch.cat([low.cos().mul_(radius), low.sin_().mul_(radius)], dim=2)
    return pairs[..., :size].unflatten(2, (patches, dim))


def numbered_noise(
    stream: Stream,
    seeds: Sequence[int],
    keys: Sequence[str],
    frames: Tensor,
    patches: int,
    dim: int,
    count: int,
) -> Tensor:
    """The same `[B, C, N, P, D]` for N samples of each frame, as many as `count` says.

    A sample's noise depends on its number, and not on how many there are.
    """
    drawn = [
        keyed_noise(stream, (*seeds, number), keys, frames, patches, dim) for number in range(count)
    ]
    return torch.stack(drawn, dim=2)


def spread_around(
    mean: Tensor, variance: Tensor, keys: Sequence[str], seed: int, count: int
) -> Tensor:
    """Samples `[B, T, N, P, D]` around predictions `[B, T, P, D]`, with variances `[B, T, P]`.

    The t-th follows t + 1 frames; its noise depends on seed, clip, that number and its own alone.
    """
    frames, (patches, dim) = torch.arange(1, mean.shape[1] + 1, device=mean.device), mean.shape[2:]
    noise = numbered_noise(Stream.VARIANCE, (seed,), keys, frames, patches, dim, count)
    return mean[:, :, None] + variance.sqrt()[:, :, None, :, None] * noise.to(mean)


def keyed_uniform(
    stream: Stream, seeds: Sequence[int], keys: Sequence[str], frames: Tensor, size: int = 1
) -> Tensor:
    """Uniform numbers in [0, 1) `[B, C, size]` for the numbers of frames `[C]`, on their device."""
    bits = _bits(stream, seeds, keys, frames, size)
    return _shifted(bits, 40).float().mul_(2.0**-24)


def _digest(*key: int | str) -> int:
    """A signed number of 64 bits that depends on every part of the key."""
    text = "/".join(map(str, key))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), signed=True)


@functools.lru_cache(maxsize=64)
def _clip_states(
    stream: Stream, seeds: tuple[int, ...], keys: tuple[str, ...], device: torch.device
) -> Tensor:
    """A state `[B]` for each clip; kept, because a rollout asks for the same ones every frame."""
    return torch.tensor([_digest(stream, *seeds, key) for key in keys]).to(device)


def forget_states() -> None:
    """Forget the states that are kept, such as those of fake tensors."""
    _clip_states.cache_clear()


def _bits(
    stream: Stream, seeds: Sequence[int], keys: Sequence[str], frames: Tensor, size: int
) -> Tensor:
    """Random numbers of 64 bits `[B, C, size]`."""
    clips = _clip_states(stream, tuple(seeds), tuple(keys), frames.device)
    of_frames = _hashed(clips[:, None] + (frames + 1) * _STRIDE)  # [B, C]
    counters = torch.arange(1, size + 1, device=frames.device) * _STRIDE
    return _hashed(of_frames[..., None] + counters)


# SplitMix64 (Steele, Lea and Flood, 2014): its n-th number is a hash of n times an odd stride.
_STRIDE = 0x9E3779B97F4A7C15 - (1 << 64)
_FACTORS = (0xBF58476D1CE4E5B9 - (1 << 64), 0x94D049BB133111EB - (1 << 64))


def _hashed(state: Tensor) -> Tensor:
    for shift, factor in zip((30, 27), _FACTORS, strict=True):
        state = state.bitwise_xor_(_shifted(state, shift)).mul_(factor)
    return state.bitwise_xor_(_shifted(state, 31))


def _shifted(bits: Tensor, by: int) -> Tensor:
    """Bits shifted to the right, zeros moving in: torch knows no unsigned shift."""
    return (bits >> by).bitwise_and_((1 << 64 - by) - 1)
