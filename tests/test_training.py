import functools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from baselines.config import TransformerPPConfig
from baselines.transformer_pp import TransformerPP
from data_prep.errors import InputError
from data_prep.shards.format import ShardSet
from worldmodel.config import BackboneConfig, EBTConfig, TrainingConfig
from worldmodel.data import EmbeddingClips, Scaler
from worldmodel.forms import FORMS
from worldmodel.next_frame import NextFrameEBT
from worldmodel.optimizers import block_matrices, make_optimizers
from worldmodel.predictor import Clips, Predictor
from worldmodel.thinking import NonFiniteError
from worldmodel.training import (
    WEIGHTS,
    PredictorTraining,
    TrainingData,
    TrainingRecord,
    train_predictor,
)

BACKBONE = BackboneConfig(layers=1, heads=2, width=64)
CONFIG = TrainingConfig(steps=8, batch_size=3, warmup_steps=2, validate_every=3)


def build(name: str) -> Predictor:
    torch.manual_seed(0)
    if name == "transformer_pp":
        return TransformerPP(TransformerPPConfig(), BACKBONE, (4, 4), 63)
    return NextFrameEBT(replace(EBTConfig(), form=name), BACKBONE, (4, 4), 63)


def data(shards: ShardSet, config: TrainingConfig = CONFIG) -> TrainingData:
    scaler = Scaler.of(shards)
    train, validation = (EmbeddingClips(shards, s, scaler) for s in ("train", "validation"))
    return TrainingData(train, validation, config, seed=0)


def train(
    predictor: Predictor, shards: ShardSet, folder: Path, config: TrainingConfig = CONFIG
) -> TrainingRecord:
    plan = {"width": 64}
    return train_predictor(predictor, data(shards, config), 3e-3, folder, "cpu", "test", plan)


def same_weights(a: Predictor, b: Predictor) -> bool:
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.equal(x, y) for x, y in pairs)


def test_a_finished_training_is_loaded_not_repeated(
    embedding_shards: ShardSet, tmp_path: Path
) -> None:
    trained = build("residual")
    before = {name: value.clone() for name, value in trained.state_dict().items()}
    train(trained, embedding_shards, tmp_path)
    moved = [n for n, v in trained.state_dict().items() if not torch.equal(v, before[n])]
    assert "energy.backbone.blocks.0.attention.query.weight" in moved
    weights = (tmp_path / WEIGHTS).read_bytes()
    loaded = build("residual")
    train(loaded, embedding_shards, tmp_path)
    assert same_weights(loaded, trained)
    assert (tmp_path / WEIGHTS).read_bytes() == weights
    with pytest.raises(InputError, match="was trained with width 64"):
        train_predictor(
            loaded, data(embedding_shards), 3e-3, tmp_path, "cpu", "test", {"width": 96}
        )


def test_muon_moves_the_matrices_of_the_blocks_alike_in_all_directions() -> None:
    predictor = build("transformer_pp")
    before = {name: p.detach().clone() for name, p in predictor.named_parameters()}
    optimizers, _ = make_optimizers(predictor, replace(CONFIG, warmup_steps=0), 1e-2)
    generator = torch.Generator().manual_seed(0)
    for parameter in predictor.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)
    for optimizer in optimizers:
        optimizer.step()
    orthogonalised = {id(p) for p in block_matrices(predictor)}
    assert len(orthogonalised) == 7  # of one block: four in attention, three in the SwiGLU
    for name, parameter in predictor.named_parameters():
        moved = parameter.detach() - before[name] * (1 - 1e-2 * CONFIG.weight_decay)
        if id(parameter) in orthogonalised:
            directions = torch.linalg.svdvals(moved)
            assert directions.quantile(0.1) > 0.5 * directions.max()
            # the same size of step as AdamW's, up to the spread of the singular values
            assert float(moved.square().mean().sqrt()) == pytest.approx(0.2 * 1e-2, rel=0.3)
        elif parameter.ndim == 2 and parameter.std() > 0:
            assert float(moved.abs().median()) == pytest.approx(1e-2, rel=0.1)
    (adamw,), _ = make_optimizers(predictor, replace(CONFIG, optimizer="adamw"), 1e-2)
    held = [p for group in adamw.param_groups for p in group["params"]]
    assert {id(p) for p in held} == {id(p) for p in predictor.parameters()}


def test_the_weights_that_validate_best_are_kept(
    embedding_shards: ShardSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses, seen = iter([1.0, 0.5, 2.0]), []

    def validation_step(self: PredictorTraining, batch: Clips, index: int) -> None:
        if index == 0:
            seen.append({n: v.clone() for n, v in self.predictor.state_dict().items()})
            self._validated = torch.tensor([next(losses), 1.0], dtype=torch.float64)

    monkeypatch.setattr(PredictorTraining, "validation_step", validation_step)
    predictor = build("transformer_pp")
    record = train(predictor, embedding_shards, tmp_path)  # validated at steps 3, 6 and 8
    assert (record.validation_loss, record.kept_step, record.steps) == (0.5, 6, 8)
    assert all(torch.equal(value, seen[1][n]) for n, value in predictor.state_dict().items())
    loaded = build("transformer_pp")
    assert train(loaded, embedding_shards, tmp_path) == record
    assert same_weights(loaded, predictor)


def test_an_average_of_the_weights_is_what_is_judged_and_kept(
    embedding_shards: ShardSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: dict[str, torch.Tensor] = {}
    original = PredictorTraining.training_step

    def training_step(self: PredictorTraining, batch: Clips, index: int) -> None:
        original(self, batch, index)
        for name, value in self.predictor.state_dict().items():
            kept[name] = value.clone() if index == 0 else kept[name] * 0.5 + value * 0.5

    monkeypatch.setattr(PredictorTraining, "training_step", training_step)
    predictor = build("transformer_pp")
    train(predictor, embedding_shards, tmp_path, replace(CONFIG, ema=0.5, validate_every=8))
    for name, value in predictor.state_dict().items():
        assert torch.allclose(value, kept[name], atol=1e-6)


@pytest.mark.parametrize(
    "name",
    [
        "transformer_pp",
        *(
            form if form == "residual" else pytest.param(form, marks=pytest.mark.slow)
            for form in FORMS
        ),
    ],
)
def test_training_lowers_the_loss(name: str, embedding_shards: ShardSet, tmp_path: Path) -> None:
    config = replace(CONFIG, steps=40, validate_every=40)
    predictor = build(name)
    module_data = data(embedding_shards, config)
    record = train_predictor(predictor, module_data, 1e-2, tmp_path, "cpu", "test", {})
    clips = next(iter(module_data.val_dataloader())).to("cpu")
    with torch.no_grad():
        untrained = build(name)
        untrained.calibrate(clips)
        start = untrained.predict(clips.frames(0, -1), untrained.trained_setting()).prediction
    before = torch.nn.functional.smooth_l1_loss(start, clips.embeddings[:, 1:])
    assert record.validation_loss < 0.8 * float(before)
    assert record.seconds > 0


@pytest.mark.slow
def test_a_compiled_training_learns_the_same_and_says_what_starting_took(
    embedding_shards: ShardSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compile = functools.partial(torch.compile, backend="aot_eager")  # traced, not translated
    monkeypatch.setattr(torch, "compile", lambda function, options=None: compile(function))
    trained = {}
    for wanted in ("off", "on"):
        trained[wanted] = build("residual")
        config = replace(CONFIG, compile=wanted)
        record = train_predictor(
            trained[wanted],
            data(embedding_shards, config),
            3e-3,
            tmp_path / wanted,
            "cpu",
            "test",
            {"width": 64},
        )
        assert (record.start_up_seconds > 0) == (wanted == "on")
        assert record.seconds > record.start_up_seconds
    pairs = zip(trained["off"].parameters(), trained["on"].parameters(), strict=True)
    assert all(torch.allclose(a, b, rtol=1e-3, atol=1e-4) for a, b in pairs)


def test_all_models_see_the_same_batches(embedding_shards: ShardSet) -> None:
    first, second = (list(data(embedding_shards).train_dataloader()) for _ in range(2))
    assert [b.keys for b in first] == [b.keys for b in second]


def test_a_loss_that_is_not_finite_names_step_and_clips(
    embedding_shards: ShardSet, tmp_path: Path
) -> None:
    predictor = build("residual")
    torch.nn.init.constant_(predictor.get_parameter("energy.heads.prediction.weight"), float("nan"))
    with pytest.raises(
        NonFiniteError, match=r"part 1 of 3 of training step 0, clips train-000000-"
    ):
        train(predictor, embedding_shards, tmp_path)


def test_float32_products_are_as_precise_as_asked_in_training_alone(
    embedding_shards: ShardSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build("transformer_pp")
    seen: set[str] = set()
    losses, before = model.training_losses, torch.get_float32_matmul_precision()

    def watched(batch: Clips, seed: int) -> Iterator[torch.Tensor]:
        seen.add(torch.get_float32_matmul_precision())
        return losses(batch, seed)

    monkeypatch.setattr(model, "training_losses", watched)
    config = replace(CONFIG, steps=2, float32_precision="high")
    train(model, embedding_shards, tmp_path / "high", config)
    assert seen == {"high"}
    assert torch.get_float32_matmul_precision() == before == "highest"


def test_a_training_is_logged_where_it_is_asked_to_be(
    embedding_shards: ShardSet, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"training\.logger: wandb is not installed"):
        TrainingConfig(logger="wandb")
    pytest.importorskip("tensorboard")
    config = replace(CONFIG, logger="tensorboard")
    train(build("transformer_pp"), embedding_shards, tmp_path, config)
    assert list(tmp_path.glob("logs/version_0/metrics.csv"))
    assert list(tmp_path.glob("tensorboard/version_0/events*"))
