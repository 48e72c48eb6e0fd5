"""An ensemble of Transformers++ with a variance: a mixture of normal distributions."""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from baselines.config import EnsembleConfig
from baselines.transformer_pp_gaussian import TransformerPPGaussian
from worldmodel.backbone import EncodedContext
from worldmodel.config import BackboneConfig
from worldmodel.noise import Stream, keyed_uniform
from worldmodel.predictor import Clips, Predictor, Setting, Trajectory
from worldmodel.rollout import cached_rollout
from worldmodel.surprise import LIKELIHOOD, Surprise


class TransformerPPEnsemble(Predictor):
    """Members that differ in their first weights (Lakshminarayanan et al., 2017).

    Where members disagree, the variance of the mixture grows by that of their means.
    """

    def __init__(
        self, config: EnsembleConfig, backbone: BackboneConfig, grid: tuple[int, int], dim: int
    ):
        super().__init__()
        members = [
            TransformerPPGaussian(config, backbone, grid, dim) for _ in range(config.members)
        ]
        self.members: Sequence[TransformerPPGaussian] = nn.ModuleList(members)  # type: ignore[assignment]

    @property
    def backbone(self) -> nn.Module:
        """The stacks of all members: a call of each is a forward pass."""
        return Stacks(member.stack for member in self.members)

    @property
    def blocks(self) -> nn.Module:
        """The blocks of all members."""
        return nn.ModuleList(member.stack.blocks for member in self.members)

    def regions(self) -> list[tuple[nn.Module, str]]:
        """Those of all members."""
        return [region for member in self.members for region in member.regions()]

    def predict(self, context: Clips, setting: Setting, energies: bool = False) -> Trajectory:
        """Predict the mean of every next frame.

        The energy of a patch is the half squared error that the mixture's variance expects.
        """
        single = [member.predict(context, setting, energies) for member in self.members]
        means = torch.cat([one.candidates for one in single])  # [members, B, T, P, D]
        mean = means.mean(0, keepdim=True)
        if not energies:
            return Trajectory(mean)
        expected = torch.cat(
            [one.patch_energies for one in single if one.patch_energies is not None]
        )
        disagreement = (means - mean).square().sum(-1) / 2
        return Trajectory(mean, (expected + disagreement).mean(0, keepdim=True))

    def sample(self, context: Clips, setting: Setting, count: int) -> Tensor:
        """Samples `[B, T, N, P, D]` of every next frame, each from a member drawn at random."""
        drawn = torch.stack([member.sample(context, setting, count) for member in self.members])
        frames = torch.arange(1, drawn.shape[2] + 1, device=drawn.device)
        chance = keyed_uniform(Stream.MEMBER, (self.start_seed,), context.keys, frames, count)
        member = (chance * len(self.members)).long()  # [B, T, N]
        return torch.take_along_dim(drawn, member[None, ..., None, None], dim=0)[0]

    def rollout(self, context: Clips, horizon: int, setting: Setting) -> Tensor:
        """Predict `horizon` frames, the mean of all members fed back to each of them."""
        with torch.no_grad():
            return cached_rollout(self._encode, self._next_frame, context.embeddings, horizon)

    def surprises(self, counts: Sequence[int]) -> Sequence[Surprise]:
        """The mixture's negative log-likelihood, besides the distance to its own prediction."""
        return [Surprise(LIKELIHOOD, "1 pass", self._surprise), *super().surprises(counts)]

    def seed_starts(self, seed: int) -> None:
        """Draw samples from another seed."""
        super().seed_starts(seed)
        for member in self.members:
            member.seed_starts(seed)

    def training_losses(self, batch: Clips, seed: int) -> Iterator[Tensor]:
        """The losses of all members, one after the other; they add up to the mean."""
        for member in self.members:
            for loss in member.training_losses(batch, seed):
                yield loss / len(self.members)

    def _encode(
        self, embeddings: Tensor, past: Sequence[EncodedContext] | None
    ) -> Sequence[EncodedContext]:
        before = past if past is not None else [None] * len(self.members)
        return [m.encode(embeddings, own) for m, own in zip(self.members, before, strict=True)]

    def _next_frame(self, encoded: Sequence[EncodedContext]) -> Tensor:
        frames = [m.next_frame(own) for m, own in zip(self.members, encoded, strict=True)]
        return torch.stack(frames).mean(0)

    def _surprise(self, context: Clips, candidates: Tensor) -> Tensor:
        """Negative log-likelihood `[B, N]` of candidates `[B, N, P, D]`, without its constant."""
        each = torch.stack([member.surprise(context, candidates) for member in self.members])
        return math.log(len(self.members)) - torch.logsumexp(-each, dim=0)


class Stacks(nn.ModuleList):
    """Networks that run one after the other."""

    def enable_gradient_checkpointing(self) -> None:
        """Compute the blocks of each again in the backward pass."""
        for stack in self:
            stack.enable_gradient_checkpointing()  # type: ignore[operator]
