"""The stack that the EBT and Transformer++ share, in its two streams, and the encoded context.

Letters in shapes: B batch, T frames, C candidate frames, P patches per frame, W model width,
A attention heads, K width of a head, L context tokens (T * P).
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from worldmodel.attention import ObservedFrames, Seen, are_taken_one_by_one, recomputed
from worldmodel.config import BackboneConfig
from worldmodel.layers import Block, KeptBlock, KeptNorm, RMSNorm, Rotary, initialise


@dataclass(frozen=True)
class EncodedContext:
    """A context after encoding, computed once and shared by all candidates and thinking steps.

    `keys` and `values` hold `[B, A, L, K]` for each block that is passed, `features` what a frame
    hands on to the prediction of the next `[B, T, P, W]` and `embeddings` the frames themselves
    `[B, T, P, D]`.
    """

    keys: list[Tensor]
    values: list[Tensor]
    features: Tensor
    embeddings: Tensor

    @property
    def frames(self) -> int:
        """Number of observed frames T."""
        return self.features.shape[1]

    def detached(self) -> "EncodedContext":
        """The same context, cut from its graph, as leaves that gather gradients."""

        def leaf(tensor: Tensor) -> Tensor:
            return tensor.detach().requires_grad_()

        keys, values = [leaf(k) for k in self.keys], [leaf(v) for v in self.values]
        return EncodedContext(keys, values, leaf(self.features), self.embeddings)

    def rejoined(self, leaves: "EncodedContext") -> Tensor | None:
        """A loss of value zero that hands on the gradients which `leaves` have gathered.

        `leaves` were made by `detached`. None where no gradient has reached them, or where this
        context has no graph.
        """
        gathered = [
            (tensor, leaf.grad)
            for tensor, leaf in zip(self._tensors(), leaves._tensors(), strict=True)
            if leaf.grad is not None and tensor.requires_grad
        ]
        if not gathered:
            return None
        tensors, gradients = zip(*gathered, strict=True)
        loss: Tensor = _Rejoin.apply(gradients, *tensors)
        return loss

    def _tensors(self) -> list[Tensor]:
        return [*self.keys, *self.values, self.features]


class _Rejoin(torch.autograd.Function):
    """A loss of value zero whose gradients on some tensors are given in advance."""

    @staticmethod
    def forward(ctx: Any, gradients: tuple[Tensor, ...], *tensors: Tensor) -> Tensor:
        ctx.gradients = gradients
        return torch.zeros((), device=tensors[0].device)

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        return None, *(gradient * outer[0] for gradient in ctx.gradients)


@dataclass(frozen=True)
class Visible:
    """How many frames of the context each candidate frame sees: as numbers, and on the device.

    With the numbers at hand the host need never wait for the device. Compiled code reads `index`
    alone, and so is not compiled anew for other numbers.

    Args:
        counts: a number of at least 1 for each candidate frame.
        index: the same `[C]`.
    """

    counts: tuple[int, ...]
    index: Tensor

    @classmethod
    def every(cls, frames: int, device: torch.device | str = "cpu") -> "Visible":
        """One candidate for each next frame of a context of that many frames."""
        return cls(tuple(range(1, frames + 1)), torch.arange(1, frames + 1, device=device))

    @classmethod
    def all_of(cls, frames: int, device: torch.device | str = "cpu") -> "Visible":
        """One candidate, which sees all of that many frames."""
        return cls((frames,), torch.full((1,), frames, device=device))

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, group: slice) -> "Visible":
        return Visible(self.counts[group], self.index[group])

    def repeated(self, candidates: int) -> "Visible":
        """The same for that many candidates of each frame, side by side."""
        if candidates == 1:
            return self
        counts = tuple(count for count in self.counts for _ in range(candidates))
        return Visible(counts, self.index.repeat_interleave(candidates))


@dataclass(frozen=True)
class CandidatePass:
    """A pass of the candidate stream: features `[B, C, P, W]`, and what its gradient needs."""

    features: Tensor
    seen: list[Seen]
    blocks: list[KeptBlock]
    norm: KeptNorm


class Transformer(nn.Module):
    """Stack of blocks over the patches of frames, applied once or, with tied weights, more often.

    The context stream is causal over frames and dense within one; the candidate stream sees the
    context frames that it is told to and its own frame. Both use the same weights.
    """

    def __init__(self, config: BackboneConfig, grid: tuple[int, int]):
        super().__init__()
        blocks = [Block(config) for _ in range(config.layers)]
        self.blocks = nn.ModuleList(blocks)
        self.depth = config.resolved_depth
        self._recompute = False
        self.heads = config.heads
        self.norm = RMSNorm(config.width)
        self.rotary = Rotary(config.width // config.heads, grid)
        self.apply(initialise)
        shrink = (2 * self.depth) ** -0.5  # residual branches start small (GPT-2, section 2.3)
        for block in blocks:
            for layer in (block.attention.output, block.feed_forward.down):
                nn.init.normal_(layer.weight, std=layer.in_features**-0.5 * shrink)

    def forward(
        self, tokens: Tensor, past: EncodedContext | None = None
    ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """One pass of the context stream: new observed frames `[B, T, P, W]` after `past`.

        Returns their features `[B, T, P, W]`, and the keys and values of all frames for each block
        that they pass.
        """
        new, patches = tokens.shape[1:3]
        seen = past.frames if past else 0
        rotation = self.rotary(torch.arange(seen, seen + new, device=tokens.device))
        frames = ObservedFrames.after(seen, new, patches, tokens.device)
        x = tokens.flatten(1, 2)  # [B, T * P, W]
        keys, values = [], []
        for layer, block in enumerate(self._typed_blocks()):
            earlier = (past.keys[layer], past.values[layer]) if past else None
            if self._recompute:
                x, key, value = recomputed(block.context, x, rotation, earlier, frames)
            else:
                x, key, value = block.context(x, rotation, earlier, frames)
            keys.append(key)
            values.append(value)
        return self.norm(x).unflatten(1, (new, patches)), keys, values

    def enable_gradient_checkpointing(self) -> None:
        """Compute the context stream's blocks again in the backward pass; keep their inputs only.

        Candidates are thought about in groups of few tokens, which keeps their memory small.
        """
        self._recompute = True

    def enable_second_derivatives(self) -> None:
        """Let the context stream be differentiated twice, which its fused attention cannot be."""
        for block in self._typed_blocks():
            block.attention.fused = False

    def candidates(
        self, tokens: Tensor, context: EncodedContext, visible: Visible
    ) -> CandidatePass:
        """One pass of the candidate stream over tokens `[B, C, P, W]`.

        The c-th is a candidate for the frame after the first `visible.counts[c]` of the context.
        """
        rotation, patches = self.rotary(visible.index), tokens.shape[2]
        frames = visible.counts if are_taken_one_by_one(patches) else None
        hidden = _hidden(context, visible, patches) if frames is None else None
        seen = [
            Seen(key, value, hidden, rotation, frames)
            for key, value in zip(context.keys, context.values, strict=True)
        ]
        x, blocks = tokens, []
        for block, of_layer in zip(self._typed_blocks(), seen, strict=True):
            x, kept = block.candidates(x, of_layer)
            blocks.append(kept)
        features, norm = self.norm.keeping(x)
        return CandidatePass(features, seen, blocks, norm)

    def input_gradient(self, gradient: Tensor, candidates: CandidatePass) -> Tensor:
        """One input-gradient pass: from features back to candidate tokens, both `[B, C, P, W]`."""
        gradient = self.norm.input_gradient(gradient, candidates.norm)
        for block, kept, seen in zip(
            reversed(list(self._typed_blocks())),
            reversed(candidates.blocks),
            reversed(candidates.seen),
            strict=True,
        ):
            gradient = block.input_gradient(gradient, kept, seen)
        return gradient

    def _typed_blocks(self) -> Iterator[Block]:
        """The blocks in the order in which a token passes them."""
        blocks = itertools.cycle(cast(Iterable[Block], self.blocks))
        yield from itertools.islice(blocks, self.depth)


class ContextEncoder(nn.Module):
    """Encodes frames of embeddings to a context: the part that EBT and Transformer++ share.

    The backbone belongs to the model, whose other stream uses it too. A frame hands on the
    normalised output of its last layer, where `projected` through a linear layer.
    """

    def __init__(
        self, config: BackboneConfig, grid: tuple[int, int], dim: int, projected: bool = False
    ):
        super().__init__()
        self.embed = nn.Linear(dim, config.width, bias=False)
        # Rotary positions are relative; walls and borders stand still.
        self.position = nn.Parameter(torch.zeros(grid[0] * grid[1], config.width))
        self.project: nn.Module = nn.Identity()
        if projected:
            self.project = nn.Linear(config.width, config.width, bias=False)
        for layer in (self.embed, self.project):
            initialise(layer)

    def forward(
        self, backbone: Transformer, embeddings: Tensor, past: EncodedContext | None = None
    ) -> EncodedContext:
        """Encode frames `[B, T, P, D]` after `past`; each sees itself and what precedes it."""
        tokens = self.embed(embeddings) + self.position
        features, keys, values = backbone(tokens, past)
        features = self.project(features)
        if past is not None:
            features = torch.cat([past.features, features], dim=1)
            embeddings = torch.cat([past.embeddings, embeddings], dim=1)
        return EncodedContext(keys, values, features, embeddings)


class EmptyContext(nn.Module):
    """A context to which no candidate attends: its frames serve as anchor and start only."""

    def __init__(self, config: BackboneConfig, grid: tuple[int, int]):
        super().__init__()
        self.position = nn.Parameter(torch.zeros(grid[0] * grid[1], config.width))

    def forward(
        self, backbone: Transformer, embeddings: Tensor, past: EncodedContext | None = None
    ) -> EncodedContext:
        """Frames `[B, T, P, D]` after `past`, without keys, values or features."""
        if past is not None:
            embeddings = torch.cat([past.embeddings, embeddings], dim=1)
        head_width = self.position.shape[1] // backbone.heads
        nothing = embeddings.new_zeros(len(embeddings), backbone.heads, 0, head_width)
        depth = backbone.depth
        features = embeddings.new_zeros(*embeddings.shape[:3], 0)
        return EncodedContext([nothing] * depth, [nothing] * depth, features, embeddings)


def _hidden(context: EncodedContext, visible: Visible, patches: int) -> Tensor | None:
    """A mask `[C, 1, L]` that hides unseen context tokens; None where every candidate sees all."""
    key = context.keys[0]
    length = key.shape[2]
    if length <= patches:  # no frame, or one: every candidate sees at least one
        return None
    frames = torch.arange(length // patches, device=key.device)
    unseen = (frames[None] >= visible.index[:, None]).repeat_interleave(patches, dim=1)  # [C, L]
    hidden = torch.zeros(unseen.shape, dtype=key.dtype, device=key.device)
    return hidden.masked_fill(unseen, float("-inf"))[:, None]
