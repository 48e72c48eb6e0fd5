"""The published DiT as a denoiser, with learned variance: equal to it in numbers.

arXiv 2507.02092, section 4.3, and its public implementation. Letters in shapes: B images,
P patches, D embedding width, W model width.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.config import PublishedDiTConfig
from baselines.dit import DiffusionDenoiser
from denoise.adaptive import AdaptiveTransformer
from denoise.diffusion import betas
from worldmodel.config import BackboneConfig
from worldmodel.predictor import Clips

FREQUENCIES, SLOWEST = 128, 10_000.0
STEP_STD = 0.02  # of the first weights of the layers that embed the step
HALF_BIN, OPEN_BEYOND = 1 / 255, 0.999  # of pixels in [-1, 1]
LEAST_MASS = 1e-12


class PublishedDiT(AdaptiveTransformer):
    """The published network, written on the blocks of the published EBT.

    `DiTTransformer2DModel` of diffusers differs from it: it has an MLP four times as wide, its own
    embedding of the step in every block, beside that one of a class, slightly other frequencies of
    the step, and no layer for queries, keys and values together to be initialised as one.
    """

    frequencies: Tensor

    def __init__(self, config: BackboneConfig, grid: tuple[int, int], dim: int):
        super().__init__(config, grid, dim, outputs=2 * dim, bias=True)
        first = nn.Linear(2 * FREQUENCIES, config.width)
        second = nn.Linear(config.width, config.width)
        for layer in (first, second):
            nn.init.normal_(layer.weight, std=STEP_STD)
            nn.init.zeros_(layer.bias)
        self.embed_step = nn.Sequential(first, nn.SiLU(), second)
        frequencies = SLOWEST ** (-torch.arange(FREQUENCIES) / FREQUENCIES)
        self.register_buffer("frequencies", frequencies, persistent=False)

    def forward(self, image: Tensor, step: Tensor) -> Tensor:
        """Noise and variance channels `[B, P, 2 D]` of images `[B, P, D]` at steps `[B]`.

        A variance channel is -1 at the least and 1 at the largest variance of the backward step.
        """
        angles = step[:, None] * self.frequencies
        features = torch.cat([angles.cos(), angles.sin()], dim=1)
        return self.read(image, self.embed_step(features))


class PublishedDiTDenoiser(DiffusionDenoiser):
    """DiT (Peebles and Xie, 2023) with learned variance, sampled in every step of the schedule."""

    def __init__(
        self, config: PublishedDiTConfig, backbone: BackboneConfig, grid: tuple[int, int], dim: int
    ):
        super().__init__(config.levels, config.recursions)
        self.dit = PublishedDiT(backbone, grid, dim)

    @property
    def backbone(self) -> nn.Module:
        """The whole network."""
        return self.dit

    def predict_noise(self, noisy: Tensor, step: Tensor | int) -> Tensor:
        """The noise in `noisy [B, 1, P, D]` at one diffusion step, or at steps `[B]`."""
        return self.predict_noise_and_variance(noisy, step)[0]

    def predict_noise_and_variance(
        self, noisy: Tensor, step: Tensor | int
    ) -> tuple[Tensor, Tensor]:
        """The noise in `noisy [B, 1, P, D]` and the variance channels, each `[B, 1, P, D]`."""
        steps = torch.as_tensor(step, device=noisy.device).expand(len(noisy))
        noise, variance = self.dit(noisy[:, 0], steps)[:, None].chunk(2, dim=3)
        return noise, variance

    def denoising_losses(
        self, batch: Clips, noisy: Tensor, noise: Tensor, step: Tensor, seed: int
    ) -> Iterator[Tensor]:
        """The hybrid loss (Nichol and Dhariwal, 2021, section 3.1), both parts with weight 1.

        The mean squared error of the predicted noise, and the variational bound, which teaches the
        variance alone.
        """
        found, variance = self.predict_noise_and_variance(noisy, step)
        error = F.mse_loss(found, noise, reduction="none").mean((1, 2, 3))
        bound = variational_bound(batch.embeddings, noisy, found.detach(), variance, step)
        yield (error + bound).mean()


class _Backward(NamedTuple):
    """What the schedule says of backward steps, as it is in float64.

    `signal` and `noise` are the factors of forward diffusion, `of_clean` and `of_noisy` those of
    the mean of the step before, given the clean image.
    """

    signal: Tensor
    noise: Tensor
    of_clean: Tensor
    of_noisy: Tensor
    least_log_variance: Tensor
    largest_log_variance: Tensor

    @classmethod
    def at(cls, step: Tensor, like: Tensor) -> "_Backward":
        """The entries `[B, 1, 1, 1]` at steps `[B]` (Ho et al., 2020, equations 6 and 7)."""
        beta = betas()
        alphas = np.cumprod(1 - beta)
        before = np.append(1.0, alphas[:-1])
        variance = beta * (1 - before) / (1 - alphas)
        variance[0] = variance[1]  # it is 0 there, and has no logarithm
        tables = (
            np.sqrt(alphas),
            np.sqrt(1 - alphas),
            beta * np.sqrt(before) / (1 - alphas),
            (1 - before) * np.sqrt(1 - beta) / (1 - alphas),
            np.log(variance),
            np.log(beta),
        )
        return cls(*(torch.from_numpy(t).to(like)[step].view(-1, 1, 1, 1) for t in tables))


def variational_bound(
    clean: Tensor, noisy: Tensor, noise: Tensor, variance: Tensor, step: Tensor
) -> Tensor:
    """The bound's term of each image `[B]` at its step `[B]`, in bits per element.

    `noise` and `variance` are what the network says of `noisy`; all are `[B, 1, P, D]`. From step 0
    the term is the negative log-likelihood of 8-bit pixels. It is exact where embeddings are pixels
    in [-1, 1]; every other embedding is given the probability of a bin as wide as that of a pixel.
    """
    table = _Backward.at(step, clean)
    estimate = (noisy - table.noise * noise) / table.signal
    share = (variance + 1) / 2
    log_variance = share * table.largest_log_variance + (1 - share) * table.least_log_variance
    mean, true_mean = (
        table.of_clean * image + table.of_noisy * noisy for image in (estimate, clean)
    )
    divergence = _divergence(true_mean, table.least_log_variance, mean, log_variance)
    surprise = -_pixel_mass(clean, mean, log_variance).clamp_min(LEAST_MASS).log()
    nats = torch.where(step.view(-1, 1, 1, 1) == 0, surprise, divergence)
    return nats.mean((1, 2, 3)) / math.log(2)


def _divergence(
    true_mean: Tensor, true_log_variance: Tensor, mean: Tensor, log_variance: Tensor
) -> Tensor:
    """Kullback-Leibler divergence of a Gaussian from a true one."""
    ratio = true_log_variance - log_variance
    distance = (true_mean - mean).square() * (-log_variance).exp()
    return (ratio.exp() - 1 - ratio + distance) / 2


def _pixel_mass(pixels: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """What a Gaussian gives to the bins of pixels; those of black and white have no outer end."""
    inverse = (-log_variance / 2).exp()
    below, above = (_normal_cdf((pixels + end - mean) * inverse) for end in (-HALF_BIN, HALF_BIN))
    # Numbers beyond -1 and 1 are no pixels, and their bins have both ends.
    below = below.masked_fill((pixels < -OPEN_BEYOND) & (pixels >= -1), 0.0)
    above = above.masked_fill((pixels > OPEN_BEYOND) & (pixels <= 1), 1.0)
    return above - below


def _normal_cdf(z: Tensor) -> Tensor:
    """The published approximation of the standard normal distribution (Page, 1977)."""
    return (1 + torch.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3))) / 2
