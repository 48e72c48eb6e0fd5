"""The Llama-style stack that the EBT and Transformer++ share, in its two streams.

Letters in shapes: B batch, F frames, C candidate frames, P patches per frame, W width, N heads,
K width of a head, L context tokens (F * P of them).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldmodel.config import BackboneConfig

# Llama's base for time; patches lie on grids of a few dozen rows, so space turns faster.
TIME_BASE, SPACE_BASE = 10_000.0, 100.0

Rotation = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class EncodedContext:
    """What is computed once per context and shared by all candidates and all thinking steps.

    `keys` and `values` hold `[B, N, L, K]` per layer, `features` the normalised output of the last
    layer `[B, F, P, W]` and `embeddings` the frames themselves `[B, F, P, D]`.
    """

    keys: list[Tensor]
    values: list[Tensor]
    features: Tensor
    embeddings: Tensor

    @property
    def frames(self) -> int:
        """Number of observed frames F."""
        return self.features.shape[1]

    def detached(self) -> "EncodedContext":
        """The same context as leaves that gather gradients, cut from the graph that made it."""

        def leaf(tensor: Tensor) -> Tensor:
            return tensor.detach().requires_grad_()

        keys, values = [leaf(k) for k in self.keys], [leaf(v) for v in self.values]
        return EncodedContext(keys, values, leaf(self.features), self.embeddings)

    def backward(self, leaves: "EncodedContext") -> None:
        """Back-propagate what `leaves`, made by `detached`, have gathered."""
        pairs = zip(self._tensors(), leaves._tensors(), strict=True)
        reached = [
            (tensor, leaf.grad)
            for tensor, leaf in pairs
            if leaf.grad is not None and tensor.requires_grad
        ]
        if reached:
            tensors, gradients = zip(*reached, strict=True)
            torch.autograd.backward(tensors, gradients)

    def _tensors(self) -> list[Tensor]:
        return [*self.keys, *self.values, self.features]


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
        """Cosine and sine `[F * P, K / 2]` for the patches of frames `[F]`."""
        time = frame_index[:, None] * self.time  # [F, pairs / 2]
        frames, patches = len(time), len(self.space)
        angles = torch.cat(
            [
                time[:, None].expand(-1, patches, -1),
                self.space[None].expand(frames, -1, -1),
            ],
            dim=2,
        ).flatten(0, 1)  # [F * P, pairs]
        return angles.cos(), angles.sin()


class Attention(nn.Module):
    """Multi-head attention without biases, in a context stream and a candidate stream."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.output = nn.Linear(width, width, bias=False)

    def context(
        self, x: Tensor, rotation: Rotation, past: Rotation | None, mask: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Attend from tokens `[B, F * P, W]` to the past and to themselves.

        Returns the output and the keys and values `[B, N, L, K]`, the past's included. Only first
        order is ever needed here, so fused kernels may be used.
        """
        query, key, value = self._project(x, rotation)
        if past is not None:
            key, value = torch.cat([past[0], key], dim=2), torch.cat([past[1], value], dim=2)
        y = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return self.output(self._merge(y)), key, value

    def candidates(
        self, x: Tensor, rotation: Rotation, key: Tensor, value: Tensor, hidden: Tensor | None
    ) -> Tensor:
        """Attend from candidate tokens `[B, C, P, W]` to the context and to their own frame.

        `hidden [C, 1, L]` is minus infinity at the context tokens that a candidate frame must not
        see, zero elsewhere. Written out, because fused kernels cannot be differentiated twice.
        """
        _, candidates, patches, _ = x.shape
        q, k, v = self._project(x.flatten(1, 2), rotation)  # [B, N, C * P, K]
        q = q * q.shape[-1] ** -0.5
        length = key.shape[2]
        seen = (q @ key.transpose(2, 3)).unflatten(2, (candidates, patches))  # [B, N, C, P, L]
        if hidden is not None:
            seen = seen + hidden
        q, k, v = (t.unflatten(2, (candidates, patches)) for t in (q, k, v))  # [B, N, C, P, K]
        own = q @ k.transpose(3, 4)  # [B, N, C, P, P]
        weights = at_least_float32(torch.cat([seen, own], dim=4)).softmax(dim=4).to(v.dtype)
        to_seen, to_own = weights.split([length, patches], dim=4)
        y = to_seen.flatten(2, 3) @ value + (to_own @ v).flatten(2, 3)  # [B, N, C * P, K]
        return self.output(self._merge(y)).unflatten(1, (candidates, patches))

    def _project(self, x: Tensor, rotation: Rotation) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = (
            layer(x).unflatten(2, (self.heads, -1)).transpose(1, 2)  # [B, N, tokens, K]
            for layer in (self.query, self.key, self.value)
        )
        return _rotate(q, rotation), _rotate(k, rotation), v

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
        self.feed_forward = SwiGLU(config.width, config.hidden)

    def context(
        self, x: Tensor, rotation: Rotation, past: Rotation | None, mask: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Context stream: tokens `[B, F * P, W]` after the block, and all keys and values."""
        y, key, value = self.attention.context(self.attention_norm(x), rotation, past, mask)
        x = x + y
        return x + self.feed_forward(self.feed_forward_norm(x)), key, value

    def candidates(
        self, x: Tensor, rotation: Rotation, key: Tensor, value: Tensor, hidden: Tensor | None
    ) -> Tensor:
        """Candidate stream: tokens `[B, C, P, W]` after the block."""
        y = self.attention.candidates(self.attention_norm(x), rotation, key, value, hidden)
        x = x + y
        return x + self.feed_forward(self.feed_forward_norm(x))


class Transformer(nn.Module):
    """Stack of blocks over the patches of frames; a call is one forward pass.

    The context stream is causal over frames and dense within one; the candidate stream sees the
    context frames that it is told to and its own frame. Both use the same weights.
    """

    def __init__(self, config: BackboneConfig, grid: tuple[int, int]):
        super().__init__()
        blocks = [Block(config) for _ in range(config.layers)]
        self.blocks = nn.ModuleList(blocks)
        self.heads = config.heads
        self.norm = RMSNorm(config.width)
        self.rotary = Rotary(config.width // config.heads, grid)
        self.apply(initialise)
        shrink = (2 * config.layers) ** -0.5  # residual branches start small (GPT-2, section 2.3)
        for block in blocks:
            for layer in (block.attention.output, block.feed_forward.down):
                nn.init.normal_(layer.weight, std=layer.in_features**-0.5 * shrink)

    def forward(
        self, tokens: Tensor, context: EncodedContext | None, visible: Tensor | None
    ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """One pass of either stream; gives features `[B, F, P, W]`, keys and values.

        Without `visible`, `tokens [B, F, P, W]` are new observed frames after `context`, and the
        keys and values are those of all frames. With it, they are candidates `[B, C, P, W]`, the
        c-th for the frame that follows the first `visible[c]` observed ones; no keys are returned.
        """
        if visible is None:
            return self._context(tokens, context)
        assert context is not None
        frames = torch.arange(context.frames, device=tokens.device)
        patches = tokens.shape[2]
        rotation = self.rotary(visible)
        hidden = None
        if context.keys[0].shape[2]:  # nothing is asked of the device, which would wait for it
            unseen = frames[None] >= visible[:, None]  # [C, F]
            hidden = torch.zeros(unseen.shape, dtype=context.keys[0].dtype, device=tokens.device)
            hidden = hidden.masked_fill(unseen, float("-inf"))
            hidden = hidden.repeat_interleave(patches, dim=1)[:, None]  # [C, 1, L]
        x = tokens
        for block, key, value in zip(
            self._typed_blocks(), context.keys, context.values, strict=True
        ):
            x = block.candidates(x, rotation, key, value, hidden)
        return self.norm(x), [], []

    def _context(
        self, tokens: Tensor, past: EncodedContext | None
    ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        new, patches = tokens.shape[1:3]
        seen = past.frames if past else 0
        frame_index = torch.arange(seen + new, device=tokens.device)
        rotation = self.rotary(frame_index[seen:])
        mask = None
        if new > 1:
            token_frame = frame_index.repeat_interleave(patches)
            mask = token_frame[seen * patches :, None] >= token_frame[None]  # [new tokens, L]
        x = tokens.flatten(1, 2)  # [B, F * P, W]
        keys, values = [], []
        for layer, block in enumerate(self._typed_blocks()):
            earlier = (past.keys[layer], past.values[layer]) if past else None
            x, key, value = block.context(x, rotation, earlier, mask)
            keys.append(key)
            values.append(value)
        return self.norm(x).unflatten(1, (new, patches)), keys, values

    def _typed_blocks(self) -> Iterator[Block]:
        yield from cast(Iterable[Block], self.blocks)


class ContextEncoder(nn.Module):
    """Frames of embeddings to an encoded context: the part that EBT and Transformer++ share."""

    def __init__(self, config: BackboneConfig, grid: tuple[int, int], dim: int):
        super().__init__()
        self.backbone = Transformer(config, grid)
        self.embed = nn.Linear(dim, config.width, bias=False)
        # Rotary positions are relative; walls and borders stand still.
        self.position = nn.Parameter(torch.zeros(grid[0] * grid[1], config.width))
        self.embed.apply(initialise)

    def forward(self, embeddings: Tensor, past: EncodedContext | None = None) -> EncodedContext:
        """Encode frames `[B, F, P, D]` after `past`; each sees itself and what precedes it."""
        tokens = self.embed(embeddings) + self.position
        features, keys, values = self.backbone(tokens, past, None)
        if past is not None:
            features = torch.cat([past.features, features], dim=1)
            embeddings = torch.cat([past.embeddings, embeddings], dim=1)
        return EncodedContext(keys, values, features, embeddings)

    def unseen(self, embeddings: Tensor, past: EncodedContext | None = None) -> EncodedContext:
        """Frames `[B, F, P, D]` after `past` without keys or features: nothing attends to them."""
        if past is not None:
            embeddings = torch.cat([past.embeddings, embeddings], dim=1)
        heads, width = self.backbone.heads, self.backbone.norm.weight.shape[0]
        nothing = embeddings.new_zeros(len(embeddings), heads, 0, width // heads)
        layers = len(self.backbone.blocks)
        features = embeddings.new_zeros(*embeddings.shape[:3], 0)
        return EncodedContext([nothing] * layers, [nothing] * layers, features, embeddings)


def initialise(module: nn.Module) -> None:
    """Normal weights that keep the variance of their input."""
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=module.in_features**-0.5)


def at_least_float32(x: Tensor) -> Tensor:
    """The tensor in float32, or wider if it is."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _frequencies(base: float, pairs: int) -> Tensor:
    return torch.pow(base, -torch.arange(pairs) / max(pairs, 1))


def _rotate(x: Tensor, rotation: Rotation) -> Tensor:
    cosine, sine = rotation
    first, second = x.chunk(2, dim=-1)
    turned = (first * cosine - second * sine, second * cosine + first * sine)
    return torch.cat(turned, dim=-1).to(x.dtype)
