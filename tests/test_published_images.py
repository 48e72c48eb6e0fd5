"""The published image models, held against values that the public implementation gave."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from baselines.config import PublishedDiTConfig
from baselines.dit import PublishedSampling
from baselines.dit_published import PublishedDiTDenoiser, variational_bound
from benchmarks.measure.intervals import pooled_psnr
from benchmarks.measure.metrics import pixel_mse
from data_prep.config import EncoderConfig
from data_prep.encoders.pixels import PixelPatches
from denoise.config import PublishedEBTDenoiserConfig
from denoise.data import NoisyImages, clip_pixels
from denoise.diffusion import cumulative_alphas, diffuse, signal_and_noise
from denoise.model import TrainedDenoiser
from denoise.published import Draws, PublishedEBTDenoiser
from worldmodel.config import BackboneConfig
from worldmodel.noise import Stream
from worldmodel.predictor import Clips, Thinking

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


# Weights at first


def test_new_models_start_as_published(reference: Reference) -> None:
    torch.manual_seed(0)
    models: dict[str, TrainedDenoiser] = {
        "image_ebt_as_initialised": PublishedEBTDenoiser(
            PublishedEBTDenoiserConfig(), WIDE, ENCODER.grid, ENCODER.dim
        ),
        "dit_as_initialised": PublishedDiTDenoiser(
            PublishedDiTConfig(), WIDE, ENCODER.grid, ENCODER.dim
        ),
    }
    for name, model in models.items():
        published = [key.removeprefix("weights/") for key in reference.zeros(name)]
        zeros = {our_name(key) for key in published if is_parameter(key)}
        for weight, parameter in model.named_parameters():
            value = parameter.detach()
            assert (weight in zeros) == (not value.any()), weight
            if weight in zeros or weight == "step_size":
                continue
            if weight.startswith(("dit.embed_step", "energy.condition")):
                std = 0.02 if "embed_step" in weight else 1.0
                assert float(value.std()) == pytest.approx(std, rel=0.1), weight
                assert float(value.abs().max()) > 2.5 * std  # normal, not uniform
                continue
            bound = (6 / sum(value.shape)) ** 0.5  # queries, keys and values as one layer
            assert 0.99 * bound < float(value.abs().max()) <= bound, weight
            assert float(value.std()) == pytest.approx(bound / 3**0.5, rel=0.02), weight


# The energy


def test_noising_is_published(reference: Reference) -> None:
    case = reference("image_ebt_randomised")
    images, noise = embedded(case["inputs/images"]), embedded(case["inputs/noise"])
    noisy = diffuse(images, torch.full((3,), 99), noise)
    require_close(noisy, embedded(case["inputs/noised"]))


def test_energies_and_candidates_are_published(reference: Reference) -> None:
    case = reference("image_ebt_randomised")
    model = ebt(STEP_3, case)
    noisy = Clips(embedded(case["inputs/noised"]), ["a", "b", "c"])
    found = model.predict(noisy, Thinking(3), energies=True)
    assert found.energies is not None
    for step in range(3):
        require_close(found.energies[step, :, 0], case[f"outputs/energies_{step}"])
        require_close(found.candidates[step + 1], embedded(case[f"outputs/candidates_{step}"]))
    # Energies of candidates from anywhere are the same ones.
    several = found.candidates[:3].permute(1, 2, 0, 3, 4)  # [B, 1, N, P, D]
    verified = model.verify(noisy, several).sum(-1)[:, 0]
    expected = torch.stack([case[f"outputs/energies_{step}"] for step in range(3)], dim=1)
    require_close(verified, expected)


@pytest.mark.parametrize(("config", "steps"), [(STEP_1, 1), (STEP_3, 3)])
def test_a_training_step_of_the_energy_is_published(
    config: PublishedEBTDenoiserConfig, steps: int, reference: Reference
) -> None:
    case = reference("image_ebt_randomised")
    model, clean = ebt(config, case), embedded(case["inputs/images"])
    require_close(train(model, case), case[f"outputs/{steps}/loss"])
    names = require_gradients(model, case, f"grads/{steps}/")
    parameters = {name for name, _ in model.named_parameters()}
    assert len(names) == 8 if steps == 3 else names == parameters
    thoughts = list(model.training_thoughts(embedded(case["inputs/noised"]), ["a", "b", "c"], 0))
    first, last = (F.smooth_l1_loss(thoughts[at].candidates, clean) for at in (0, -1))
    require_close(first, case[f"outputs/{steps}/initial_loss"])
    require_close(last, case[f"outputs/{steps}/final_step_loss"])
    require_close(F.l1_loss(thoughts[-1].candidates, clean), case[f"outputs/{steps}/l1_loss"])


@pytest.mark.parametrize(("config", "steps"), [(STEP_1, 1), (STEP_3, 3)])
def test_a_new_energy_learns_its_last_layer_first(
    config: PublishedEBTDenoiserConfig, steps: int, reference: Reference
) -> None:
    weights, case = reference("image_ebt_randomised"), reference("image_ebt_as_initialised")
    model = ebt(config, weights | reference.zeros("image_ebt_as_initialised"))
    with torch.no_grad():
        model.step_size.fill_(3000.0)
    require_close(train(model, weights), case[f"outputs/{steps}/loss"])
    names = require_gradients(model, case, f"grads/{steps}/")
    assert names == {"energy.readout.linear.weight"}
    for name, parameter in model.named_parameters():
        assert name in names or parameter.grad is None or not parameter.grad.any()
    noisy = Clips(embedded(weights["inputs/noised"]), ["a", "b", "c"])
    found = model.predict(noisy, Thinking(steps), energies=True)
    assert found.patch_energies is not None
    assert not found.patch_energies.any()
    assert torch.equal(found.prediction, noisy.embeddings)
    loss = F.smooth_l1_loss(found.prediction, embedded(weights["inputs/images"]))
    for name in ("initial_loss", "final_step_loss"):
        require_close(loss, case[f"outputs/{steps}/{name}"])


class Recorded(Draws):
    """Recorded draws in the place of random ones."""

    def __init__(self, case: dict[str, Tensor]):
        self.case = case

    def steps(self, least: int, most: int, seed: int) -> int:
        return int(self.case["inputs/number_of_steps"])

    def step_size_share(self, like: Tensor, keys: Sequence[str], seed: int) -> Tensor:
        return self.case["inputs/step_size_uniform"]

    def langevin(self, like: Tensor, keys: Sequence[str], stream: Stream, *seeds: int) -> Tensor:
        drawn = embedded(self.case[f"inputs/langevin_{seeds[-1] - 1}"])
        assert drawn.shape == like.shape
        return drawn


def test_system_2_training_is_published(reference: Reference) -> None:
    inputs, case = reference("image_ebt_randomised"), reference("image_ebt_s2")
    model = ebt(SYSTEM_2, inputs)
    model.draws = Recorded(case)
    thoughts = list(model.training_thoughts(embedded(inputs["inputs/noised"]), ["a", "b", "c"], 0))
    assert [thought.judged for thought in thoughts] == [False, True]
    for number, thought in enumerate(thoughts):
        require_close(thought.candidates, embedded(case[f"outputs/candidates_{number}"]))
        require_close(thought.energies.sum((1, 2)), case[f"outputs/energies_{number}"])
    require_close(train(model, inputs), case["outputs/loss"])
    assert len(require_gradients(model, case, "grads/")) == 7
    assert model.step_size.grad is None
    # Predictions take the most steps and the same noise; only training has a random step size.
    assert model.trained_setting() == Thinking(3)
    noisy = Clips(embedded(inputs["inputs/noised"]), ["a", "b", "c"])
    found = model.predict(noisy, Thinking(1), energies=True)
    assert found.energies is not None
    require_close(found.energies[0, :, 0], case["outputs/energies_0"])
    noise = 0.3 * embedded(case["inputs/langevin_0"])
    factor = 0.5 + 1.5 * case["inputs/step_size_uniform"]
    first = embedded(case["outputs/candidates_0"])
    moved = (first - noisy.embeddings - noise) / factor
    require_close(found.prediction, noisy.embeddings + noise + moved)


# DiT


def test_the_network_is_the_published_one(reference: Reference) -> None:
    case = reference("dit_randomised")
    model, noisy = dit(case), embedded(case["inputs/noised"])
    require_close(model.dit.positions, case["weights/diffusion_transformer.pos_embed"][0])
    with torch.no_grad():
        noise, variance = model.predict_noise_and_variance(noisy, case["inputs/timesteps"])
    require_close(noise, embedded(case["outputs/predicted_noise"]))
    require_close(variance, embedded(case["outputs/variance_channels"]))
    for index, step in enumerate(case["inputs/timesteps"].tolist()):
        alone = model.predict_noise(noisy[index : index + 1], step)
        require_close(alone, noise[index : index + 1])


def parts(case: dict[str, Tensor], noise: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
    """Both parts of the hybrid loss of each image `[B]`."""
    squares = (noise - embedded(case["inputs/noise"])).square().mean((1, 2, 3))
    clean, noisy = embedded(case["inputs/images"]), embedded(case["inputs/noised"])
    bound = variational_bound(clean, noisy, noise.detach(), variance, case["inputs/timesteps"])
    return squares, bound


def test_a_training_step_of_dit_is_published(reference: Reference) -> None:
    case = reference("dit_randomised")
    model = dit(case)
    steps = case["inputs/timesteps"]
    assert steps.tolist() == [0, 37, 99]
    found = model.predict_noise_and_variance(embedded(case["inputs/noised"]), steps)
    squares, bound = parts(case, *found)
    require_close(squares, case["outputs/mse"])
    require_close(bound, case["outputs/vb"], BOUND_TOLERANCE)
    require_close(bound[1:], case["outputs/vb"][1:])
    (squares + bound)[1:].mean().backward()
    assert len(require_gradients(model, case, "grads_without_t0/")) == 9
    model.zero_grad()
    require_close(train(model, case, steps), case["outputs/loss"], BOUND_TOLERANCE)
    assert len(require_gradients(model, case, "grads/", BOUND_GRADIENT_TOLERANCE)) == 9


def test_a_new_dit_learns_its_last_layer_first(reference: Reference) -> None:
    inputs, case = reference("dit_randomised"), reference("dit_as_initialised")
    model = dit(inputs | reference.zeros("dit_as_initialised"))
    steps = inputs["inputs/timesteps"]
    noise, variance = model.predict_noise_and_variance(embedded(inputs["inputs/noised"]), steps)
    assert not noise.any()
    assert not variance.any()
    squares, bound = parts(inputs, noise, variance)
    require_close(squares, case["outputs/mse"])
    require_close(bound, case["outputs/vb"], BOUND_TOLERANCE)
    (squares + bound)[1:].mean().backward()
    names = require_gradients(model, case, "grads_without_t0/")
    assert names == {"dit.readout.linear.weight", "dit.readout.linear.bias"}
    model.zero_grad()
    require_close(train(model, inputs, steps), case["outputs/loss"], BOUND_TOLERANCE)
    require_gradients(model, case, "grads/", BOUND_GRADIENT_TOLERANCE)
    for name, parameter in model.named_parameters():
        assert name in names or parameter.grad is None or not parameter.grad.any()


def surprise(pixel: float, estimate: float) -> float:
    """Bits of one number at step 0, where the network estimates another one."""
    signal, _ = signal_and_noise(0)
    clean, noisy = (torch.full((1, 1, 1, 1), x) for x in (pixel, signal * estimate))
    silent = torch.zeros_like(clean)
    return float(variational_bound(clean, noisy, silent, silent, torch.zeros(1, dtype=torch.long)))


def test_only_the_bins_of_black_and_white_are_open() -> None:
    for white in (1.0, -1.0):
        assert surprise(white, 1.5 * white) < 1e-3
        assert surprise(white, 0.5 * white) > 30
    for number in (0.3, 1.7, -1.7):  # numbers beyond 1 are embeddings, not pixels
        assert surprise(number, number) < 2
        assert surprise(number, 1.5 * number) > 30


# Sampling


@pytest.mark.parametrize(("level", "start"), [("0.1", 99), ("0.2", 199)])
def test_sampling_gives_the_published_images(level: str, start: int, reference: Reference) -> None:
    case, weights = reference("dit_sampling"), reference("dit_randomised")
    model = dit(weights)
    images = embedded(case["inputs/images"])
    step = torch.full((2,), start)
    noisy = diffuse(images, step, embedded(case["inputs/noise"]).expand_as(images))
    require_close(noisy, embedded(case[f"inputs/noised_{level}"]))
    clipped: list[Tensor] = []

    def clip(embeddings: Tensor) -> Tensor:
        clipped.append(clip_pixels(ENCODER, embeddings))
        return clipped[-1]

    context = NoisyImages(noisy, ["a", "b"], start, signal_and_noise(start)[0], clip)
    for run, runs in enumerate((1, 2, 3)):
        model.seen, clipped[:] = [], []
        found = model.predict(context, PublishedSampling(runs)).prediction
        require_close(found, embedded(case[f"outputs/{level}/after_run_{run}"]))
        assert [at for at, _ in model.seen] == [*range(start, -1, -1)] * runs
    require_close(clipped[0], embedded(case[f"outputs/{level}/first_x0"]))
    require_close(model.seen[1][1], embedded(case[f"outputs/{level}/after_first_pass"]))
    truth = (case["inputs/images"] + 1) / 2
    for name, runs in (("once", 1), ("recursed_twice", 3)):
        found = model.predict(context, PublishedSampling(runs)).prediction
        squares = pixel_mse(ENCODER.decode(found[:, 0]), truth)
        psnr = pooled_psnr(squares[None].numpy()).mean
        assert psnr == pytest.approx(float(case[f"outputs/{level}/psnr_{name}"]), rel=TOLERANCE)
        require_close(squares.mean(), case[f"outputs/{level}/mse_{name}"])
        require_close(255**2 * squares.mean(), case[f"outputs/{level}/pixel_mse_{name}"])


def test_sampling_without_a_way_to_pixels_is_refused() -> None:
    clean = embedded(torch.zeros(1, 3, 32, 32))
    context = NoisyImages(clean, ["a"], step=9, signal=1.0)
    model = PublishedDiTDenoiser(PublishedDiTConfig(), BACKBONE, ENCODER.grid, ENCODER.dim)
    with pytest.raises(ValueError, match="clips pixels"):
        model.predict(context, PublishedSampling())


def test_the_schedule_is_the_published_one(reference: Reference) -> None:
    expected = reference("dit_sampling")["schedule_1000/alpha_bar"]
    assert torch.allclose(cumulative_alphas()[:200].double(), expected, rtol=1e-7)
