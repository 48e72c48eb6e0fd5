"""The published optimiser and schedule against recorded ones, and trainings of the suite."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from published_reference import (
    SYSTEM_1,
    SYSTEM_2,
    Reference,
    assert_close,
    clips,
    published_ebt,
    reference,
    renamed,
    transformer_published,
)
from random_data import RandomClips
from torch import Tensor, nn
from torch.utils.data import DataLoader

from data_prep.errors import InputError
from worldmodel.config import BackboneConfig, TrainingConfig
from worldmodel.noise import Stream
from worldmodel.optimizers import make_optimizers
from worldmodel.predictor import Clips, Predictor, Setting, Thinking
from worldmodel.published.config import PublishedEBTConfig
from worldmodel.published.model import PublishedEBT
from worldmodel.published.noise import KeyedNoise
from worldmodel.sharing import write_model
from worldmodel.training import PredictorTraining, TrainingData, TrainingRecord, train_predictor

__all__ = ["reference"]  # a fixture

PUBLISHED = TrainingConfig(
    steps=100_000,
    warmup_steps=10_000,
    schedule_steps=1_000_000,
    final_learning_rate=0.1,
    optimizer="adamw",
    beta2=0.999,
    decayed="all",
)
FIT = replace(
    PUBLISHED,
    steps=5,
    batch_size=3,
    warmup_steps=2,
    schedule_steps=10,
    weight_decay=0.1,
    clip_norm=0.5,
)
LEARNED = replace(SYSTEM_1, step_size=30_000.0)


def rates(model: Predictor, config: TrainingConfig, peak: float, steps: Sequence[int]) -> Tensor:
    """Learning rates `[steps, groups]` of the optimiser's groups."""
    _, (schedule,) = make_optimizers(model, config, peak)
    pairs = list(zip(schedule.base_lrs, schedule.lr_lambdas, strict=True))
    return torch.tensor(
        [[base * factor(step) for base, factor in pairs] for step in steps], dtype=torch.float64
    )


@pytest.mark.parametrize(
    ("job", "model", "peak", "columns"),
    [
        ("video_ebt_s1", published_ebt(LEARNED), 4e-4, [2, 0]),
        ("video_ebt_s2", published_ebt(SYSTEM_2), 4e-4, [2]),
        ("image_ebt_s1", published_ebt(replace(SYSTEM_1, step_size=3000.0)), 1e-4, [1, 0]),
        ("video_baseline", transformer_published(), 1.2e-3, [1]),
        ("image_dit", transformer_published(), 1e-4, [0]),
    ],
)
def test_learning_rates_are_the_published_ones(
    job: str, model: Predictor, peak: float, columns: list[int], reference: Reference
) -> None:
    tensors = reference.read("optimiser")
    found = rates(model, PUBLISHED, peak, tensors[f"{job}/step"].tolist())
    expected = tensors[f"{job}/learning_rate"][:, columns]
    assert torch.allclose(found, expected, rtol=1e-10, atol=0)


def test_a_whole_schedule_is_the_published_one_and_then_stays(reference: Reference) -> None:
    expected = reference.read("optimiser")["small_schedule/learning_rate"][:220, [2, 0]]
    small = replace(PUBLISHED, steps=220, warmup_steps=20, schedule_steps=220)
    found = rates(published_ebt(LEARNED), small, 4e-4, range(240))
    assert torch.allclose(found[:220], expected, rtol=1e-9, atol=0)
    assert torch.allclose(found[220:], torch.full((20, 2), 4e-5, dtype=torch.float64))


def test_without_its_own_length_the_schedule_ends_with_the_run() -> None:
    config = TrainingConfig(steps=10, warmup_steps=2, final_learning_rate=0.1)
    (found,) = rates(transformer_published(), replace(config, optimizer="adamw"), 1.0, [10])
    assert torch.allclose(found, torch.full((2,), 0.1, dtype=torch.float64))
    with pytest.raises(InputError, match="schedule_steps must be above"):
        replace(config, schedule_steps=2)


@dataclass
class StartsByStep(KeyedNoise):
    """A recorded start for each training step."""

    starts: Tensor

    def normal(
        self, stream: Stream, seeds: Sequence[int], keys: Sequence[str], frames: Tensor, size: int
    ) -> Tensor:
        assert stream == Stream.TRAINING_START
        return self.starts[seeds[0]]


class Watch(L.Callback):
    """What a fit does in each step."""

    def __init__(self) -> None:
        self.losses: list[Tensor] = []
        self.sizes: list[Tensor] = []
        self.rates: list[list[float]] = []

    def on_train_batch_start(self, trainer: L.Trainer, *_: Any) -> None:
        (optimizer,) = trainer.optimizers
        self.rates.append([group["lr"] for group in optimizer.param_groups])

    def on_train_batch_end(self, trainer: L.Trainer, module: Any, *_: Any) -> None:
        self.losses.append(trainer.callback_metrics["train_loss"].clone())
        self.sizes.append(module.predictor.energy.raw_step_size.detach().clone())


def test_five_optimiser_steps_are_the_published_ones(
    reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors, weights = reference.read("optimiser"), reference.read("video_ebt_s1")
    model = published_ebt(SYSTEM_1, weights)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.noise = StartsByStep(tensors["fit/start_noise"])
    norms = []
    clip = nn.utils.clip_grad_norm_

    def clipping(parameters: Any, largest: float) -> Tensor:
        norms.append(clip(parameters, largest).clone())
        return norms[-1]

    monkeypatch.setattr(nn.utils, "clip_grad_norm_", clipping)
    watch = Watch()
    trainer = L.Trainer(
        accelerator="cpu",
        max_steps=5,
        logger=False,
        callbacks=[watch],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
    )
    batches = [clips(frames) for frames in tensors["fit/frames"]]
    loader = DataLoader(batches, batch_size=None)  # type: ignore[arg-type]
    trainer.fit(PredictorTraining(model, FIT, 3e-3, 0), loader)
    rate = torch.tensor(watch.rates, dtype=torch.float64)
    assert torch.allclose(rate, tensors["fit/learning_rate"][:, [2, 0]], rtol=1e-9)
    assert_close(torch.stack(watch.losses), tensors["fit/loss"])
    expected_norms = tensors["fit/gradient_norm_before_clipping"]
    assert_close(norms[0], expected_norms[0])
    # Adam makes full steps of components near zero, of either sign: rounding grows from then on.
    assert_close(torch.stack(norms), expected_norms, tolerance=5e-5)
    assert_close(torch.stack(watch.sizes), tensors["fit/alpha"])
    expected = renamed(tensors, "fit/after_5_steps/", model)
    assert len(expected) == len(list(model.parameters()))
    for name, value in expected.items():
        wrong = (model.get_parameter(name).detach() - value).norm()
        assert float(wrong / (value - before[name]).norm()) < 5e-3, name


def test_the_step_size_never_decays_and_vectors_do_where_all_does() -> None:
    for decayed, vectors in (("matrices", 0.0), ("all", 0.01)):
        model = published_ebt(SYSTEM_1)
        (optimizer,), _ = make_optimizers(model, replace(PUBLISHED, decayed=decayed), 1e-3)
        decay = {id(p): g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
        assert len(decay) == len(list(model.parameters()))
        assert decay[id(model.energy.raw_step_size)] == 0
        assert decay[id(model.energy.project.bias)] == vectors
        assert decay[id(model.energy.project.weight)] == 0.01


def random_data(config: TrainingConfig, number: int = 6) -> TrainingData:
    train, validation = RandomClips(5, 4, 12, number), RandomClips(5, 4, 12)
    return TrainingData(train, validation, config, seed=0)


SMALL = TrainingConfig(steps=6, batch_size=3, warmup_steps=2, validate_every=3)
WITH_ALL = replace(SYSTEM_2, replay=4, landscapes=2, calibrate=True)


def train(
    model: Predictor, folder: Path, config: TrainingConfig = SMALL, rate: float = 3e-3
) -> TrainingRecord:
    return train_predictor(model, random_data(config), rate, folder, "cpu", "test", {})


def same(a: Predictor, b: Predictor) -> bool:
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.equal(x, y) for x, y in pairs)


@pytest.mark.parametrize(
    "config", [SYSTEM_1, replace(SYSTEM_1, calibrate=True), WITH_ALL], ids=["1", "1c", "2c"]
)
def test_a_training_that_is_cut_off_goes_on_exactly(
    config: PublishedEBTConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = published_ebt(config)
    train(whole, tmp_path / "whole")
    step = PredictorTraining.training_step

    def cut_off(module: PredictorTraining, batch: Clips, index: int) -> None:
        if module.global_step == 4:
            raise KeyboardInterrupt
        step(module, batch, index)

    with monkeypatch.context() as patch:
        patch.setattr(PredictorTraining, "training_step", cut_off)
        with pytest.raises(KeyboardInterrupt):
            train(published_ebt(config), tmp_path / "cut")
    continued = published_ebt(config)
    train(continued, tmp_path / "cut")
    assert same(whole, continued)
    assert not same(whole, published_ebt(config))


@pytest.mark.parametrize(
    ("optimizer", "checkpoint_blocks"),
    [("adamw", False), pytest.param("muon", True, marks=pytest.mark.slow)],
)
def test_training_lowers_the_loss(optimizer: str, checkpoint_blocks: bool, tmp_path: Path) -> None:
    config = replace(
        SMALL,
        steps=100,
        validate_every=100,
        optimizer=optimizer,
        checkpoint_blocks=checkpoint_blocks,
    )
    models = {
        "ebt_residual": published_ebt(replace(SYSTEM_1, calibrate=True)),
        "transformer": transformer_published(),
    }
    for name, model in models.items():
        data = random_data(config, number=3)
        batch = data.first_batch()
        model.calibrate(batch)
        before = sum(float(loss.detach()) for loss in model.training_losses(batch, 0))
        train_predictor(model, data, 3e-3, tmp_path / name, "cpu", "test", {})
        after = sum(float(loss.detach()) for loss in model.training_losses(batch, 0))
        assert after < 0.9 * before


def test_a_step_size_is_calibrated_once_whatever_the_start_noise() -> None:
    batch = random_data(SMALL).first_batch()
    model = published_ebt(replace(SYSTEM_1, calibrate=True, start_noise=2.0))
    model.calibrate(batch)
    size = float(model.energy.step_size.detach())
    assert size != pytest.approx(SYSTEM_1.step_size)
    start, moved = model.predict(batch.frames(0, -1), Thinking(1)).candidates
    assert float((moved - start).square().mean().sqrt()) == pytest.approx(0.3, rel=1e-3)
    model.calibrate(Clips(batch.embeddings * 3, batch.keys))
    assert float(model.energy.step_size.detach()) == size
    ((parameter, multiple),) = model.rate_multiples()
    assert parameter is model.energy.raw_step_size
    assert multiple == pytest.approx(3 * size)
    plain = published_ebt(SYSTEM_1)
    plain.calibrate(batch)
    assert float(plain.energy.step_size.detach()) == pytest.approx(SYSTEM_1.step_size)


def test_random_draws_cover_their_ranges_and_repeat_by_seed() -> None:
    noise, frames = KeyedNoise(), torch.arange(50)
    keys = [str(number) for number in range(40)]
    counts = {noise.whole(Stream.TRAINING_STEPS, (seed, 0), 2, 4) for seed in range(100)}
    assert counts == {2, 3, 4}
    drawn = noise.normal(Stream.TRAINING_START, (0,), keys, frames, 30)
    assert drawn.shape == (40, 50, 30)
    assert float(drawn.std()) == pytest.approx(1, abs=0.02)
    assert torch.equal(drawn, noise.normal(Stream.TRAINING_START, (0,), keys, frames, 30))
    share = noise.uniform(Stream.TRAINING_STEP_SIZE, (0,), keys, frames)
    assert share.shape == (40, 50, 1)
    assert 0 <= float(share.min()) < 0.01 < 0.99 < float(share.max()) < 1
    for seed in range(10):
        places = noise.chosen(Stream.TRAINING_REPLAY, (seed,), 9, 4).tolist()
        assert len(set(places)) == 4
        assert max(places) < 9


def test_replayed_clips_come_after_the_fresh_ones_and_grow_the_batch() -> None:
    model = published_ebt(replace(SYSTEM_2, replay=4, langevin_noise=0.0))
    batch = random_data(SMALL).first_batch().frames(0, 4)
    for seed, expected in enumerate([3, 4, 4]):
        list(model.training_losses(batch, seed))
        state = model.training_state()
        assert len(state["clips"]) == expected
        assert torch.equal(state["clips"][-3:], batch.embeddings[:3].flatten(2))


@pytest.mark.parametrize("name", ["ebt_residual", "transformer"])
def test_a_shared_model_is_loaded_with_its_calibration(name: str, tmp_path: Path) -> None:
    model: Any = published_ebt(WITH_ALL) if name == "ebt_residual" else transformer_published()
    batch = random_data(SMALL).first_batch()
    model.calibrate(batch)
    backbone = {"layers": 2, "heads": 2, "width": 32}
    config = {"learning_rate": 1e-3}
    if isinstance(model, PublishedEBT):
        config = vars(model.config)
    write_model(
        model, tmp_path, {"config": config, "backbone": backbone, "grid": [2, 2], "dim": 12}
    )
    loaded = type(model).from_pretrained(str(tmp_path))
    assert same(model, loaded)
    setting: Setting = model.trained_setting()
    found, expected = (m.predict(batch, setting).prediction for m in (loaded, model))
    assert torch.equal(found, expected)


@pytest.mark.parametrize(
    "options",
    [
        {"step_size": 0.0},
        {"landscapes": 0},
        {"least_visits": 3, "most_visits": 2},
        {"random_step_size": 0.5},
        {"start_noise": 0.0},
        {"langevin_noise": -1.0},
        {"replay": -1},
        {"inference_steps": 0},
    ],
    ids=str,
)
def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(options))):
        PublishedEBTConfig(**options)


@pytest.mark.parametrize("patches", [16, 64])
@pytest.mark.parametrize("width", [64, 256])
def test_the_first_update_is_of_moderate_size_by_default(patches: int, width: int) -> None:
    torch.manual_seed(0)
    backbone = BackboneConfig(layers=2, heads=2, width=width)
    model = PublishedEBT(PublishedEBTConfig(), backbone, (patches, 1), 48)
    generator = torch.Generator().manual_seed(0)
    context = Clips(torch.randn(2, 4, patches, 48, generator=generator), ["a", "b"])
    start, moved = model.predict(context, Thinking(1)).candidates
    assert float(start.std()) == pytest.approx(0.18, rel=0.02)
    assert 0.1 < float((moved - start).square().mean().sqrt()) < 0.5


def test_a_projection_fixed_on_principal_components_stays_and_keeps_most_of_the_frames(
    tmp_path: Path,
) -> None:
    model = published_ebt(replace(SYSTEM_1, projection="pca"))
    data = random_data(SMALL)
    batch = data.first_batch(model.calibrating_clips)
    assert len(batch.keys) >= model.energy.width
    model.calibrate(batch)
    weight, bias = (p.detach().clone() for p in model.energy.project.parameters())
    frames = batch.embeddings.flatten(2).flatten(0, 1).double()
    tokens = model.energy.project(frames.float()).detach()
    assert float(tokens.mean(0).abs().max()) < 1e-4
    assert float(tokens.square().mean()) == pytest.approx(1, rel=1e-3)
    lengths = weight @ weight.T
    assert torch.allclose(lengths, lengths[0, 0] * torch.eye(len(weight)), atol=1e-4)
    # A slow reference: the best approximation of the centred frames by so many components.
    left, values, right = torch.linalg.svd(frames - frames.mean(0), full_matrices=False)
    width = len(weight)
    best = left[:, :width] * values[:width] @ right[:width]
    inside = torch.linalg.pinv(weight.double()) @ weight.double()
    assert torch.allclose((frames - frames.mean(0)) @ inside, best, atol=1e-3)
    train_predictor(model, data, 3e-3, tmp_path, "cpu", "test", {})
    assert torch.equal(model.energy.project.weight, weight)
    assert torch.equal(model.energy.project.bias, bias)
