"""Recorded runs of the public implementation on images, and models with their weights."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from baselines.config import PublishedDiTConfig
from baselines.dit_published import PublishedDiTDenoiser
from data_prep.config import EncoderConfig
from data_prep.encoders.pixels import PixelPatches
from denoise.config import PublishedEBTDenoiserConfig
from denoise.model import TrainedDenoiser
from denoise.published import PublishedEBTDenoiser
from worldmodel.config import BackboneConfig
from worldmodel.predictor import Clips

BACKBONE = BackboneConfig(layers=2, heads=2, width=32)
WIDE = BackboneConfig(layers=2, heads=2, width=256)
ENCODER = PixelPatches(EncoderConfig("pixels", patch_size=8), 32)
TOLERANCE, BOUND_TOLERANCE, BOUND_GRADIENT_TOLERANCE = 1e-5, 1e-4, 1e-2  # of the largest entry
NAMES = {
    "learned_adaln_condition.weight": "condition",
    "x_embedder.proj": "embed",
    "t_embedder.mlp": "embed_step",
    "final_layer": "readout",
    "adaLN_modulation.1": "modulation",
    "attn.proj": "attention.output",
    "attn.qkv": "attention.qkv",
    "mlp.fc1": "up",
    "mlp.fc2": "down",
}
STEP_1 = PublishedEBTDenoiserConfig(step_size=210.0)
STEP_3 = replace(STEP_1, least_steps=3, most_steps=3)
SYSTEM_2 = replace(
    STEP_1,
    learn_step_size=False,
    least_steps=2,
    most_steps=3,
    detach=False,
    truncate=True,
    random_step_size=2.0,
    langevin_noise=0.3,
)


class Reference:
    """The files of recorded runs."""

    def __init__(self, folder: Path):
        self.folder = folder

    def __call__(self, name: str) -> dict[str, Tensor]:
        """The tensors of a run."""
        return load_file(self.folder / f"{name}.safetensors")

    def zeros(self, name: str) -> dict[str, Tensor]:
        """The weights that are zero as a model is initialised."""
        with safe_open(self.folder / f"{name}.safetensors", "pt") as file:
            shapes = json.loads(file.metadata()["all_zero_weights"])
        return {f"weights/{weight}": torch.zeros(shape) for weight, shape in shapes.items()}


@pytest.fixture(scope="module")
def reference(real_data: Path) -> Reference:
    return Reference(real_data / "reference")


def embedded(images: Tensor) -> Tensor:
    """Images `[B, 3, 32, 32]` in [-1, 1] as embeddings `[B, 1, P, D]`."""
    return ENCODER.encode((images + 1) / 2)[:, None]


def keys(images: Tensor) -> list[str]:
    return [str(number) for number in range(len(images))]


def our_name(name: str) -> str:
    """The name of a parameter here, by its published one."""
    if name == "alpha":
        return "step_size"
    for theirs, ours in NAMES.items():
        name = name.replace(theirs, ours)
    if name.startswith("diffusion_transformer."):
        return name.replace("diffusion_transformer.", "dit.")
    return f"energy.{name.removeprefix('transformer.')}"


def is_parameter(name: str) -> bool:
    """Whether a published tensor is a parameter here, and no table or setting."""
    return not name.endswith(("pos_embed", "langevin_dynamics_noise_std"))


def of_ours(tensors: dict[str, Tensor], prefix: str, model: nn.Module) -> dict[str, Tensor]:
    """The recorded tensors below a prefix, by the names of a model's parameters.

    Outputs of DiT are in the order of embeddings, channel by channel, and the embedding is linear.
    """
    found = {}
    for key, tensor in tensors.items():
        if key.startswith(prefix) and is_parameter(key):
            name = our_name(key.removeprefix(prefix))
            if name.startswith("dit.readout.linear"):
                patch = tensor.unflatten(0, (8, 8, 6))  # row, column, channel
                tensor = patch.movedim(2, 0).flatten(0, 2)
            found[name] = tensor.reshape(model.get_parameter(name).shape)
    return found


def load(model: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Give a model all of its weights."""
    weights = of_ours(tensors, "weights/", model)
    assert weights.keys() == {name for name, _ in model.named_parameters()}
    model.load_state_dict(weights, strict=False)


def ebt(
    config: PublishedEBTDenoiserConfig, tensors: dict[str, Tensor] | None = None
) -> PublishedEBTDenoiser:
    torch.manual_seed(0)
    model = PublishedEBTDenoiser(config, BACKBONE, ENCODER.grid, ENCODER.dim)
    if tensors is not None:
        load(model, tensors)
    return model


def dit(tensors: dict[str, Tensor]) -> "Watched":
    model = Watched(PublishedDiTConfig(), BACKBONE, ENCODER.grid, ENCODER.dim)
    load(model, tensors)
    return model


class Watched(PublishedDiTDenoiser):
    """A DiT that keeps what it is asked about."""

    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        self.seen: list[tuple[int, Tensor]] = []

    def predict_noise(self, noisy: Tensor, step: Tensor | int) -> Tensor:
        self.seen.append((int(step), noisy))
        return super().predict_noise(noisy, step)


def error(found: Tensor, expected: Tensor) -> float:
    """Largest difference over largest entry."""
    assert found.shape == expected.shape
    return float((found.detach() - expected).abs().max() / expected.abs().max())


def require_close(found: Tensor, expected: Tensor, tolerance: float = TOLERANCE) -> None:
    assert error(found, expected) < tolerance


def require_gradients(
    model: nn.Module, tensors: dict[str, Tensor], prefix: str, tolerance: float = TOLERANCE
) -> set[str]:
    """Every recorded gradient is the model's; gives their names."""
    expected = of_ours(tensors, prefix, model)
    for name, gradient in expected.items():
        found = model.get_parameter(name).grad
        assert found is not None, name
        assert error(found, gradient) < tolerance, name
    return set(expected)


def train(model: TrainedDenoiser, case: dict[str, Tensor], step: Tensor | None = None) -> Tensor:
    """The loss of a training step on recorded images, back-propagated."""
    clean = embedded(case["inputs/images"])
    noisy, noise = embedded(case["inputs/noised"]), embedded(case["inputs/noise"])
    step = torch.full((len(clean),), 99) if step is None else step
    losses = []
    for loss in model.denoising_losses(Clips(clean, keys(clean)), noisy, noise, step, seed=0):
        loss.backward()
        losses.append(loss.detach())
    return torch.stack(losses).sum()
