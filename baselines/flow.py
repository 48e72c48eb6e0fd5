"""Flow matching on the EBT's own backbone: a vector field beside the energy, all else equal."""

import torch
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from torch import Tensor, nn

from baselines.config import FlowConfig
from baselines.flow_matching import TIME_SCALE, FlowMatching
from worldmodel.attention import at_least_float32
from worldmodel.backbone import ContextEncoder, EncodedContext, Transformer, Visible
from worldmodel.config import BackboneConfig
from worldmodel.layers import Head, initialise
from worldmodel.predictor import Clips

FREQUENCIES = 256  # of the embedding of a time (Peebles and Xie, 2023)


class NextFrameFlow(FlowMatching):
    """The EBT's two streams, in which the candidate is a noisy next frame at a time of its path.

    The context is encoded once for all passes and samples.
    """

    def __init__(
        self, config: FlowConfig, backbone: BackboneConfig, grid: tuple[int, int], dim: int
    ):
        super().__init__(config)
        self.stack = Transformer(backbone, grid)
        self.context = ContextEncoder(backbone, grid, dim, projected=True)
        self.embed_noisy = nn.Linear(dim, backbone.width, bias=False)
        initialise(self.embed_noisy)
        self.frequencies = Timesteps(FREQUENCIES, flip_sin_to_cos=True, downscale_freq_shift=0)
        self.embed_time = TimestepEmbedding(FREQUENCIES, backbone.width)
        self.head = Head(backbone.width, dim)

    @property
    def backbone(self) -> nn.Module:
        """The stack of both streams."""
        return self.stack

    def encode(self, embeddings: Tensor, past: EncodedContext | None = None) -> EncodedContext:
        """Encode observed frames `[B, T, P, D]` that follow `past`."""
        encoded: EncodedContext = self.context(self.stack, embeddings, past)
        return encoded

    def clean(
        self, noisy: Tensor, time: Tensor, encoded: EncodedContext, visible: Visible
    ) -> Tensor:
        """The clean frames `[B, C, P, D]` of `noisy` ones, at times that broadcast to `[B, C]`."""
        return at_least_float32(self.head(self._look(noisy, time, encoded, visible)))

    def features(self, context: Clips) -> dict[str, Tensor]:
        """Features of the context, and of the candidate stream in the first pass."""
        with torch.no_grad():
            encoded, visible = self._encoded(context)
            noise = self.noise(encoded, visible, context.keys)
            first = self._look(noise, noise.new_zeros(1, 1), encoded, visible)
        return {"context": encoded.features, "candidate": first}

    def _look(
        self, noisy: Tensor, time: Tensor, encoded: EncodedContext, visible: Visible
    ) -> Tensor:
        """Features `[B, C, P, W]` of noisy frames."""
        waves = self.frequencies(TIME_SCALE * time.flatten()).to(noisy)
        at_time = self.embed_time(waves).unflatten(0, time.shape)[:, :, None]  # [B, C, 1, W]
        handed_on = encoded.features.index_select(1, visible.index - 1)  # [B, C, P, W]
        tokens = self.context.position + handed_on + self.embed_noisy(noisy) + at_time
        return self.stack.candidates(tokens, encoded, visible).features
