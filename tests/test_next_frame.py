import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from baselines.config import (
    ConvLSTMConfig,
    EnsembleConfig,
    FlowConfig,
    GaussianConfig,
    NextFrameDiTConfig,
    TransformerPPConfig,
)
from baselines.conv_lstm import ConvLSTM
from baselines.flow import NextFrameFlow
from baselines.flow_sampling import Sampled, Sampler
from baselines.transformer_pp import TransformerPP
from baselines.transformer_pp_ensemble import TransformerPPEnsemble
from baselines.transformer_pp_gaussian import TransformerPPGaussian
from baselines.trivial import CopyLast, LinearExtrapolation, MeanFrame
from baselines.video_dit import NextFrameDiT
from benchmarks.measure.costs import peak_memory
from worldmodel.backbone import Transformer, Visible
from worldmodel.config import BackboneConfig, EBTConfig, ModelConfig
from worldmodel.forms import FORMS
from worldmodel.next_frame import NextFrameEBT
from worldmodel.noise import Stream, noise_like
from worldmodel.predictor import Clips, Predictor, Setting, Thinking
from worldmodel.thinking import NonFiniteError, think

BACKBONE = BackboneConfig(layers=2, heads=2, width=32)
GRID, PATCHES, DIM = (2, 2), 4, 12


def ebt(**options: object) -> NextFrameEBT:
    torch.manual_seed(0)
    model = NextFrameEBT(replace(EBTConfig(), **options), BACKBONE, GRID, DIM)
    model.calibrate(clips(4))
    return model


def transformer_pp(anchor: str = "zero") -> TransformerPP:
    torch.manual_seed(0)
    return TransformerPP(replace(TransformerPPConfig(), anchor=anchor), BACKBONE, GRID, DIM)


def clips(batch: int = 8, frames: int = 6, dtype: torch.dtype = torch.float32) -> Clips:
    generator = torch.Generator().manual_seed(1)
    embeddings = torch.randn(batch, frames, PATCHES, DIM, generator=generator, dtype=dtype)
    return Clips(embeddings, [f"clip-{i}" for i in range(batch)])


def other(network: type[Predictor], config: ModelConfig) -> Predictor:
    torch.manual_seed(0)
    model = network(config, BACKBONE, GRID, DIM)
    with torch.no_grad():
        for weights in model.parameters():  # or what starts at zero would predict nothing
            weights += 0.1 * torch.randn_like(weights)
    return model


PREDICTORS = {
    "ebt_residual": (ebt, Thinking(3)),
    "ebt_linear": (lambda: ebt(form="linear"), Thinking(2)),
    "ebt_between": (lambda: ebt(form="quadratic", start_noise=0.5), Thinking(2)),
    "transformer_pp": (transformer_pp, Setting()),
    "transformer_pp_change": (lambda: transformer_pp("last_frame"), Setting()),
    "gaussian": (lambda: other(TransformerPPGaussian, GaussianConfig()), Setting()),
    "ensemble": (lambda: other(TransformerPPEnsemble, EnsembleConfig(members=2)), Setting()),
    "conv_lstm": (lambda: other(ConvLSTM, ConvLSTMConfig()), Setting()),
    "conv_lstm_change": (lambda: other(ConvLSTM, ConvLSTMConfig(anchor="last_frame")), Setting()),
    "flow": (lambda: other(NextFrameFlow, FlowConfig()), Sampled(2)),
    "flow_mean": (lambda: other(NextFrameFlow, FlowConfig()), Sampled(3, Sampler.DPM_SOLVER, 2)),
    "dit": (lambda: other(NextFrameDiT, NextFrameDiTConfig()), Sampled(2)),
    "copy_last": (CopyLast, Setting()),
    "linear_extrapolation": (LinearExtrapolation, Setting()),
    "mean_frame": (lambda: MeanFrame(torch.ones(PATCHES, DIM)), Setting()),
}


@pytest.fixture(params=PREDICTORS)
def predictor(request: pytest.FixtureRequest) -> tuple[Predictor, Setting]:
    build, setting = PREDICTORS[request.param]
    return build(), setting


def test_batch_size_does_not_change_a_result(predictor: tuple[Predictor, Setting]) -> None:
    model, setting = predictor
    batch = clips(8)
    together = model.predict(batch, setting).prediction
    for i in range(8):
        single = Clips(batch.embeddings[i : i + 1], batch.keys[i : i + 1])
        assert torch.allclose(model.predict(single, setting).prediction[0], together[i], atol=1e-5)


def test_a_prediction_depends_on_the_past_only(predictor: tuple[Predictor, Setting]) -> None:
    model, setting = predictor
    batch = clips(2)
    whole = model.predict(batch, setting).prediction
    for frames in range(2, 6):
        prefix = model.predict(batch.frames(0, frames), setting).prediction
        assert torch.allclose(prefix, whole[:, :frames], atol=1e-5)


def test_rollout_equals_recomputing_everything(predictor: tuple[Predictor, Setting]) -> None:
    model, setting = predictor
    batch = clips(2, frames=3)
    recomputed = Predictor.rollout(model, batch, 4, setting)
    assert torch.allclose(model.rollout(batch, 4, setting), recomputed, atol=1e-4)


def test_floors_follow_their_definition() -> None:
    x = clips(2).embeddings
    linear = LinearExtrapolation().predict(clips(2), Setting()).prediction
    assert torch.equal(CopyLast().predict(clips(2), Setting()).prediction, x)
    assert torch.allclose(linear[:, 1:], 2 * x[:, 1:] - x[:, :-1], atol=1e-6)
    assert torch.equal(linear[:, 0], x[:, 0])


def test_energies_belong_to_the_candidates_of_the_trajectory() -> None:
    model, batch = ebt(), clips(2)
    trajectory = model.predict(batch, Thinking(3), energies=True)
    assert trajectory.candidates.shape == (4, 2, 6, PATCHES, DIM)
    assert trajectory.energies is not None
    visible = Visible.every(6)
    with torch.no_grad():
        context = model.energy.encode(batch.embeddings)
        for candidates, energies in zip(trajectory.candidates, trajectory.energies, strict=True):
            expected = model.energy(candidates, context, visible)
            assert torch.allclose(energies, expected, rtol=1e-5, atol=1e-4)
    assert model.predict(batch, Thinking(3)).energies is None


def test_prediction_works_in_inference_mode_and_leaves_no_gradients() -> None:
    model, batch = ebt(), clips(2)
    expected = model.predict(batch, Thinking(2)).prediction
    with torch.inference_mode():
        inside = model.predict(clips(2), Thinking(2)).prediction
        rolled = model.rollout(clips(2), 2, Thinking(2))
    assert torch.equal(inside, expected)
    assert rolled.isfinite().all()
    assert all(p.grad is None for p in model.parameters())


# A graph cut between steps has no loss of which it is the derivative, except at a single step. Nor
# has the energy loss, which takes the errors of later steps for given.
@pytest.mark.parametrize(
    ("detach", "loss_at", "steps"), [(True, "each", 1), (False, "each", 2), (False, "last", 2)]
)
@pytest.mark.parametrize("form", FORMS)
def test_second_order_gradients_equal_finite_differences(
    form: str, detach: bool, loss_at: str, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def smooth(energy: torch.Tensor, error: torch.Tensor) -> torch.Tensor:
        """The deviance without the part whose unit no gradient enters."""
        return (error / energy + energy.log()).mean()

    monkeypatch.setattr("worldmodel.next_frame.deviance", smooth)
    weight = None if steps == 1 else 0.0
    model = ebt(
        form=form, detach=detach, loss_at=loss_at, training_steps=steps, energy_loss_weight=weight
    ).double()
    batch = clips(2, frames=4, dtype=torch.float64)
    for part in model.training_losses(batch, 0):
        part.backward()
    step, generator = 1e-5, torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        direction = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        analytic = float((parameter.grad * direction).sum())
        original, losses = parameter.detach().clone(), []
        for sign in (1, -1):
            parameter.data = original + sign * step * direction
            losses.append(float(next(model.training_losses(batch, 0)).detach()))
        parameter.data = original
        numeric = (losses[0] - losses[1]) / (2 * step)
        assert analytic == pytest.approx(numeric, rel=1e-4, abs=1e-8), name


def test_step_by_step_backward_equals_one_backward_over_all_steps() -> None:
    batch = clips(3)
    stepwise = ebt(training_steps=3, energy_loss_weight=0.0)
    losses = []
    for part in stepwise.training_losses(batch, 7):
        part.backward()
        losses.append(float(part.detach()))
    reference = ebt(training_steps=3, energy_loss_weight=0.0)
    energy, target = reference.energy, batch.embeddings[:, 1:]
    context, visible = energy.encode(batch.embeddings[:, :-1]), Visible.every(5)
    candidate = noise_like(target, batch.keys, Stream.TRAINING_START, 7)
    total = torch.zeros(())
    for _ in range(3):
        candidate = candidate.detach().requires_grad_()
        value = energy(candidate, context, visible).sum()
        (gradient,) = torch.autograd.grad(value, candidate, create_graph=True)
        candidate = candidate - energy.step_size * gradient
        total = total + F.smooth_l1_loss(candidate, target) / 3
    total.backward()
    assert sum(losses) == pytest.approx(float(total.detach()), rel=1e-5)
    for (name, p), q in zip(stepwise.named_parameters(), reference.parameters(), strict=True):
        if q.grad is not None:
            assert torch.allclose(p.grad, q.grad, rtol=1e-4, atol=1e-7), name


@pytest.mark.parametrize("detach", [True, False])
def test_only_the_caller_back_propagates(detach: bool) -> None:
    """A trainer scales and counts backward passes, so none may happen behind its back."""
    model, batch = ebt(detach=detach), clips(2)
    losses = []
    for loss in model.training_losses(batch, 0):
        assert loss.requires_grad
        before = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
        losses.append(loss)
        after = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
        assert all(torch.equal(after[name], before.get(name, torch.zeros(()))) for name in after)
        loss.backward()
    assert float(losses[-1].detach()) == 0 if detach else float(losses[-1].detach()) > 0
    encoder = model.energy.backbone.get_parameter("blocks.0.attention.query.weight")
    assert encoder.grad is not None
    assert encoder.grad.any()


def test_settings_are_the_beginnings_of_one_trajectory(monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = ebt(), clips(2)
    settings = [Thinking(steps) for steps in (3, 1, 4)]
    expected = [model.predict(batch, setting, energies=True) for setting in settings]
    steps = 0
    original = model.energy.input_gradient

    def counting(*arguments: object) -> object:
        nonlocal steps
        steps += 1
        return original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(model.energy, "input_gradient", counting)
    for found, alone in zip(model.predict_all(batch, settings, True), expected, strict=True):
        assert torch.equal(found.candidates, alone.candidates)
        assert found.energies is not None
        assert alone.energies is not None
        assert torch.allclose(found.energies, alone.energies, atol=1e-5)
    assert steps == 4  # of the longest, not the sum


def test_a_setting_of_another_model_is_refused() -> None:
    with pytest.raises(TypeError, match="it takes Thinking"):
        ebt().predict(clips(2), Setting())


def test_bfloat16_keeps_candidates_and_energies_in_float32() -> None:
    model, batch = ebt(), clips(2)
    exact = model.predict(batch, Thinking(2), energies=True)
    with torch.autocast("cpu", torch.bfloat16):
        trajectory = model.predict(batch, Thinking(2), energies=True)
        for part in model.training_losses(batch, 0):
            part.backward()
    assert trajectory.candidates.dtype == torch.float32
    assert trajectory.energies is not None
    assert trajectory.energies.dtype == torch.float32
    assert torch.allclose(trajectory.prediction, exact.prediction, atol=0.1)
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_a_trained_model_starts_from_the_noise_of_its_own_seed() -> None:
    model, batch = ebt(), clips(2)
    first = model.predict(batch, Thinking(1)).candidates[0]
    model.seed_starts(3)
    third = model.predict(batch, Thinking(1)).candidates[0]
    assert not torch.isclose(first, third).any()
    model.seed_starts(0)
    assert torch.equal(model.predict(batch, Thinking(1)).candidates[0], first)


def test_the_best_of_candidates_is_the_one_of_lowest_energy() -> None:
    model, batch = ebt(), clips(2)
    context = model.energy.encode(batch.embeddings)
    best = model.predict(batch, Thinking(2, 3))
    visible = Visible.every(batch.embeddings.shape[1])
    alone = []
    for number in range(3):
        start = model.start(context, visible, batch.keys, candidates=3)[:, number::3]
        trajectory = think(model.energy, start, context, visible, 2, batch.keys, energies=True)
        assert trajectory.energies is not None
        alone.append((trajectory.energies[-1], trajectory.prediction))
    energies, predictions = (torch.stack(parts) for parts in zip(*alone, strict=True))
    lowest = energies.argmin(dim=0)  # [B, C]
    assert len(lowest.unique()) > 1
    for row, column in itertools.product(*map(range, lowest.shape)):
        expected = predictions[lowest[row, column], row, column]
        assert torch.allclose(best.prediction[row, column], expected, atol=1e-5)
    one = model.predict(batch, Thinking(2, 1)).prediction
    assert torch.equal(one, model.predict(batch, Thinking(2)).prediction)


def test_a_start_from_the_last_frame_holds_no_noise() -> None:
    model, batch = ebt(start_noise=0.0), clips(2)
    start = model.predict(batch, Thinking(1)).candidates[0]
    assert torch.equal(start, batch.embeddings)


def test_a_value_that_is_not_finite_names_step_and_clip() -> None:
    model, batch = ebt(), clips(2)
    batch.embeddings[1, 0] = float("nan")
    with pytest.raises(NonFiniteError, match="thinking step 1, clip clip-1"):
        model.predict(batch, Thinking(2))


def test_langevin_noise_tells_candidates_of_one_start_apart() -> None:
    model, batch, sigma = ebt(candidate_in_features=False), clips(4), 0.3
    found = model.competing(batch, Thinking(2, candidates=8, langevin_noise=sigma)).candidates
    start, moved, last = (each.unflatten(1, (-1, 8)) for each in found)  # [B, T, N, P, D]
    assert torch.equal(start, start[:, :, :1].expand_as(start))
    # A blind energy moves all of one start alike; what is left is the noise of the first step.
    assert float(moved.std(dim=2).square().mean().sqrt()) == pytest.approx(sigma, rel=0.03)
    quiet = model.competing(batch, Thinking(2)).candidates[1]
    assert float((moved.mean(2) - quiet).square().mean().sqrt()) < sigma / 8**0.5 * 1.1
    assert float(last.std(dim=2).max()) < 1e-4  # no noise follows the last step


def test_candidates_from_elsewhere_get_the_energies_that_thinking_gives() -> None:
    model, batch = ebt(), clips(2)
    trajectory = model.predict(batch, Thinking(2), energies=True)
    assert trajectory.patch_energies is not None
    several = trajectory.candidates.movedim(0, 2)  # [B, T, M + 1, P, D]
    verified = model.verify(batch, several)
    assert torch.allclose(verified, trajectory.patch_energies.movedim(0, 2), atol=1e-5)


@pytest.mark.parametrize("build", [ebt, transformer_pp])
def test_recomputing_blocks_changes_memory_and_no_gradient(build: Callable[[], Predictor]) -> None:
    batch, found = clips(4), []
    for recompute in (False, True):
        model = build()
        if recompute:
            assert isinstance(model.backbone, Transformer)
            model.backbone.enable_gradient_checkpointing()

        def step(model: Predictor = model) -> None:
            for loss in model.training_losses(batch, seed=3):
                loss.backward()

        step()
        gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]
        found.append((gradients, peak_memory(step, "cpu")))
    (kept, memory), (recomputed, less) = found
    assert len(kept) == len(recomputed)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(kept, recomputed, strict=True))
    assert less < memory
