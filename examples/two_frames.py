"""A next-frame model of your own: each patch from the same patch of the last two frames.

python benchmarks/run.py --task next_frame --model examples.two_frames:TwoFrames
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from worldmodel.config import ModelConfig
from worldmodel.predictor import Predictor, Trajectory


@dataclass
class TwoFramesConfig(ModelConfig):
    """Its options: --two_frames.hidden, --two_frames.learning_rate.

    Args:
        hidden: width of the hidden layer.
    """

    hidden: int = 128


class TwoFrames(Predictor):
    """Predict the change of every patch by a small network."""

    Config = TwoFramesConfig

    def __init__(self, config, backbone, grid, dim):
        super().__init__()
        layers = nn.Linear(2 * dim, config.hidden), nn.GELU(), nn.Linear(config.hidden, dim)
        self.network = nn.Sequential(*layers)

    @property
    def backbone(self):
        return self.network  # one call of it is one forward pass

    def predict(self, context, setting, energies=False):
        with torch.no_grad():
            return Trajectory(self.next_frames(context.embeddings)[None])  # [1, B, T, P, D]

    def training_losses(self, batch, seed):
        yield F.smooth_l1_loss(self.next_frames(batch.observed[:, :-1]), batch.embeddings[:, 1:])

    def next_frames(self, frames):  # [B, T, P, D]
        before = torch.cat([frames[:, :1], frames[:, :-1]], dim=1)
        return frames + self.network(torch.cat([before, frames], dim=-1))
