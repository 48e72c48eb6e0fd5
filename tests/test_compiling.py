"""Compiled predictors compute what eager ones do."""

import functools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from baselines.config import DirectConfig, DiTConfig, EqMConfig, TransformerPPConfig
from baselines.direct import DirectDenoiser
from baselines.dit import DiTDenoiser
from baselines.eqm import EqMDenoiser
from baselines.transformer_pp import TransformerPP
from data_prep.errors import InputError
from denoise.config import EBTDenoiserConfig, PublishedEBTDenoiserConfig
from denoise.model import Denoiser, EBTDenoiser
from denoise.published import PublishedEBTDenoiser
from worldmodel.compiling import (
    PAYS_FROM,
    MiscompiledError,
    compiled,
    is_to_compile,
    replaced,
    warm_up,
)
from worldmodel.config import BackboneConfig, EBTConfig, Precision
from worldmodel.next_frame import NextFrameEBT
from worldmodel.predictor import Clips, Predictor, Setting, Thinking
from worldmodel.reference import ReferenceEBT

COMPILE = torch.compile
NAMES = [
    "ebt_residual",
    "ebt_by_autograd",
    "transformer_pp",
    "ebt_denoiser",
    "direct",
    "dit",
    "eqm",
    "ebt_published",  # of images
]
DIM = 12
SHAPE = (BackboneConfig(layers=1, heads=2, width=32), (2, 2), DIM)  # backbone, grid, width


def clips(frames: int) -> Clips:
    generator = torch.Generator().manual_seed(1)
    return Clips(torch.randn(3, frames, 4, DIM, generator=generator), ["a", "b", "c"])


def build(name: str) -> Predictor:
    torch.manual_seed(0)
    if name == "transformer_pp":
        return TransformerPP(TransformerPPConfig(), *SHAPE)
    if name == "ebt_denoiser":
        return EBTDenoiser(EBTDenoiserConfig(), *SHAPE)
    if name == "direct":
        return DirectDenoiser(DirectConfig(), *SHAPE)
    if name == "eqm":
        return EqMDenoiser(EqMConfig(), *SHAPE)
    if name == "dit":
        return DiTDenoiser(DiTConfig(), *SHAPE)
    if name == "ebt_published":
        model = PublishedEBTDenoiser(PublishedEBTDenoiserConfig(step_size=50.0), *SHAPE)
        for parameter in model.parameters():  # layers that start at zero would hide the others
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.1)
        return model
    form = "gradient_step" if name == "ebt_by_autograd" else "residual"
    return NextFrameEBT(EBTConfig(form=form), *SHAPE)


def learned(model: Predictor, source: Predictor | ReferenceEBT) -> dict[str, Tensor]:
    """The losses of a training step and the gradients that are not zero."""
    model.zero_grad()
    losses = []
    for loss in source.training_losses(clips(1 if isinstance(model, Denoiser) else 5), seed=7):
        loss.backward()
        losses.append(loss.detach())
    gradients = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    found = {name: grad.clone() for name, grad in gradients.items() if grad.any()}
    return found | {"loss": torch.stack(losses).sum()}


def assert_alike(a: dict[str, Tensor], b: dict[str, Tensor]) -> None:
    assert a.keys() == b.keys()
    for name in a:
        assert torch.allclose(a[name], b[name], rtol=1e-4, atol=1e-6), name


@pytest.mark.slow
def test_a_compiled_training_step_equals_the_naive_one() -> None:
    model = build("ebt_residual")
    assert isinstance(model, NextFrameEBT)
    naive = learned(model, ReferenceEBT(model))
    with compiled(model):
        fast = learned(model, model)
    assert_alike(fast, naive)


@pytest.fixture
def untranslated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trace graphs and their derivatives, but run them without generating code: in seconds."""
    compile = functools.partial(COMPILE, backend="aot_eager")
    monkeypatch.setattr(torch, "compile", lambda function, options=None: compile(function))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_traced_graphs_train_alike(name: str, untranslated: None) -> None:
    model = build(name)
    eager = learned(model, model)
    with compiled(model):
        assert_alike(learned(model, model), eager)
    assert not [method for module, method in model.regions() if method in vars(module)]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ebt_residual", "transformer_pp"])
def test_traced_graphs_predict_and_roll_out_alike(name: str, untranslated: None) -> None:
    model = build(name)
    setting: Setting = Thinking(2) if name == "ebt_residual" else Setting()
    prediction = model.predict(clips(3), setting).prediction
    rollout = model.rollout(clips(3), 4, setting)
    with compiled(model):
        inside = model.predict(clips(3), setting).prediction
        assert torch.allclose(inside, prediction, atol=1e-5)
        assert torch.allclose(model.rollout(clips(3), 4, setting), rollout, atol=1e-4)


def test_a_traced_energy_of_images_denoises_alike(untranslated: None) -> None:
    model, images = build("ebt_published"), clips(1)
    expected = model.predict(images, Thinking(2), energies=True)
    with compiled(model):
        found = model.predict(images, Thinking(2), energies=True)
    assert not torch.allclose(expected.prediction, images.embeddings, atol=1e-3)
    assert torch.allclose(found.prediction, expected.prediction, atol=1e-5)
    assert found.energies is not None
    assert expected.energies is not None
    assert torch.allclose(found.energies, expected.energies, atol=1e-6)
    model.backbone.enable_gradient_checkpointing()  # type: ignore[union-attr, operator]
    assert model.regions() == []


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_predictor_that_would_learn_otherwise_is_refused(
    precision: Precision, monkeypatch: pytest.MonkeyPatch, untranslated: None
) -> None:
    model = build("transformer_pp")
    with compiled(model):
        assert warm_up(model, clips(5), precision) > 0
    assert all(p.grad is None for p in model.parameters())

    def wrong(graph: Callable[..., list[Tensor]], _: object) -> Callable[..., list[Tensor]]:
        return lambda *inputs: [1.1 * output for output in graph(*inputs)]

    compile = functools.partial(COMPILE, backend=wrong)
    monkeypatch.setattr(torch, "compile", lambda function, options=None: compile(function))
    with compiled(model), pytest.raises(MiscompiledError, match=r"gradients .* set training.comp"):
        warm_up(model, clips(5), precision)


def test_a_replaced_method_comes_back() -> None:
    model = build("ebt_residual")
    backbone = model.backbone
    assert backbone is not None
    with replaced(backbone, "forward", lambda: "outer"):
        with replaced(backbone, "forward", lambda: "inner"):
            assert backbone.forward() == "inner"
        assert backbone.forward() == "outer"
    assert "forward" not in vars(backbone)


def test_the_planned_steps_decide(monkeypatch: pytest.MonkeyPatch, untranslated: None) -> None:
    assert is_to_compile("auto", PAYS_FROM["cpu"], "cpu")
    assert not is_to_compile("auto", PAYS_FROM["cpu"] - 1, "cpu")
    assert is_to_compile("on", 1, "cpu")
    assert not is_to_compile("off", 10**6, "cpu")

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("No working C++ compiler found")

    monkeypatch.setattr(torch, "compile", broken)
    assert not is_to_compile("auto", PAYS_FROM["cpu"], "cpu")
    with pytest.raises(InputError, match=r"training.compile is on.*No working C\+\+ compiler"):
        is_to_compile("on", 1, "cpu")
