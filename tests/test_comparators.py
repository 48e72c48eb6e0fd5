"""The comparators that decide: looped models, and models of equal cost."""

from dataclasses import replace

import pytest
import torch
from random_data import RandomData

from baselines.config import TransformerPPConfig
from baselines.transformer_pp import TransformerPP
from benchmarks.measure.costs import count_flops
from benchmarks.tasks.configuring import preset_config
from benchmarks.tasks.registry import load_task
from benchmarks.training.plan import PlannedModel, plan_models, training_flops
from worldmodel.config import BackboneConfig
from worldmodel.data import ordered_batches
from worldmodel.predictor import Clips, Predictor, Setting, Thinking

BACKBONE = BackboneConfig(layers=2, heads=2, width=32)
GRID, DIM = (2, 2), 12


def transformer(backbone: BackboneConfig) -> TransformerPP:
    torch.manual_seed(0)
    return TransformerPP(TransformerPPConfig(), backbone, GRID, DIM).eval()


def clips(frames: int = 5) -> Clips:
    generator = torch.Generator().manual_seed(1)
    return Clips(torch.randn(3, frames, 4, DIM, generator=generator), ["a", "b", "c"])


def test_a_looped_model_whose_stack_is_applied_once_is_the_plain_one() -> None:
    plain, looped = transformer(BACKBONE), transformer(replace(BACKBONE, depth=2))
    assert torch.equal(
        plain.predict(clips(), Setting()).prediction, looped.predict(clips(), Setting()).prediction
    )


def test_a_looped_model_is_a_deeper_one_of_repeated_blocks() -> None:
    looped, deep = transformer(replace(BACKBONE, depth=5)), transformer(replace(BACKBONE, layers=5))
    weights = looped.state_dict()
    for name in deep.state_dict():
        if ".blocks." in name:
            before, number, after = (
                name.partition(".blocks.")[0],
                *name.split(".blocks.")[1].split(".", 1),
            )
            weights[name] = weights[f"{before}.blocks.{int(number) % 2}.{after}"]
    deep.load_state_dict(weights)
    assert torch.allclose(
        looped.predict(clips(), Setting()).prediction, deep.predict(clips(), Setting()).prediction
    )
    context = clips().frames(0, 2)
    recomputed = Predictor.rollout(looped, context, 3, Setting())
    assert torch.allclose(looped.rollout(context, 3, Setting()), recomputed, atol=1e-5)


def test_a_looped_model_trains_through_every_application() -> None:
    looped = transformer(replace(BACKBONE, depth=4))
    parameters = sum(p.numel() for p in looped.parameters())
    assert parameters == sum(p.numel() for p in transformer(BACKBONE).parameters())
    (loss,) = looped.training_losses(clips(), 0)
    loss.backward()
    weight = looped.get_parameter("stack.blocks.1.feed_forward.down.weight")
    assert weight.grad is not None
    once = transformer(BACKBONE)
    once.load_state_dict(looped.state_dict())
    (loss,) = once.training_losses(clips(), 0)
    loss.backward()
    other = once.get_parameter("stack.blocks.1.feed_forward.down.weight").grad
    assert not torch.allclose(weight.grad, other)


@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("task", ["next_frame", "denoise"])
def test_models_of_equal_cost_cost_the_same_within_three_percent(task: str, steps: int) -> None:
    """At the setting that validation selects, whatever it is, with the default preset's sizes."""
    config, found = preset_config(task, "cpu"), load_task(task)
    data = RandomData.of(config, frames=12, number=config.training.batch_size)
    equal = [spec.name for spec in found.domain.specs if spec.equal_inference_to]
    plain = "transformer_pp" if task == "next_frame" else "direct"
    config = replace(config, models=[plain, "ebt_residual", *equal])
    settings = {"ebt_residual": Thinking(steps)}
    models = {m.name: m for m in plan_models(found.domain.specs, config, data, settings)}
    wanted = prediction_flops(models["ebt_residual"], data, Thinking(steps))
    for name in equal:
        model = models[name]
        flops = prediction_flops(model, data)
        # A stack that is applied again grows by whole blocks.
        block = prediction_flops(models[plain], data) / models[plain].backbone.layers
        limit = block / 2 if model.spec.looped else 0.0
        assert flops == pytest.approx(wanted, rel=0.03, abs=1.05 * limit), name
        assert (parameters(model, data) == parameters(models[plain], data)) == model.spec.looped
        if model.spec.equal_training_to:
            spent, dear = (
                m.steps * training_flops(m, config, data) for m in (model, models["ebt_residual"])
            )
            assert spent == pytest.approx(dear, rel=0.01)


def prediction_flops(model: PlannedModel, data: RandomData, setting: Setting | None = None) -> int:
    predictor = model.build(data)
    context = next(iter(ordered_batches(data.validation, 1))).to("cpu").frames(0, -1)
    setting = setting or predictor.trained_setting()
    return count_flops(lambda: predictor.predict(context, setting))


def parameters(model: PlannedModel, data: RandomData) -> int:
    return sum(p.numel() for p in model.build(data).parameters())
