"""A denoiser of your own: every patch alone, by a small network.

python benchmarks/run.py --task denoise --model examples.patch_denoiser:PatchDenoiser
"""

import torch
import torch.nn.functional as F
from torch import nn

from denoise.model import TrainedDenoiser
from worldmodel.predictor import Trajectory


class PatchDenoiser(TrainedDenoiser):
    """Predict the clean patch as a change of the noisy one."""

    def __init__(self, config, backbone, grid, dim):
        super().__init__(levels=[0.1, 0.1])  # of the noise in training: t = 99
        self.network = nn.Sequential(nn.Linear(dim, 256), nn.GELU(), nn.Linear(256, dim))

    @property
    def backbone(self):
        return self.network  # one call of it is one forward pass

    def predict(self, context, setting, energies=False):
        noisy = context.embeddings  # [B, 1, P, D]
        with torch.no_grad():
            return Trajectory(torch.stack([noisy, noisy + self.network(noisy)]))

    def denoising_losses(self, batch, noisy, noise, step, seed):
        yield F.smooth_l1_loss(noisy + self.network(noisy), batch.embeddings)
