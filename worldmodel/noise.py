"""Noise that depends only on its use: the same numbers in any batch and in any order.

Every use draws from a stream of its own, so that no two ever share their numbers.
"""

import hashlib
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
    CALIBRATION = "corruption of the images that calibrate an energy"
    START = "start candidates of predictions"
    LANGEVIN = "noise on the candidates of predictions"
    CORRUPTION = "corruption of test images"


def stream_generator(stream: Stream, *key: int | str) -> torch.Generator:
    """A generator whose numbers depend only on the stream and the key."""
    text = "/".join(map(str, (stream, *key)))
    digest = hashlib.blake2b(text.encode(), digest_size=7).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest))


def noise_like(tensor: Tensor, stream: Stream, *key: int | str) -> Tensor:
    """Standard normal noise of the shape and device of `tensor`, all of it from one generator."""
    return torch.randn(tensor.shape, generator=stream_generator(stream, *key)).to(tensor)


def keyed_noise(
    stream: Stream,
    seeds: Sequence[int],
    keys: Sequence[str],
    frames: Sequence[int],
    patches: int,
    dim: int,
) -> Tensor:
    """Standard normal noise `[B, C, P, D]`; a frame's depends on seeds, clip key and frame alone.

    So a clip's prediction is the same in any batch, in parallel or one frame at a time.
    """
    noise = torch.empty(len(keys), len(frames), patches, dim)
    for row, key in enumerate(keys):
        for column, frame in enumerate(frames):
            generator = stream_generator(stream, *seeds, key, frame)
            torch.randn(patches, dim, generator=generator, out=noise[row, column])
    return noise
