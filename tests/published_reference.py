"""Recorded runs of the public implementation, and this suite's models with their weights."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from baselines.config import TransformerPublishedConfig
from baselines.transformer_published import TransformerPublished
from worldmodel.config import BackboneConfig
from worldmodel.noise import Stream
from worldmodel.predictor import Clips, Predictor
from worldmodel.published.config import PublishedEBTConfig
from worldmodel.published.model import PublishedEBT

BACKBONE = BackboneConfig(layers=2, heads=2, width=32)
GRID, DIM = (2, 2), 12  # one frame is a vector of 48
TOLERANCE = 1e-5
SYSTEM_1 = PublishedEBTConfig(step_size=3.7, start_noise=1.0)
SYSTEM_2 = PublishedEBTConfig(
    step_size=4.7,
    start_noise=1.0,
    learn_step_size=False,
    landscapes=1,
    least_visits=2,
    most_visits=3,
    detach=False,
    truncate=True,
    random_step_size=2.0,
    langevin_noise=1.0,
)
LATENT_SCALE = 0.18215  # of the latents in System 2
NAMES = {
    "alpha": "energy.raw_step_size",
    "encoder_down_projection.": "project.",
    "encoder_up_projection.": "project_back.",
    "output.": "output.",
    "transformer.time_embeddings.": "step_tokens.",
    "transformer.final_layer.": "head.",
    "transformer.norm.": "norm.",
    "transformer.layers.": "blocks.",
    ".wq.": ".query.",
    ".wk.": ".key.",
    ".wv.": ".value.",
    ".wo.": ".output.",
    ".w1.": ".gate.",
    ".w2.": ".down.",
    ".w3.": ".up.",
    ".ffn_norm.": ".feed_forward_norm.",
}


class Reference:
    """The files of recorded runs."""

    def __init__(self, folder: Path):
        self.folder = folder

    def read(self, name: str) -> dict[str, Tensor]:
        return load_file(self.folder / f"{name}.safetensors")


def renamed(tensors: dict[str, Tensor], prefix: str, model: Predictor) -> dict[str, Tensor]:
    """The tensors below a prefix by the names of a model's parameters."""
    known = {name for name, _ in model.named_parameters()}
    found = {}
    for key, tensor in tensors.items():
        if not key.startswith(prefix) or key.endswith("langevin_dynamics_noise_std"):
            continue
        name = key.removeprefix(prefix)
        for old, new in NAMES.items():
            name = name.replace(old, new)
        if name not in known:
            (name,) = [full for full in known if full.endswith(f".{name}")]
        found[name] = tensor
    return found


def with_weights(model: Predictor, tensors: dict[str, Tensor]) -> None:
    """Give a model all of its weights."""
    weights = renamed(tensors, "weights/", model)
    names = {name for name, _ in model.named_parameters()}
    assert weights.keys() == names
    model.load_state_dict(weights, strict=False)


def published_ebt(
    config: PublishedEBTConfig, tensors: dict[str, Tensor] | None = None
) -> PublishedEBT:
    torch.manual_seed(0)
    model = PublishedEBT(config, BACKBONE, GRID, DIM)
    if tensors is not None:
        with_weights(model, tensors)
    return model


def transformer_published(tensors: dict[str, Tensor] | None = None) -> TransformerPublished:
    torch.manual_seed(0)
    model = TransformerPublished(TransformerPublishedConfig(), BACKBONE, GRID, DIM)
    if tensors is not None:
        with_weights(model, tensors)
    return model


def clips(latents: Tensor) -> Clips:
    """Clips `[B, T, P, D]` of recorded latents `[B, T, 48]`."""
    keys = [str(number) for number in range(len(latents))]
    return Clips(latents.unflatten(2, (GRID[0] * GRID[1], DIM)), keys)


@dataclass
class Recorded:
    """Recorded draws in the place of random ones; starts by the number of the last frame."""

    starts: dict[int, Tensor] = field(default_factory=dict)
    shares: Tensor | None = None
    visits: list[int] = field(default_factory=list)
    langevin: list[Tensor] = field(default_factory=list)
    places: Tensor | None = None

    def normal(
        self, stream: Stream, seeds: Sequence[int], keys: Sequence[str], frames: Tensor, size: int
    ) -> Tensor:
        if stream in (Stream.TRAINING_LANGEVIN, Stream.PROJECTED_LANGEVIN):
            drawn = self.langevin[seeds[1]]
        else:
            drawn = self.starts[int(frames[-1])]
            if len(frames) == 1:  # a rollout asks for its last candidate alone
                drawn = drawn[:, -1:]
        assert drawn.shape == (len(keys), len(frames), size)
        return drawn

    def uniform(
        self, stream: Stream, seeds: Sequence[int], keys: Sequence[str], frames: Tensor
    ) -> Tensor:
        assert stream == Stream.TRAINING_STEP_SIZE
        assert self.shares is not None
        return self.shares

    def whole(self, stream: Stream, seeds: Sequence[int], least: int, most: int) -> int:
        assert stream == Stream.TRAINING_STEPS
        count = self.visits[seeds[1]] if self.visits else 1
        assert least <= count <= most
        return count

    def chosen(self, stream: Stream, seeds: Sequence[int], total: int, count: int) -> Tensor:
        assert stream == Stream.TRAINING_REPLAY
        places = torch.zeros(0, dtype=torch.long) if self.places is None else self.places
        assert len(places) == count
        assert bool((places < total).all())
        return places


def assert_close(
    found: Tensor | None, expected: Tensor, name: str = "", tolerance: float = TOLERANCE
) -> None:
    """Largest difference over largest entry is within the tolerance."""
    assert found is not None, name
    assert found.shape == expected.shape, name
    error = (found.detach() - expected).abs().max() / expected.abs().max()
    assert float(error) <= tolerance, f"{name}: {float(error):.1e}"


def assert_gradients(model: Predictor, tensors: dict[str, Tensor], prefix: str = "grads/") -> int:
    """Every recorded gradient is the model's; gives their number."""
    expected = renamed(tensors, prefix, model)
    for name, gradient in expected.items():
        assert_close(model.get_parameter(name).grad, gradient, name)
    return len(expected)


@pytest.fixture(scope="session")
def reference(real_data: Path) -> Reference:
    return Reference(real_data / "reference")
