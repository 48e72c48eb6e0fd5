"""An energy that can choose: the EBT's own, trained to tell the true next frame from others.

Squared error has an energy with one minimum, the mean of all futures. Telling the true frame from
other frames instead makes the energy low at every future that may follow.
"""

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.config import ContrastiveConfig, FlowConfig
from baselines.flow import NextFrameFlow
from baselines.flow_sampling import Sampled
from worldmodel.backbone import Visible
from worldmodel.config import BackboneConfig
from worldmodel.next_frame import NextFrameEBT
from worldmodel.noise import Stream, keyed_uniform
from worldmodel.predictor import Clips

PASSES = 2  # of a flow's sample in training


class ContrastiveEBT(NextFrameEBT):
    """Tells the true next frame from frames of other clips and times, mixtures, and samples.

    The samples are of a flow with a backbone of its own, which is trained beside the energy and
    which nothing but training uses.
    """

    config: ContrastiveConfig

    def __init__(
        self, config: ContrastiveConfig, backbone: BackboneConfig, grid: tuple[int, int], dim: int
    ):
        super().__init__(config, backbone, grid, dim)
        self.sampler = NextFrameFlow(FlowConfig(), backbone, grid, dim)
        # Energies are sums over all that a frame is made of; a mean over it is the start.
        self.log_scale = nn.Parameter(torch.tensor(-math.log(grid[0] * grid[1] * dim)))

    def training_losses(self, batch: Clips, seed: int) -> Iterator[Tensor]:
        """The loss of the sampler, the contrast, and that of the descent in its share."""
        yield from self.sampler.training_losses(batch, seed)
        yield self.contrast(batch, seed)
        if weight := self.config.descent_weight:
            for loss in super().training_losses(batch, seed):
                yield weight * loss

    def validation_loss(self, batch: Clips) -> Tensor:
        """The contrast, and Smooth-L1 after descent in its share."""
        with torch.no_grad():
            found = self.contrast(batch, 0)
        weight = self.config.descent_weight
        return found + weight * super().validation_loss(batch) if weight else found

    def contrast(self, batch: Clips, seed: int) -> Tensor:
        """How badly the energy tells the true next frames from others, in nats.

        `info_nce` is the cross-entropy of the true one among all (van den Oord et al., 2018,
        arXiv 1807.03748); `nce` asks of each candidate alone whether it is true, and so knows the
        odds (Gutmann and Hyvarinen, 2010; Ma and Collins, 2018). What an energy weighs in nats is
        learned.
        """
        candidates = torch.cat([batch.embeddings[:, 1:, None], self.negatives(batch, seed)], dim=2)
        encoded, count = self.energy.encode(batch.observed[:, :-1]), candidates.shape[2]
        visible = Visible.every(encoded.frames, candidates.device).repeated(count)
        energies = self.energy(candidates.flatten(1, 2), encoded, visible)
        logits = -energies.view(-1, count) * self.log_scale.exp()  # of the true frame first
        if self.config.contrast == "info_nce":
            return F.cross_entropy(logits, logits.new_zeros(len(logits), dtype=torch.long))
        odds = logits - math.log(count - 1)
        return (F.softplus(-odds[:, 0]) + F.softplus(odds[:, 1:]).sum(1)).mean()

    def negatives(self, batch: Clips, seed: int) -> Tensor:
        """Candidates `[B, T, N, P, D]` that are not the true next frames of a batch.

        Whole frames of another time and, where there is one, of another clip; the true frame with
        up to half of its patches from each of these; and samples.
        """
        true = batch.embeddings[:, 1:]  # [B, T, P, D]
        foreign = [
            true.roll(1 + seed % (length - 1), dim)  # seeds count up: every shift has its turn
            for dim, length in enumerate(true.shape[:2])
            if length > 1
        ]
        frames = torch.arange(true.shape[1], device=true.device)
        patches = true.shape[2]
        mixed = []
        for number, other in enumerate(foreign):
            key = Stream.TRAINING_NEGATIVES, (seed, number), batch.keys, frames
            drawn = keyed_uniform(*key, 1 + patches)  # [B, T, 1 + P]
            share = 1 / patches + drawn[..., :1] / 2
            mixed.append(torch.where((drawn[..., 1:] < share)[..., None], other, true))
        self.sampler.seed_starts(seed)
        context = Clips(batch.observed[:, :-1], batch.keys)
        samples = self.sampler.sample(context, Sampled(PASSES), self.config.samples)
        return torch.cat([torch.stack([*foreign, *mixed], dim=2), samples], dim=2)
