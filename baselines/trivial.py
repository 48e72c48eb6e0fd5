"""The floors: predictors without parameters that every trained model must beat."""

import torch
from torch import Tensor

from worldmodel.predictor import Clips, Predictor, Setting, Trajectory


class CopyLast(Predictor):
    """The next frame is the last one."""

    def predict(self, context: Clips, setting: Setting, energies: bool = False) -> Trajectory:
        """Repeat each frame."""
        return Trajectory(context.embeddings[None])


class LinearExtrapolation(Predictor):
    """The next frame continues the last change; after a single frame there is none."""

    def predict(self, context: Clips, setting: Setting, energies: bool = False) -> Trajectory:
        """Add the last change to each frame."""
        change = context.embeddings.diff(dim=1, prepend=context.embeddings[:, :1])
        return Trajectory((context.embeddings + change)[None])


class MeanFrame(Predictor):
    """The next frame is the mean frame `[P, D]` of the training split."""

    def __init__(self, mean: Tensor):
        super().__init__()
        self.register_buffer("mean", mean)

    def predict(self, context: Clips, setting: Setting, energies: bool = False) -> Trajectory:
        """Give the mean everywhere."""
        mean: Tensor = torch.as_tensor(self.mean)
        return Trajectory(mean.expand_as(context.embeddings)[None])
