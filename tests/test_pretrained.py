import functools
import json
from dataclasses import replace
from pathlib import Path

import diffusers
import numpy as np
import pytest
import safetensors.torch
import timm
import torch
from torch import Tensor

from benchmarks.cli.command_line import main as benchmark
from benchmarks.record.results import read_result
from data_prep.config import EncoderConfig, ExecutorConfig
from data_prep.embed import encoder_of, make_embeddings
from data_prep.encoders.registry import build_encoder
from data_prep.errors import InputError
from data_prep.prepare import main
from data_prep.shards.format import ShardSet

VIT = "vit_tiny_patch16_224"
DINO = "vit_small_patch14_reg4_dinov2"  # registers: five tokens to skip


@functools.cache
def frames(size: int) -> Tensor:
    return torch.rand(5, 3, size, size, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Random weights of each kind, as files that a user may have."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    for name in (VIT, DINO):
        state = timm.create_model(name).state_dict()
        safetensors.torch.save_file(state, folder / f"{name}.safetensors")
        if name == VIT:
            torch.save(state, folder / "vit.pth")
    diffusers.AutoencoderKL(
        down_block_types=["DownEncoderBlock2D"] * 2,
        up_block_types=["UpDecoderBlock2D"] * 2,
        block_out_channels=[8, 16],
        norm_num_groups=4,
        latent_channels=4,
        scaling_factor=0.18215,
    ).save_pretrained(folder / "kl")
    diffusers.AutoencoderTiny(
        encoder_block_out_channels=(8, 8, 8),
        decoder_block_out_channels=(8, 8, 8),
        num_encoder_blocks=(1, 1, 1),
        num_decoder_blocks=(1, 1, 1),
    ).save_pretrained(folder / "tiny")
    return {path.name: path for path in folder.iterdir()}


def configs(weights: dict[str, Path]) -> dict[str, EncoderConfig]:
    return {
        "timm": EncoderConfig(f"timm:{VIT}", weights=str(weights[f"{VIT}.safetensors"])),
        "dino": EncoderConfig(f"timm:{DINO}", weights=str(weights[f"{DINO}.safetensors"])),
        "kl": EncoderConfig(f"vae:{weights['kl']}", patch_size=2),
        "tiny": EncoderConfig(f"vae:{weights['tiny']}", patch_size=4),
    }


@pytest.mark.parametrize(
    ("kind", "size", "grid", "dim"),
    [
        ("timm", 48, (3, 3), 192),
        ("timm", 30, (2, 2), 192),
        ("dino", 28, (2, 2), 384),
        ("dino", 64, (5, 5), 384),  # DINOv2 takes multiples of 14: 70
        ("kl", 32, (8, 8), 16),
        ("tiny", 32, (2, 2), 64),
    ],
)
def test_encoders_give_patches_and_are_deterministic(
    kind: str, size: int, grid: tuple[int, int], dim: int, weights: dict[str, Path]
) -> None:
    config = configs(weights)[kind]
    encoder = build_encoder(config, size)
    assert (encoder.grid, encoder.dim, encoder.isometric) == (grid, dim, False)
    embeddings = encoder.encode(frames(size))
    assert embeddings.shape == (5, grid[0] * grid[1], dim)
    assert embeddings.dtype == torch.float32
    assert not embeddings.requires_grad
    assert torch.equal(embeddings, build_encoder(config, size).encode(frames(size)))
    alone = torch.cat([encoder.encode(frame[None]) for frame in frames(size)])
    assert torch.allclose(alone, embeddings, atol=1e-4)
    assert embeddings.std() > 1e-3


def test_timm_tokens_are_the_models_own(weights: dict[str, Path]) -> None:
    """Against timm itself, by its own transform's constants and patch tokens."""
    encoder = build_encoder(configs(weights)["timm"], 224)
    model = timm.create_model(VIT, num_classes=0).eval()
    state = safetensors.torch.load_file(weights[f"{VIT}.safetensors"])
    model.load_state_dict({k: v for k, v in state.items() if not k.startswith("head.")})
    data = timm.data.resolve_model_data_config(model)
    mean, std = (torch.tensor(data[name])[:, None, None] for name in ("mean", "std"))
    with torch.no_grad():
        tokens = model.forward_features((frames(224)[:1] - mean) / std)
    assert torch.allclose(encoder.encode(frames(224)[:1]), tokens[:, 1:], atol=1e-4)


def test_weights_in_pth_files_are_read_without_running_them(
    weights: dict[str, Path], tmp_path: Path
) -> None:
    assert build_encoder(EncoderConfig(f"timm:{VIT}", weights=str(weights["vit.pth"])), 32).dim

    class Hostile:
        def __reduce__(self) -> tuple:
            return (Path(tmp_path / "ran").touch, ())

    torch.save({"state_dict": {}, "hostile": Hostile()}, tmp_path / "hostile.pth")
    with pytest.raises(InputError, match=r"hostile.pth: no weights of"):
        build_encoder(EncoderConfig(f"timm:{VIT}", weights=str(tmp_path / "hostile.pth")), 32)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("kind", ["kl", "tiny"])
def test_latents_are_those_of_diffusers_and_lead_back(kind: str, weights: dict[str, Path]) -> None:
    config = configs(weights)[kind]
    encoder = build_encoder(config, 32)
    model = encoder.model  # type: ignore[attr-defined]
    embeddings = encoder.encode(frames(32))
    with torch.no_grad():
        if kind == "kl":
            latents = model.encode(frames(32) * 2 - 1).latent_dist.mode() * 0.18215
            expected = model.decode(latents / 0.18215).sample
        else:
            latents = model.encode(frames(32) * 2 - 1).latents
            expected = model.decode(latents).sample
    p, (h, w) = config.patch_size, encoder.grid
    for row in range(h):
        for column in range(w):
            patch = latents[:, :, row * p : (row + 1) * p, column * p : (column + 1) * p]
            listed = patch.permute(0, 2, 3, 1).flatten(1)
            assert torch.allclose(embeddings[:, row * w + column], listed, atol=1e-5)
    assert torch.allclose(encoder.decode(embeddings), (expected + 1) / 2, atol=1e-5)


def test_timm_encoders_have_no_way_back(weights: dict[str, Path]) -> None:
    encoder = build_encoder(configs(weights)["timm"], 32)
    assert not encoder.decodable
    with pytest.raises(InputError, match="cannot be decoded"):
        encoder.decode(encoder.encode(frames(32)))


@pytest.mark.parametrize("kind", ["timm", "kl"])
def test_embeddings_of_a_network_are_a_set_like_any_other(
    kind: str, weights: dict[str, Path], frame_shards: ShardSet, tmp_path: Path
) -> None:
    config = configs(weights)[kind]
    made = make_embeddings(frame_shards, str(tmp_path / "a"), config, ExecutorConfig(workers=3))
    again = make_embeddings(frame_shards, str(tmp_path / "b"), config, ExecutorConfig(workers=1))
    assert made is not None
    assert again is not None
    names = [path.name for path in sorted((tmp_path / "a").iterdir())]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    encoder = build_encoder(config, 32)
    described = made.manifest["encoder"]
    assert described["weights"] == encoder.weights
    assert str(weights["kl"].parent) not in json.dumps(made.manifest)
    values = []
    for frame_sample, sample in zip(
        frame_shards.samples("train"), made.samples("train"), strict=True
    ):
        pixels = torch.from_numpy(frame_shards.read_frames(frame_sample)).permute(0, 3, 1, 2) / 255
        stored = made.read_embeddings(sample)
        assert np.abs(encoder.encode(pixels).numpy() - stored).max() < 5e-3
        values.append(stored.astype(np.float64).reshape(-1, encoder.dim))
    statistics = made.manifest["statistics"]
    assert np.allclose(statistics["mean"], np.concatenate(values).mean(0), atol=1e-3)
    assert np.allclose(statistics["std"], np.concatenate(values).std(0), atol=1e-3)
    found = encoder_of(made, replace(config, patch_size=1))
    assert (found.weights, found.grid, found.dim) == (encoder.weights, encoder.grid, encoder.dim)
    with pytest.raises(InputError, match="made by the encoder"):
        encoder_of(made, configs(weights)["tiny"])


def test_embeddings_beyond_float16_are_refused(
    weights: dict[str, Path], frame_shards: ShardSet, tmp_path: Path
) -> None:
    state = safetensors.torch.load_file(weights[f"{VIT}.safetensors"])
    state["norm.weight"] = state["norm.weight"] * 1e6
    safetensors.torch.save_file(state, tmp_path / "large.safetensors")
    config = EncoderConfig(f"timm:{VIT}", weights=str(tmp_path / "large.safetensors"))
    with pytest.raises(InputError, match=r"clip .*: embeddings beyond float16"):
        make_embeddings(frame_shards, str(tmp_path / "set"), config, ExecutorConfig())


@pytest.mark.parametrize(
    ("encoder", "options", "message"),
    [
        ("timm:vit_small_patch14_dinov2.lvd142m", [], "hf download timm/vit_small_patch14_dinov2"),
        ("timm:vit_smal_patch14", [], "timm has no such model"),
        ("timm:resnet18", ["--weights", "{weights}"], "gives no patch tokens; take a ViT"),
        (
            f"timm:{VIT}",
            ["--weights", "/nowhere.safetensors"],
            "/nowhere.safetensors: no such file",
        ),
        (f"timm:{VIT}", ["--weights", "{dino}"], "no weights of vit_tiny_patch16_224"),
        (f"timm:{VIT}", ["--weights", "{weights}", "--input-size", "20"], "give a multiple"),
        ("vae:stabilityai/sd-vae-ft-mse", [], "hf download stabilityai/sd-vae-ft-mse"),
        ("vae:./sd-vae", [], "no such folder"),
        ("vae:{empty}", [], "no config of a diffusers model"),
    ],
)
def test_what_is_missing_is_said_at_once(
    encoder: str,
    options: list[str],
    message: str,
    weights: dict[str, Path],
    frame_shards: ShardSet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    given = {
        "weights": weights[f"{VIT}.safetensors"],
        "dino": weights[f"{DINO}.safetensors"],
        "empty": tmp_path,
    }
    line = [argument.format(**given) for argument in (encoder, *options)]
    assert main(["embed", str(frame_shards.folder), str(tmp_path / "o"), "--encoder", *line]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_a_vae_with_pickled_weights_is_refused(weights: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((weights["kl"] / "config.json").read_bytes())
    (tmp_path / "diffusion_pytorch_model.bin").write_bytes(b"a pickle")
    with pytest.raises(InputError, match="weights in other formats are not read"):
        build_encoder(EncoderConfig(f"vae:{tmp_path}"), 32)


@pytest.mark.slow
def test_without_a_way_back_models_are_judged_in_embeddings(
    weights: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    encoder = configs(weights)["timm"]
    options = ["--encoder.name", encoder.name, "--encoder.weights", str(encoder.weights)]
    options += ["--models", "ebt_residual,copy_last"]
    options += ["--balls.train", "6", "--balls.validation", "3", "--balls.test", "4"]
    options += ["--corpus.size", "32", "--training.steps", "2", "--backbone.width", "192"]
    options += ["--evaluation.counts", "[1,2]", "--evaluation.latency_repeats", "1"]
    places = ["--out", str(tmp_path / "run"), "--cache-dir", str(tmp_path / "cache")]
    assert benchmark(["--task", "next_frame", "--preset", "smoke", *options, *places]) == 0
    result = read_result(tmp_path / "run")
    assert result.data["truth"] == "embeddings"
    assert result.files["pictures"] is None
    for model in result.models:
        for row in model.rows:
            assert "psnr" not in row.metrics
            assert {"smooth_l1", "mse", "cosine"} <= row.metrics.keys()
            assert -1 <= row.metrics["cosine"].mean <= 1
    assert {found.metric for found in result.comparisons} == {"smooth_l1"}
    page = (tmp_path / "run" / "report.md").read_text()
    assert "PSNR" not in page
    losses = {
        model.title: row.metrics["smooth_l1"].mean
        for model in result.models
        for row in model.rows
        if row.selected
        and row.condition["protocol"] == "teacher_forced"
        and row.condition["split"] == "test"
    }
    lines = [line for line in page.splitlines() if line.startswith("| ")]
    first = next(line for line in lines if line.split(" | ")[0].strip("| ") in losses)
    assert first.split(" | ")[0].strip("| ") == min(losses, key=lambda name: losses[name])
    capsys.readouterr()
