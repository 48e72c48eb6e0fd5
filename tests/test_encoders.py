import pytest
import torch

from data_prep.config import EncoderConfig
from data_prep.encoders.dct import BlockDCT
from data_prep.errors import InputError


@pytest.mark.parametrize(("size", "patch_size"), [(32, 8), (64, 16), (32, 4), (12, 12)])
def test_dct_inverts_and_is_isometric(size: int, patch_size: int) -> None:
    frames = torch.rand(3, 3, size, size, generator=torch.Generator().manual_seed(0))
    encoder = BlockDCT(EncoderConfig(patch_size=patch_size, frequencies=None), size)
    embeddings = encoder.encode(frames)
    rows, columns = encoder.grid
    assert embeddings.shape == (3, rows * columns, encoder.dim)
    assert torch.allclose(encoder.decode(embeddings), frames, atol=1e-5)
    pixels = (frames * 2 - 1).flatten(1)
    assert torch.allclose(embeddings.flatten(1).norm(dim=1), pixels.norm(dim=1), rtol=1e-5)


def test_kept_frequencies_are_the_lowest_and_an_orthogonal_projection() -> None:
    frames = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    whole, few = (
        BlockDCT(EncoderConfig(patch_size=8, frequencies=None), 32),
        BlockDCT(EncoderConfig(patch_size=8, frequencies=10), 32),
    )
    assert few.dim == 30
    assert torch.allclose(few.encode(frames), whole.encode(frames)[..., :30], atol=1e-6)
    projected = few.decode(few.encode(frames))
    assert torch.allclose(few.encode(projected), few.encode(frames), atol=1e-5)
    assert torch.allclose((frames - projected).mean((2, 3)), torch.zeros(2, 3), atol=1e-6)


def test_a_patch_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(InputError, match="does not divide"):
        BlockDCT(EncoderConfig(patch_size=7, frequencies=None), 32)
