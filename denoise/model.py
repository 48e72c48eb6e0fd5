"""Denoisers: predictors whose observed frame is the noisy image and whose next is the clean one."""

from collections.abc import Iterator, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from denoise.config import EBTDenoiserConfig, step_of
from denoise.diffusion import diffuse, signal_and_noise
from worldmodel.config import BackboneConfig
from worldmodel.next_frame import NextFrameEBT
from worldmodel.noise import Stream, keyed_uniform, noise_like
from worldmodel.predictor import Clips, Predictor, Setting, Trajectory
from worldmodel.surprise import Surprise


class Denoiser(Predictor):
    """A predictor of the clean image `[B, 1, P, D]` from the noisy one.

    `told_noise` says whether it is told how strong the noise is, `slow` whether it takes a second
    or more for an image, so that few images must do. `only_sigma` is the noise, of 255, that it
    was made for; None where it may be asked to remove any.
    """

    told_noise: ClassVar[bool] = False
    slow: ClassVar[bool] = False
    only_sigma: float | None = None


class TrainedDenoiser(Denoiser):
    """A denoiser that is trained on clean images, to which it adds noise of its levels.

    Args:
        levels: lowest and highest level of the noise; each image draws a diffusion step between.
    """

    def __init__(self, levels: list[float]):
        super().__init__()
        self.first_step, self.last_step = (step_of(level) for level in levels)

    def training_losses(self, batch: Clips, seed: int) -> Iterator[Tensor]:
        """Losses on the clean images `[B, 1, P, D]` of a batch."""
        clean = batch.embeddings
        noise = noise_like(clean, batch.keys, Stream.TRAINING_CORRUPTION, seed)
        only = torch.zeros(1, dtype=torch.long, device=clean.device)
        share = keyed_uniform(Stream.TRAINING_LEVEL, (seed,), batch.keys, only).flatten()  # [B]
        steps = self.last_step + 1 - self.first_step
        step = self.first_step + (share * steps).long()
        noisy = diffuse(clean, step, noise)
        yield from self.denoising_losses(batch, noisy, noise, step, seed)

    def denoising_losses(
        self, batch: Clips, noisy: Tensor, noise: Tensor, step: Tensor, seed: int
    ) -> Iterator[Tensor]:
        """Losses of noisy images `[B, 1, P, D]` made from clean ones at diffusion steps `[B]`."""
        raise NotImplementedError


class EBTDenoiser(TrainedDenoiser):
    """Denoise by descending E(context, candidate) from the noisy image (arXiv 2507.02092, 4.3).

    It is next-frame prediction after one observed frame, the noisy image; its settings are numbers
    of thinking steps.
    """

    def __init__(
        self,
        config: EBTDenoiserConfig,
        backbone: BackboneConfig,
        grid: tuple[int, int],
        dim: int,
    ):
        super().__init__(config.levels)
        self.ebt = NextFrameEBT(config, backbone, grid, dim)

    @property
    def backbone(self) -> nn.Module:
        """The stack of both streams."""
        return self.ebt.backbone

    def regions(self) -> list[tuple[nn.Module, str]]:
        """Encoding the noisy image, and one step's energy and gradient."""
        return self.ebt.regions()

    def settings(self, counts: Sequence[int]) -> Sequence[Setting]:
        """A setting for each number of thinking steps."""
        return self.ebt.settings(counts)

    def trained_setting(self) -> Setting:
        """As many thinking steps as in training."""
        return self.ebt.trained_setting()

    def predict(self, context: Clips, setting: Setting, energies: bool = False) -> Trajectory:
        """Think about the clean images."""
        return self.ebt.predict(context, setting, energies)

    def predict_all(
        self, context: Clips, settings: Sequence[Setting], energies: bool = False
    ) -> list[Trajectory]:
        """A trajectory for each setting: all are parts of the longest one."""
        return self.ebt.predict_all(context, settings, energies)

    def surprises(self, counts: Sequence[int]) -> Sequence[Surprise]:
        """Its energy, besides the distance to its own prediction."""
        return self.ebt.surprises(counts)

    def features(self, context: Clips) -> dict[str, Tensor]:
        """Features of the noisy image, and of the candidate after thinking."""
        return self.ebt.features(context)

    @property
    def training_draws(self) -> int:
        """Many where the number of thinking steps is drawn."""
        return self.ebt.training_draws

    def seed_starts(self, seed: int) -> None:
        """Draw the starts of predictions from another seed."""
        super().seed_starts(seed)
        self.ebt.seed_starts(seed)

    def calibrate(self, batch: Clips) -> None:
        """Calibrate the energy on a batch of clean images, at the highest level."""
        clean = batch.embeddings
        noise = noise_like(clean, batch.keys, Stream.CALIBRATION)
        step = torch.full((len(clean),), self.last_step, device=clean.device)
        pairs = torch.cat([diffuse(clean, step, noise), clean], dim=1)
        self.ebt.calibrate(Clips(pairs, batch.keys), signal_and_noise(self.last_step)[1])

    def training_state(self) -> dict[str, Tensor]:
        """The replay buffer."""
        return self.ebt.training_state()

    def load_training_state(self, state: dict[str, Tensor]) -> None:
        """Go on with a replay buffer."""
        self.ebt.load_training_state(state)

    def denoising_losses(
        self, batch: Clips, noisy: Tensor, noise: Tensor, step: Tensor, seed: int
    ) -> Iterator[Tensor]:
        """Smooth-L1 after the thinking steps, through the steps."""
        pairs = Clips(torch.cat([noisy, batch.embeddings], dim=1), batch.keys)
        yield from self.ebt.training_losses(pairs, seed)
