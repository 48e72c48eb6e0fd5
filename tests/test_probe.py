"""Probes of frozen features, the labels that they look for, and models of a finished run."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from random_data import RandomData

from benchmarks.cli.command_line import main
from benchmarks.domains.image.models import MODELS as DENOISERS
from benchmarks.domains.labels import digits, labelled
from benchmarks.domains.video.models import MODELS as PREDICTORS
from benchmarks.record.results import read_result
from benchmarks.tasks.configuring import preset_config
from benchmarks.tasks.probe.probes import attentive_probe, constant_probe, correct, linear_probe
from benchmarks.tasks.probe.result import Found
from data_prep.config import BouncingBallsConfig, DeadLeavesConfig, EncoderConfig, ImagesConfig
from data_prep.encoders.registry import build_encoder
from data_prep.errors import InputError
from data_prep.shards.format import SampleReference, ShardSet
from data_prep.sources.corpus import SPLITS
from data_prep.synthetic.balls import WALL_EDGES, as_json, labels_of
from data_prep.synthetic.bouncing_balls import simulate
from data_prep.synthetic.dead_leaves import look_of, prepare_dead_leaves, render_dead_leaves
from denoise.data import NoisyImages
from worldmodel.config import BackboneConfig
from worldmodel.data import EmbeddingClips, Scaler
from worldmodel.predictor import Clips

COUNTS = {"train": 240, "validation": 80, "test": 120}
REGULARISATIONS = [0.01, 1.0, 100.0]


def planted(seed: int = 0, width: int = 12) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Features `[N, W]` whose first three numbers say the class, or the number of the last."""
    generator = np.random.default_rng(seed)
    features = {split: generator.normal(size=(n, width)) for split, n in COUNTS.items()}
    classes = {split: f[:, :3].argmax(axis=1) for split, f in features.items()}
    return features, classes


def shuffled(values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(1)
    return {split: generator.permutation(of_split) for split, of_split in values.items()}


def accuracy(said: np.ndarray, values: np.ndarray) -> float:
    return float(correct(said, values).mean())


def r_squared(said: np.ndarray, values: np.ndarray) -> float:
    return float(1 - ((said - values) ** 2).mean() / values.var())


def test_a_linear_probe_finds_what_is_planted_and_nothing_in_shuffled_labels() -> None:
    features, classes = planted()
    found = linear_probe(features, classes, 3, REGULARISATIONS)
    assert accuracy(found.test, classes["test"]) > 0.9
    assert found.validation > 0.9
    nothing = shuffled(classes)
    blind = linear_probe(features, nothing, 3, REGULARISATIONS)
    assert abs(accuracy(blind.test, nothing["test"]) - 1 / 3) < 0.13
    numbers = {split: f[:, 1] - 2 * f[:, 4] for split, f in features.items()}
    assert (
        r_squared(linear_probe(features, numbers, None, REGULARISATIONS).test, numbers["test"])
        > 0.99
    )
    other = shuffled(numbers)
    blind = linear_probe(features, other, None, REGULARISATIONS)
    assert r_squared(blind.test, other["test"]) < 0.1


def test_an_attentive_probe_finds_the_token_that_knows() -> None:
    features, classes = planted(width=8)
    generator = np.random.default_rng(2)
    tokens = {}
    for split, of_split in features.items():
        noise = generator.normal(size=(len(of_split), 9, 8)).astype(np.float32)
        noise[:, :, 7] = 0.0
        place = generator.integers(0, 9, len(of_split))
        noise[np.arange(len(of_split)), place, :3] = 3 * of_split[:, :3]
        noise[np.arange(len(of_split)), place, 7] = 8.0  # marks the token
        tokens[split] = torch.from_numpy(noise)
    found = attentive_probe(tokens, classes, 3, 400, [0.01], seed=0)
    assert accuracy(found.test, classes["test"]) > 0.85
    flat = {split: t.mean(1).numpy() for split, t in tokens.items()}
    mean = linear_probe(flat, classes, 3, REGULARISATIONS)
    assert accuracy(found.test, classes["test"]) > accuracy(mean.test, classes["test"]) + 0.1
    nothing = shuffled(classes)
    blind = attentive_probe(tokens, nothing, 3, 100, [1.0], seed=0)
    assert abs(accuracy(blind.test, nothing["test"]) - 1 / 3) < 0.13
    numbers = {split: 10 + 3 * f[:, 0] for split, f in features.items()}
    assert (
        r_squared(attentive_probe(tokens, numbers, None, 400, [0.01], 0).test, numbers["test"])
        > 0.8
    )


def test_a_constant_probe_says_what_is_commonest() -> None:
    values = {
        "train": np.array([2, 2, 1, 0]),
        "validation": np.array([2]),
        "test": np.array([2, 0]),
    }
    found = constant_probe(values, 3)
    assert correct(found.test, values["test"]).tolist() == [1.0, 0.0]
    assert found.validation == 1
    numbers = {"train": np.array([1.0, 3.0]), "validation": np.array([2.0]), "test": np.zeros(2)}
    assert constant_probe(numbers, None).test.tolist() == [2.0, 2.0]


def test_the_truth_of_balls_becomes_labels() -> None:
    config = BouncingBallsConfig(wall=True, balls=[2, 2], seconds=3)
    motion, states = simulate(np.random.default_rng(3), config)
    times = [0.25, 0.5, 1.0]
    found = labels_of(as_json(motion, states), times)
    seen = [states[round(time * config.fps)] for time in times]
    assert found["number"] == 2
    assert found["colour"] == seen[0].colour[seen[0].radius.argmax()]
    speeds = [np.hypot(*velocity) for balls in seen for velocity in balls.velocity]
    assert found["speed"] == pytest.approx(np.mean(speeds))
    behind = [WALL_EDGES[0] < x < WALL_EDGES[1] for x in seen[-1].position[:, 0]]
    assert found["hidden"] == any(behind)
    bare = as_json(*simulate(np.random.default_rng(3), BouncingBallsConfig(seconds=3)))
    assert "hidden" not in labels_of(bare, times)


def test_canvases_of_dead_leaves_draw_their_looks_and_the_default_stays_as_it_was() -> None:
    default = DeadLeavesConfig(size=32)
    varied = DeadLeavesConfig(size=32, exponents=[0.5, 2.0], smallest=[2.0, 8.0])
    looks = [look_of([0, number], varied) for number in range(40)]
    exponents = [look["texture exponent"] for look in looks]
    assert 0.5 <= min(exponents) < 0.8
    assert 1.7 < max(exponents) <= 2.0
    assert look_of([0, 3], default) == {"texture exponent": 1.0, "smallest leaf": 4.0}
    same = DeadLeavesConfig(size=32, exponents=[1.0, 1.0], smallest=[4.0, 4.0])
    assert (render_dead_leaves([0, 1], default) == render_dead_leaves([0, 1], same)).all()
    assert (render_dead_leaves([0, 1], default) != render_dead_leaves([0, 1], varied)).any()
    with pytest.raises(InputError, match=r"dead_leaves\.smallest"):
        DeadLeavesConfig(size=32, smallest=[4.0, 30.0])


def test_images_know_their_looks_and_digits_their_digit(tmp_path: Path) -> None:
    leaves = DeadLeavesConfig(train=3, validation=2, test=2, size=32, exponents=[0.5, 1.5])
    frames = prepare_dead_leaves(tmp_path, leaves, ImagesConfig(size=16, crops=2))
    looks = {
        (sample.source, float(frames.read_metadata(sample)["truth"]["texture exponent"]))
        for sample in frames.samples("train")
    }
    assert looks == {
        (f"train/{n:05d}", look_of([0, n], leaves)["texture exponent"]) for n in range(3)
    }
    encoder = build_encoder(EncoderConfig(patch_size=4, frequencies=None), 16)
    found = digits(encoder, 16, 50)
    assert {split: len(found.clips[split]) for split in SPLITS} == dict.fromkeys(SPLITS, 50)
    (label,) = found.labels
    assert label.classes == 10
    assert not set(found.sources["train"]) & set(found.sources["test"])
    key, embeddings = found.clips["train"].stored(0)
    assert embeddings.shape == (1, 16, encoder.dim)
    assert found.sources["train"][0] == key


def test_clips_have_the_labels_that_all_of_them_share(embedding_shards: ShardSet) -> None:
    scaler = Scaler.of(embedding_shards)
    clips = {split: EmbeddingClips(embedding_shards, split, scaler) for split in SPLITS}
    items = labelled("balls", embedding_shards, clips, None)
    names = {label.name: label.classes for label in items.labels}
    assert names["speed"] is None
    assert "hidden" not in names  # there is no wall
    assert [len(label.values["train"]) for label in items.labels] == [len(clips["train"])] * len(
        names
    )


class Listed(EmbeddingClips):
    """Clips of sources with nothing in them."""

    def __init__(self, sources: list[str]):
        self.samples = [SampleReference(source, source, "", {}) for source in sources]

    def __len__(self) -> int:
        return len(self.samples)


class Known(ShardSet):
    """A shard set that knows labels by source, and nothing else."""

    def __init__(self, labels: dict[str, str | None]):
        self.labels = labels

    def read_metadata(self, sample: SampleReference) -> dict[str, Any]:
        return {"label": self.labels.get(sample.source)}


def test_labels_come_from_lists_or_from_the_folders_of_classes() -> None:
    sources = ["jump/a.mp4", "jump/b.mp4", "walk/c.mp4"]
    clips = {split: Listed(sources) for split in SPLITS}
    (label,) = labelled("videos", Known({}), clips, None).labels
    assert (label.name, label.classes) == ("label", 2)
    assert label.values["test"].tolist() == [0, 0, 1]
    given = Known({"jump/a.mp4": "x", "jump/b.mp4": "y", "walk/c.mp4": "z"})
    (label,) = labelled("videos", given, clips, None).labels
    assert label.classes == 3
    assert labelled("videos", Known({}), {s: Listed(["a.mp4"]) for s in SPLITS}, None).labels == []
    strange = clips | {"test": Listed(["sit/d.mp4"])}  # a class that training lacks
    with pytest.raises(InputError, match="no training item of sit"):
        labelled("videos", Known({}), strange, None)


@pytest.mark.parametrize(
    ("inside", "classes"),
    [
        ("{split}/{name}/{n}.mp4", {"jump", "walk"}),
        ("{name}/{split}/{n}.mp4", {"jump", "walk"}),
        ("{split}/train/{name}/{n}.mp4", {"jump", "walk"}),
        ("{split}/{n}-{name}.mp4", None),
    ],
)
def test_the_folder_of_a_split_is_no_class(inside: str, classes: set[str] | None) -> None:
    folders = {"train": "train", "validation": "val", "test": "test_set"}
    clips = {
        split: Listed([inside.format(split=f, name=c, n=n) for c in ("jump", "walk") for n in "ab"])
        for split, f in folders.items()
    }
    items = labelled("videos", Known({}), clips, None)
    if classes is None:
        assert items.labels == []
        assert items.missing is not None
        assert items.missing.startswith("no labels")
    else:
        (label,) = items.labels
        assert label.classes == len(classes)
        assert label.values["test"].tolist() == [0, 0, 1, 1]


def test_a_class_may_be_called_train() -> None:
    clips = {split: Listed(["car/a.mp4", "train/b.mp4"]) for split in SPLITS}
    (label,) = labelled("videos", Known({}), clips, None).labels
    assert label.values["validation"].tolist() == [0, 1]


@pytest.mark.parametrize("name", ["ebt_residual", "ebt_residual_blind", "transformer_pp"])
def test_features_of_the_past_do_not_see_the_future(name: str) -> None:
    config = preset_config("next_frame", "smoke")
    data = RandomData.of(config, frames=5)
    spec = next(spec for spec in PREDICTORS if spec.name == name)
    backbone = BackboneConfig(layers=1, heads=2, width=32)
    model = spec.build(config.section_of(spec), backbone, data).eval()
    _, clip = data.train[0]
    later = clip.clone()
    later[-1] += 1
    one, other = (model.features(Clips(frames[None], ["a"])) for frames in (clip, later))
    places = {"ebt_residual": {"context", "candidate"}}.get(
        name.removesuffix("_blind"), {"context"}
    )
    assert set(one) == places
    for place, features in one.items():
        assert features.shape == (1, *clip.shape[:2], 32)
        assert torch.allclose(features[:, :-1], other[place][:, :-1], atol=1e-5)
        assert not torch.allclose(features[:, -1], other[place][:, -1], atol=1e-5)


@pytest.mark.parametrize("name", ["ebt_residual", "dit", "direct"])
def test_denoisers_have_features(name: str) -> None:
    config = preset_config("denoise", "smoke")
    data = RandomData.of(config, frames=1)
    spec = next(spec for spec in DENOISERS if spec.name == name)
    backbone = BackboneConfig(layers=2, heads=2, width=32)
    model = spec.build(config.section_of(spec), backbone, data)
    noisy = NoisyImages(torch.randn(3, 1, 64, data.encoder.dim), ["a", "b", "c"], 99, 0.95)
    found = model.eval().features(noisy)
    wanted = {"ebt_residual": 2, "dit": 2, "direct": 1}[name]
    assert len(found) == wanted
    assert all(features.shape == (3, 1, 64, 32) for features in found.values())


TINY = ["--device", "cpu", "--training.steps", "2", "--training.validate_every", "2"]
TINY += ["--balls.train", "8", "--balls.validation", "4", "--balls.test", "4"]
TINY += ["--training.processes", "1", "--seeds", "0,1"]
PROBE = ["--task", "probe", "--preset", "smoke", *TINY]


def test_models_of_a_run_are_probed_and_their_floors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = ["--cache-dir", str(tmp_path / "cache")]
    run, out = tmp_path / "run", tmp_path / "probed"
    trained = ["--task", "next_frame", "--preset", "smoke", *TINY, *cache, "--out", str(run)]
    models = ["--models", "ebt_residual,transformer_pp_equal_training,copy_last"]
    quick = ["--evaluation.latency_repeats", "1", "--evaluation.counts", "[1,2]"]
    assert main([*trained, *models, *quick, "--evaluation.samples", "0"]) == 0
    names = ["--models", "ebt_residual,transformer_pp_equal_training"]
    names += ["--probe.attentive_steps", "2"]
    assert main([*PROBE, *names, *cache, "--run", str(run), "--out", str(out)]) == 0
    found = read_result(out).found(Found)
    assert found.run == str(run)
    assert {place.label for place in found.places} >= {"number", "speed"}
    for label in ("number", "speed"):
        own = [p for p in found.places if p.label == label]
        assert {p.model for p in own} == {
            "ebt_residual",
            "transformer_pp_equal_training",
            "untrained",
            "embeddings",
            "constant",
        }
        for model in ("ebt_residual", "transformer_pp_equal_training"):
            linear = [p for p in own if p.model == model and p.probe == "linear"]
            assert sum(p.selected for p in linear) == 1
            best = max(linear, key=lambda p: p.validation)
            assert best.selected
    compared = {(d.a, d.b) for d in found.differences}
    assert ("ebt_residual", "untrained") in compared
    assert "training TFLOPs" in (out / "report.md").read_text()
    assert not (out / "models").exists()  # nothing was trained
    capsys.readouterr()
    nowhere = [*PROBE, *cache, "--out", str(tmp_path / "no"), "--run"]
    assert main([*nowhere, str(tmp_path)]) == 2
    assert "no finished run" in capsys.readouterr().err
    images = ["--task", "probe", "--domain", "image", "--preset", "smoke", *cache]
    images += ["--dead_leaves.train", "4", "--dead_leaves.validation", "2"]
    images += ["--dead_leaves.test", "2", "--run", str(run), "--out", str(tmp_path / "no2")]
    assert main(images) == 2
    assert "a run of denoise is needed" in capsys.readouterr().err


def test_what_has_no_labels_is_said_before_anything_is_trained(
    balls: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = ["--cache-dir", str(tmp_path / "cache")]
    run, plain, one = tmp_path / "run", tmp_path / "plain", tmp_path / "videos/only"
    for folder in (plain, one):
        folder.mkdir(parents=True)
        for video in balls.rglob("*.mp4"):
            shutil.copy(video, folder)
    run.mkdir()
    (run / "config.yaml").write_text(f"task: next_frame\ndata: {plain}\n")
    (run / "results.json").write_text("{}")  # what it found is not needed for this
    assert main([*PROBE, *cache, "--run", str(run), "--out", str(tmp_path / "probed")]) == 2
    said = capsys.readouterr().err
    assert "plain: no labels: give videos or images in a folder for each class" in said
    assert "bouncing" not in said
    out = tmp_path / "one"
    assert main([*PROBE, *cache, "--data", str(one.parent), "--out", str(out)]) == 2
    assert "its only class is only; a probe needs at least two" in capsys.readouterr().err
    assert not (out / "models").exists()


@pytest.mark.slow
def test_denoisers_are_probed_on_leaves_and_digits(tmp_path: Path) -> None:
    arguments = ["--task", "probe", "--domain", "image", "--preset", "smoke", "--device", "cpu"]
    arguments += ["--training.steps", "2", "--training.validate_every", "2"]
    out, cache = tmp_path / "out", tmp_path / "cache"
    assert main([*arguments, "--out", str(out), "--cache-dir", str(cache)]) == 0
    found = read_result(out).found(Found)
    labels = {(place.corpus, place.label) for place in found.places}
    assert labels == {
        ("dead_leaves", "texture exponent"),
        ("dead_leaves", "smallest leaf"),
        ("digits", "digit"),
    }
    places = {p.place for p in found.places if p.model == "dit"}
    assert places == {f"block {b} of 2, t = {t}" for b in (1, 2) for t in (0, 99)}
    digit = [p for p in found.places if p.label == "digit" and p.probe == "linear"]
    assert all(p.top5 is not None and p.top5.mean >= p.score.mean for p in digit)
