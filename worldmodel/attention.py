"""Attention of candidates to a context and to their own frame, and its input gradient.

There are three ways to compute it. A single frame after at most one makes one product. Many small
frames share one product for the context, with a mask. Frames of many patches are taken one by one,
each with exactly the tokens that it may see; their attention weights, which would grow with the
square of the tokens, are computed anew where they are needed, some heads at a time, and never kept.

Letters in shapes: B batch, C candidate frames, P patches per frame, A attention heads, K width of a
head, L context tokens, S context tokens that a frame sees.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.checkpoint import checkpoint

Value = TypeVar("Value")
Rotation = tuple[Tensor, Tensor]  # cosine and signed sine of every token
LEAST_PATCHES = 48  # from which candidate frames are taken one by one
RECOMPUTED_FROM = 128  # patches; with fewer, keeping attention weights is cheap enough
# Attention weights that are computed at once: few on a CPU, where they should stay in its cache.
MOST_WEIGHTS = 2**27
TILE_WEIGHTS = {"cpu": 2**20}


class ObservedFrames(NamedTuple):
    """New frames of a context stream, of `patches` each, which are causal over frames.

    `mask [new tokens, L]` is true where a token sees another; None where frames are taken one by
    one, or where there is one alone.
    """

    patches: int
    mask: Tensor | None

    @classmethod
    def after(cls, seen: int, new: int, patches: int, device: torch.device) -> "ObservedFrames":
        """`new` frames after `seen` ones."""
        if new == 1 or are_taken_one_by_one(patches):
            return cls(patches, None)
        frame = torch.arange(seen + new, device=device).repeat_interleave(patches)
        return cls(patches, frame[seen * patches :, None] >= frame[None])


class KeptAttention(NamedTuple):
    """Turned queries (scaled) and keys, and values, `[B, A, C, P, K]`; weights
    `[B, A, C, P, L + P]`; what they gave `[B, A, C * P, K]`.

    Where `_is_one`, without the dimension C, and with the context's keys and values before the
    frame's own `[B, A, L + P, K]`. Where frames are taken one by one, all are `[B, A, C * P, K]`
    without weights, and `parts` are what each frame kept, or None where that is recomputed.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    weights: Tensor | None
    mixed: Tensor
    parts: "list[KeptAttention] | None" = None


class Seen(NamedTuple):
    """What candidates attend to in one layer, in addition to their own frame.

    `key` and `value` are the context's `[B, A, L, K]`, `hidden [C, 1, L]` is minus infinity at the
    tokens that a candidate frame must not see and zero elsewhere, or None where there are none;
    `rotation` is the candidates'. Where frames are taken one by one, `visible` says how many
    context frames each of them sees, and there is no mask.
    """

    key: Tensor
    value: Tensor
    hidden: Tensor | None
    rotation: Rotation
    visible: tuple[int, ...] | None


def are_taken_one_by_one(patches: int) -> bool:
    """Whether each of many frames makes its products alone; compiled code never does."""
    return patches >= LEAST_PATCHES and not torch.compiler.is_compiling()


def observe(
    query: Tensor, key: Tensor, value: Tensor, frames: ObservedFrames, fused: bool = True
) -> Tensor:
    """What tokens `[B, A, T * P, K]` of new frames take from all up to their own `[B, A, L, K]`.

    Fused kernels have no second derivative, so a model that needs one goes without them.
    """
    if not fused:
        with sdpa_kernel(SDPBackend.MATH):
            return observe(query, key, value, frames)
    new, length = query.shape[2], key.shape[2]
    if frames.mask is not None or new == frames.patches:
        return F.scaled_dot_product_attention(query, key, value, attn_mask=frames.mask)
    taken = []
    for first in range(0, new, frames.patches):
        last = first + frames.patches
        stop = length - new + last
        own = query[:, :, first:last]
        taken.append(F.scaled_dot_product_attention(own, key[:, :, :stop], value[:, :, :stop]))
    return torch.cat(taken, dim=2)


def attend(
    query: Tensor, key: Tensor, value: Tensor, seen: Seen, frames: torch.Size
) -> KeptAttention:
    """What candidate frames `[C, P]` take from the context and from their own patches.

    `query`, scaled, and the own `key` and `value` are `[B, A, C * P, K]`.
    """
    if seen.visible is not None:
        return _attend_one_by_one(query, key, value, seen, frames)
    if _is_one(seen, frames):
        return _attend_from_one(query, key, value, seen.key, seen.value)
    return _attend_from_many(query, key, value, seen, frames)


def attention_gradient(
    gradient: Tensor, expected: Tensor, kept: KeptAttention, seen: Seen, frames: torch.Size
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients on queries, own keys and own values, `[B, A, C * P, K]` each.

    `gradient [B, A, C * P, K]` is that on what the frames took, `expected [B, A, C * P, 1]` its
    product with it.
    """
    if seen.visible is not None:
        return _back_one_by_one(gradient, expected, kept, seen, frames)
    if _is_one(seen, frames):
        return _back_to_one(gradient, expected, kept)
    return _back_to_many(gradient, expected, kept, seen, frames)


def at_least_float32(x: Tensor) -> Tensor:
    """The tensor in float32, or wider if it is."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _is_one(seen: Seen, frames: torch.Size) -> bool:
    """Whether one candidate frame follows at most one frame, as in denoising.

    A longer context's keys would cost more to copy than the second product does.
    """
    return frames[0] == 1 and seen.key.shape[2] <= frames[1]


def _attend_from_one(
    query: Tensor, key: Tensor, value: Tensor, seen_key: Tensor, seen_value: Tensor
) -> KeptAttention:
    """One candidate frame: all its patches see all keys, so they make one product."""
    key, value = torch.cat([seen_key, key], dim=2), torch.cat([seen_value, value], dim=2)
    weights = at_least_float32(query @ key.mT).softmax(dim=3).to(value.dtype)  # [B, A, P, S + P]
    return KeptAttention(query, key, value, weights, weights @ value)


def _back_to_one(
    gradient: Tensor, expected: Tensor, kept: KeptAttention
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients `[B, A, P, K]` on one frame's queries, keys and values."""
    assert kept.weights is not None
    patches = gradient.shape[2]
    to_scores = kept.weights * (gradient @ kept.value.mT).sub_(expected)  # [B, A, P, S + P]
    own, weights = to_scores[..., -patches:], kept.weights[..., -patches:]
    return to_scores @ kept.key, own.mT @ kept.query, weights.mT @ gradient


def _attend_from_many(
    query: Tensor, key: Tensor, value: Tensor, seen: Seen, frames: torch.Size
) -> KeptAttention:
    """Many candidate frames: one product for the context that they share, one for their own."""
    to_context = (query @ seen.key.mT).unflatten(2, frames)  # [B, A, C, P, L]
    if seen.hidden is not None:
        to_context = to_context + seen.hidden
    query, key, value = (t.unflatten(2, frames) for t in (query, key, value))  # [B, A, C, P, K]
    scores = torch.cat([to_context, query @ key.mT], dim=4)
    weights = at_least_float32(scores).softmax(dim=4).to(value.dtype)
    of_context, of_own = weights.split([seen.key.shape[2], frames[1]], dim=4)
    mixed = of_context.flatten(2, 3) @ seen.value + (of_own @ value).flatten(2, 3)
    return KeptAttention(query, key, value, weights, mixed)


def _back_to_many(
    gradient: Tensor, expected: Tensor, kept: KeptAttention, seen: Seen, frames: torch.Size
) -> tuple[Tensor, Tensor, Tensor]:
    assert kept.weights is not None
    own = gradient.unflatten(2, frames)  # [B, A, C, P, K]
    to_context = (gradient @ seen.value.mT).unflatten(2, frames)  # [B, A, C, P, L]
    to_weights = torch.cat([to_context, own @ kept.value.mT], dim=4)
    to_scores = kept.weights * to_weights.sub_(expected.unflatten(2, frames))
    to_seen, to_own = to_scores.split([seen.key.shape[2], frames[1]], dim=4)
    to_query = to_seen.flatten(2, 3) @ seen.key + (to_own @ kept.key).flatten(2, 3)
    of_own = kept.weights[..., -frames[1] :]
    return to_query, (to_own.mT @ kept.query).flatten(2, 3), (of_own.mT @ own).flatten(2, 3)


def _attend_one_by_one(
    query: Tensor, key: Tensor, value: Tensor, seen: Seen, frames: torch.Size
) -> KeptAttention:
    """Each frame by itself, with the context that it sees."""
    owns = _by_frame(frames, query, key, value)
    pairs = list(zip(owns, _prefixes(seen, frames), strict=True))
    if frames[1] < RECOMPUTED_FROM:
        parts = [_attend_from_one(q, k, v, *prefix) for (q, k, v), prefix in pairs]
        mixed = torch.cat([part.mixed for part in parts], dim=2)
        return KeptAttention(query, key, value, None, mixed, parts)
    taken = [recomputed(_take, *own, *prefix) for own, prefix in pairs]
    return KeptAttention(query, key, value, None, torch.cat(taken, dim=2))


def _back_one_by_one(
    gradient: Tensor, expected: Tensor, kept: KeptAttention, seen: Seen, frames: torch.Size
) -> tuple[Tensor, Tensor, Tensor]:
    if kept.parts is not None:
        outer = _by_frame(frames, gradient, expected)
        found = [_back_to_one(g, e, part) for (g, e), part in zip(outer, kept.parts, strict=True)]
    else:
        owns = _by_frame(frames, gradient, expected, kept.query, kept.key, kept.value)
        pairs = zip(owns, _prefixes(seen, frames), strict=True)
        found = [_in_tiles(_attend_and_back, *own, *prefix) for own, prefix in pairs]
    to_query, to_key, to_value = (torch.cat(part, dim=2) for part in zip(*found, strict=True))
    return to_query, to_key, to_value


def _take(
    query: Tensor, key: Tensor, value: Tensor, seen_key: Tensor, seen_value: Tensor
) -> Tensor:
    """What one frame `[B, A, P, K]` takes from context `[B, A, S, K]` and itself.

    Only its first derivative is ever asked for, so a fused kernel will do.
    """
    key, value = torch.cat([seen_key, key], dim=2), torch.cat([seen_value, value], dim=2)
    return F.scaled_dot_product_attention(query, key, value, scale=1.0)


def _attend_and_back(
    gradient: Tensor,
    expected: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    seen_key: Tensor,
    seen_value: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """`_back_to_one` of what `_attend_from_one` keeps."""
    kept = _attend_from_one(query, key, value, seen_key, seen_value)
    return _back_to_one(gradient, expected, kept)


def _in_tiles(
    function: Callable[..., tuple[Tensor, Tensor, Tensor]], gradient: Tensor, *inputs: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """`function` of tensors `[B, A, ...]`, a few heads at a time, each recomputed where needed.

    The first is that of one frame `[B, A, P, K]`, the last that of the context `[B, A, S, K]`.
    """
    heads = gradient.shape[:2]
    weights = gradient.shape[2] * (gradient.shape[2] + inputs[-1].shape[2])
    at_once = max(1, TILE_WEIGHTS.get(gradient.device.type, MOST_WEIGHTS) // weights)
    flat = (tensor.flatten(0, 1)[None].split(at_once, dim=1) for tensor in (gradient, *inputs))
    parts = [recomputed(function, *tile) for tile in zip(*flat, strict=True)]
    first, second, third = (torch.cat(part, dim=1)[0] for part in zip(*parts, strict=True))
    return first.unflatten(0, heads), second.unflatten(0, heads), third.unflatten(0, heads)


def _by_frame(frames: torch.Size, *tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """The parts `[B, A, P, ...]` of tensors `[B, A, C * P, ...]` for each frame."""
    yield from zip(*(tensor.split(frames[1], dim=2) for tensor in tensors), strict=True)


def _prefixes(seen: Seen, frames: torch.Size) -> Iterator[tuple[Tensor, Tensor]]:
    """Keys and values `[B, A, S, K]` of the context that each frame sees."""
    assert seen.visible is not None
    for count in seen.visible:
        yield seen.key[:, :, : count * frames[1]], seen.value[:, :, : count * frames[1]]


def recomputed(function: Callable[..., Value], *inputs: Any) -> Value:
    """The function's value; where gradients are recorded, its inputs alone are kept for them."""
    if not torch.is_grad_enabled():
        return function(*inputs)
    value: Value = checkpoint(function, *inputs, use_reentrant=False, preserve_rng_state=False)
    return value
