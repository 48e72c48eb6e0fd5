"""Transformer++: the EBT's own layers, predicting the next frame in one pass."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.config import TransformerPPConfig
from worldmodel.attention import at_least_float32
from worldmodel.backbone import ContextEncoder, EncodedContext, Transformer
from worldmodel.config import BackboneConfig
from worldmodel.layers import Head
from worldmodel.predictor import Clips, Predictor, Setting, Trajectory
from worldmodel.rollout import cached_rollout
from worldmodel.sharing import accept_former_names


class TransformerPP(Predictor):
    """Llama-style blocks, causal over frames and dense within one (Gu and Dao, 2023, appendix E).

    With `backbone.depth` above its layers it is a looped transformer (Dehghani et al., 2019).
    Predicts the next frame, or its change from the last one, as `config.anchor` says.
    """

    def __init__(
        self,
        config: TransformerPPConfig,
        backbone: BackboneConfig,
        grid: tuple[int, int],
        dim: int,
    ):
        super().__init__()
        self.anchor = config.anchor
        self.stack = Transformer(backbone, grid)
        self.context = ContextEncoder(backbone, grid, dim)
        self.head = Head(backbone.width, dim)
        accept_former_names(self, {"context.backbone.": "stack."})

    @property
    def backbone(self) -> nn.Module:
        """The stack."""
        return self.stack

    def regions(self) -> list[tuple[nn.Module, str]]:
        """All but the linear head."""
        return [(self, "encode")]

    def encode(self, embeddings: Tensor, past: EncodedContext | None = None) -> EncodedContext:
        """Encode observed frames `[B, T, P, D]` that follow `past`."""
        encoded: EncodedContext = self.context(self.stack, embeddings, past)
        return encoded

    def predict(self, context: Clips, setting: Setting, energies: bool = False) -> Trajectory:
        """Predict every next frame in one pass."""
        with torch.no_grad():
            return Trajectory(self._predict(self.encode(context.embeddings))[None])

    def rollout(self, context: Clips, horizon: int, setting: Setting) -> Tensor:
        """Predict `horizon` frames with a key/value cache."""

        with torch.no_grad():
            return cached_rollout(self.encode, self.next_frame, context.embeddings, horizon)

    def features(self, context: Clips) -> dict[str, Tensor]:
        """Features after the last block."""
        with torch.no_grad():
            return {"context": self.encode(context.embeddings).features}

    def next_frame(self, encoded: EncodedContext) -> Tensor:
        """The frame `[B, 1, P, D]` that follows all observed ones."""
        return self._predict(encoded, last_only=True)

    def training_losses(self, batch: Clips, seed: int) -> Iterator[Tensor]:
        """Smooth-L1 on all next frames."""
        prediction = self._predict(self.encode(batch.observed[:, :-1]))
        yield F.smooth_l1_loss(prediction, batch.embeddings[:, 1:])

    def _predict(self, encoded: EncodedContext, last_only: bool = False) -> Tensor:
        frames = slice(-1, None) if last_only else slice(None)
        prediction = at_least_float32(self.head(encoded.features[:, frames]))
        if self.anchor == "last_frame":
            prediction = prediction + encoded.embeddings[:, frames]
        return prediction
