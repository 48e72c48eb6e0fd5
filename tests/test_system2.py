"""The parts of the published System 2 training, each by itself."""

import io
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from worldmodel.backbone import Visible
from worldmodel.config import BackboneConfig, EBTConfig
from worldmodel.next_frame import NextFrameEBT
from worldmodel.predictor import Clips, Thinking
from worldmodel.system2 import (
    ReplayBuffer,
    langevin_noise,
    number_of_steps,
    step_size_factors,
)
from worldmodel.thinking import thinking_step

LIKE = torch.empty(4, 5, 16, 63)
KEYS = ["a", "b", "c", "d"]


def ebt(**options: object) -> NextFrameEBT:
    torch.manual_seed(0)
    return NextFrameEBT(replace(EBTConfig(), **options), BackboneConfig(1, 2, 32), (2, 2), 12)


def clips(seed: int, batch: int = 4, frames: int = 4) -> Clips:
    generator = torch.Generator().manual_seed(seed)
    embeddings = torch.randn(batch, frames, 4, 12, generator=generator)
    return Clips(embeddings, [str(i) for i in range(batch)])


def losses(model: NextFrameEBT, batch: Clips, seed: int) -> Tensor:
    found = []
    for loss in model.training_losses(batch, seed):
        loss.backward()
        found.append(loss.detach())
    return torch.stack(found).sum()


def test_numbers_of_steps_cover_their_range_and_repeat_by_seed() -> None:
    config = EBTConfig(training_steps=2, random_steps=2)
    drawn = [number_of_steps(config, seed) for seed in range(200)]
    assert set(drawn) == {2, 3, 4}
    assert drawn == [number_of_steps(config, seed) for seed in range(200)]
    assert number_of_steps(EBTConfig(training_steps=3), 0) == 3


def test_step_sizes_cover_their_range_for_each_element_and_repeat_by_seed() -> None:
    config = EBTConfig(random_step_size=2.0)
    factors = step_size_factors(LIKE, KEYS, config, 1, 1)
    assert factors is not None
    assert factors.shape == LIKE.shape
    assert 0.5 <= float(factors.min()) < 0.501
    assert 1.999 < float(factors.max()) <= 2
    assert float(factors.mean()) == pytest.approx(1.25, rel=0.01)
    assert torch.equal(factors, step_size_factors(LIKE, KEYS, config, 1, 1))  # type: ignore[arg-type]
    assert not torch.equal(factors, step_size_factors(LIKE, KEYS, config, 1, 2))  # type: ignore[arg-type]
    assert step_size_factors(LIKE, KEYS, EBTConfig(), 1, 1) is None


def test_langevin_noise_has_the_stated_variance_and_moves_the_candidate() -> None:
    config = EBTConfig(langevin_noise=0.3)
    noise = langevin_noise(LIKE, KEYS, config, 1, 1)
    assert noise is not None
    assert float(noise.var()) == pytest.approx(0.09, rel=0.03)
    assert langevin_noise(LIKE, KEYS, EBTConfig(), 1, 1) is None
    model = ebt()
    context, visible = model.energy.encode(clips(0).embeddings), Visible.all_of(4)
    start, noise = clips(1, frames=1).embeddings, clips(2, frames=1).embeddings
    still, _ = thinking_step(model.energy, start, context, visible)
    moved, _ = thinking_step(model.energy, start, context, visible, noise=noise)
    assert torch.allclose(moved - still, noise, atol=1e-6)
    halved, _ = thinking_step(model.energy, start, context, visible, torch.full_like(start, 0.5))
    assert torch.allclose(halved - start, (still - start) / 2, atol=1e-6)


def test_the_step_size_stays_as_it_began_unless_it_is_learned() -> None:
    model = ebt(learn_step_size=False)
    losses(model, clips(0), 0)
    assert model.energy.log_step_size.grad is None
    learned = ebt()
    losses(learned, clips(0), 0)
    assert learned.energy.log_step_size.grad is not None


@pytest.mark.parametrize(
    "options",
    [
        {"random_steps": 2},
        {"random_step_size": 2.0},
        {"langevin_noise": 0.1},
        {"replay": 8},
        {"detach": False, "loss_at": "last", "random_steps": 1, "replay": 8},
    ],
    ids=str,
)
def test_each_part_changes_the_training_and_repeats_by_seed(options: dict[str, object]) -> None:
    def run(**given: object) -> list[float]:
        model = ebt(**given)
        return [float(losses(model, clips(step), step)) for step in range(4)]

    assert run(**options) == run(**options)
    assert run(**options) != run()


def test_predictions_take_no_part_in_any_of_it() -> None:
    plain = ebt()
    trained = ebt(random_step_size=2.0, langevin_noise=0.5, random_steps=2, replay=4)
    batch, setting = clips(0), Thinking(2)
    assert torch.equal(
        plain.predict(batch, setting).prediction, trained.predict(batch, setting).prediction
    )


def test_what_is_continued_is_written_back_to_its_place() -> None:
    buffer, fresh = ReplayBuffer(6), torch.zeros(4, 3, 1, 2)
    first = buffer.mixed(fresh, fresh, fresh[:, 1:], seed=0)
    assert len(first.places) == 0
    buffer.keep(first, torch.ones(4, 2, 1, 2))
    assert len(buffer) == 4
    second = buffer.mixed(fresh, fresh, fresh[:, 1:], seed=1)
    assert len(second.places) == 2
    assert (second.start[:2] == 1).all()
    assert (second.start[2:] == 0).all()
    buffer.keep(second, torch.full((4, 2, 1, 2), 5.0))
    kept = buffer.state()["candidates"]
    assert (kept[second.places] == 5).all()
    assert sorted(kept[:, 0, 0, 0].tolist()) == [1, 1, 5, 5, 5, 5]
    third = buffer.mixed(fresh, fresh, fresh[:, 1:], seed=2)
    buffer.keep(third, torch.full((4, 2, 1, 2), 9.0))
    assert len(buffer) == 6  # the oldest made room
    assert (buffer.state()["candidates"] == 9).all((1, 2, 3)).sum() >= 3


def test_a_replay_buffer_survives_a_checkpoint_bit_for_bit() -> None:
    model = ebt(replay=6)
    for step in range(3):
        losses(model, clips(step), step)
    stored = io.BytesIO()
    torch.save({"weights": model.state_dict(), "state": model.training_state()}, stored)
    stored.seek(0)
    loaded = torch.load(stored, weights_only=True)
    restored = ebt(replay=6)
    restored.load_state_dict(loaded["weights"])
    restored.load_training_state(loaded["state"])
    for name, tensor in model.training_state().items():
        assert torch.equal(tensor, restored.training_state()[name]), name
    for step in range(3, 6):
        assert losses(model, clips(step), step) == losses(restored, clips(step), step)
