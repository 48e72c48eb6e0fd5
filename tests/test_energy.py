import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from asking import WITH_MODELS
from torch import Tensor

from benchmarks.config import RunConfig
from benchmarks.tasks.configuring import preset_config
from data_prep.encoders.base import Encoder
from data_prep.encoders.registry import build_encoder
from data_prep.errors import InputError
from worldmodel.backbone import Visible
from worldmodel.config import BackboneConfig, EBTConfig
from worldmodel.energy import EnergyTransformer
from worldmodel.forms import FORMS
from worldmodel.layers import Head, Heads

BACKBONE = BackboneConfig(layers=2, heads=2, width=32)
GRID, PATCHES, DIM = (2, 2), 4, 12
VARIANTS = [
    (name, anchor)
    for name, form in FORMS.items()
    for anchor in (("zero", "last_frame") if form.anchored else (None,))
]


def make(form: str = "residual", anchor: str | None = None, **options: object) -> EnergyTransformer:
    torch.manual_seed(0)
    config = replace(EBTConfig(), form=form, anchor=anchor, **options)
    return EnergyTransformer(config, BACKBONE, GRID, DIM)


Formula = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
FORMULAS: dict[str, Formula] = {
    "residual": lambda y, r, w, W: (y - r - W) @ (y - r - W) / 2 + (1 + w.exp()).log(),
    "quadratic": lambda y, r, w, W: (y - r) @ (y - r) / 2 + w,
    "linear": lambda y, r, w, W: w,
    "gradient_step": lambda y, r, w, W: (y - r - W) @ (y - r - W) / 2,
}


@pytest.mark.parametrize("name", FORMULAS)
def test_a_form_is_the_formula_that_documents_state(name: str) -> None:
    torch.manual_seed(0)
    heads = Heads({"energy": Head(8, 1, bias=0.5), "prediction": Head(8, DIM)})
    h, y, r = torch.randn(2, 3, PATCHES, 8), *torch.randn(2, 2, 3, PATCHES, DIM)
    with torch.no_grad():
        energies = FORMS[name].energy(heads, h, y, r)
        for place in itertools.product(range(2), range(3), range(PATCHES)):
            number, embedding = heads["energy"](h[place])[0], heads["prediction"](h[place])
            expected = FORMULAS[name](y[place], r[place], number, embedding)
            assert float(energies[place]) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize(("form", "anchor"), VARIANTS)
def test_energy_sees_past_and_own_frame_and_nothing_else(form: str, anchor: str | None) -> None:
    model = make(form, anchor)
    frames = torch.randn(2, 5, PATCHES, DIM, requires_grad=True)
    candidate = torch.randn(2, 5, PATCHES, DIM, requires_grad=True)
    energy = model(candidate, model.encode(frames), Visible.every(5))
    for position in range(5):
        to_frames, to_candidates = torch.autograd.grad(
            energy[0, position], (frames, candidate), retain_graph=True
        )
        assert (to_frames[0, : position + 1].abs().amax((1, 2)) > 0).all()
        assert (to_frames[0, position + 1 :] == 0).all()
        assert (to_candidates[0, position].abs().amax(1) > 0).all()
        others = [i for i in range(5) if i != position]
        assert (to_candidates[0, others] == 0).all()
        assert (to_frames[1] == 0).all()
        assert (to_candidates[1] == 0).all()


@pytest.mark.parametrize(("form", "anchor"), VARIANTS)
def test_parallel_positions_equal_one_position_at_a_time(form: str, anchor: str | None) -> None:
    model = make(form, anchor)
    frames, candidate = torch.randn(2, 5, PATCHES, DIM), torch.randn(2, 5, PATCHES, DIM)
    whole = model.encode(frames)
    together = model(candidate, whole, Visible.every(5))
    for position in range(5):
        context = model.encode(frames[:, : position + 1])
        alone = model(candidate[:, position : position + 1], context, Visible.all_of(position + 1))
        assert torch.allclose(together[:, position], alone[:, 0], rtol=1e-5, atol=1e-5)
        alone = model(candidate[:, position : position + 1], whole, Visible.all_of(position + 1))
        assert torch.allclose(together[:, position], alone[:, 0], rtol=1e-5, atol=1e-5)


def is_allowed(options: dict[str, Any]) -> bool:
    try:
        EBTConfig(**options)
    except InputError:
        return False
    return True


SEEN = [(True, True), (True, False), (False, True)]  # context, candidate
WRITTEN_OUT = [
    options
    for (form, anchor), (context, candidate) in itertools.product(VARIANTS, SEEN)
    if is_allowed(
        options := {
            "form": form,
            "anchor": anchor,
            "context": context,
            "candidate_in_features": candidate,
        }
    )
]
# Observed frames, and the frames that each candidate sees: one candidate after one frame takes a
# path of its own (denoising), as one after many does (rollouts).
LAYOUTS = [(1, [1]), (1, [1, 1, 1]), (3, [3]), (3, [1, 2, 3]), (3, [2, 2, 3])]


@pytest.mark.parametrize("options", WRITTEN_OUT, ids=str)
@pytest.mark.parametrize(("frames", "visible"), LAYOUTS)
def test_the_written_out_gradient_is_that_of_autograd_in_both_orders(
    frames: int, visible: list[int], options: dict[str, object]
) -> None:
    model = make(**options).double()  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))

    def drawn(count: int) -> Tensor:
        return torch.randn(2, count, PATCHES, DIM, generator=generator, dtype=torch.float64)

    observed, candidate, direction = drawn(frames), drawn(len(visible)), drawn(len(visible))
    parameters = [p for p in model.parameters() if p.requires_grad and p is not model.log_step_size]
    found = []
    for written_out in (True, False):
        start = candidate.clone().requires_grad_()
        context, seen = model.encode(observed), Visible(tuple(visible), torch.tensor(visible))
        if written_out:
            gradient, energy = model.input_gradient(start, context, seen)
        else:
            energy = model.patch_energies(start, context, seen)
            (gradient,) = torch.autograd.grad(energy.sum(), start, create_graph=True)
        second = torch.autograd.grad(
            (gradient * direction).sum(), [start, *parameters], allow_unused=True
        )
        found.append([energy, gradient, *second])
    names = ["energy", "gradient", "candidate", *(n for n, _ in model.named_parameters())]
    for name, ours, theirs in zip(names, *found, strict=False):
        if ours is None or theirs is None:
            assert ours is theirs is None or not (ours if theirs is None else theirs).any(), name
        else:
            assert torch.allclose(ours, theirs, rtol=1e-9, atol=1e-11), name


def test_candidates_of_one_prediction_share_a_context() -> None:
    model = make()
    frames, candidates = torch.randn(2, 3, PATCHES, DIM), torch.randn(2, 8, PATCHES, DIM)
    context = model.encode(frames)
    together = model(candidates, context, Visible.all_of(3).repeated(8))
    alone = [model(candidates[:, i : i + 1], context, Visible.all_of(3)) for i in range(8)]
    assert torch.allclose(together, torch.cat(alone, dim=1), rtol=1e-5, atol=1e-5)


def preset_with_encoder(
    task: str, preset: str, domain: str | None = None
) -> tuple[RunConfig, Encoder]:
    config = preset_config(task, preset, domain)
    return config, build_encoder(config.encoder, config.domain.sources()[0].size)


@pytest.mark.parametrize(
    ("task", "domain", "preset"),
    # `bottleneck` asks what such embeddings do, and the published ones are.
    [a for a in WITH_MODELS if a[2] != "bottleneck" and not a[2].startswith("published")],
)
def test_no_preset_has_embeddings_wider_than_its_model(task: str, domain: str, preset: str) -> None:
    config, encoder = preset_with_encoder(task, preset, domain)
    assert encoder.dim <= config.backbone.width


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("task", "preset"),
    [("next_frame", "cpu"), ("next_frame", "gpu"), ("denoise", "cpu")],
)
def test_learned_gradient_has_full_rank_in_the_candidate(task: str, preset: str, form: str) -> None:
    config, encoder = preset_with_encoder(task, preset)
    torch.manual_seed(0)
    grid = (2, 2)  # more patches would only take time: the gradient of one is looked at
    section = config.sections["ebt_residual"]
    assert isinstance(section, EBTConfig)
    ebt = replace(section, form=form, anchor=None, candidate_in_features=True)
    backbone = replace(config.backbone, layers=1)
    model = EnergyTransformer(ebt, backbone, grid, encoder.dim)
    samples = 2 * encoder.dim
    context = model.encode(torch.randn(1, 1, 4, encoder.dim))
    candidate = torch.randn(1, samples, 4, encoder.dim, requires_grad=True)
    energy = model(candidate, context, Visible.all_of(1).repeated(samples))
    (gradient,) = torch.autograd.grad(energy.sum(), candidate)
    if FORMS[form].anchored:  # without the part that is given: 1/2 |y - r|^2
        gradient = gradient - (candidate - model._anchor(context, Visible.all_of(1)))
    singular = torch.linalg.svdvals(gradient[0, :, 0].detach().double())
    # Widths 63 and 64 are a nearly square random matrix: 1e-4 to 6e-4 over seeds. Without full rank
    # it would be rounding, 1e-7.
    assert singular[-1] > 1e-5 * singular[0]


def test_a_wide_embedding_warns_of_its_cost() -> None:
    with pytest.warns(UserWarning, match="exceeds model width 32"):
        EnergyTransformer(EBTConfig(), BACKBONE, GRID, dim=48)


def first_update_rms(model: EnergyTransformer, candidate: Tensor, frames: Tensor) -> float:
    candidate = candidate.clone().requires_grad_()
    energy = model(candidate, model.encode(frames), Visible.every(3))
    (gradient,) = torch.autograd.grad(energy.sum(), candidate)
    return float((model.step_size.detach() * gradient).square().mean().sqrt())


def test_calibration_sets_the_first_update_once_and_is_kept_in_the_state() -> None:
    model = make("linear")
    frames, candidate = torch.randn(2, 3, PATCHES, DIM), torch.randn(2, 3, PATCHES, DIM)
    model.calibrate(candidate, model.encode(frames), Visible.every(3))
    assert first_update_rms(model, candidate, frames) == pytest.approx(0.3, rel=1e-4)
    step_size = model.step_size.item()
    model.calibrate(candidate, model.encode(frames * 3), Visible.every(3))
    assert model.step_size.item() == step_size
    restored = make("linear")
    restored.load_state_dict(model.state_dict())
    restored.calibrate(candidate, restored.encode(frames * 3), Visible.every(3))
    assert restored.step_size.item() == step_size


def test_calibration_on_a_zero_gradient_is_an_error() -> None:
    model = make("linear")
    torch.nn.init.zeros_(model.heads["energy"].weight)
    frames = torch.randn(1, 3, PATCHES, DIM)
    with pytest.raises(FloatingPointError, match="gradient at the start"):
        model.calibrate(torch.randn(1, 3, PATCHES, DIM), model.encode(frames), Visible.every(3))


def test_features_without_the_candidate_make_the_energy_a_paraboloid() -> None:
    model = make(candidate_in_features=False)
    context = model.encode(torch.randn(1, 3, PATCHES, DIM))
    visible = Visible.every(3)

    def landing(candidate: Tensor) -> Tensor:
        candidate = candidate.requires_grad_()
        (gradient,) = torch.autograd.grad(model(candidate, context, visible).sum(), candidate)
        return candidate - gradient

    first, second = torch.randn(2, 1, 3, PATCHES, DIM)
    assert torch.allclose(landing(first), landing(second), atol=1e-5)
