"""Equilibrium Matching (Wang and Du, 2025, arXiv 2510.02300) as a denoiser of images."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.config import EqMConfig, TransformerPPConfig
from baselines.transformer_pp import TransformerPP
from denoise.data import NoisyImages
from denoise.diffusion import cumulative_alphas, signal_and_noise
from denoise.model import TrainedDenoiser
from worldmodel.config import BackboneConfig
from worldmodel.predictor import (
    Clips,
    Passes,
    Setting,
    Trajectory,
    counted,
    expect,
    predict_longest,
)


@dataclass(frozen=True)
class Descent(Passes):
    """A number of steps down the field, each a pass, plain or with Nesterov's momentum.

    The first step is the same for both.
    """

    passes: int = 1
    nesterov: bool = False

    @property
    def label(self) -> str:
        """Such as `nesterov, 10 passes`."""
        return f"{'nesterov' if self.nesterov else 'descent'}, {counted(self.passes, 'pass')}"


class EqMDenoiser(TrainedDenoiser):
    """Descend a field that knows no noise level and vanishes at clean images.

    The field is learned at x_gamma = gamma clean + (1 - gamma) noise, where it should be
    c(gamma) (noise - clean), and c falls to zero at gamma = 1. A diffused image, divided by the sum
    of its two factors, is such an x_gamma. So the level that is told serves for that scale alone.

    The network is the EBT's backbone, and its output the field. With `config.energy` the field is
    the gradient of an energy that is made of the output: x . output, or half its squared norm.
    """

    told_noise = True

    def __init__(
        self, config: EqMConfig, backbone: BackboneConfig, grid: tuple[int, int], dim: int
    ):
        super().__init__(config.levels)
        self.config = config
        self.network = TransformerPP(TransformerPPConfig(), backbone, grid, dim)
        if config.energy is not None:
            self.network.stack.enable_second_derivatives()

    @property
    def backbone(self) -> nn.Module:
        """The stack."""
        return self.network.backbone

    def regions(self) -> list[tuple[nn.Module, str]]:
        """All but the linear head; none with an energy: compiling has no second derivatives."""
        return [] if self.config.energy else self.network.regions()

    def settings(self, counts: Sequence[int]) -> Sequence[Setting]:
        """Every number of passes, plain and with momentum."""
        passes = sorted({1, self.config.passes, *counts})
        return [Descent(p, nesterov) for p in passes for nesterov in (False, True)[: min(p, 2)]]

    def trained_setting(self) -> Setting:
        """Plain descent; training itself takes no step."""
        return Descent(self.config.passes)

    def predict(self, context: Clips, setting: Setting, energies: bool = False) -> Trajectory:
        """Descend from noisy images `[B, 1, P, D]` at the level that `context` names.

        Momentum moves the point at which the field is read, ahead by a share of the last step.
        """
        descent, size = expect(setting, Descent), self.config.step_size * self.config.unit_step
        momentum = self.config.momentum if descent.nesterov else 0.0
        candidates = [_interpolated(context)]
        with torch.no_grad():
            last_step = torch.zeros_like(candidates[0])
            for _ in range(descent.passes):
                last_step = -size * self.field(candidates[-1] + momentum * last_step)
                candidates.append(candidates[-1] + last_step)
            scored = None
            if energies and self.config.energy:
                scored = torch.stack([self.energies(candidate) for candidate in candidates])
        return Trajectory(torch.stack(candidates), scored)

    def predict_all(
        self, context: Clips, settings: Sequence[Setting], energies: bool = False
    ) -> list[Trajectory]:
        """A trajectory for each setting: those of one kind of descent are parts of one."""
        descents = [expect(setting, Descent) for setting in settings]
        found: dict[Setting, Trajectory] = {}
        for nesterov in (False, True):
            own = [descent for descent in descents if descent.nesterov == nesterov]
            found |= zip(own, predict_longest(self, context, own, energies), strict=True)
        return [found[descent] for descent in descents]

    def features(self, context: Clips) -> dict[str, Tensor]:
        """Features `[B, 1, P, W]` of the noisy images after the last block."""
        return self.network.features(Clips(_interpolated(context), context.keys))

    def field(self, images: Tensor) -> Tensor:
        """The field `[B, 1, P, D]` at images `[B, 1, P, D]`, from noise to clean ones reversed.

        It can be differentiated where gradients are recorded.
        """
        if self.config.energy is None:
            return self._output(images)
        recorded = torch.is_grad_enabled()
        with torch.inference_mode(False), torch.enable_grad():
            # A copy, because what was made in inference mode takes no part in gradients.
            images = images.detach().clone().requires_grad_()
            (gradient,) = torch.autograd.grad(
                self.energies(images).sum(), images, create_graph=recorded
            )
        return gradient

    def energies(self, images: Tensor) -> Tensor:
        """Energies of patches `[B, 1, P]` of images `[B, 1, P, D]`; their sum is the energy.

        Raises:
            ValueError: the field has none.
        """
        if self.config.energy is None:
            raise ValueError("this field is no gradient of an energy")
        output = self._output(images)
        return (images * output if self.config.energy == "dot" else output.square() / 2).sum(-1)

    def denoising_losses(
        self, batch: Clips, noisy: Tensor, noise: Tensor, step: Tensor, seed: int
    ) -> Iterator[Tensor]:
        """Mean squared error of the field."""
        alpha = cumulative_alphas().to(noisy)[step].view(-1, 1, 1, 1)
        scale = alpha.sqrt() + (1 - alpha).sqrt()
        strength = self.strength(alpha.sqrt() / scale)
        yield F.mse_loss(self.field(noisy / scale), strength * (noise - batch.embeddings))

    def strength(self, gamma: Tensor) -> Tensor:
        """c(gamma): flat up to `decay_from`, from there falling in a line to zero at 1."""
        return self.config.multiplier * ((1 - gamma) / (1 - self.config.decay_from)).clamp_max(1)

    def _output(self, images: Tensor) -> Tensor:
        return self.network.next_frame(self.network.encode(images))


def _interpolated(context: Clips) -> Tensor:
    """Noisy images `[B, 1, P, D]` as points between clean ones and noise: shares that sum to 1.

    An image whose clean part was not shrunk, as diffusion shrinks it, is shrunk first.
    """
    assert isinstance(context, NoisyImages)
    signal, noise = signal_and_noise(context.step)
    return context.embeddings * (signal / context.signal / (signal + noise))
