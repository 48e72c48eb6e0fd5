"""A transformer over the patches of an image whose norms follow a condition (adaLN-Zero).

Peebles and Xie (2023), section 3.2, as the published image models are built
(arXiv 2507.02092, section 4.3). Letters in shapes: B images, P patches, D embedding width,
W model width, A attention heads, K width of a head.
"""

from collections import deque
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from worldmodel.config import BackboneConfig

NORM_EPS = 1e-6
POSITION_BASE = 10_000.0


class SelfAttention(nn.Module):
    """Multi-head attention of all patches to all patches."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, P, W]` to `[B, P, W]`."""
        heads = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = heads.unbind(0)  # [B, A, P, K] each
        if torch.is_grad_enabled():
            # Fused kernels have no second derivative, which training an energy takes.
            weights = (query @ key.transpose(2, 3) * query.shape[3] ** -0.5).softmax(3)
            mixed = weights.to(value.dtype) @ value
        else:
            mixed = F.scaled_dot_product_attention(query, key, value)
        return self.output(mixed.transpose(1, 2).flatten(2))


class AdaptiveBlock(nn.Module):
    """Attention and an MLP of the model's width, each with shift, scale and gate by a condition."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.modulation = nn.Linear(width, 6 * width)
        self.attention = SelfAttention(width, heads)
        self.up = nn.Linear(width, width)
        self.down = nn.Linear(width, width)

    def forward(self, tokens: Tensor, condition: Tensor) -> Tensor:
        """Tokens `[B, P, W]` under a condition `[B, W]`, or under one `[1, W]` for all images."""
        shift, scale, gate, inner_shift, inner_scale, inner_gate = _modulated(
            self.modulation, condition, 6
        )
        tokens = tokens + gate * self.attention(_normalised(tokens) * (1 + scale) + shift)
        inner = _normalised(tokens) * (1 + inner_scale) + inner_shift
        return tokens + inner_gate * self.down(F.gelu(self.up(inner), approximate="tanh"))


class AdaptiveReadout(nn.Module):
    """The last layer: a norm with shift and scale by a condition, then a linear one."""

    def __init__(self, width: int, outputs: int, bias: bool):
        super().__init__()
        self.modulation = nn.Linear(width, 2 * width)
        self.linear = nn.Linear(width, outputs, bias)

    def forward(self, tokens: Tensor, condition: Tensor) -> Tensor:
        """Tokens `[B, P, W]` to outputs `[B, P, outputs]`, in float32 at least."""
        shift, scale = _modulated(self.modulation, condition, 2)
        tokens = _normalised(tokens) * (1 + scale) + shift
        with torch.autocast(tokens.device.type, enabled=False):
            return self.linear(tokens.to(self.linear.weight.dtype))


class AdaptiveTransformer(nn.Module):
    """Blocks over the patches of an image, at fixed positions, under a condition.

    What it is a part of says where the condition comes from.

    Args:
        outputs: number of outputs for each patch.
        bias: whether the outputs have a bias.
    """

    positions: Tensor

    def __init__(
        self, config: BackboneConfig, grid: tuple[int, int], dim: int, outputs: int, bias: bool
    ):
        super().__init__()
        self.embed = nn.Linear(dim, config.width)
        self.register_buffer("positions", sincos_positions(grid, config.width), persistent=False)
        blocks = [AdaptiveBlock(config.width, config.heads) for _ in range(config.layers)]
        self.blocks = nn.ModuleList(blocks)
        self.readout = AdaptiveReadout(config.width, outputs, bias)
        self._recompute = False
        self.apply(_initialise)
        zeros = [block.modulation for block in blocks]
        for layer in (*zeros, self.readout.modulation, self.readout.linear):
            nn.init.zeros_(layer.weight)

    def enable_gradient_checkpointing(self) -> None:
        """Compute the blocks again in backward passes instead of keeping what they need."""
        self._recompute = True

    @property
    def recomputes(self) -> bool:
        """Whether backward passes compute the blocks again."""
        return self._recompute

    def read(self, image: Tensor, condition: Tensor) -> Tensor:
        """Outputs `[B, P, outputs]` for images `[B, P, D]` under a condition `[B, W]`."""
        (tokens,) = deque(self.after_blocks(image, condition), maxlen=1)  # the others are not kept
        return self.readout(tokens, condition)

    def after_blocks(self, image: Tensor, condition: Tensor) -> Iterator[Tensor]:
        """Tokens `[B, P, W]` of images `[B, P, D]` after each block."""
        tokens = self.embed(image) + self.positions
        for block in self.blocks:
            if self._recompute and torch.is_grad_enabled():
                tokens = checkpoint(block, tokens, condition, use_reentrant=False)
            else:
                tokens = block(tokens, condition)
            yield tokens


def sincos_positions(grid: tuple[int, int], width: int) -> Tensor:
    """Positions `[P, W]`: sines and cosines of the column, then of the row, a quarter each."""
    quarter = width // 4
    frequencies = POSITION_BASE ** (-torch.arange(quarter, dtype=torch.float64) / quarter)
    rows, columns = (torch.arange(size, dtype=torch.float64) for size in grid)
    row = rows.repeat_interleave(len(columns))[:, None] * frequencies  # [P, W / 4]
    column = columns.repeat(len(rows))[:, None] * frequencies
    return torch.cat([column.sin(), column.cos(), row.sin(), row.cos()], dim=1).float()


def _normalised(tokens: Tensor) -> Tensor:
    return F.layer_norm(tokens, tokens.shape[-1:], eps=NORM_EPS)


def _modulated(layer: nn.Linear, condition: Tensor, parts: int) -> tuple[Tensor, ...]:
    """What a condition `[B, W]` says to all patches: that many parts `[B, 1, W]`."""
    return layer(F.silu(condition))[:, None].chunk(parts, dim=2)


def _initialise(module: nn.Module) -> None:
    """Xavier uniform weights, and biases of zero."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
