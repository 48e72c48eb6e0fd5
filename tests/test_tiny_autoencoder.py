from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from data_prep.config import EncoderConfig
from data_prep.encoders.base import Encoder
from data_prep.encoders.registry import build_encoder
from data_prep.errors import InputError
from data_prep.prepare import main
from data_prep.shards.format import ShardSet


def block(name: str, pool: bool) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in (0, 2, 4):
        shapes[f"{name}.conv.{layer}.weight"] = (64, 64, 3, 3)
        shapes[f"{name}.conv.{layer}.bias"] = (64,)
    if pool:
        shapes[f"{name}.pool.0.weight"] = (256, 64, 1, 1)
        shapes[f"{name}.pool.1.weight"] = shapes[f"{name}.pool.1.bias"] = (256,)
        shapes[f"{name}.pool.3.weight"] = (64, 256, 1, 1)
    return shapes


def shapes_of(channels: int, pool: bool) -> tuple[dict[str, tuple[int, ...]], ...]:
    """The names and shapes of the public files, written down from their description."""
    encoder: dict[str, tuple[int, ...]] = {"0.weight": (64, 3, 3, 3), "0.bias": (64,)}
    for layer in (2, 6, 10):
        encoder[f"{layer}.weight"] = (64, 64, 3, 3)
    for layer in (1, 3, 4, 5, 7, 8, 9, 11, 12, 13):
        encoder |= block(str(layer), pool and layer > 10)
    encoder |= {"14.weight": (channels, 64, 3, 3), "14.bias": (channels,)}
    decoder: dict[str, tuple[int, ...]] = {"1.weight": (64, channels, 3, 3), "1.bias": (64,)}
    for layer in (7, 12, 17):
        decoder[f"{layer}.weight"] = (64, 64, 3, 3)
    for layer in (3, 4, 5, 8, 9, 10, 13, 14, 15, 18):
        decoder |= block(str(layer), pool and layer < 6)
    decoder |= {"19.weight": (3, 64, 3, 3), "19.bias": (3,)}
    return encoder, decoder


def write_weights(folder: Path, channels: int = 4, pool: bool = True) -> Path:
    folder.mkdir(exist_ok=True)
    generator = torch.Generator().manual_seed(0)
    for part, shapes in zip(("encoder", "decoder"), shapes_of(channels, pool), strict=True):
        weights = {
            name: (torch.randn(shape, generator=generator) / 20).half()
            for name, shape in shapes.items()
        }
        save_file(weights, folder / f"tiny_{part}.safetensors")
    return folder


def encoder_of(folder: Path, size: int = 64, patch_size: int = 1) -> Encoder:
    return build_encoder(EncoderConfig(f"tae:{folder}", patch_size=patch_size), size)


@pytest.mark.parametrize("patch_size", [1, 2])
def test_the_values_of_the_original_are_met(real_data: Path, patch_size: int) -> None:
    folder = real_data / "weights/taef2"
    known = load_file(folder / "reference_values.safetensors")
    encoder = encoder_of(folder, patch_size=patch_size)
    tokens = (8 // patch_size) ** 2
    for k in range(3):
        image = known[f"image_{k}"]
        image = image if image.shape[0] == 3 else image.permute(2, 0, 1)
        embeddings = encoder.encode(image[None] / 255)
        assert embeddings.shape == (1, tokens, 32 * patch_size**2)
        assert (latents(embeddings, patch_size) - known[f"latent_{k}"]).abs().max() < 1e-4
        assert (encoder.decode(embeddings) - known[f"decoded_{k}"]).abs().max() < 1e-4


def latents(embeddings: Tensor, side: int) -> Tensor:
    """Latents `[B, channels, height, width]`, patch by patch."""
    rows = int(embeddings.shape[1] ** 0.5)
    found = torch.empty(len(embeddings), embeddings.shape[2] // side**2, rows * side, rows * side)
    for number in range(rows * rows):
        row, column = divmod(number, rows)
        for place in range(side * side):
            y, x = row * side + place // side, column * side + place % side
            part = embeddings[:, number].unflatten(1, (side * side, -1))
            found[:, :, y, x] = part[:, place]
    return found


def test_files_tell_the_channels_and_whether_a_branch_sees_the_whole_image(tmp_path: Path) -> None:
    pooled = encoder_of(write_weights(tmp_path / "pooled"), size=32)
    assert (pooled.grid, pooled.dim, pooled.name) == ((4, 4), 4, "tae:pooled")
    frames = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    embeddings = pooled.encode(frames)
    assert pooled.decode(embeddings).shape == frames.shape
    assert torch.allclose(pooled.encode(frames[:1]), embeddings[:1], atol=1e-5)
    silent, plain = tmp_path / "silent", tmp_path / "plain"
    for folder in (silent, plain):
        folder.mkdir()
    for file in (tmp_path / "pooled").iterdir():
        weights = load_file(file)
        without = {name: tensor for name, tensor in weights.items() if ".pool." not in name}
        save_file(without, plain / file.name)
        zero = {n: torch.zeros_like(t) if ".pool.3" in n else t for n, t in weights.items()}
        save_file(zero, silent / file.name)
    expected = encoder_of(plain, size=32).encode(frames)
    assert torch.allclose(encoder_of(silent, size=32).encode(frames), expected, atol=1e-5)
    assert not torch.allclose(embeddings, expected, atol=1e-3)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        ("gone", "needs one *decoder*.safetensors; it holds nothing of that name"),
        ("pickle", "needs one *decoder*.safetensors; it holds tiny_decoder.pth"),
        ("text", "no safetensors file"),
        ("other", "no weights of a tiny autoencoder (1.weight is missing)"),
        ("channels", "decodes other latents than tiny_encoder.safetensors gives"),
        ("torn", "no weights of a tiny autoencoder"),
    ],
)
def test_wrong_files_are_named(
    harm: str,
    message: str,
    frame_shards: ShardSet,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = write_weights(tmp_path / "tiny")
    decoder = folder / "tiny_decoder.safetensors"
    weights = load_file(decoder)
    if harm in ("gone", "pickle"):
        decoder.unlink()
    if harm == "pickle":
        (folder / "tiny_decoder.pth").write_bytes(b"a pickle")
    if harm == "text":
        decoder.write_text("no weights")
    if harm == "other":
        save_file({"a": torch.zeros(1)}, decoder)
    if harm == "channels":
        write_weights(tmp_path / "wide", channels=8)
        decoder.write_bytes((tmp_path / "wide" / decoder.name).read_bytes())
    if harm == "torn":
        del weights["17.weight"]
        save_file(weights, decoder)
    line = ["embed", str(frame_shards.folder), str(tmp_path / "out"), "--encoder", f"tae:{folder}"]
    with pytest.raises(InputError, match="tiny"):
        encoder_of(folder)
    assert main([*line, "--patch-size", "1"]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
