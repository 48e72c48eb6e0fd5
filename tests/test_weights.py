"""Files of weights for encoders: every weight of the network is read from them, or none is."""

import shutil
from collections.abc import Callable
from pathlib import Path

import diffusers
import huggingface_hub
import pytest
import safetensors.torch
import timm
import torch
from torch import Tensor

from data_prep.config import EncoderConfig
from data_prep.encoders.registry import build_encoder
from data_prep.errors import InputError

VIT, OTHER = "test_vit", "test_vit2"  # the smallest of timm; the other has register tokens
VAE = "diffusion_pytorch_model"
State = dict[str, Tensor]


@pytest.fixture(scope="module")
def state() -> State:
    """Weights that no initialisation draws: all of them count."""
    generator = torch.Generator().manual_seed(0)
    own = timm.create_model(VIT).state_dict()
    return {name: torch.randn(v.shape, generator=generator) * 0.1 + 0.5 for name, v in own.items()}


def embedded(name: str, file: Path) -> Tensor:
    frames = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    return build_encoder(EncoderConfig(f"timm:{name}", weights=str(file)), 32).encode(frames)


def saved(state: State, folder: Path) -> Path:
    own = {name: value.clone().contiguous() for name, value in state.items()}
    safetensors.torch.save_file(own, folder / "weights.safetensors")
    return folder / "weights.safetensors"


def under(prefix: str, state: State) -> State:
    return {f"{prefix}{name}": value for name, value in state.items()}


def doubled(state: State) -> State:
    return {name: value * 2 for name, value in state.items()}


@pytest.mark.parametrize(
    "written",
    [
        lambda s: {name: value for name, value in s.items() if not name.startswith("head")},
        lambda s: s | {"head.bias": torch.zeros(7), "decoder_embed.weight": torch.zeros(2)},
        lambda s: under("module.", s),
        lambda s: under("model.", s),
        lambda s: under("_orig_mod.model.backbone.", s),
        lambda s: under("visual.trunk.", s) | {"text.weight": torch.zeros(2)},
        lambda s: (
            under("student.backbone.", doubled(s))
            | under("teacher.backbone.", s)
            | {"teacher.dino_head.weight": torch.zeros(2)}
        ),
    ],
)
def test_names_of_other_makers_lead_to_the_same_network(
    written: Callable[[State], State], state: State, tmp_path: Path
) -> None:
    expected = embedded(VIT, saved(state, tmp_path))
    assert torch.equal(embedded(VIT, saved(written(state), tmp_path)), expected)


def test_a_network_is_found_in_a_checkpoint_of_its_training(state: State, tmp_path: Path) -> None:
    expected = embedded(VIT, saved(state, tmp_path))
    checkpoint = {
        "student": under("module.backbone.", doubled(state)),
        "teacher": under("backbone.", state),
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 1.0}]},
        "epoch": 3,
    }
    torch.save(checkpoint, tmp_path / "checkpoint.pth")
    assert torch.equal(embedded(VIT, tmp_path / "checkpoint.pth"), expected)


def transformers(state: State) -> State:
    return {
        "embeddings.patch_embeddings.projection.weight": state["patch_embed.proj.weight"],
        "encoder.layer.0.attention.attention.query.weight": state["blocks.0.norm1.weight"],
    }


def other_patches(state: State) -> State:
    weight = state["patch_embed.proj.weight"]
    return state | {"patch_embed.proj.weight": weight[:, :, :14, :14]}


def wider(state: State) -> State:
    return {name: torch.cat([value, value]) for name, value in state.items()}


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (
            lambda s: {n: v for n, v in s.items() if not n.startswith("blocks.3.")},
            '"blocks.3.norm1.weight"',
        ),
        (lambda s: {n: v for n, v in s.items() if n != "norm.bias"}, '"norm.bias"'),
        (lambda s: s | {"blocks.6.norm1.weight": torch.zeros(64)}, '"blocks.6.norm1.weight"'),
        (lambda s: s | {"blocks.0.ls1.gamma": torch.zeros(64)}, '"blocks.0.ls1.gamma"'),
        (lambda s: {"conv1.weight": torch.zeros(3)}, '"cls_token"'),
        (lambda s: {}, "it holds no tensors"),
        (lambda s: {"head.weight": torch.zeros(3)}, "it holds no tensors"),
        (transformers, "its names are those of Transformers"),
        (other_patches, "its patches are of 14 pixels, not 16"),
        (wider, "[Ss]ize"),
        (lambda s: under("a.", s) | under("b.", s), r"several networks: a\., b\."),
    ],
)
def test_a_file_that_leaves_weights_random_is_refused(
    written: Callable[[State], State], message: str, state: State, tmp_path: Path
) -> None:
    file = saved(written(state), tmp_path)
    with pytest.raises(InputError, match=rf"{file.name}: no weights of {VIT} \(.*{message}"):
        embedded(VIT, file)


def test_weights_of_a_relative_are_refused(state: State, tmp_path: Path) -> None:
    relative = timm.create_model(OTHER).state_dict()
    with pytest.raises(InputError, match=f"no weights of {VIT}"):
        embedded(VIT, saved(relative, tmp_path))
    whole = saved(state, tmp_path).read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"cut.safetensors: no weights of"):
        embedded(VIT, tmp_path / "cut.safetensors")


@pytest.mark.parametrize("given", [True, False])
def test_an_unknown_tag_is_one_line(given: bool, state: State, tmp_path: Path) -> None:
    file = str(saved(state, tmp_path)) if given else None
    name = "vit_small_patch14_dinov2.lvd124m"
    with pytest.raises(InputError, match=r"no weights lvd124m of .*; give one of lvd142m$"):
        build_encoder(EncoderConfig(f"timm:{name}", weights=file), 32)


@pytest.fixture(scope="module")
def autoencoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("autoencoder")
    diffusers.AutoencoderTiny(
        encoder_block_out_channels=(8, 8),
        decoder_block_out_channels=(8, 8),
        num_encoder_blocks=(1, 1),
        num_decoder_blocks=(1, 1),
    ).save_pretrained(folder)
    return folder


def latents(place: object) -> Tensor:
    frames = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    return build_encoder(EncoderConfig(f"vae:{place}", patch_size=4), 16).encode(frames)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the hub's cache has of the model a/b."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    folder = tmp_path / "hub/models--a--b"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs/main").write_text("0" * 40)
    (folder / "snapshots" / ("0" * 40)).mkdir(parents=True)
    return folder / "snapshots" / ("0" * 40)


@pytest.mark.parametrize("root_config", [None, '{"model_type": "clip"}'])
def test_the_autoencoder_of_a_pipeline_is_found(
    root_config: str | None, autoencoder: Path, hub: Path, tmp_path: Path
) -> None:
    expected = latents(autoencoder)
    for place in (tmp_path / "pipeline", hub):
        shutil.copytree(autoencoder, place / "vae")
        (place / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
        if root_config is not None:
            (place / "config.json").write_text(root_config)
    assert torch.equal(latents(tmp_path / "pipeline"), expected)
    assert torch.equal(latents("a/b"), expected)
    assert build_encoder(EncoderConfig("vae:a/b", patch_size=4), 16).name == "vae:a/b"


def test_weights_of_half_precision_are_found(autoencoder: Path, hub: Path) -> None:
    state = safetensors.torch.load_file(autoencoder / f"{VAE}.safetensors")
    halves = {name: value.half() for name, value in state.items()}
    shutil.copy(autoencoder / "config.json", hub)
    safetensors.torch.save_file(halves, hub / f"{VAE}.fp16.safetensors")
    safetensors.torch.save_file(doubled(state), hub / f"{VAE}.bf16.safetensors")
    found = latents("a/b")
    assert found.dtype == torch.float32
    assert torch.allclose(found, latents(autoencoder), atol=1e-2)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (lambda s: dict(list(s.items())[1:]), "1 weights are missing, the first decoder.layers.0"),
        (lambda s: s | {"encoder.more": torch.zeros(1)}, "are unexpected, the first encoder.more"),
        (lambda s: {"conv1.weight": torch.zeros(3)}, "are missing, the first decoder.layers.0"),
        (wider, "shape"),
    ],
)
def test_an_autoencoder_without_all_its_weights_is_refused(
    written: Callable[[State], State],
    message: str,
    autoencoder: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    shutil.copy(autoencoder / "config.json", tmp_path)
    state = safetensors.torch.load_file(autoencoder / f"{VAE}.safetensors")
    safetensors.torch.save_file(written(state), tmp_path / f"{VAE}.safetensors")
    with pytest.raises(InputError, match=rf"{VAE}.safetensors: no weights of .*{message}"):
        latents(tmp_path)
    assert capfd.readouterr().err == ""


def test_advice_on_an_autoencoder_would_change_something(autoencoder: Path, hub: Path) -> None:
    with pytest.raises(InputError, match=r"^(?!.*hf download).*no config of a diffusers model"):
        latents("a/b")
    (hub / "config.json").write_text('{"_class_name": "UNet2DConditionModel"}')
    with pytest.raises(InputError, match=r"holds a UNet2DConditionModel; give the folder"):
        latents("a/b")
    shutil.copy(autoencoder / "config.json", hub)
    with pytest.raises(InputError, match=rf"{VAE}.safetensors of a/b .* hf download a/b"):
        latents("a/b")
    (hub / f"{VAE}.bin").write_bytes(b"a pickle")
    with pytest.raises(InputError, match=rf"^(?!.*hf download).*but {VAE}.bin; .* are not read"):
        latents("a/b")
    with pytest.raises(InputError, match=r"config.json of a/c is not on .* hf download a/c"):
        latents("a/c")
    with pytest.raises(InputError, match="no such folder"):
        latents("a/b c")
    with pytest.raises(InputError, match="is a file; give the folder"):
        latents(autoencoder / "config.json")


def test_diffusers_says_nothing_beside(
    autoencoder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    latents(autoencoder)
    said = capfd.readouterr()
    assert said.out + said.err == ""
