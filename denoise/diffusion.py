"""Forward diffusion on the published schedule."""

import numpy as np
import torch
from torch import Tensor

from denoise.config import STEPS

FIRST_BETA, LAST_BETA = 1e-4, 2e-2


def betas() -> np.ndarray:
    """The linear schedule's variances of single steps `[1000]` (Ho et al., 2020, section 4)."""
    return np.linspace(FIRST_BETA, LAST_BETA, STEPS)


def cumulative_alphas() -> Tensor:
    """The schedule's products of 1 - beta `[1000]`, in float32."""
    return torch.from_numpy(np.cumprod(1 - betas())).float()


def signal_and_noise(step: int) -> tuple[float, float]:
    """The factors of the clean image and of standard noise at a diffusion step."""
    alpha = float(cumulative_alphas()[step])
    return alpha**0.5, (1 - alpha) ** 0.5


def diffuse(clean: Tensor, step: Tensor, noise: Tensor) -> Tensor:
    """Noisy `[B, 1, P, D]` at diffusion steps `[B]`: sqrt(a) clean + sqrt(1 - a) noise."""
    alpha = cumulative_alphas().to(clean)[step].view(-1, 1, 1, 1)
    return alpha.sqrt() * clean + (1 - alpha).sqrt() * noise


def step_of_sigma(sigma: float) -> int:
    """The diffusion step as noisy as Gaussian noise of `sigma` of 255 on pixels in [0, 1]."""
    return matching_step(2 * sigma / 255)  # pixels span 2 in diffusion


def matching_step(noise_to_signal: float) -> int:
    """The diffusion step at which noise over signal is nearest to the given ratio."""
    alphas = cumulative_alphas()
    ratios = ((1 - alphas) / alphas).sqrt()
    return int((ratios - noise_to_signal).abs().argmin())
