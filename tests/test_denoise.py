from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import DDIMScheduler
from safetensors.torch import load_model, save_model
from test_corruption import at_level, keys, pictures
from torch import Tensor

from baselines.classical import GaussianBlur, Identity, NonLocalMeans, Wavelet
from baselines.config import DirectConfig, DiTConfig
from baselines.direct import DirectDenoiser
from baselines.dit import (
    DiTDenoiser,
    PublishedSampling,
    Sampler,
    Sampling,
    ddim,
    dpm_solver,
    sampling_steps,
)
from benchmarks.measure.costs import measure_cost
from data_prep.config import EncoderConfig
from data_prep.encoders.dct import BlockDCT
from denoise.config import EBTDenoiserConfig, step_of
from denoise.data import NoisyImages
from denoise.diffusion import cumulative_alphas, diffuse, signal_and_noise
from denoise.model import EBTDenoiser, TrainedDenoiser
from worldmodel.backbone import Transformer, Visible
from worldmodel.config import BackboneConfig
from worldmodel.predictor import Clips, Passes, Predictor, Setting

BACKBONE = BackboneConfig(layers=2, heads=2, width=48)
ENCODER = BlockDCT(EncoderConfig(patch_size=4, frequencies=None), 16)
GRID, DIM = ENCODER.grid, ENCODER.dim


def noisy_and_clean(level: float = 0.1) -> tuple[NoisyImages, Tensor]:
    noisy = at_level(level).apply(pictures(), keys(), ENCODER, 0, step_of(level))
    return noisy, ENCODER.encode(pictures())[:, None]


def ebt(**options: object) -> EBTDenoiser:
    torch.manual_seed(0)
    return EBTDenoiser(EBTDenoiserConfig(**options), BACKBONE, GRID, DIM).eval()  # type: ignore[arg-type]


def dit(**options: object) -> DiTDenoiser:
    torch.manual_seed(0)
    return DiTDenoiser(DiTConfig(**options), BACKBONE, GRID, DIM).eval()  # type: ignore[arg-type]


def direct() -> DirectDenoiser:
    torch.manual_seed(0)
    return DirectDenoiser(DirectConfig(), BACKBONE, GRID, DIM).eval()


def awake(model: DiTDenoiser) -> DiTDenoiser:
    """A DiT whose zero-initialised layers are not zero any more."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if not parameter.any():
                parameter.normal_(std=0.05)
    return model


# DiT and its samplers


def oracle(clean: Tensor) -> object:
    """The noise that is really there."""

    def predict_noise(noisy: Tensor, step: int) -> Tensor:
        signal, noise = signal_and_noise(step)
        return (noisy - signal * clean) / noise

    return predict_noise


@pytest.mark.parametrize("sampler", [ddim, dpm_solver])
@pytest.mark.parametrize(
    ("level", "passes"), [(0.1, 1), (0.1, 10), (0.2, 7), (0.05, 50), (1.0, 20)]
)
def test_an_oracle_is_denoised_exactly(sampler, level: float, passes: int) -> None:  # type: ignore[no-untyped-def]
    noisy, clean = noisy_and_clean(level)
    prediction = sampler(oracle(clean), noisy.embeddings, noisy.step, passes)
    assert torch.allclose(prediction, clean, atol=5e-4 if level == 1 else 5e-5)


def test_one_pass_is_the_closed_form_x0() -> None:
    model = awake(dit())
    noisy, _ = noisy_and_clean()
    prediction = model.predict(noisy, Sampling()).prediction
    signal, noise = signal_and_noise(99)
    with torch.no_grad():
        expected = (noisy.embeddings - noise * model.predict_noise(noisy.embeddings, 99)) / signal
    assert torch.allclose(prediction, expected, atol=1e-5)
    assert not torch.allclose(prediction, noisy.embeddings / signal, atol=1e-3)
    for sampler in (ddim, dpm_solver):
        with torch.no_grad():
            same = sampler(model.predict_noise, noisy.embeddings, 99, 1)
        assert torch.allclose(same, expected, atol=1e-5)


@pytest.mark.parametrize("passes", [2, 5, 10, 50])
def test_ddim_equals_diffusers_scheduler_where_that_applies(passes: int) -> None:
    model = awake(dit())
    noisy, _ = noisy_and_clean()
    scheduler = DDIMScheduler(
        beta_start=1e-4,
        beta_end=2e-2,
        beta_schedule="linear",
        clip_sample=False,
        set_alpha_to_one=True,
        timestep_spacing="trailing",
    )
    scheduler.set_timesteps(10 * passes)
    last = scheduler.timesteps[-passes:]
    assert last.tolist() == sampling_steps(99, passes)
    expected = noisy.embeddings
    with torch.no_grad():
        for step in last:
            noise = model.predict_noise(expected, int(step))
            expected = scheduler.step(noise, step, expected).prev_sample
        found = ddim(model.predict_noise, noisy.embeddings, 99, passes)
    assert torch.allclose(found, expected, atol=1e-5)


def test_sampling_steps_begin_at_the_noise_and_end_near_the_image() -> None:
    assert sampling_steps(99, 10) == [99, 89, 79, 69, 59, 49, 39, 29, 19, 9]
    assert sampling_steps(199, 1) == [199]
    for start in (49, 99, 130, 999):
        for passes in (1, 2, 5, 10, 20, 50):
            steps = sampling_steps(start, passes)
            assert steps[0] == start
            assert len(set(steps)) == passes
            assert steps == sorted(steps, reverse=True)
            assert min(steps) >= 0


def test_dpm_solver_is_nearer_than_ddim_on_a_known_gaussian() -> None:
    """Where the score is known, the exact answer of the probability flow is too."""
    variance = 0.25
    noisy = torch.randn(
        64, 1, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )

    def predict_noise(x: Tensor, step: int) -> Tensor:
        alpha = cumulative_alphas()[step].double()
        return (1 - alpha).sqrt() * x / (alpha * variance + 1 - alpha)

    alpha = cumulative_alphas()[499].double()
    exact = noisy * (variance / (alpha * variance + 1 - alpha)) ** 0.5
    errors = [
        float((sampler(predict_noise, noisy, 499, 10) - exact).abs().mean())
        for sampler in (ddim, dpm_solver)
    ]
    assert errors[1] < errors[0] / 3


def test_a_new_dit_predicts_no_noise() -> None:
    model = dit()
    noisy, _ = noisy_and_clean()
    with torch.no_grad():
        assert not model.predict_noise(noisy.embeddings, 99).any()
    gates = [block.norm1.linear for block in model.dit.transformer_blocks]
    assert all(not layer.weight.any() and not layer.bias.any() for layer in gates)


def test_min_snr_weighs_each_step_by_its_signal() -> None:
    """At the start the error is that of the noise itself, so the weights show."""
    clean = noisy_and_clean()[1]
    batch = Clips(clean, keys())
    plain, weighted = dit(min_snr=None), dit(min_snr=5.0)
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    step = torch.tensor([5, 99, 800])
    (loss,) = plain.denoising_losses(batch, diffuse(clean, step, noise), noise, step, 0)
    squares = noise.square().mean((1, 2, 3))
    assert torch.allclose(loss, squares.mean())
    alphas = cumulative_alphas()[step]
    weights = torch.minimum(alphas / (1 - alphas), torch.tensor(5.0)) * (1 - alphas) / alphas
    assert weights[2] == pytest.approx(1)
    (loss,) = weighted.denoising_losses(batch, diffuse(clean, step, noise), noise, step, 0)
    assert torch.allclose(loss, (weights * squares).mean())


def test_dit_reads_the_level_that_it_is_told_and_the_others_do_not() -> None:
    noisy, _ = noisy_and_clean()
    told = NoisyImages(noisy.embeddings, noisy.keys, step=50, signal=noisy.signal)
    for model in (ebt(), direct(), awake(dit())):
        setting = model.trained_setting()
        same = torch.equal(
            model.predict(noisy, setting).prediction, model.predict(told, setting).prediction
        )
        assert same != model.told_noise


@pytest.mark.parametrize(("level", "passes"), [(0.02, 20), (0.1, 100)])
def test_the_published_protocol_starts_at_the_images_own_step(level: float, passes: int) -> None:
    model = awake(dit())
    noisy, _ = noisy_and_clean(level)
    called: list[int] = []

    def predict_noise(image: torch.Tensor, step: torch.Tensor | int) -> torch.Tensor:
        called.append(int(step))
        return DiTDenoiser.predict_noise(model, image, step)

    model.predict_noise = predict_noise  # type: ignore[method-assign, assignment]
    once = model.predict(noisy, PublishedSampling(1)).prediction
    assert called == list(range(passes - 1, -1, -1))
    recursed = model.predict(noisy, PublishedSampling(3)).prediction
    assert len(called) == 4 * passes
    again = model.predict(replace(noisy, embeddings=once), PublishedSampling(2)).prediction
    assert torch.allclose(recursed, again, atol=1e-5)
    pixels = ENCODER.decode(once[:, 0])
    assert pixels.min() >= -1e-5
    assert pixels.max() <= 1 + 1e-5
    with pytest.raises(ValueError, match="clips pixels"):
        model.predict(replace(noisy, clip=None), PublishedSampling(1))


def test_a_dit_of_one_level_cannot_take_further_passes() -> None:
    model = DiTDenoiser(DiTConfig(levels=[0.1, 0.1]), BACKBONE, GRID, DIM)
    assert model.settings([1, 3]) == [Sampling()]


def test_an_unknown_sampler_is_refused() -> None:
    for sampler in ("ddpm", None):
        with pytest.raises(ValueError, match="not a valid Sampler"):
            Sampling(10, sampler)  # type: ignore[arg-type]
    assert Sampling().label == "x0, 1 pass"
    assert Sampling(10, Sampler.DDIM).label == "ddim, 10 passes"


# All denoisers


def models() -> list[TrainedDenoiser]:
    return [
        ebt(),
        ebt(context=False, form="linear", training_steps=1),
        ebt(context=False, form="residual", anchor="zero"),
        ebt(form="gradient_step"),
        direct(),
        dit(),
    ]


@pytest.mark.parametrize("model", models(), ids=lambda m: type(m).__name__)
def test_a_prediction_does_not_depend_on_its_batch(model: TrainedDenoiser) -> None:
    noisy, clean = noisy_and_clean()
    model.calibrate(Clips(clean, keys()))
    alone = NoisyImages(noisy.embeddings[1:2], noisy.keys[1:2], noisy.step, noisy.signal)
    for setting in model.settings([1, 2, 10]):
        whole = model.predict(noisy, setting).prediction
        assert whole.shape == clean.shape
        assert torch.allclose(whole[1:2], model.predict(alone, setting).prediction, atol=1e-4)


@pytest.mark.parametrize("model", models(), ids=lambda m: type(m).__name__)
def test_counted_passes_are_the_real_calls(model: TrainedDenoiser) -> None:
    noisy, _ = noisy_and_clean()
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    backbone = model.backbone
    assert backbone is not None
    for setting in model.settings([1, 2, 10]):
        if setting.order > 10:
            continue
        calls = 0
        # A layer that every forward pass calls once, by whichever method the pass enters.
        entry = (
            backbone.get_submodule("blocks.0.attention.query")
            if isinstance(backbone, Transformer)
            else backbone
        )
        handle = entry.register_forward_pre_hook(count)
        model.predict(noisy, setting)
        handle.remove()
        cost = measure_cost(lambda s=setting: model.predict(noisy, s), backbone, 1, 1, "cpu")
        assert cost.forward_passes == calls
        if isinstance(model, EBTDenoiser):
            with_context = model.ebt.config.context
            assert calls == setting.order + with_context
            assert cost.input_gradient_passes == setting.order
        else:
            assert calls == setting.order
            assert cost.input_gradient_passes == 0


def test_all_models_train_on_the_same_noise() -> None:
    """The same batch and seed make the same noisy images for every model of the same levels."""
    seen: list[tuple[Tensor, Tensor]] = []
    clean = noisy_and_clean()[1]
    for model in models():
        model.first_step, model.last_step = 20, 80

        def record(
            batch: Clips, noisy: Tensor, noise: Tensor, step: Tensor, seed: int
        ) -> list[Tensor]:
            seen.append((noisy, step))
            return [noisy.sum()]

        model.denoising_losses = record  # type: ignore[method-assign, assignment]
        list(model.training_losses(Clips(clean, keys()), seed=5))
    for noisy, step in seen[1:]:
        assert torch.equal(noisy, seen[0][0])
        assert torch.equal(step, seen[0][1])
        assert int(step.min()) >= 20
        assert int(step.max()) <= 80


@pytest.mark.parametrize("model", models(), ids=lambda m: type(m).__name__)
def test_a_denoiser_learns_to_denoise(model: TrainedDenoiser) -> None:
    torch.manual_seed(0)
    noisy, clean = noisy_and_clean()
    model.train().calibrate(Clips(clean, keys()))
    optimizer = torch.optim.AdamW(model.parameters(), 5e-3)
    for step in range(60):
        optimizer.zero_grad()
        for loss in model.training_losses(Clips(clean, keys()), seed=step):
            loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    prediction = model.eval().predict(noisy, model.trained_setting()).prediction
    before = (noisy.embeddings - clean).square().mean()
    assert float((prediction - clean).square().mean()) < 0.6 * float(before)


def test_without_context_the_energy_is_blind_to_the_noisy_image() -> None:
    blind, sighted = ebt(context=False, form="linear"), ebt(form="linear")
    noisy, clean = noisy_and_clean()
    visible = Visible.all_of(1)
    for model, expected in ((blind, True), (sighted, False)):
        energies = [
            model.ebt.energy(clean, model.ebt.energy.encode(context), visible)
            for context in (noisy.embeddings, clean * 0.5)
        ]
        assert torch.equal(energies[0], energies[1]) == expected


def test_direct_is_applied_to_its_own_output() -> None:
    model = direct()
    noisy, _ = noisy_and_clean()
    once = model.predict(noisy, Passes(1)).prediction
    again = model.predict(Clips(once, noisy.keys), Passes(1)).prediction
    trajectory = model.predict(noisy, Passes(2)).candidates
    assert torch.equal(trajectory[0], noisy.embeddings)
    assert torch.allclose(trajectory[2], again)


@pytest.mark.parametrize("model", [GaussianBlur, Wavelet, NonLocalMeans])
def test_classics_denoise(model: type[Predictor]) -> None:
    encoder = BlockDCT(EncoderConfig(patch_size=4, frequencies=None), 32)
    frames = pictures(3, 32)
    clean = encoder.encode(frames)[:, None]
    for level in (0.1, 0.3):
        noisy = at_level(level).apply(frames, keys(), encoder, 0, step_of(level))
        classic = model(encoder)  # type: ignore[call-arg]
        prediction = classic.predict(noisy, classic.settings([])[-1]).prediction
        floor = Identity().predict(noisy, Setting()).prediction
        error, before = ((p - clean).square().mean() for p in (prediction, floor))
        assert float(error) < 0.4 * float(before)


def test_a_denoisers_weights_come_back(tmp_path: Path) -> None:
    noisy, clean = noisy_and_clean()
    for index, (model, fresh) in enumerate(zip(models(), models(), strict=True)):
        model.calibrate(Clips(clean, keys()))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.01)
        save_model(model, str(tmp_path / f"{index}.safetensors"))
        load_model(fresh, tmp_path / f"{index}.safetensors")
        setting = model.trained_setting()
        assert torch.equal(
            model.predict(noisy, setting).prediction, fresh.predict(noisy, setting).prediction
        )
