"""The published DiT, held against values that the public implementation gave."""

import pytest
import torch
from published_images import (
    BACKBONE,
    BOUND_GRADIENT_TOLERANCE,
    BOUND_TOLERANCE,
    ENCODER,
    TOLERANCE,
    WIDE,
    Reference,
    dit,
    embedded,
    is_parameter,
    our_name,
    reference,
    require_close,
    require_gradients,
    train,
)
from torch import Tensor

from baselines.config import PublishedDiTConfig
from baselines.dit import PublishedSampling
from baselines.dit_published import PublishedDiTDenoiser, variational_bound
from benchmarks.measure.intervals import pooled_psnr
from benchmarks.measure.metrics import pixel_mse
from denoise.config import PublishedEBTDenoiserConfig
from denoise.data import NoisyImages, clip_pixels
from denoise.diffusion import cumulative_alphas, diffuse, signal_and_noise
from denoise.model import TrainedDenoiser
from denoise.published import PublishedEBTDenoiser

__all__ = ["reference"]  # a fixture

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


# The network


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
