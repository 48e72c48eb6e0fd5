"""The orthonormal block DCT: an encoder without weights."""

import torch
from torch import Tensor

from data_prep.config import EncoderConfig
from data_prep.errors import InputError


class BlockDCT:
    """Orthonormal block DCT-II of pixels scaled to [-1, 1] (Ahmed et al., 1974).

    With all frequencies it is invertible and isometric: white noise on pixels is the same white
    noise on embeddings. With only the lowest frequencies of each channel it is the orthogonal
    projection onto them.
    An embedding lists, frequency by frequency in zigzag order, the values of the three channels.
    """

    name: str = "dct"
    weights: str | None = None
    decodable: bool = True
    isometric: bool = True

    def __init__(self, config: EncoderConfig, size: int):
        patch_size = config.patch_size
        if size % patch_size:
            raise InputError(
                f"encoder.patch_size {patch_size} does not divide corpus.size {size}: change one"
            )
        self.patch_size = patch_size
        self.grid = (size // patch_size, size // patch_size)
        kept = config.frequencies or patch_size**2
        self.dim = 3 * kept
        rows = _dct_matrix(patch_size)  # [frequency, pixel]
        basis = torch.stack([torch.outer(rows[i], rows[j]) for i, j in _zigzag(patch_size)[:kept]])
        self.basis = basis.flatten(1).float()  # [frequencies, pixels of a patch]

    def encode(self, frames: Tensor) -> Tensor:
        """Frames `[B, 3, height, width]` in [0, 1] to embeddings `[B, P, D]`."""
        (rows, columns), side = self.grid, self.patch_size
        pixels = (frames * 2 - 1).unflatten(3, (columns, side)).unflatten(2, (rows, side))
        # [B, 3, rows, side, columns, side]
        patches = pixels.permute(0, 2, 4, 3, 5, 1).flatten(3, 4).flatten(1, 2)
        # [B, P, side * side, 3]
        return (self.basis.to(frames.device) @ patches).flatten(2)  # [B, P, D]

    def decode(self, embeddings: Tensor) -> Tensor:
        """Embeddings `[B, P, D]` to frames `[B, 3, height, width]`, not clipped."""
        (rows, columns), side = self.grid, self.patch_size
        patches = self.basis.T.to(embeddings.device) @ embeddings.unflatten(2, (-1, 3))
        pixels = patches.unflatten(2, (side, side)).unflatten(1, (rows, columns))
        # [B, rows, columns, side, side, 3]
        return (pixels.permute(0, 5, 1, 3, 2, 4).flatten(4).flatten(2, 3) + 1) / 2


def _dct_matrix(n: int) -> Tensor:
    pixel, frequency = torch.arange(n, dtype=torch.float64), torch.arange(n, dtype=torch.float64)
    matrix = torch.cos(torch.pi / n * (pixel + 0.5)[None, :] * frequency[:, None])
    matrix *= (2 / n) ** 0.5
    matrix[0] *= 0.5**0.5
    return matrix


def _zigzag(n: int) -> list[tuple[int, int]]:
    """Frequencies (row, column) by ascending sum, the direction alternating (JPEG, Annex A)."""
    pairs = [(i, j) for i in range(n) for j in range(n)]
    return sorted(pairs, key=lambda ij: (sum(ij), ij[0] if sum(ij) % 2 else ij[1]))
