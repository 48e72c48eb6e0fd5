"""The published Transformer++ on video: the published EBT's layers, in one pass per prediction.

Letters in shapes: B batch, T frames, P patches per frame, D embedding width, W model width.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.config import TransformerPublishedConfig
from worldmodel.attention import at_least_float32
from worldmodel.backbone import EncodedContext
from worldmodel.config import BackboneConfig
from worldmodel.predictor import Clips, Predictor, Setting, Trajectory
from worldmodel.published.layers import PublishedTransformer, initialise
from worldmodel.rollout import cached_rollout


class TransformerPublished(Predictor):
    """Causal blocks over one token per frame (arXiv 2507.02092, and its public code).

    The patches of a frame are projected to one token. The next frame is read from it by a linear
    layer of the model's width and a projection back.
    """

    def __init__(
        self,
        config: TransformerPublishedConfig,
        backbone: BackboneConfig,
        grid: tuple[int, int],
        dim: int,
    ):
        super().__init__()
        self.frame = (grid[0] * grid[1], dim)
        frame, width = grid[0] * grid[1] * dim, backbone.width
        self.project = nn.Linear(frame, width)
        self.transformer = PublishedTransformer(backbone)
        self.output = nn.Linear(width, width, bias=False)
        self.project_back = nn.Linear(width, frame)
        for layer in (self.project, self.output, self.project_back):
            initialise(layer)

    @property
    def backbone(self) -> nn.Module:
        """The stack."""
        return self.transformer

    def regions(self) -> list[tuple[nn.Module, str]]:
        """All but the linear layers after the stack."""
        return [(self, "encode")]

    def encode(self, embeddings: Tensor, past: EncodedContext | None = None) -> EncodedContext:
        """Encode frames `[B, T, P, D]` after `past`; each sees itself and what precedes it."""
        tokens = self.project(embeddings.flatten(2))[:, :, None]  # [B, T, 1, W]
        features, keys, values = self.transformer(tokens, past)
        if past is not None:
            features = torch.cat([past.features, features], dim=1)
            embeddings = torch.cat([past.embeddings, embeddings], dim=1)
        return EncodedContext(keys, values, features, embeddings)

    def predict(self, context: Clips, setting: Setting, energies: bool = False) -> Trajectory:
        """Predict every next frame in one pass."""
        with torch.no_grad():
            return Trajectory(self._predict(self.encode(context.embeddings).features)[None])

    def rollout(self, context: Clips, horizon: int, setting: Setting) -> Tensor:
        """Predict `horizon` frames with a key/value cache."""
        with torch.no_grad():
            return cached_rollout(self.encode, self.next_frame, context.embeddings, horizon)

    def next_frame(self, encoded: EncodedContext) -> Tensor:
        """The frame `[B, 1, P, D]` that follows all observed ones."""
        return self._predict(encoded.features[:, -1:])

    def features(self, context: Clips) -> dict[str, Tensor]:
        """Features `[B, T, 1, W]` after the last block, of one token per frame."""
        with torch.no_grad():
            return {"context": self.encode(context.embeddings).features}

    def training_losses(self, batch: Clips, seed: int) -> Iterator[Tensor]:
        """Smooth-L1 on all next frames."""
        prediction = self._predict(self.encode(batch.observed[:, :-1]).features)
        yield F.smooth_l1_loss(prediction, batch.embeddings[:, 1:])

    def _predict(self, features: Tensor) -> Tensor:
        """Frames `[B, T, P, D]` from features `[B, T, 1, W]` of those before them."""
        frames = at_least_float32(self.project_back(self.output(features[:, :, 0])))
        return frames.unflatten(2, self.frame)
