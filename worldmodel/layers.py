"""The layers of a Llama-style block, in the two streams that the EBT runs through it.

The candidate stream is followed by an input-gradient pass. That gradient is written out here,
layer by layer, instead of being left to autograd: training then differentiates it once (first
order, which compiles), and inference records no graph at all. A layer's `keeping` computes its
output and keeps what its `input_gradient` needs: the product of a gradient with its Jacobian.

Letters in shapes: B batch, T frames, C candidate frames, P patches per frame, W model width,
A attention heads, K width of a head, L context tokens (T * P).
"""

from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldmodel.attention import (
    KeptAttention,
    ObservedFrames,
    Rotation,
    Seen,
    at_least_float32,
    attend,
    attention_gradient,
    observe,
)
from worldmodel.config import BackboneConfig

# Llama's base for time; patches lie on grids of a few dozen rows, so space turns faster.
TIME_BASE, SPACE_BASE = 10_000.0, 100.0
HEAD_STD = 0.02  # of the weights of heads: predictions and energies begin near their anchors

KeyValue = tuple[Tensor, Tensor]  # keys and values of a layer, `[B, A, L, K]` each


class KeptNorm(NamedTuple):
    """The normalised input `[..., W]` and what it was multiplied with `[..., 1]`."""

    normal: Tensor
    scale: Tensor


class KeptFeedForward(NamedTuple):
    """Both linear outputs, the sigmoid of the gate and their product, each `[..., hidden]`."""

    gate: Tensor
    up: Tensor
    sigmoid: Tensor
    silu: Tensor


class KeptBlock(NamedTuple):
    """What the input gradient of a block needs from its forward pass."""

    attention_norm: KeptNorm
    attention: KeptAttention
    feed_forward_norm: KeptNorm
    feed_forward: KeptFeedForward


class RMSNorm(nn.Module):
    """Root-mean-square normalisation (Zhang and Sennrich, 2019), in float32 at least."""

    def __init__(self, width: int, eps: float = 1e-6):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the last dimension."""
        y = F.rms_norm(at_least_float32(x), self.weight.shape, self.weight, self.eps)
        return y.to(x.dtype)

    def keeping(self, x: Tensor) -> tuple[Tensor, KeptNorm]:
        """The same, and what `input_gradient` needs."""
        wide = at_least_float32(x)
        scale = torch.rsqrt(wide.square().mean(dim=-1, keepdim=True) + self.eps)
        normal = wide * scale
        return (normal * self.weight).to(x.dtype), KeptNorm(normal, scale)

    def input_gradient(self, gradient: Tensor, kept: KeptNorm) -> Tensor:
        """Gradient `[..., W]` on the input from that on the output."""
        gradient = at_least_float32(gradient) * self.weight
        along = (gradient * kept.normal).mean(dim=-1, keepdim=True)
        return kept.scale * torch.addcmul(gradient, kept.normal, along, value=-1)


class SwiGLU(nn.Module):
    """Gated feed-forward layer (Shazeer, 2020), without biases."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """`[..., W]` to `[..., W]`."""
        return self.down(F.silu(self.gate(x)) * self.up(x))

    def keeping(self, x: Tensor) -> tuple[Tensor, KeptFeedForward]:
        """The same, and what `input_gradient` needs."""
        gate, up = self.gate(x), self.up(x)
        sigmoid = gate.sigmoid()
        silu = gate * sigmoid
        return self.down(silu * up), KeptFeedForward(gate, up, sigmoid, silu)

    def input_gradient(self, gradient: Tensor, kept: KeptFeedForward) -> Tensor:
        """Gradient `[..., W]` on the input from that on the output."""
        hidden = gradient @ self.down.weight  # [..., hidden]
        # Slope of silu at the gate: silu + sigmoid (1 - silu).
        slope = torch.lerp(kept.silu, kept.silu.new_ones(()), kept.sigmoid)
        to_gate, to_up = hidden * kept.up * slope, hidden * kept.silu
        return (to_gate @ self.gate.weight).add_(to_up @ self.up.weight)


class Rotary(nn.Module):
    """Rotary positions (Su et al., 2021) over time, row and column.

    Half of a head's pairs turn with time, a quarter with the row and a quarter with the column;
    with one patch per frame all turn with time, and the layer is Llama's.
    """

    time: Tensor
    space: Tensor

    def __init__(self, head_width: int, grid: tuple[int, int]):
        super().__init__()
        rows, columns = grid
        pairs = head_width // 2
        spatial = 0 if rows * columns == 1 else pairs // 4
        time = _frequencies(TIME_BASE, pairs - 2 * spatial)
        space = _frequencies(SPACE_BASE, spatial)
        row = torch.arange(rows).repeat_interleave(columns)[:, None] * space  # [P, pairs / 4]
        column = torch.arange(columns).repeat(rows)[:, None] * space
        self.register_buffer("time", time, persistent=False)
        self.register_buffer("space", torch.cat([row, column], dim=1), persistent=False)

    def forward(self, frame_index: Tensor) -> Rotation:
        """Cosine and signed sine `[T * P, K]` for the patches of frames `[T]`.

        The two of a pair lie half a head apart: `x cosine + x rolled by half a head * sine`.
        """
        time = frame_index[:, None] * self.time  # [T, pairs / 2]
        frames, patches = len(time), len(self.space)
        angles = torch.cat(
            [
                time[:, None].expand(-1, patches, -1),
                self.space[None].expand(frames, -1, -1),
            ],
            dim=2,
        ).flatten(0, 1)  # [T * P, pairs]
        cosine, sine = angles.cos(), angles.sin()
        return torch.cat([cosine, cosine], dim=1), torch.cat([-sine, sine], dim=1)


class Attention(nn.Module):
    """Multi-head attention without biases, in a context stream and a candidate stream."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.fused = True  # whether observed frames may be attended to by fused kernels
        self.scale = (width // heads) ** -0.5
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.output = nn.Linear(width, width, bias=False)

    def context(
        self, x: Tensor, rotation: Rotation, past: KeyValue | None, frames: ObservedFrames
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Attend from tokens `[B, T * P, W]` to the past and to themselves.

        Returns the output and the keys and values `[B, A, L, K]`, the past's included.
        """
        query, key, value = (
            self._heads(layer(x)) for layer in (self.query, self.key, self.value)
        )  # [B, A, T * P, K]
        query, key = _turned(query, rotation), _turned(key, rotation)
        if past is not None:
            key, value = torch.cat([past[0], key], dim=2), torch.cat([past[1], value], dim=2)
        y = observe(query, key, value, frames, self.fused)
        return self.output(self._merge(y)), key, value

    def candidates(self, x: Tensor, seen: Seen) -> tuple[Tensor, KeptAttention]:
        """Attend from candidate tokens `[B, C, P, W]` to the context and to their own frame."""
        frames = x.shape[1:3]  # [C, P]
        flat = x.flatten(1, 2)
        query, key, value = (
            self._heads(layer(flat)).contiguous() for layer in (self.query, self.key, self.value)
        )  # [B, A, C * P, K]; each is read by several products
        query = _turned(query, _scaled(seen.rotation, self.scale))
        key = _turned(key, seen.rotation)
        kept = attend(query, key, value, seen, frames)
        return self.output(self._merge(kept.mixed)).unflatten(1, frames), kept

    def input_gradient(self, gradient: Tensor, kept: KeptAttention, seen: Seen) -> Tensor:
        """Gradient `[B, C, P, W]` on candidate tokens from that on the output."""
        frames = gradient.shape[1:3]
        flat = self._heads(gradient.flatten(1, 2) @ self.output.weight).contiguous()
        # Weighted sum of the weights' gradients, as in FlashAttention (2205.14135, appendix B.4).
        expected = (flat * kept.mixed).sum(dim=3, keepdim=True)
        to_query, to_key, to_value = attention_gradient(flat, expected, kept, seen, frames)
        cosine, sine = seen.rotation
        inverse = (cosine, -sine)
        y = self._merge(to_value) @ self.value.weight
        y.add_(self._merge(_turned(to_key, inverse)) @ self.key.weight)
        to_query = _turned(to_query, _scaled(inverse, self.scale))
        return y.add_(self._merge(to_query) @ self.query.weight).unflatten(1, frames)

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)  # [B, A, tokens, K]

    @staticmethod
    def _merge(y: Tensor) -> Tensor:
        return y.transpose(1, 2).flatten(2)  # [B, tokens, W]


class Block(nn.Module):
    """Attention and SwiGLU, each normalised before and added to its input."""

    def __init__(self, config: BackboneConfig):
        super().__init__()
        self.attention_norm = RMSNorm(config.width)
        self.attention = Attention(config.width, config.heads)
        self.feed_forward_norm = RMSNorm(config.width)
        self.feed_forward = SwiGLU(config.width, config.resolved_hidden)

    def context(
        self, x: Tensor, rotation: Rotation, past: KeyValue | None, frames: ObservedFrames
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Context stream: tokens `[B, T * P, W]` after the block, and all keys and values."""
        y, key, value = self.attention.context(self.attention_norm(x), rotation, past, frames)
        x = x + y
        return x + self.feed_forward(self.feed_forward_norm(x)), key, value

    def candidates(self, x: Tensor, seen: Seen) -> tuple[Tensor, KeptBlock]:
        """Candidate stream: tokens `[B, C, P, W]` after the block, and what was kept."""
        y, attention_norm = self.attention_norm.keeping(x)
        y, attention = self.attention.candidates(y, seen)
        x = x + y
        y, feed_forward_norm = self.feed_forward_norm.keeping(x)
        y, feed_forward = self.feed_forward.keeping(y)
        return x + y, KeptBlock(attention_norm, attention, feed_forward_norm, feed_forward)

    def input_gradient(self, gradient: Tensor, kept: KeptBlock, seen: Seen) -> Tensor:
        """Gradient `[B, C, P, W]` on the candidate stream's input from that on its output."""
        y = self.feed_forward.input_gradient(gradient, kept.feed_forward)
        gradient = gradient + self.feed_forward_norm.input_gradient(y, kept.feed_forward_norm)
        y = self.attention.input_gradient(gradient, kept.attention, seen)
        return gradient + self.attention_norm.input_gradient(y, kept.attention_norm)


class Head(nn.Linear):
    """A linear head on features, with small weights: one number, or an embedding.

    Where `gained`, what it reads is multiplied by a gain that is set once and not learned.
    """

    log_gain: Tensor | None

    def __init__(self, width: int, outputs: int, bias: float | None = None, gained: bool = False):
        super().__init__(width, outputs, bias=bias is not None)
        nn.init.normal_(self.weight, std=HEAD_STD)
        if bias is not None:
            nn.init.constant_(self.bias, bias)
        self.register_buffer("log_gain", torch.zeros(()) if gained else None)

    def forward(self, features: Tensor) -> Tensor:
        """`[..., W]` to `[..., outputs]`."""
        return self._gained(super().forward(features))

    def input_gradient(self, gradient: Tensor) -> Tensor:
        """Gradient `[..., W]` on the features from that on the output."""
        weight = self._gained(self.weight)
        return gradient * weight[0] if len(weight) == 1 else gradient @ weight

    def _gained(self, x: Tensor) -> Tensor:
        return x if self.log_gain is None else self.log_gain.exp() * x


class Heads(nn.ModuleDict):
    """Heads by their names."""

    def __getitem__(self, name: str) -> Head:
        return cast(Head, super().__getitem__(name))


def initialise(module: nn.Module) -> None:
    """Normal weights that keep the variance of their input."""
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=module.in_features**-0.5)


def _frequencies(base: float, pairs: int) -> Tensor:
    return torch.pow(base, -torch.arange(pairs) / max(pairs, 1))


def _scaled(rotation: Rotation, scale: float) -> Rotation:
    return rotation[0] * scale, rotation[1] * scale


def _turned(x: Tensor, rotation: Rotation) -> Tensor:
    cosine, sine = rotation
    return (x * cosine).addcmul_(x.roll(x.shape[-1] // 2, dims=-1), sine).to(x.dtype)
