"""The published transformer: this suite's two streams with the published details.

There is one token per frame. Letters in shapes: B batch, A attention heads, K width of a head,
W model width.
"""

from dataclasses import replace

from torch import Tensor, nn

from worldmodel.backbone import Transformer
from worldmodel.config import BackboneConfig
from worldmodel.layers import Attention, Block

EPSILON = 1e-5  # of RMSNorm


class NeighbourAttention(Attention):
    """Attention whose rotary positions turn neighbouring components of a head (Su et al., 2021).

    The layers of the suite turn components that lie half a head apart. So a head is reordered,
    first its even components and then its odd ones, before attention, and put back after it.
    """

    def _heads(self, x: Tensor) -> Tensor:
        pairs = x.unflatten(2, (self.heads, -1, 2))  # [B, tokens, A, K / 2, 2]
        return pairs.transpose(3, 4).flatten(3).transpose(1, 2)  # [B, A, tokens, K]

    @staticmethod
    def _merge(y: Tensor) -> Tensor:
        halves = y.transpose(1, 2).unflatten(3, (2, -1))  # [B, tokens, A, 2, K / 2]
        return halves.transpose(3, 4).flatten(2)  # [B, tokens, W]


class PublishedBlock(Block):
    """Pre-norm attention and SwiGLU, whose width inside is the model width."""

    def __init__(self, config: BackboneConfig):
        super().__init__(replace(config, hidden=config.width))
        self.attention = NeighbourAttention(config.width, config.heads)
        self.attention_norm.eps = self.feed_forward_norm.eps = EPSILON


class PublishedTransformer(Transformer):
    """Stack of published blocks over one token per frame, its weights Xavier normal."""

    def __init__(self, config: BackboneConfig):
        super().__init__(config, grid=(1, 1))
        self.blocks = nn.ModuleList([PublishedBlock(config) for _ in range(config.layers)])
        self.norm.eps = EPSILON
        self.apply(initialise)


def initialise(module: nn.Module) -> None:
    """Xavier normal weights, and biases of zero."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_normal_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
