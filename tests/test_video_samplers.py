"""Samples of the next frame: by flows, and from predicted variances."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from baselines.config import (
    EnsembleConfig,
    FlowConfig,
    GaussianConfig,
    NextFrameDiTConfig,
    TransformerPPConfig,
)
from baselines.flow import NextFrameFlow
from baselines.flow_matching import FlowMatching
from baselines.flow_sampling import FixedSample, Sampled, Sampler, solve, times
from baselines.transformer_pp import TransformerPP
from baselines.transformer_pp_ensemble import TransformerPPEnsemble
from baselines.transformer_pp_gaussian import TransformerPPGaussian, negative_log_likelihood
from baselines.video_dit import NextFrameDiT
from benchmarks.measure.costs import measure_cost
from benchmarks.measure.energies import energy_scores
from data_prep.errors import InputError
from worldmodel.backbone import Visible
from worldmodel.config import BackboneConfig, EBTConfig, ModelConfig
from worldmodel.next_frame import NextFrameEBT
from worldmodel.noise import Stream, keyed_noise, keyed_uniform
from worldmodel.predictor import Clips, Predictor, Setting, Thinking

BACKBONE = BackboneConfig(layers=2, heads=2, width=32)
GRID, PATCHES, DIM = (2, 2), 4, 12
FLOWS = {"flow": (NextFrameFlow, FlowConfig()), "dit": (NextFrameDiT, NextFrameDiTConfig())}
SETTINGS = [Sampled(), Sampled(4), Sampled(5, Sampler.DPM_SOLVER)]


def built(network: Callable[..., Predictor], config: ModelConfig) -> Predictor:
    """A network none of whose weights is zero, as some are at the start."""
    torch.manual_seed(0)
    model = network(config, BACKBONE, GRID, DIM).eval()
    with torch.no_grad():
        for weights in model.parameters():
            weights += 0.1 * torch.randn_like(weights)
    return model


@pytest.fixture(params=FLOWS)
def flow(request: pytest.FixtureRequest) -> FlowMatching:
    model = built(*FLOWS[request.param])
    assert isinstance(model, FlowMatching)
    return model


def clips(batch: int = 2, frames: int = 4) -> Clips:
    generator = torch.Generator().manual_seed(1)
    embeddings = torch.randn(batch, frames, PATCHES, DIM, generator=generator)
    return Clips(embeddings, [f"clip-{i}" for i in range(batch)])


@pytest.mark.parametrize("passes", [1, 2, 10])
def test_times_run_from_noise_to_data_and_are_closer_together_near_noise(passes: int) -> None:
    found = times(passes)
    assert (found[0], found[-1], len(found)) == (0, 1, passes + 1)
    gaps = [after - before for before, after in pairwise(found)]
    assert min(gaps) > 0
    assert gaps == sorted(gaps)


def test_one_pass_is_the_clean_frame_predicted_from_noise(flow: FlowMatching) -> None:
    batch = clips()
    with torch.no_grad():
        encoded, visible = flow.encode(batch.embeddings), Visible.every(4)
        noise = flow.noise(encoded, visible, batch.keys)
        expected = flow.clean(noise, torch.zeros(1, 1), encoded, visible)
    assert torch.equal(flow.predict(batch, Sampled()).prediction, expected)
    assert expected.std() > 0.1


@pytest.mark.parametrize("setting", SETTINGS)
def test_samples_on_one_context_equal_single_ones(flow: FlowMatching, setting: Sampled) -> None:
    batch = clips()
    found = flow.sample(batch, setting, 3)
    assert found.shape == (2, 4, 3, PATCHES, DIM)
    with torch.no_grad():
        encoded, visible = flow.encode(batch.embeddings), Visible.every(4)
        for number in range(3):
            noise = keyed_noise(Stream.FLOW, (0, number), batch.keys, visible.index, PATCHES, DIM)

            def clean(noisy: Tensor, time: float) -> Tensor:
                return flow.clean(noisy, torch.full((2, 4), time), encoded, visible)

            alone = solve(clean, noise, setting)
            assert torch.allclose(found[:, :, number], alone, atol=1e-5)
    assert not torch.isclose(found[:, :, 0], found[:, :, 1]).all()
    mean = flow.predict(batch, replace(setting, samples=3)).prediction
    assert torch.allclose(mean, found.mean(2), atol=1e-6)
    assert torch.allclose(flow.predict(batch, setting).prediction, found[:, :, 0], atol=1e-5)


def test_settings_share_one_context_and_equal_single_predictions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    flow = built(*FLOWS["flow"])
    assert isinstance(flow, NextFrameFlow)
    batch, settings, encodings = clips(), flow.settings([1, 2, 3]), []
    expected = [flow.predict(batch, setting).prediction for setting in settings]
    original = flow.stack.forward
    monkeypatch.setattr(flow.stack, "forward", lambda *a: encodings.append(1) or original(*a))
    found = flow.predict_all(batch, settings)
    assert len(encodings) == 1
    for trajectory, alone in zip(found, expected, strict=True):
        assert torch.equal(trajectory.prediction, alone)


def test_the_settings_are_those_asked_for_and_a_fixed_sample(flow: FlowMatching) -> None:
    settings = flow.settings([2, 5])
    assert [setting.label for setting in settings] == [
        "1 pass",
        "euler, 2 passes",
        "euler, 5 passes",
        "dpm_solver++, 5 passes",
        "1 pass, mean of 8",
        "a sample of 10 passes",
    ]
    assert [setting.fixed for setting in settings] == [False] * 5 + [True]
    assert flow.trained_setting() == settings[0]
    batch = clips()
    fixed, same = (flow.predict(batch, s).prediction for s in (FixedSample(), Sampled(10)))
    assert torch.equal(fixed, same)
    with pytest.raises(TypeError, match="it takes Sampled"):
        flow.predict(batch, Setting())


def test_another_seed_starts_from_other_noise(flow: FlowMatching) -> None:
    batch = clips()
    before = flow.sample(batch, Sampled(2), 2)
    flow.seed_starts(1)
    other = flow.sample(batch, Sampled(2), 2)
    assert not torch.isclose(before, other).all(dim=(-1, -2)).any()
    flow.seed_starts(0)
    assert torch.equal(flow.sample(batch, Sampled(2), 2), before)


@pytest.mark.parametrize("draws", [1, 3])
@pytest.mark.parametrize("name", FLOWS)
def test_the_loss_is_the_mean_error_over_frames_times_and_draws(name: str, draws: int) -> None:
    network, config = FLOWS[name]
    flow, batch, seed = built(network, replace(config, draws=draws)), clips(frames=3), 7
    assert isinstance(flow, FlowMatching)
    (loss,) = flow.training_losses(batch, seed)
    errors = []
    for clip, frame, draw in torch.cartesian_prod(*map(torch.arange, (2, 2, draws))).tolist():
        key = [batch.keys[clip]], torch.tensor([frame + 1])
        noise = keyed_noise(Stream.TRAINING_FLOW, (seed, draw), *key, PATCHES, DIM)
        time = keyed_uniform(Stream.TRAINING_FLOW_TIME, (seed,), *key, draws)[..., draw]
        target = batch.embeddings[clip, frame + 1]
        seen = batch.embeddings[clip : clip + 1, : frame + 1]
        found = flow.clean(
            (1 - time) * noise + time * target, time, flow.encode(seen), Visible.all_of(frame + 1)
        )
        errors.append((found - target).square().mean())
    assert torch.allclose(loss, torch.stack(errors).mean(), rtol=1e-4)


def test_noise_and_times_are_new_for_every_frame_clip_and_step(
    flow: FlowMatching, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[Tensor, Tensor]] = []

    def looking(noisy: Tensor, time: Tensor, *others: object) -> Tensor:
        seen.append((noisy, time))
        return noisy.requires_grad_()

    monkeypatch.setattr(flow, "clean", looking)
    zeros = replace(clips(), embeddings=torch.zeros(2, 4, PATCHES, DIM))
    for seed in (0, 1, 0):
        next(flow.training_losses(zeros, seed))
    (noisy, time), (_, other), (again, _) = seen
    assert time.shape == (2, 3)
    assert len(torch.stack([time, other]).unique()) == 12
    assert torch.equal(noisy, again)
    assert ((time >= 0) & (time < 1)).all()


def test_no_gradient_reaches_a_prediction_from_later_frames(flow: FlowMatching) -> None:
    embeddings = clips(1).embeddings.requires_grad_()
    encoded, visible = flow.encode(embeddings), Visible.every(4)
    noisy = torch.randn(1, 4, PATCHES, DIM, generator=torch.Generator().manual_seed(0))
    found = flow.clean(noisy, torch.full((1, 1), 0.3), encoded, visible)
    for frame in range(4):
        (gradient,) = torch.autograd.grad(found[0, frame].sum(), embeddings, retain_graph=True)
        reached = gradient[0].flatten(1).any(dim=1)
        assert not reached[frame + 1 :].any()
        assert reached[frame]


def test_the_dit_sees_the_first_frame_in_place_of_missing_ones() -> None:
    flow = built(NextFrameDiT, NextFrameDiTConfig(observed_frames=3))
    frames = clips(1, 5).embeddings

    def next_of(embeddings: Tensor) -> Tensor:
        encoded = flow.encode(embeddings)
        noisy = torch.ones(1, 1, PATCHES, DIM)
        with torch.no_grad():
            visible = Visible.all_of(embeddings.shape[1])
            found: Tensor = flow.clean(noisy, torch.zeros(1, 1), encoded, visible)
        return found

    first, second = frames[:, :1], frames[:, 1:2]
    padded = torch.cat([first, first, second], dim=1)
    assert torch.equal(next_of(frames[:, :2]), next_of(padded))
    assert torch.equal(next_of(frames), next_of(frames[:, 2:]))
    assert not torch.isclose(next_of(frames), next_of(frames[:, 3:])).all()


def test_the_dit_refuses_frames_that_are_not_square() -> None:
    with pytest.raises(InputError, match="1x4 patches; they must be square"):
        NextFrameDiT(NextFrameDiTConfig(), BACKBONE, (1, 4), DIM)


def gaussian(floor: float = 1e-4) -> TransformerPPGaussian:
    model = built(TransformerPPGaussian, GaussianConfig(variance_floor=floor))
    assert isinstance(model, TransformerPPGaussian)
    return model


def test_the_likelihood_is_that_of_a_normal_distribution() -> None:
    generator = torch.Generator().manual_seed(0)
    mean, target = torch.randn(2, 3, 4, PATCHES, DIM, generator=generator)
    variance = torch.rand(3, 4, PATCHES, generator=generator) + 0.1
    normal = torch.distributions.Normal(mean, variance.sqrt()[..., None])
    found = negative_log_likelihood(mean, variance, target)
    assert torch.allclose(found, -normal.log_prob(target).mean(), rtol=1e-5)


def test_a_gaussian_learns_from_the_likelihood_of_what_it_predicts() -> None:
    model, batch = gaussian(), clips()
    found = model.predict(batch.frames(0, -1), Setting(), energies=True)
    assert found.patch_energies is not None
    variance = 2 * found.patch_energies[-1] / DIM
    expected = negative_log_likelihood(found.prediction, variance, batch.embeddings[:, 1:])
    (loss,) = model.training_losses(batch, 0)
    assert torch.allclose(loss, expected, rtol=1e-5)
    loss.backward()
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())
    assert model.predict(batch, Setting()).patch_energies is None


def test_no_variance_lies_below_its_floor() -> None:
    model = gaussian(floor=0.25)
    model.variance_head.bias.data.fill_(-100)
    model.variance_head.weight.data.zero_()
    found = model.predict(clips(), Setting(), energies=True).patch_energies
    assert found is not None
    assert torch.allclose(found, torch.full_like(found, DIM * 0.25 / 2))


def ebt(**options: object) -> NextFrameEBT:
    torch.manual_seed(0)
    model = NextFrameEBT(replace(EBTConfig(), **options), BACKBONE, GRID, DIM)
    model.calibrate(clips())
    return model


def ensemble() -> Predictor:
    return built(TransformerPPEnsemble, EnsembleConfig(members=2))


@pytest.mark.parametrize(
    ("build", "setting"), [(gaussian, Setting()), (ensemble, Setting()), (ebt, Thinking(2))]
)
def test_samples_have_the_predicted_mean_and_the_error_that_is_expected(
    build: Callable[[], Predictor], setting: Setting
) -> None:
    """Half the squared distance to the mean is on average the energy, of every patch."""
    model, batch = build(), clips()
    found = model.predict(batch, setting, energies=True)
    samples = model.sample(batch, setting, 1000)
    assert samples.shape == (2, 4, 1000, PATCHES, DIM)
    apart = samples - found.prediction[:, :, None]
    assert found.patch_energies is not None
    energies = found.patch_energies[-1]
    half = apart.square().sum(-1).mean(2) / 2
    assert torch.allclose(half, energies, rtol=0.1)
    error = (2 * energies / DIM / 1000).sqrt()[..., None]
    assert (apart.mean(2) / error).abs().max() < 5
    assert torch.allclose(model.sample(batch, setting, 3), samples[:, :, :3])
    alone = Clips(batch.embeddings[1:, :2], batch.keys[1:])
    assert torch.allclose(model.sample(alone, setting, 2), samples[1:, :2, :2], atol=1e-4)
    model.seed_starts(1)
    assert not torch.isclose(model.sample(batch, setting, 3), samples[:, :, :3]).all()


def test_a_model_that_knows_one_answer_gives_that_one() -> None:
    batch = clips()
    plain = built(TransformerPP, TransformerPPConfig())
    for model, setting in ((plain, Setting()), (ebt(energy_loss_weight=0.0), Thinking(2))):
        expected = model.predict(batch, setting).prediction
        assert torch.equal(model.sample(batch, setting, 4), expected[:, :, None])


def test_expected_errors_are_judged_as_energies() -> None:
    model, batch = gaussian(), clips()
    found = model.predict(batch.frames(0, -1), Setting(), energies=True)
    scores = energy_scores(found, batch.embeddings[:, 1:])
    assert scores["energy"].shape == scores["error"].shape == (2, 3)
    assert (scores["energy"] > 0).all()


def test_a_candidate_is_as_surprising_alone_as_beside_others(flow: FlowMatching) -> None:
    gaussian = built(TransformerPPGaussian, GaussianConfig())
    context, generator = clips(2), torch.Generator().manual_seed(2)
    candidates = torch.randn(2, 5, PATCHES, DIM, generator=generator)
    for surprise in (*flow.surprises([1, 2]), *gaussian.surprises([1])):
        together = surprise.measure(context, candidates)
        assert together.shape == (2, 5)
        alone = surprise.measure(context, candidates[:, 3:4])
        assert torch.allclose(together[:, 3:4], alone, rtol=1e-4, atol=1e-5), surprise.name


def test_the_surprise_of_a_gaussian_is_its_likelihood() -> None:
    gaussian = built(TransformerPPGaussian, GaussianConfig())
    assert isinstance(gaussian, TransformerPPGaussian)
    context, generator = clips(2), torch.Generator().manual_seed(2)
    candidates = torch.randn(2, 5, PATCHES, DIM, generator=generator)
    found = gaussian.predict(context, Setting(), energies=True)
    assert found.patch_energies is not None
    variance = 2 * found.patch_energies[0, :, -1:] / DIM  # [B, 1, P]
    normal = torch.distributions.Normal(found.prediction[:, -1:], variance.sqrt()[..., None])
    expected = -normal.log_prob(candidates).sum((2, 3))
    surprise = gaussian.surprises([1])[0].measure(context, candidates)
    constant = PATCHES * DIM * 0.5 * torch.log(torch.tensor(2 * torch.pi))
    assert torch.allclose(surprise + constant, expected, rtol=1e-4)


def test_the_surprise_of_an_ensemble_is_the_likelihood_of_its_mixture() -> None:
    mixture, context = ensemble(), clips(2)
    assert isinstance(mixture, TransformerPPEnsemble)
    candidates = torch.randn(2, 5, PATCHES, DIM, generator=torch.Generator().manual_seed(2))
    first, second = (m.surprise(context, candidates) for m in mixture.members)
    expected = -((-first).double().exp() + (-second).double().exp()).div(2).log()
    surprise = mixture.surprises([1])[0].measure(context, candidates)
    assert not torch.allclose(first, second)
    assert torch.allclose(surprise.double(), expected, rtol=1e-4)


def test_every_member_of_an_ensemble_is_a_pass() -> None:
    mixture, single = ensemble(), gaussian()
    costs = [
        measure_cost(partial(m.predict, clips(1), Setting()), m.backbone, 1, 1, "cpu")
        for m in (mixture, single)
    ]
    assert [cost.forward_passes for cost in costs] == [2, 1]
    assert costs[0].flops == 2 * (costs[1].flops or 0)


def test_each_sample_of_an_ensemble_is_from_a_member_of_its_own_draw() -> None:
    """Or few samples would be spread more evenly than independent ones, and score too well."""
    mixture, batch = ensemble(), clips(200)
    assert isinstance(mixture, TransformerPPEnsemble)
    for member in mixture.members:
        member.variance_head.bias.data.fill_(-100.0)  # samples are means of members
    samples = mixture.sample(batch, Setting(), 2)[:, -1]  # [B, N, P, D]
    mean = mixture.members[0].predict(batch, Setting()).prediction[:, -1, None]
    first = (samples - mean).abs().mean((2, 3)) < 0.1  # [B, N]
    assert 0.35 < float(first.float().mean()) < 0.65
    assert 0.35 < float((first[:, 0] == first[:, 1]).float().mean()) < 0.65
