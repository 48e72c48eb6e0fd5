"""Transformer++ with a variance: the next frame as a normal distribution, in one pass."""

import math
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from baselines.config import GaussianConfig
from baselines.transformer_pp import TransformerPP
from worldmodel.attention import at_least_float32
from worldmodel.backbone import EncodedContext
from worldmodel.config import BackboneConfig
from worldmodel.layers import Head
from worldmodel.noise import spread_around
from worldmodel.predictor import Clips, Setting, Trajectory
from worldmodel.surprise import LIKELIHOOD, Surprise

START_BIAS = math.log(math.e - 1)  # softplus gives a variance of 1, that of scaled embeddings


class TransformerPPGaussian(TransformerPP):
    """Predicts a mean frame and a variance for each patch (Nix and Weigend, 1994)."""

    def __init__(
        self, config: GaussianConfig, backbone: BackboneConfig, grid: tuple[int, int], dim: int
    ):
        super().__init__(config, backbone, grid, dim)
        self.floor = config.variance_floor
        self.variance_head = Head(backbone.width, 1, START_BIAS)

    def predict(self, context: Clips, setting: Setting, energies: bool = False) -> Trajectory:
        """Predict the mean of every next frame in one pass.

        The energy of a patch is the half squared error that its variance expects.
        """
        with torch.no_grad():
            encoded = self.encode(context.embeddings)
            mean = self._predict(encoded)
            expected = mean.shape[-1] * self._variance(encoded) / 2 if energies else None
        return Trajectory(mean[None], None if expected is None else expected[None])

    def sample(self, context: Clips, setting: Setting, count: int) -> Tensor:
        """Samples `[B, T, N, P, D]` of every next frame."""
        with torch.no_grad():
            encoded = self.encode(context.embeddings)
            mean, variance = self._predict(encoded), self._variance(encoded)
        return spread_around(mean, variance, context.keys, self.start_seed, count)

    def surprises(self, counts: Sequence[int]) -> Sequence[Surprise]:
        """Its negative log-likelihood, besides the distance to its own prediction."""
        return [Surprise(LIKELIHOOD, "1 pass", self.surprise), *super().surprises(counts)]

    def surprise(self, context: Clips, candidates: Tensor) -> Tensor:
        """Negative log-likelihood `[B, N]` of candidates `[B, N, P, D]`, without its constant."""
        with torch.no_grad():
            encoded = self.encode(context.embeddings)
            mean = self._predict(encoded, last_only=True)  # [B, 1, P, D]
            variance = self._variance(encoded)[:, -1:]  # [B, 1, P]
        error, dim = (candidates - mean).square().sum(-1), candidates.shape[-1]
        return (error / variance + dim * variance.log()).sum(-1) / 2

    def training_losses(self, batch: Clips, seed: int) -> Iterator[Tensor]:
        """Negative log-likelihood of all next frames, the mean over their numbers."""
        encoded = self.encode(batch.observed[:, :-1])
        yield negative_log_likelihood(
            self._predict(encoded), self._variance(encoded), batch.embeddings[:, 1:]
        )

    def _variance(self, encoded: EncodedContext) -> Tensor:
        """Variances of patches `[B, T, P]`."""
        raw = at_least_float32(self.variance_head(encoded.features)).squeeze(-1)
        return F.softplus(raw) + self.floor


def negative_log_likelihood(mean: Tensor, variance: Tensor, target: Tensor) -> Tensor:
    """Of a target under normal distributions, both `[..., P, D]`, with variances `[..., P]`.

    In nats, the mean over all numbers. torch's own waits for the device to see that no variance is
    negative.
    """
    error = (target - mean).square().mean(-1)
    return (error / variance + variance.log()).mean() / 2 + math.log(2 * math.pi) / 2
