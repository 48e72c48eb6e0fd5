"""Autoregressive generation: each new frame is encoded once and kept in the key/value cache."""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

Encoded = TypeVar("Encoded")  # an encoded context, or those of several networks


def cached_rollout(
    encode: Callable[[Tensor, Encoded | None], Encoded],
    next_frame: Callable[[Encoded], Tensor],
    embeddings: Tensor,
    horizon: int,
) -> Tensor:
    """Predict `horizon` frames `[B, horizon, P, D]` after the observed `embeddings [B, T, P, D]`.

    `encode` extends an encoded context by new frames, `next_frame` predicts `[B, 1, P, D]` from
    it.
    """
    encoded = encode(embeddings, None)
    frames = [next_frame(encoded)]
    while len(frames) < horizon:
        encoded = encode(frames[-1], encoded)
        frames.append(next_frame(encoded))
    return torch.cat(frames, dim=1)
