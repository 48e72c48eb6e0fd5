import pytest
import torch

from baselines.config import TransformerPPConfig
from baselines.transformer_pp import TransformerPP
from baselines.trivial import CopyLast
from benchmarks.measure import costs
from benchmarks.measure.costs import count_flops, measure_cost
from benchmarks.models import ModelSpec, Network, Role
from benchmarks.training.plan import PlannedModel
from worldmodel.config import BackboneConfig, EBTConfig, ModelConfig
from worldmodel.next_frame import NextFrameEBT
from worldmodel.predictor import Clips, Setting, Thinking

BACKBONE = BackboneConfig(layers=2, heads=2, width=64)
GRID, PATCHES, DIM, FRAMES = (2, 2), 4, 60, 6
LAYERS, WIDTH, HIDDEN = BACKBONE.layers, BACKBONE.width, BACKBONE.resolved_hidden


def clip(frames: int = FRAMES) -> Clips:
    return Clips(torch.randn(1, frames, PATCHES, DIM), ["clip"])


def transformer_pp() -> TransformerPP:
    return TransformerPP(TransformerPPConfig(), BACKBONE, GRID, DIM)


def ebt() -> NextFrameEBT:
    return NextFrameEBT(EBTConfig(), BACKBONE, GRID, DIM)


def test_counted_flops_of_a_pass_agree_with_the_closed_form() -> None:
    tokens = FRAMES * PATCHES
    weights = LAYERS * (4 * WIDTH**2 + 3 * WIDTH * HIDDEN) + 2 * DIM * WIDTH
    attention = LAYERS * 2 * tokens**2 * WIDTH
    model = transformer_pp()
    assert count_flops(lambda: model.predict(clip(), Setting())) == 2 * (
        tokens * weights + attention
    )


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_passes_are_the_real_calls_of_a_prediction(steps: int) -> None:
    model, plain = ebt(), transformer_pp()
    unit = count_flops(lambda: plain.predict(clip(), Setting()))
    cost = measure_cost(
        lambda: model.predict(clip(), Thinking(steps)), model.backbone, unit, 2, "cpu"
    )
    # One pass encodes the context; each step is a pass and a backward pass to the candidate.
    assert (cost.forward_passes, cost.input_gradient_passes) == (1 + steps, steps)
    assert cost.forward_equivalents == pytest.approx(1 + 2 * steps, rel=0.25)
    assert cost.latency_ms > 0


def test_passes_of_a_rollout_are_counted_per_frame() -> None:
    model = ebt()
    cost = measure_cost(lambda: model.rollout(clip(4), 3, Thinking(2)), model.backbone, 1, 1, "cpu")
    assert (cost.forward_passes, cost.input_gradient_passes) == (3 * (1 + 2), 3 * 2)
    plain = transformer_pp()
    cost = measure_cost(lambda: plain.rollout(clip(4), 3, Setting()), plain.backbone, 1, 1, "cpu")
    assert (cost.forward_passes, cost.input_gradient_passes) == (3, 0)


def test_the_final_energy_is_counted_apart() -> None:
    model = ebt()
    with_energy = measure_cost(
        lambda: model.predict(clip(), Thinking(2), energies=True), model.backbone, 1, 1, "cpu"
    )
    assert with_energy.forward_passes == 4


def test_a_floor_has_no_passes() -> None:
    cost = measure_cost(lambda: CopyLast().predict(clip(), Setting()), None, 100, 1, "cpu")
    assert (cost.forward_passes, cost.input_gradient_passes, cost.flops) == (None, None, None)


def test_training_flops_include_the_second_order() -> None:
    batch = Clips(torch.randn(2, FRAMES + 1, PATCHES, DIM), ["a", "b"])

    def step(model: NextFrameEBT | TransformerPP) -> None:
        for loss in model.training_losses(batch, 0):
            loss.backward()

    plain, thinking = transformer_pp(), ebt()
    ratio = count_flops(lambda: step(thinking)) / count_flops(lambda: step(plain))
    assert ratio == pytest.approx(1 + 2 * 2, rel=0.15)


def test_peak_memory_is_that_of_the_tensors_held_at_once() -> None:
    def call() -> torch.Tensor:
        a = torch.ones(1000, 1000)
        b = a + 1
        del a
        return b.sum()

    cost = measure_cost(call, None, 1, 1, "cpu")
    assert cost.peak_memory_bytes == pytest.approx(8_000_000, rel=0.01)


def peak_of_training(steps: int, detach: bool) -> int:
    config = EBTConfig(training_steps=steps, detach=detach)
    model = NextFrameEBT(config, BACKBONE, GRID, DIM)
    batch = Clips(torch.randn(4, FRAMES + 1, PATCHES, DIM), list("abcd"))

    def step() -> None:
        for loss in model.training_losses(batch, 0):
            loss.backward()

    step()  # gradients exist from now on
    return measure_cost(step, None, 1, 1, "cpu").peak_memory_bytes


def test_memory_of_a_detached_training_step_does_not_grow_with_thinking() -> None:
    assert peak_of_training(6, detach=True) < 1.1 * peak_of_training(1, detach=True)
    assert peak_of_training(6, detach=False) > 2 * peak_of_training(1, detach=False)


def test_a_long_call_is_timed_as_often_as_asked_within_the_budget(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seconds = iter(range(10**6))
    monkeypatch.setattr(costs.time, "perf_counter", lambda: 0.02 * next(seconds))
    slow = measure_cost(lambda: None, None, 1, 20, "cpu")
    assert slow.latency_ms == pytest.approx(20)
    assert slow.latency_repeats == 20
    monkeypatch.setattr(costs.time, "perf_counter", lambda: 0.12 * next(seconds))
    slower = measure_cost(lambda: None, None, 1, 20, "cpu")
    assert slower.latency_ms == pytest.approx(120)
    assert slower.latency_repeats == 5  # then half a second is over
    monkeypatch.setattr(costs.time, "perf_counter", lambda: 2.0 * next(seconds))
    assert measure_cost(lambda: None, None, 1, 20, "cpu").latency_repeats == 3
    assert measure_cost(lambda: None, None, 1, 1, "cpu").latency_repeats == 1


def test_costs_are_shared_only_between_models_that_cost_the_same() -> None:
    def identity(name: str, config: ModelConfig) -> tuple[object, ...]:
        spec = ModelSpec(name, Role.ENERGY, Network("worldmodel.next_frame:NextFrameEBT"))
        return PlannedModel(spec, config, BACKBONE, 1).cost_identity

    same = identity("longer", EBTConfig(learning_rate=0.5))
    assert same == identity("ebt_residual", EBTConfig())
    assert identity("ebt_residual", EBTConfig(form="quadratic")) != same
    assert identity("ebt_residual", EBTConfig(form="linear")) != same
