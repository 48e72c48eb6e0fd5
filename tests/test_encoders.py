import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch import Tensor

from data_prep.config import EncoderConfig, ExecutorConfig
from data_prep.embed import make_embeddings
from data_prep.encoders.dct import BlockDCT
from data_prep.encoders.registry import build_encoder
from data_prep.errors import InputError
from data_prep.shards.format import ShardSet


@pytest.mark.parametrize(("size", "patch_size"), [(32, 8), (64, 16), (32, 4), (12, 12)])
@pytest.mark.parametrize("name", ["dct", "pixels"])
def test_an_encoder_without_weights_inverts_and_is_isometric(
    name: str, size: int, patch_size: int
) -> None:
    frames = torch.rand(3, 3, size, size, generator=torch.Generator().manual_seed(0))
    encoder = build_encoder(EncoderConfig(name, patch_size, frequencies=None), size)
    embeddings = encoder.encode(frames)
    rows, columns = encoder.grid
    assert embeddings.shape == (3, rows * columns, encoder.dim)
    assert torch.allclose(encoder.decode(embeddings), frames, atol=1e-5)
    pixels = (frames * 2 - 1).flatten(1)
    assert torch.allclose(embeddings.flatten(1).norm(dim=1), pixels.norm(dim=1), rtol=1e-5)


def test_pixels_stand_channel_by_channel_and_row_by_row_and_come_back_exactly() -> None:
    bytes_ = torch.randint(256, (2, 3, 8, 8), generator=torch.Generator().manual_seed(0))
    encoder = build_encoder(EncoderConfig("pixels", patch_size=4), 8)
    embeddings = encoder.encode(bytes_ / 255)
    # The second row of the blue channel of the upper right patch.
    expected = bytes_[:, 2, 1, 4:] / 127.5 - 1
    assert torch.allclose(embeddings[:, 1, 2 * 16 + 4 : 2 * 16 + 8], expected, atol=1e-6)
    stored = embeddings.half().float()
    assert torch.equal((encoder.decode(stored) * 255).round().long(), bytes_)


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
    for name in ("dct", "pixels"):
        with pytest.raises(InputError, match="does not divide"):
            build_encoder(EncoderConfig(name, patch_size=7, frequencies=None), 32)


def threads_of_torch() -> list[int]:
    """The number in this thread and in a new one."""
    with ThreadPoolExecutor(1) as pool:
        return [torch.get_num_threads(), pool.submit(torch.get_num_threads).result()]


@pytest.fixture
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("three_threads")
def test_workers_leave_torchs_number_of_threads_as_it_was(
    frame_shards: ShardSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    opened: list[int] = []
    together = threading.Barrier(3)  # one shard a worker

    class Slow(BlockDCT):
        def encode(self, frames: Tensor) -> Tensor:
            seen.append(torch.get_num_threads())
            together.wait(timeout=60)
            if threading.get_ident() != opened[0]:
                time.sleep(0.2)  # the worker that opened its tools first closes them first
            return super().encode(frames)

    def slow(config: EncoderConfig, size: int) -> Slow:
        if threading.current_thread() is not threading.main_thread():
            opened.append(threading.get_ident())
        return Slow(config, size)

    monkeypatch.setattr("data_prep.embed._shared_encoder", slow)
    executor = ExecutorConfig(workers=3)
    assert make_embeddings(frame_shards, str(tmp_path / "set"), EncoderConfig(), executor)
    assert seen == [1, 1, 1]
    assert threads_of_torch() == [3, 3]
    monkeypatch.setattr(Slow, "encode", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        make_embeddings(frame_shards, str(tmp_path / "other"), EncoderConfig(), executor)
    assert threads_of_torch() == [3, 3]
