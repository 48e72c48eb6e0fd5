"""The direct regressor: the EBT's own backbone, denoising in one pass."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from baselines.config import DirectConfig, TransformerPPConfig
from baselines.transformer_pp import TransformerPP
from denoise.model import TrainedDenoiser
from worldmodel.config import BackboneConfig
from worldmodel.predictor import Clips, Passes, Setting, Trajectory, expect, predict_longest


class DirectDenoiser(TrainedDenoiser):
    """Predict the clean image as a change of the noisy one.

    Its settings say how often it is applied to its own output; it is trained for one pass.
    """

    def __init__(
        self, config: DirectConfig, backbone: BackboneConfig, grid: tuple[int, int], dim: int
    ):
        super().__init__(config.levels)
        regressor = TransformerPPConfig(anchor="last_frame")
        self.regressor = TransformerPP(regressor, backbone, grid, dim)

    @property
    def backbone(self) -> nn.Module:
        """The stack."""
        return self.regressor.backbone

    def regions(self) -> list[tuple[nn.Module, str]]:
        """All but the linear head."""
        return self.regressor.regions()

    def settings(self, counts: Sequence[int]) -> Sequence[Setting]:
        """A setting for each number of passes."""
        return [Passes(passes) for passes in sorted({1, *counts})]

    def trained_setting(self) -> Setting:
        """One pass."""
        return Passes(1)

    def predict(self, context: Clips, setting: Setting, energies: bool = False) -> Trajectory:
        """Denoise as often as the setting says."""
        candidates = [context.embeddings]
        for _ in range(expect(setting, Passes).passes):
            noisy = Clips(candidates[-1], context.keys)
            candidates.append(self.regressor.predict(noisy, Setting()).prediction)
        return Trajectory(torch.stack(candidates))

    def features(self, context: Clips) -> dict[str, Tensor]:
        """Features after the last block."""
        return self.regressor.features(context)

    def predict_all(
        self, context: Clips, settings: Sequence[Setting], energies: bool = False
    ) -> list[Trajectory]:
        """A trajectory for each setting: all are parts of the longest one."""
        return predict_longest(self, context, settings, energies)

    def denoising_losses(
        self, batch: Clips, noisy: Tensor, noise: Tensor, step: Tensor, seed: int
    ) -> Iterator[Tensor]:
        """Smooth-L1 of one pass."""
        pairs = Clips(torch.cat([noisy, batch.embeddings], dim=1), batch.keys)
        yield from self.regressor.training_losses(pairs, seed)
