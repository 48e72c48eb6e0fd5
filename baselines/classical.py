"""Denoisers without training: the noisy image itself, a blur, and classics that know the noise."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from skimage.restoration import denoise_nl_means, denoise_wavelet
from torch import Tensor

from denoise.corruption import blurred
from denoise.model import Denoiser
from denoise.whole_images import PixelDenoiser
from worldmodel.predictor import Clips, Setting, Trajectory, expect

BLUR_WIDTHS = (0.5, 0.75, 1.0, 1.5, 2.0)  # pixels; validation selects


@dataclass(frozen=True)
class Blur(Setting):
    """A Gaussian blur with a standard deviation of `width` pixels."""

    width: float

    @property
    def label(self) -> str:
        """Such as `1.5 px`."""
        return f"{self.width:g} px"

    @property
    def order(self) -> float:
        """The width."""
        return self.width


class Identity(Denoiser):
    """The noisy image."""

    def predict(self, context: Clips, setting: Setting, energies: bool = False) -> Trajectory:
        """Give back what is given."""
        return Trajectory(context.embeddings[None])


class ClassicalDenoiser(PixelDenoiser):
    """A method that takes one image after the other, and is told the noise."""

    told_noise = True

    def denoise(self, images: Tensor, noise: float, setting: Setting) -> Tensor:
        """Images `[B, 3, height, width]` in [0, 1] with noise of this standard deviation."""
        arrays = images.permute(0, 2, 3, 1).cpu().double().numpy()
        denoised = np.stack([self.denoise_image(image, noise) for image in arrays])
        return torch.from_numpy(denoised).permute(0, 3, 1, 2).to(images)

    @abstractmethod
    def denoise_image(self, image: np.ndarray, noise: float) -> np.ndarray:
        """One image `[height, width, 3]`."""


class GaussianBlur(PixelDenoiser):
    """A Gaussian blur; validation selects its width."""

    told_noise = True

    def settings(self, counts: Sequence[int]) -> Sequence[Setting]:
        """A setting for each width."""
        return [Blur(width) for width in BLUR_WIDTHS]

    def denoise(self, images: Tensor, noise: float, setting: Setting) -> Tensor:
        """Blur all images."""
        return blurred(images, expect(setting, Blur).width)


class Wavelet(ClassicalDenoiser):
    """Soft thresholds on wavelets chosen by BayesShrink (Chang et al., 2000)."""

    def denoise_image(self, image: np.ndarray, noise: float) -> np.ndarray:
        """One image `[height, width, 3]`."""
        denoised: np.ndarray = denoise_wavelet(
            image, sigma=noise, channel_axis=2, convert2ycbcr=True, rescale_sigma=True
        )
        return denoised


class NonLocalMeans(ClassicalDenoiser):
    """Means over similar patches (Buades et al., 2005)."""

    def denoise_image(self, image: np.ndarray, noise: float) -> np.ndarray:
        """One image `[height, width, 3]`."""
        denoised: np.ndarray = denoise_nl_means(
            image, h=0.6 * noise, sigma=noise, channel_axis=2, patch_size=5, patch_distance=6
        )
        return denoised


class BM3D(ClassicalDenoiser):
    """Block matching and 3D filtering (Dabov et al., 2007), by the optional package bm3d."""

    slow = True

    def denoise_image(self, image: np.ndarray, noise: float) -> np.ndarray:
        """One image `[height, width, 3]`."""
        import bm3d

        denoised: np.ndarray = bm3d.bm3d_rgb(image, noise)
        return denoised
