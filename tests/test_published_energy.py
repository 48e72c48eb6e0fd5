"""The published energy of images, and descent on it."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from published_denoisers import (
    ENCODER,
    NOISY,
    PLAIN,
    SHAPE,
    clean,
    ebt,
    gradients,
    learned,
    noisy,
    require_same,
)
from torch import Tensor

from benchmarks.measure.costs import measure_cost
from data_prep.errors import InputError
from denoise.config import PublishedEBTDenoiserConfig
from denoise.diffusion import signal_and_noise
from denoise.published import PublishedEBTDenoiser, PublishedThinking
from worldmodel.predictor import Clips, Thinking
from worldmodel.thinking import NonFiniteError


def test_settings_are_numbers_of_steps_and_then_the_published_inference() -> None:
    model = ebt(replace(PLAIN, least_steps=2, most_steps=3, inference_steps=4))
    published = PublishedThinking(4)
    assert model.settings([1]) == [Thinking(1), Thinking(3), published]
    assert model.trained_setting() == Thinking(3)
    assert published.fixed
    assert published.label == "published, 4 steps"
    assert ebt(replace(PLAIN, inference_steps=None)).settings([1]) == [Thinking(1)]


def test_each_step_goes_down_the_gradient_of_the_energy_that_it_reports() -> None:
    model, given = ebt(), noisy()
    found = model.predict(given, Thinking(2), energies=True)
    assert found.patch_energies is not None
    assert torch.equal(found.candidates[0], given.embeddings)
    for step, candidates in enumerate(found.candidates):
        image = candidates.clone().requires_grad_()
        energies = model.energy(image)
        assert torch.allclose(found.patch_energies[step], energies, atol=1e-6)
        if step < 2:
            energies.sum().backward()
            moved = candidates - model.step_size.detach() * image.grad
            assert torch.allclose(found.candidates[step + 1], moved, atol=1e-6)
    first, second = model.predict_all(given, [Thinking(n) for n in (1, 2)])
    assert torch.equal(first.prediction, found.candidates[1])
    assert torch.equal(second.prediction, found.prediction)


def test_predictions_in_inference_mode_are_the_same() -> None:
    model, given = ebt(), noisy()
    expected = model.predict(given, Thinking(2), energies=True)
    with torch.inference_mode():
        made_there = replace(given, embeddings=given.embeddings.clone())
        found = model.predict(made_there, Thinking(2), energies=True)
    assert torch.equal(found.prediction, expected.prediction)
    assert found.energies is not None
    assert expected.energies is not None
    assert torch.equal(found.energies, expected.energies)


def test_the_energy_sees_its_candidate_alone() -> None:
    model, given = ebt(), noisy()
    candidates = clean().embeddings[:, :, None]
    other = replace(given, embeddings=given.embeddings * 0.5)
    assert torch.equal(model.verify(given, candidates), model.verify(other, candidates))


def test_of_several_candidates_the_lowest_energy_wins() -> None:
    model, given = ebt(NOISY), noisy()
    setting = Thinking(2, candidates=4)
    every = model.competing(given, setting)
    assert every.candidates.shape == (3, 3, 4, 16, ENCODER.dim)
    assert every.energies is not None
    prediction = model.predict(given, setting)
    assert prediction.energies is not None
    for image, best in enumerate(every.energies[-1].argmin(dim=1)):
        assert torch.equal(prediction.candidates[:, image, 0], every.candidates[:, image, best])
        assert torch.equal(prediction.energies[:, image, 0], every.energies[:, image, best])
    verified = model.verify(given, every.prediction[:, None])
    assert every.patch_energies is not None
    assert torch.allclose(verified[:, 0], every.patch_energies[-1], atol=1e-6)
    model.seed_starts(1)
    assert not torch.equal(model.predict(given, setting).prediction, prediction.prediction)


def test_noise_that_tells_candidates_apart_spares_the_start() -> None:
    model, given = ebt(), noisy()
    once = model.competing(given, Thinking(1, 3, langevin_noise=0.1)).prediction
    assert torch.equal(once[:, :1].expand_as(once), once)
    twice = model.competing(given, Thinking(2, 3, langevin_noise=0.1)).prediction
    assert not torch.allclose(twice[:, 0], twice[:, 1], atol=1e-3)


def test_published_inference_has_its_own_step_size_and_noise() -> None:
    model, given = ebt(NOISY), noisy()
    still = model.predict(given, PublishedThinking(1, own_noise=0.0)).prediction
    plain = ebt(PLAIN).predict(given, Thinking(1)).prediction
    assert torch.allclose(still, plain, atol=1e-6)
    size = 2 * float(model.step_size.detach())
    twice = model.predict(given, PublishedThinking(1, step_size=size, own_noise=0.0)).prediction
    assert torch.allclose(twice - given.embeddings, 2 * (still - given.embeddings), atol=1e-5)
    assert not torch.allclose(
        model.predict(given, PublishedThinking(1)).prediction, still, atol=1e-3
    )


def test_the_step_size_is_calibrated_once_where_that_is_asked() -> None:
    given = noisy()
    model = ebt(awake=False)
    with torch.no_grad():
        torch.nn.init.xavier_uniform_(model.energy.readout.linear.weight)
    update = model.predict(given, Thinking(1)).prediction - given.embeddings
    std = signal_and_noise(99)[1]
    assert float(update.square().mean().sqrt()) == pytest.approx(0.3 * std, rel=0.3)
    size = model.step_size.clone()
    model.calibrate(Clips(100 * clean().embeddings, clean().keys))
    assert torch.equal(model.step_size, size)
    loaded = PublishedEBTDenoiser(PLAIN, *SHAPE)
    loaded.load_state_dict(model.state_dict())
    loaded.calibrate(Clips(100 * clean().embeddings, clean().keys))
    assert torch.equal(loaded.step_size, size)
    untouched = ebt(replace(PLAIN, calibrate=False, step_size=77.0))
    assert float(untouched.step_size.detach()) == 77


def test_the_step_size_learns_at_a_rate_of_its_own() -> None:
    learned = ebt(PublishedEBTDenoiserConfig())
    ((parameter, multiple),) = learned.rate_multiples()
    assert parameter is learned.step_size
    assert multiple == 9000  # as published, for a step size of 3,000
    assert not ebt(PublishedEBTDenoiserConfig(learn_step_size=False)).rate_multiples()


def test_a_step_size_never_falls_below_its_least() -> None:
    model, given = ebt(), noisy()
    with torch.no_grad():
        model.step_size.fill_(-5.0)
    moved = model.predict(given, Thinking(1)).prediction
    with torch.no_grad():
        model.step_size.fill_(1e-4)
    assert torch.equal(moved, model.predict(given, Thinking(1)).prediction)
    assert not torch.equal(moved, given.embeddings)


def test_truncation_leaves_nothing_to_detach() -> None:
    """With a step size that does not learn, earlier gradients are constants."""
    config = replace(PLAIN, least_steps=3, most_steps=3, truncate=True, learn_step_size=False)
    require_same(gradients(ebt(replace(config, detach=False))), gradients(ebt(config)))
    whole = gradients(ebt(replace(config, detach=False, truncate=False)))
    assert not torch.allclose(
        whole["energy.embed.weight"], gradients(ebt(config))["energy.embed.weight"]
    )


def test_without_detaching_the_loss_goes_through_the_whole_descent() -> None:
    config = replace(PLAIN, least_steps=3, most_steps=3)
    images, given, step = clean(), noisy().embeddings, torch.full((3,), 99)
    whole, detached = (ebt(replace(config, detach=detach)) for detach in (False, True))
    found, cut = (
        learned(model, model.denoising_losses(images, given, given, step, seed=0))
        for model in (whole, detached)
    )
    image, losses = given.clone().requires_grad_(), []
    for _ in range(3):
        (slope,) = torch.autograd.grad(whole.energy(image).sum(), image, create_graph=True)
        image = image - whole.step_size * slope
        losses.append(torch.nn.functional.smooth_l1_loss(image, images.embeddings))
    require_same(found, learned(whole, [torch.stack(losses).mean()]))
    assert not torch.allclose(found["step_size"], cut["step_size"], rtol=1e-2)


def test_training_draws_its_steps_sizes_and_noise_from_seed_and_key() -> None:
    model = ebt(replace(NOISY, most_steps=3, random_step_size=2.0))
    given = noisy()

    def thoughts(seed: int, images: Clips = given) -> list[Tensor]:
        return [
            thought.candidates.detach()
            for thought in model.training_thoughts(images.embeddings, images.keys, seed)
        ]

    assert {len(thoughts(seed)) for seed in range(12)} == {1, 2, 3}
    for one, other in zip(thoughts(5), thoughts(5), strict=True):
        assert torch.equal(one, other)
    alone = thoughts(5, next(given.parts(3)))
    assert torch.allclose(alone[-1], thoughts(5)[-1][:1], atol=1e-5)
    quiet = ebt(replace(PLAIN, random_step_size=2.0))
    quiet.load_state_dict(model.state_dict())
    gradient, _ = quiet.energy.input_gradient(given.embeddings)
    (thought,) = quiet.training_thoughts(given.embeddings, given.keys, 5)
    factors = ((given.embeddings - thought.candidates) / gradient / quiet.step_size).detach()
    of_images = factors.flatten(1).median(dim=1).values
    assert torch.allclose(factors, of_images[:, None, None, None].expand_as(factors), atol=1e-2)
    assert of_images.min() >= 0.5
    assert of_images.max() <= 2
    assert of_images.std() > 0.01


def test_an_energy_that_is_not_finite_is_named() -> None:
    model, given = ebt(), noisy()
    broken = given.embeddings.clone()
    broken[1] = float("nan")
    with pytest.raises(NonFiniteError, match="step 1, clip image 1"):
        model.predict(replace(given, embeddings=broken), Thinking(2))


def test_a_step_costs_a_forward_and_an_input_gradient_pass() -> None:
    model, given = ebt(), next(noisy().parts(3))
    cost = measure_cost(
        lambda: model.predict(given, Thinking(3)), model.backbone, 1, repeats=1, device="cpu"
    )
    assert (cost.forward_passes, cost.input_gradient_passes) == (3, 3)
    one, three = (
        measure_cost(lambda s=s: model.predict(given, Thinking(s)), model.backbone, 1, 1, "cpu")
        for s in (1, 3)
    )
    assert one.flops is not None
    assert three.flops == 3 * one.flops


@pytest.mark.parametrize(
    "options",
    [
        {"least_steps": 3, "most_steps": 2},
        {"step_size": 0.0},
        {"random_step_size": 0.5},
        {"inference_samples": 4},
        {"levels": [0.2, 0.1]},
    ],
)
def test_what_has_no_meaning_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        PublishedEBTDenoiserConfig(**options)
