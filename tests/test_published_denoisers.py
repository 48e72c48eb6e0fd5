"""The published image models as denoisers like every other."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from published_denoisers import (
    BACKBONE,
    ENCODER,
    PLAIN,
    SHAPE,
    clean,
    dit,
    ebt,
    gradients,
    noisy,
    require_same,
)
from torch import Tensor

from baselines.config import DirectConfig, DiTConfig, PublishedDiTConfig
from baselines.direct import DirectDenoiser
from baselines.dit import DiTDenoiser, PublishedSampling, Sampler, Sampling
from baselines.dit_published import PublishedDiTDenoiser
from benchmarks.measure.memory import fake_tensors
from denoise.config import EBTDenoiserConfig, PublishedEBTDenoiserConfig
from denoise.data import NoisyImages
from denoise.model import EBTDenoiser, TrainedDenoiser
from denoise.published import PublishedEBTDenoiser
from worldmodel.predictor import Clips
from worldmodel.sharing import write_model


@pytest.mark.parametrize("build", [ebt, dit])
def test_the_model_learns_to_denoise(build: Callable[..., TrainedDenoiser]) -> None:
    model, images, given = build(awake=False), clean(), noisy()
    optimizer = torch.optim.AdamW(model.parameters(), 5e-3)
    for step in range(120):
        optimizer.zero_grad()
        for loss in model.training_losses(images, seed=step):
            loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    setting = Sampling() if isinstance(model, PublishedDiTDenoiser) else model.trained_setting()
    prediction = model.eval().predict(given, setting).prediction
    before = (given.embeddings - images.embeddings).square().mean()
    assert float((prediction - images.embeddings).square().mean()) < 0.6 * float(before)


@pytest.mark.parametrize("build", [ebt, dit])
def test_an_image_is_denoised_alone_as_in_a_batch(build: Callable[[], TrainedDenoiser]) -> None:
    model, given = build(), noisy()
    for setting in (model.trained_setting(), model.settings([2])[1]):
        together = model.predict(given, setting).prediction
        alone = model.predict(next(given.parts(3)), setting).prediction
        assert torch.allclose(alone, together[:1], atol=1e-5)


@pytest.mark.parametrize("build", [ebt, dit])
def test_recomputed_blocks_teach_the_same(build: Callable[[], TrainedDenoiser]) -> None:
    kept, recomputed = build(), build()
    recomputed.backbone.enable_gradient_checkpointing()  # type: ignore[union-attr, operator]
    require_same(gradients(recomputed), gradients(kept))


@pytest.mark.parametrize("build", [ebt, dit])
def test_candidates_and_energies_stay_in_float32(build: Callable[[], TrainedDenoiser]) -> None:
    model, given = build(), noisy()
    expected = gradients(model)
    with torch.autocast("cpu", torch.bfloat16):
        found = gradients(model)
        for setting in model.settings([2]):
            trajectory = model.predict(given, setting, energies=True)
            assert trajectory.candidates.dtype == torch.float32
            assert trajectory.energies is None or trajectory.energies.dtype == torch.float32
    assert found.keys() == expected.keys()
    off = torch.cat([(found[name] - value).flatten() for name, value in expected.items()]).norm()
    size = torch.cat([value.flatten() for value in expected.values()]).norm()
    assert 0 < float(off / size) < 0.02


@pytest.mark.parametrize("build", [ebt, dit])
def test_a_written_model_comes_back(
    build: Callable[[], PublishedEBTDenoiser | PublishedDiTDenoiser], tmp_path: Path
) -> None:
    model, given = build(), noisy()
    kind = type(model)
    config = PLAIN if kind is PublishedEBTDenoiser else PublishedDiTConfig()
    options = dict(
        zip(
            ("config", "backbone", "grid", "dim"),
            (vars(config), vars(BACKBONE), *SHAPE[1:]),
            strict=True,
        )
    )
    write_model(model, tmp_path, options)
    back = kind.from_pretrained(str(tmp_path))
    setting = model.trained_setting()
    assert torch.equal(
        back.predict(given, setting).prediction, model.predict(given, setting).prediction
    )


@pytest.mark.parametrize("build", [ebt, dit])
def test_features_are_of_every_block(build: Callable[[], TrainedDenoiser]) -> None:
    model = build()
    features = model.features(noisy())
    assert list(features) == ["block 1 of 2", "block 2 of 2"]
    first, second = features.values()
    assert first.shape == second.shape == (3, 1, 16, 48)
    assert not torch.allclose(first, second, atol=1e-3)


KINDS: dict[str, tuple[type[TrainedDenoiser], object]] = {
    "ebt_residual": (EBTDenoiser, EBTDenoiserConfig()),
    "ebt_linear": (EBTDenoiser, EBTDenoiserConfig(context=False, form="linear", training_steps=1)),
    "ebt_published": (PublishedEBTDenoiser, PublishedEBTDenoiserConfig(langevin_noise=0.1)),
    "ebt_published, system 2": (
        PublishedEBTDenoiser,
        PublishedEBTDenoiserConfig(
            most_steps=2, detach=False, truncate=True, random_step_size=2.0, langevin_noise=0.1
        ),
    ),
    "dit": (DiTDenoiser, DiTConfig()),
    "dit_published": (PublishedDiTDenoiser, PublishedDiTConfig()),
    "direct": (DirectDenoiser, DirectConfig()),
}
SLOW = ("ebt_published, system 2", "dit_published")


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in KINDS],
)
def test_nothing_is_mixed_between_devices(name: str) -> None:
    """On tensors of a GPU that have a shape and no values."""
    kind, config = KINDS[name]
    with fake_tensors("cuda"), torch.device("cuda"):
        model = kind(config, *SHAPE)  # type: ignore[call-arg]
    if isinstance(model, PublishedEBTDenoiser) and not torch.cuda.is_available():
        energy = model.energy  # torch's own differentiation takes no GPU that is not there
        energy.input_gradient = lambda y, differentiable=False: (0 * y, energy(y))  # type: ignore[method-assign]
    with fake_tensors("cuda"):
        images = torch.zeros(2, 1, 16, ENCODER.dim, device="cuda")
        given = NoisyImages(images, ["a", "b"], 9, 1.0, lambda embeddings: embeddings.clamp(-1, 1))
        for loss in model.training_losses(Clips(images, ["a", "b"]), seed=0):
            assert loss.device.type == "cuda"
        for setting in model.settings([1, 3]):
            if getattr(setting, "sampler", None) == Sampler.DPM_SOLVER:
                continue  # it plans its steps in numpy
            found = model.predict(given, setting, energies=True)
            assert found.prediction.device.type == "cuda"
            assert found.energies is None or found.energies.device.type == "cuda"
        for features in model.features(given).values():
            assert features.device.type == "cuda"


# DiT alone


def test_dit_can_be_sampled_like_the_other() -> None:
    model, given = dit(), noisy(step=9)
    assert model.trained_setting() == PublishedSampling(1)
    assert model.settings([2]) == [
        Sampling(),
        Sampling(2, Sampler.DDIM),
        Sampling(2, Sampler.DPM_SOLVER),
        PublishedSampling(1),
        PublishedSampling(3),
    ]
    images = [ENCODER.decode(model.predict(given, s).prediction[:, 0]) for s in model.settings([2])]
    for published in images[3:]:
        assert published.min() >= -1e-6
        assert published.max() <= 1 + 1e-6
    assert not torch.allclose(images[0], images[3], atol=1e-3)


def test_the_bound_teaches_the_variance_alone() -> None:
    model, images, given = dit(), clean(), noisy()
    noise, variance = (
        part.detach().requires_grad_()
        for part in model.predict_noise_and_variance(given.embeddings, 99)
    )

    def predicted(_: Tensor, step: Tensor | int) -> tuple[Tensor, Tensor]:
        return noise, variance

    model.predict_noise_and_variance = predicted  # type: ignore[method-assign]
    step, truth = torch.full((3,), 99), torch.randn_like(noise)
    (loss,) = model.denoising_losses(images, given.embeddings, truth, step, seed=0)
    loss.backward()
    expected = 2 * (noise - truth).detach() / noise.numel()
    assert noise.grad is not None
    assert torch.allclose(noise.grad, expected, atol=1e-9)
    assert variance.grad is not None
    assert variance.grad.any()
