"""The published video models against recorded runs of the public implementation."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from published_reference import (
    LATENT_SCALE,
    SYSTEM_1,
    SYSTEM_2,
    Recorded,
    Reference,
    assert_close,
    assert_gradients,
    clips,
    published_ebt,
    reference,
    transformer_published,
)
from torch import Tensor

from worldmodel.backbone import Visible
from worldmodel.predictor import Predictor, Setting, Thinking
from worldmodel.published.model import PublishedEBT
from worldmodel.published.replay import PublishedReplay, Rows
from worldmodel.published.training import TrainingStep, training_steps

__all__ = ["reference"]  # a fixture


def trained_step(
    model: PublishedEBT, latents: Tensor, rows: Rows | None = None
) -> list[TrainingStep]:
    """The thinking steps of a training step, back-propagated."""
    batch = clips(latents)
    fresh = Rows(batch.keys, latents[:, :-1], latents[:, 1:], latents[:0, 1:])
    steps = []
    total = torch.zeros(())
    for step in training_steps(model.energy, model.config, model.noise, rows or fresh, 0):
        if step.loss is not None and model.config.detach:
            step.loss.backward()
        elif step.loss is not None:
            total = total + step.loss
        steps.append(step)
    if total.requires_grad:
        total.backward()
    return steps


def assert_steps(
    steps: list[TrainingStep], tensors: dict[str, Tensor], target: Tensor, prefix: str = "outputs/"
) -> None:
    """Candidates, energies and losses are those recorded."""
    for number, step in enumerate(steps):
        assert_close(step.candidates, tensors[f"{prefix}candidates_{number}"], f"step {number}")
        assert_close(step.energies, tensors[f"{prefix}energies_{number}"], f"step {number}")
    assert f"{prefix}candidates_{len(steps)}" not in tensors
    assert_losses(steps, tensors, target, prefix)


def assert_losses(
    steps: list[TrainingStep], tensors: dict[str, Tensor], target: Tensor, prefix: str
) -> None:
    loss = torch.stack([step.loss for step in steps if step.loss is not None]).sum()
    assert_close(loss, tensors[f"{prefix}loss"], "loss")
    for name, step in (("initial_loss", steps[0]), ("final_step_loss", steps[-1])):
        found = F.smooth_l1_loss(step.candidates, target)
        assert_close(found, tensors[f"{prefix}{name}"], name)


def test_system_1_training_is_the_published_one(reference: Reference) -> None:
    tensors = reference.read("video_ebt_s1")
    model = published_ebt(SYSTEM_1, tensors)
    model.noise = Recorded({3: tensors["inputs/start_noise"]})
    frames = tensors["inputs/frames"]
    steps = trained_step(model, frames)
    assert_steps(steps, tensors, frames[:, 1:])
    gap = steps[0].energies.mean() - steps[-1].energies.mean()
    assert_close(gap, tensors["outputs/energy_gap"], "gap")
    assert assert_gradients(model, tensors) == len(list(model.parameters()))


def test_losses_come_one_at_a_time_and_add_up(reference: Reference) -> None:
    tensors = reference.read("video_ebt_s1")
    model = published_ebt(SYSTEM_1, tensors)
    model.noise = Recorded({3: tensors["inputs/start_noise"]})
    total = torch.zeros(())
    for loss in model.training_losses(clips(tensors["inputs/frames"]), 0):
        loss.backward()
        total += loss.detach()
    assert_close(total, tensors["outputs/loss"])
    assert_gradients(model, tensors)


def test_predictions_and_their_errors_are_the_published_ones(reference: Reference) -> None:
    tensors = reference.read("video_ebt_s1")
    model = published_ebt(SYSTEM_1, tensors)
    noise = tensors["inputs/start_noise"]
    model.noise = Recorded({4: noise})
    context = clips(tensors["inputs/frames"]).frames(0, -1)
    found = model.predict(context, model.trained_setting(), energies=True)
    assert_close(found.candidates[0].flatten(2), noise)
    for step in range(2):
        expected = tensors[f"outputs/candidates_{step}"]
        assert_close(found.candidates[step + 1].flatten(2), expected)
    assert found.energies is not None
    # Energies are read in the last landscape; the second step was taken there.
    assert_close(found.energies[1], tensors["outputs/energies_1"])
    assert found.patch_energies is not None
    assert torch.equal(found.patch_energies[..., 0], found.patch_energies[..., 3])
    verified = model.verify(context, found.candidates[1][:, :, None])
    assert torch.allclose(verified.sum(3)[:, :, 0], found.energies[1], rtol=1e-5)


def test_full_back_propagation_is_the_published_one(reference: Reference) -> None:
    weights, tensors = (reference.read(f"video_ebt_{n}") for n in ("s1", "full_backprop"))
    config = replace(SYSTEM_1, detach=False, least_visits=2, most_visits=2)
    model = published_ebt(config, weights)
    visits = tensors["inputs/number_of_steps"].tolist()
    model.noise = Recorded({3: tensors["inputs/start_noise"]}, visits=visits)
    frames = weights["inputs/frames"]
    assert_steps(trained_step(model, frames), tensors, frames[:, 1:])
    assert assert_gradients(model, tensors) == len(list(model.parameters()))


@pytest.mark.parametrize("count", [2, 3])
def test_system_2_training_is_the_published_one(count: int, reference: Reference) -> None:
    tensors = reference.read("video_ebt_s2")
    model = published_ebt(SYSTEM_2, tensors)
    model.noise = Recorded(
        {3: tensors["inputs/start_noise"]},
        shares=tensors["inputs/step_size_uniform"],
        visits=[count],
        langevin=[tensors[f"inputs/langevin_{step}"] for step in range(count)],
    )
    frames = tensors["inputs/frames"] * LATENT_SCALE
    steps = trained_step(model, frames)
    for number, step in enumerate(steps):  # a run of two is the beginning of one of three
        assert_close(step.candidates, tensors[f"outputs/3/candidates_{number}"])
        assert_close(step.energies, tensors[f"outputs/3/energies_{number}"])
    assert_losses(steps, tensors, frames[:, 1:], f"outputs/{count}/")
    learned = len(list(model.parameters())) - 1
    expected = {2: 9, 3: learned}[count]
    assert assert_gradients(model, tensors, f"grads/{count}/") == expected
    assert model.energy.raw_step_size.grad is None


def filled(tensors: dict[str, Tensor]) -> PublishedReplay:
    buffer = PublishedReplay(5)
    buffer.keep(tensors["state_before/latents"], tensors["state_before/candidates"])
    return buffer


def test_a_replay_buffer_is_read_and_updated_as_published(reference: Reference) -> None:
    tensors = reference.read("replay_buffer")
    buffer, latents = filled(tensors), tensors["inputs/latents"]
    places = tensors["inputs/replay_indices"]
    keys = ["a", "b", "c"]
    rows = buffer.read(keys, latents[:, :-1], latents[:, 1:], places)
    assert torch.equal(rows.context, tensors["outputs/context"])
    assert torch.equal(rows.target, tensors["outputs/targets"])
    assert torch.equal(rows.continued, tensors["outputs/replayed_candidates"])
    assert rows.keys[:3] == keys
    assert len(set(rows.keys)) == 5
    buffer.keep(latents, tensors["inputs/final_candidates"][:3])
    state = buffer.state()
    assert torch.equal(state["clips"], tensors["state_after/latents"])
    assert torch.equal(state["candidates"], tensors["state_after/candidates"])
    restored = PublishedReplay(5)
    assert len(restored) == 0
    restored.load(state)
    assert len(restored) == 5


def test_system_2_training_with_replay_is_the_published_one(reference: Reference) -> None:
    weights, tensors = (reference.read(f"video_ebt_{n}") for n in ("s2", "s2_replay"))
    model = published_ebt(replace(SYSTEM_2, replay=5, replay_share=0.67), weights)
    model.load_training_state(filled(tensors).state())
    model.noise = Recorded(
        {3: tensors["inputs/start_noise"]},
        shares=tensors["inputs/step_size_uniform"],
        visits=tensors["inputs/number_of_steps"].tolist(),
        langevin=[tensors[f"inputs/langevin_{step}"] for step in range(2)],
        places=tensors["inputs/replay_indices"],
    )
    frames = weights["inputs/frames"] * LATENT_SCALE
    (loss,) = model.training_losses(clips(frames), 0)
    loss.backward()
    assert_close(loss, tensors["outputs/loss"])
    assert assert_gradients(model, tensors) == 9
    state = model.training_state()
    assert_close(state["clips"], tensors["state_after/latents"])
    assert_close(state["candidates"], tensors["state_after/candidates"])
    rows = filled(tensors).read(
        ["a", "b", "c"], frames[:, :-1], frames[:, 1:], tensors["inputs/replay_indices"]
    )
    assert_steps(trained_step(model, frames, rows), tensors, rows.target)


def rollout_scores(generated: Tensor, frames: Tensor) -> dict[str, Tensor]:
    truth = frames[:, 2:]
    return {
        "generated": generated,
        "mse": F.mse_loss(generated, truth),
        "smooth_l1": F.smooth_l1_loss(generated, truth),
        "first_frame_mse": F.mse_loss(generated[:, 0], truth[:, 0]),
    }


def test_rollouts_of_the_ebt_are_the_published_ones(reference: Reference) -> None:
    tensors = reference.read("video_ebt_s1_rollout")
    model = published_ebt(SYSTEM_1, reference.read("video_ebt_s1"))
    model.noise = Recorded({n: tensors[f"inputs/start_noise_{n - 2}"] for n in (2, 3, 4)})
    context = clips(tensors["inputs/frames"]).frames(0, 2)
    for rollout in (model.rollout, lambda *given: Predictor.rollout(model, *given)):
        generated = rollout(context, 3, model.trained_setting()).flatten(2)
        for name, value in rollout_scores(generated, tensors["inputs/frames"]).items():
            assert_close(value, tensors[f"outputs/{name}"], name)
    seen = clips(torch.cat([context.embeddings.flatten(2), generated], dim=1))
    for number in range(3):
        found = model.predict(seen.frames(0, 2 + number), Thinking(2), energies=True)
        assert found.energies is not None
        frames = seen.embeddings[:, : 2 + number].flatten(2)
        encoded, visible = model.energy.encode(frames, 0), Visible.every(2 + number)
        first = model.energy(found.candidates[0].flatten(2), encoded, visible)
        energies = torch.stack([first[:, -1], found.energies[1, :, -1]], dim=1)
        assert_close(energies, tensors[f"outputs/energies_frame_{number}"])


def test_the_transformer_is_the_published_one(reference: Reference) -> None:
    tensors = reference.read("video_baseline")
    model = transformer_published(tensors)
    batch = clips(tensors["inputs/frames"])
    (loss,) = model.training_losses(batch, 0)
    loss.backward()
    assert_close(loss, tensors["outputs/loss"])
    assert assert_gradients(model, tensors) == len(list(model.parameters()))
    found = model.predict(batch.frames(0, -1), Setting()).prediction.flatten(2)
    assert_close(found, tensors["outputs/predictions"])


def test_rollouts_of_the_transformer_are_the_published_ones(reference: Reference) -> None:
    tensors = reference.read("video_baseline_rollout")
    model = transformer_published(reference.read("video_baseline"))
    context = clips(tensors["inputs/frames"]).frames(0, 2)
    generated = model.rollout(context, 3, Setting()).flatten(2)
    for name, value in rollout_scores(generated, tensors["inputs/frames"]).items():
        assert_close(value, tensors[f"outputs/{name}"], name)
