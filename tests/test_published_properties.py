"""What holds for the published video models on any input."""

import functools
from dataclasses import replace

import pytest
import torch
from published_reference import (
    BACKBONE,
    DIM,
    GRID,
    SYSTEM_1,
    SYSTEM_2,
    clips,
    published_ebt,
    transformer_published,
)
from torch import Tensor

from benchmarks.measure.memory import fake_tensors
from worldmodel.backbone import Visible
from worldmodel.compiling import compiled, warm_up
from worldmodel.noise import Stream
from worldmodel.predictor import Clips, Predictor, Setting, Thinking
from worldmodel.published.model import PublishedEBT
from worldmodel.published.thinking import PublishedThinking
from worldmodel.thinking import NonFiniteError


def random_clips(batch: int = 3, frames: int = 5) -> Clips:
    generator = torch.Generator().manual_seed(1)
    return clips(torch.randn(batch, frames, 48, generator=generator))


def plainly_masked(
    model: PublishedEBT, context: Tensor, candidates: Tensor, row: int, noise: Tensor | None = None
) -> Tensor:
    """Energies `[B, S]` from one sequence of 1 + 2S tokens and a mask, without the two streams.

    `noise [B, S, W]` is added to the projected candidates.
    """
    energy, frames = model.energy, context.shape[1]
    step = energy.step_tokens.weight[row].expand(len(context), 1, -1)
    tokens = energy.project(candidates) + (0 if noise is None else noise)
    x = torch.cat([step, energy.project(context), tokens], dim=1)
    position = torch.tensor([0, *range(1, frames + 1), *range(2, frames + 2)])
    head = BACKBONE.width // BACKBONE.heads
    angle = position[:, None] * 10_000.0 ** (-torch.arange(0, head, 2) / head)
    turn = torch.polar(torch.ones_like(angle), angle)
    seen = torch.zeros(1 + 2 * frames, 1 + 2 * frames, dtype=torch.bool)
    seen[: frames + 1, : frames + 1] = torch.ones(frames + 1, frames + 1).tril().bool()
    for number in range(frames):
        seen[frames + 1 + number, : number + 2] = True
        seen[frames + 1 + number, frames + 1 + number] = True

    def norm(tokens: Tensor, layer: torch.nn.Module) -> Tensor:
        scale = (tokens.square().mean(-1, keepdim=True) + 1e-5).rsqrt()
        return tokens * scale * layer.weight

    def turned(tokens: Tensor) -> Tensor:
        pairs = torch.view_as_complex(tokens.unflatten(3, (-1, 2)).contiguous())
        return torch.view_as_real(pairs * turn).flatten(3)

    for block in energy.backbone.blocks:
        y, attention = norm(x, block.attention_norm), block.attention
        query, key, value = (
            layer(y).unflatten(2, (BACKBONE.heads, head)).transpose(1, 2)
            for layer in (attention.query, attention.key, attention.value)
        )
        scores = turned(query) @ turned(key).mT / head**0.5
        weights = scores.masked_fill(~seen, float("-inf")).softmax(3)
        x = x + attention.output((weights @ value).transpose(1, 2).flatten(2))
        x = x + block.feed_forward(norm(x, block.feed_forward_norm))
    return energy.head(norm(x, energy.backbone.norm))[:, frames + 1 :, 0]


@pytest.mark.parametrize("landscape", [0, 1])
def test_two_streams_equal_one_sequence_with_a_mask(landscape: int) -> None:
    model = published_ebt(replace(SYSTEM_1, landscapes=landscape + 1))
    batch = random_clips()
    context, candidates = batch.embeddings[:, :-1], batch.embeddings[:, 1:] + 0.3
    expected = plainly_masked(model, context.flatten(2), candidates.flatten(2), landscape)
    found = model.verify(Clips(context, batch.keys), candidates[:, :, None]).sum(3)[:, :, 0]
    assert torch.allclose(found, expected, atol=1e-5)


def test_a_candidate_sees_its_prefix_and_itself_alone() -> None:
    model = published_ebt(replace(SYSTEM_1, landscapes=1))
    latents = random_clips(1).embeddings.flatten(2)
    context = latents[:, :-1].clone().requires_grad_()
    candidates = latents[:, 1:].clone().requires_grad_()
    for frame in range(4):
        encoded = model.energy.encode(context, 0)
        visible = Visible.every(4)
        energies = model.energy(candidates, encoded, visible)
        to_context, to_candidates = torch.autograd.grad(energies[0, frame], (context, candidates))
        moved = to_context[0].abs().amax(1) > 0
        assert moved.tolist() == [number <= frame for number in range(4)]
        own = to_candidates[0].abs().amax(1) > 0
        assert own.tolist() == [number == frame for number in range(4)]


def test_the_written_out_gradient_is_that_of_the_energy() -> None:
    model = published_ebt(SYSTEM_1).double()
    latents = random_clips().embeddings.flatten(2).double()
    encoded, visible = model.energy.encode(latents[:, :-1], 1), Visible.every(4)
    candidates = latents[:, 1:].clone().requires_grad_()
    energies = model.energy(candidates, encoded, visible)
    (expected,) = torch.autograd.grad(energies.sum(), candidates)
    found, same = model.energy.input_gradient(candidates, encoded, visible)
    assert torch.allclose(found, expected, rtol=1e-9)
    assert torch.allclose(same, energies)


OPEN = replace(SYSTEM_2, landscapes=2, random_step_size=1.0)  # several landscapes, and noise


@pytest.mark.parametrize(
    "setting",
    [
        Thinking(1),
        Thinking(2),
        Thinking(5),
        Thinking(3, candidates=3),
        Thinking(3, candidates=2, langevin_noise=0.1),
        PublishedThinking(4, 2, step_size=2.0, projected_noise=0.5),
    ],
    ids=str,
)
def test_a_cached_rollout_equals_the_plain_one(setting: Thinking) -> None:
    model = published_ebt(OPEN)
    context = random_clips(frames=3)
    plain = Predictor.rollout(model, context, 4, setting)
    assert torch.allclose(model.rollout(context, 4, setting), plain, atol=1e-4)
    first = model.predict(context, setting).prediction[:, -1]
    assert torch.allclose(model.rollout(context, 1, setting)[:, 0], first, atol=1e-5)


def test_released_inference_rolls_out_as_described() -> None:
    model = published_ebt(SYSTEM_1)
    context, samples, steps, size, spread = random_clips(frames=2), 3, 4, 2.5, 0.7
    setting = PublishedThinking(steps, samples, step_size=size, projected_noise=spread)
    seen, last = context.embeddings.flatten(2), model.energy.landscapes - 1
    for _ in range(3):
        frames, shown = 1 + torch.arange(seen.shape[1]), seen
        found: list[tuple[Tensor, Tensor]] = []

        def drawn(stream: Stream, width: int, *seeds: int, frames: Tensor = frames) -> Tensor:
            return model.noise.normal(stream, (0, *seeds), context.keys, frames, width)

        for sample in range(samples):
            candidates = drawn(Stream.START, seen.shape[2], sample)
            for step in range(steps):
                candidates = candidates.detach().requires_grad_()
                noise = spread * drawn(Stream.PROJECTED_LANGEVIN, BACKBONE.width, step, sample)
                row = min(step, last)
                energies = plainly_masked(model, shown, candidates, row, noise)
                (gradient,) = torch.autograd.grad(energies.sum(), candidates)
                candidates = (candidates - size * gradient).detach()
            with torch.no_grad():
                final = plainly_masked(model, shown, candidates, last)[:, -1]
            found.append((candidates[:, -1], final))
        best = torch.stack([energy for _, energy in found]).argmin(dim=0)
        chosen = torch.stack([frame for frame, _ in found])[best, torch.arange(len(best))]
        seen = torch.cat([seen, chosen[:, None]], dim=1)
    rollout = model.rollout(context, 3, setting).flatten(2)
    assert torch.allclose(rollout, seen[:, 2:], atol=1e-4)
    assert not torch.allclose(rollout, model.rollout(context, 3, Thinking(4)).flatten(2), atol=0.1)


def test_a_cached_rollout_of_the_transformer_equals_the_plain_one() -> None:
    model, context = transformer_published(), random_clips(frames=3)
    plain = Predictor.rollout(model, context, 4, Setting())
    assert torch.allclose(model.rollout(context, 4, Setting()), plain, atol=1e-5)


def test_no_prediction_depends_on_its_batch_or_on_later_frames() -> None:
    model, setting = published_ebt(OPEN), Thinking(4)
    batch = random_clips()
    together = model.predict(batch, setting, energies=True)
    alone = Clips(batch.embeddings[1:2, :3], batch.keys[1:2])
    found = model.predict(alone, setting, energies=True)
    assert torch.allclose(found.candidates, together.candidates[:, 1:2, :3], atol=1e-5)
    assert found.energies is not None
    assert together.energies is not None
    assert torch.allclose(found.energies, together.energies[:, 1:2, :3], atol=1e-5)


def test_settings_share_one_descent_and_competitors_do_not() -> None:
    model, batch = published_ebt(OPEN), random_clips()
    settings = model.settings([1, 2])
    assert [s.label for s in settings] == ["1 step", "2 steps", "4 steps"]
    assert model.trained_setting() in settings
    for setting, found in zip(settings, model.predict_all(batch, settings, True), strict=True):
        alone = model.predict(batch, setting, True)
        assert torch.allclose(found.candidates, alone.candidates, atol=1e-6)
    best = model.predict(batch, Thinking(2, candidates=4), energies=True)
    every = model.competing(batch, Thinking(2, candidates=4))
    assert every.energies is not None
    assert best.energies is not None
    lowest = every.energies[-1].unflatten(1, (-1, 4)).amin(2)
    assert torch.equal(best.energies[-1], lowest)
    assert every.candidates.shape == (3, 3, 5 * 4, 4, DIM)


def test_the_published_inference_is_a_row_of_its_own() -> None:
    config = replace(
        SYSTEM_1,
        inference_steps=4,
        inference_samples=4,
        inference_step_size=1e-9,
        inference_langevin_noise=1.0,
    )
    model, batch = published_ebt(config), random_clips()
    *_, published = model.settings([1, 4])
    assert published.fixed
    assert published.label == "published, 4 steps, best of 4"
    found = model.predict(batch, published)
    assert torch.allclose(found.candidates[0], found.prediction, atol=1e-4)  # its step is tiny
    for setting, all_of in zip(
        model.settings([1, 4]), model.predict_all(batch, model.settings([1, 4])), strict=True
    ):
        assert torch.equal(all_of.prediction, model.predict(batch, setting).prediction)


def test_noise_on_the_projection_moves_only_where_the_gradient_is_taken() -> None:
    batch, setting = random_clips(), Thinking(1)
    quiet, loud = (published_ebt(replace(SYSTEM_1, langevin_noise=n)) for n in (0.0, 1.0))
    a, b = (m.predict(batch, setting).candidates for m in (quiet, loud))
    assert torch.equal(a[0], b[0])
    assert not torch.allclose(a[1], b[1])
    plane = quiet.energy.project.weight.detach()  # both moves stay in its row space
    for moved in (a[1] - a[0], b[1] - b[0]):
        flat = moved.flatten(2).flatten(0, 1)
        inside = flat @ torch.linalg.pinv(plane) @ plane
        assert torch.allclose(inside, flat, atol=1e-5)


def test_noise_that_no_step_can_remove_may_be_left_out() -> None:
    batch, setting = random_clips(), Thinking(2)
    kept, without = (published_ebt(replace(SYSTEM_1, retained_noise=r)) for r in (True, False))
    plane = kept.energy.project.weight.detach()
    assert plane.shape[0] < plane.shape[1]
    inside = torch.linalg.pinv(plane) @ plane  # [F, F]
    a, b = (m.predict(batch, setting).candidates.flatten(3) for m in (kept, without))
    # The energy sees the same, so both take the same steps; they differ by the noise outside.
    assert torch.allclose(a @ inside, b, atol=1e-4)
    assert torch.allclose(b @ inside, b, atol=1e-4)
    outside = a - a @ inside
    assert outside[0].std() > 0.5
    assert torch.allclose(outside[-1], outside[0], atol=1e-4)
    losses = [sum(float(x.detach()) for x in m.training_losses(batch, 0)) for m in (kept, without)]
    assert losses[1] < losses[0]


def test_seeds_change_starts_and_no_two_draws_are_alike() -> None:
    model, batch = published_ebt(SYSTEM_1), random_clips()
    first = model.predict(batch, Thinking(1)).candidates[0]
    model.seed_starts(1)
    second = model.predict(batch, Thinking(1)).candidates[0]
    assert not torch.allclose(first, second)
    wide = published_ebt(replace(SYSTEM_1, start_noise=2.0))
    assert torch.allclose(wide.predict(batch, Thinking(1)).candidates[0], 2 * first)
    several = model.competing(batch, Thinking(1, candidates=3)).candidates[0]
    several = several.unflatten(1, (-1, 3))
    assert torch.equal(several[:, :, 0], second)
    assert not torch.allclose(several[:, :, 1], several[:, :, 0])


def test_a_prediction_that_is_not_finite_names_step_and_clip() -> None:
    model, batch = published_ebt(SYSTEM_1), random_clips()
    batch.embeddings[1, 0] = torch.nan
    with pytest.raises(NonFiniteError, match=r"thinking step 1, clip 1"):
        model.predict(batch, Thinking(2))


@pytest.mark.parametrize("name", ["ebt_residual", "transformer"])
def test_no_devices_are_mixed(name: str) -> None:
    with fake_tensors():
        with torch.device("cuda"):
            model = published_ebt(OPEN) if name == "ebt_residual" else transformer_published()
            frames = torch.randn(2, 5, GRID[0] * GRID[1], DIM)
        batch = Clips(frames, ["a", "b"])
        setting: Setting = Thinking(3, candidates=2) if name == "ebt_residual" else Setting()
        found = [
            *model.training_losses(batch, 0),
            model.rollout(batch, 2, setting),
            model.predict(batch, setting, energies=True).prediction,
            *model.features(batch).values(),
        ]
        assert {tensor.device.type for tensor in found} == {"cuda"}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ebt_residual", "transformer"])
def test_traced_graphs_train_and_predict_alike(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    compile = functools.partial(torch.compile, backend="aot_eager")  # traced, not translated
    monkeypatch.setattr(torch, "compile", lambda function, options=None: compile(function))
    model: Predictor = published_ebt(OPEN) if name == "ebt_residual" else transformer_published()
    batch, setting = random_clips(), model.trained_setting()
    prediction = model.predict(batch, setting).prediction
    rollout = model.rollout(batch, 2, setting)
    with compiled(model):
        warm_up(model, batch, "32-true")  # compares gradients with those of the eager model
        assert torch.allclose(model.predict(batch, setting).prediction, prediction, atol=1e-5)
        assert torch.allclose(model.rollout(batch, 2, setting), rollout, atol=1e-4)
