"""The fast EBT equals the slow one: energies, gradients, losses and rollouts."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from worldmodel import attention, thinking
from worldmodel.backbone import Visible
from worldmodel.config import BackboneConfig, EBTConfig
from worldmodel.forms import FORMS
from worldmodel.next_frame import NextFrameEBT
from worldmodel.predictor import Clips, Thinking
from worldmodel.reference import ReferenceEBT

OPTIONS: list[dict[str, object]] = [
    *({"form": name} for name in FORMS),
    {"form": "quadratic", "anchor": "last_frame"},
    {"anchor": "last_frame", "start_noise": 0.5},
    {"context": False, "form": "linear"},
    {"candidate_in_features": False},
    {"energy_loss_weight": 0.0},
    {"loss_at": "last"},
    {"training_steps": 3, "detach": False},
    {"training_steps": 1},
]


def pair(options: dict[str, object], depth: int | None = None) -> tuple[NextFrameEBT, ReferenceEBT]:
    torch.manual_seed(0)
    backbone = BackboneConfig(layers=2, heads=2, width=32, depth=depth)
    model = NextFrameEBT(replace(EBTConfig(), **options), backbone, (2, 2), 12)
    model = model.double()
    with torch.no_grad():
        model.energy.context.position.normal_()
    model.calibrate(clips(3, 5))
    return model, ReferenceEBT(model)


def clips(batch: int, frames: int) -> Clips:
    generator = torch.Generator().manual_seed(1)
    embeddings = torch.randn(batch, frames, 4, 12, generator=generator, dtype=torch.float64)
    return Clips(embeddings, [f"clip-{i}" for i in range(batch)])


def gradients(model: NextFrameEBT, losses: list[Tensor]) -> dict[str, Tensor]:
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    assert losses
    return {name: gradient for name, gradient in found.items() if gradient.abs().max() > 0}


@pytest.fixture(params=["all frames at once", "one by one", "recomputed", "in groups"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The ways in which attention is computed, whatever the number of patches."""
    found: str = request.param
    if found != "all frames at once":
        monkeypatch.setattr(attention, "LEAST_PATCHES", 1)
        monkeypatch.setattr(attention, "RECOMPUTED_FROM", 1 if found == "recomputed" else 1000)
    if found == "recomputed":
        monkeypatch.setitem(attention.TILE_WEIGHTS, "cpu", 3 * 4 * 24)  # three heads at a time
    if found == "in groups":
        monkeypatch.setitem(thinking.GROUPED_TOKENS, "cpu", 8)  # two frames of four patches
    return found


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_energies_and_their_gradients_are_equal(options: dict[str, object]) -> None:
    model, naive = pair(options)
    context = clips(2, 5).embeddings
    candidate = torch.randn_like(context).requires_grad_()
    visible = Visible.every(5)
    fast = model.energy(candidate, model.energy.encode(context), visible)
    slow = naive.energies(context, candidate)
    assert torch.allclose(fast, slow, rtol=1e-12, atol=1e-12)
    (of_fast,) = torch.autograd.grad(fast.sum(), candidate)
    (of_slow,) = torch.autograd.grad(slow.sum(), candidate)
    assert torch.allclose(of_fast, of_slow, rtol=1e-10, atol=1e-12)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_losses_and_what_they_teach_are_equal(options: dict[str, object]) -> None:
    model, naive = pair(options)
    batch = clips(3, 5)
    results = []
    for source in (model, naive):
        losses = []
        for loss in source.training_losses(batch, seed=7):
            loss.backward()
            losses.append(loss.detach())
        results.append((torch.stack(losses).sum(), gradients(model, losses)))
    (fast_losses, fast), (slow_losses, slow) = results
    assert torch.allclose(fast_losses, slow_losses, rtol=1e-12, atol=1e-12)
    assert fast.keys() == slow.keys()
    for name in fast:
        assert torch.allclose(fast[name], slow[name], rtol=1e-8, atol=1e-11), name


def test_blocks_that_are_passed_again_are_equal() -> None:
    context = clips(2, 3).embeddings
    candidate = torch.randn_like(context)
    found = []
    for depth in (2, 3, 5):
        model, naive = pair({}, depth)
        fast = model.energy(candidate, model.energy.encode(context), Visible.every(3))
        assert torch.allclose(fast, naive.energies(context, candidate), rtol=1e-12)
        found.append(fast)
    assert not torch.allclose(found[0], found[1])


@pytest.mark.parametrize("options", OPTIONS[: len(FORMS) + 3], ids=str)
def test_rollouts_are_equal(options: dict[str, object]) -> None:
    model, naive = pair(options)
    context = clips(2, 3)
    fast = model.rollout(context, 4, Thinking(2))
    assert torch.allclose(fast, naive.rollout(context, 4, 2), rtol=1e-9, atol=1e-10)
