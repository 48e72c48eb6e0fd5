import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from browsing import require_readable
from PIL import Image
from playwright.sync_api import Browser

from baselines.classical import BM3D, Wavelet
from benchmarks.cli.command_line import main
from benchmarks.measure.metrics import pixel_mse
from benchmarks.models import ModelSpec
from benchmarks.reporting.html import PAGE
from data_prep.config import DeadLeavesConfig, EncoderConfig
from data_prep.encoders.dct import BlockDCT
from data_prep.synthetic.dead_leaves import render_dead_leaves
from worldmodel.predictor import Setting

TINY = ["--task", "denoise", "--preset", "smoke", "--device", "cpu", "--images.size", "16"]
TINY += ["--images.crops", "2", "--training.steps", "6", "--training.validate_every", "3"]
TINY += ["--backbone.width", "48", "--evaluation.latency_repeats", "1"]
# Level 0.005 has 5 steps, so the largest number of passes is one too many there.
TINY += ["--corruption.levels", "[0.005,0.1,0.2]", "--evaluation.max_images", "5"]
TINY += ["--corruption.others", '["poisson","jpeg"]']
TINY += ["--evaluation.counts", "[1,3,6]", "--evaluation.few", "[1,3]"]
NAMES = ["ebt_published", "dit_published", "ebt_residual", "dit", "dit_equal_training"]
NAMES += ["direct", "direct_equal_training", "direct_multi_level"]
NAMES += ["bm3d", "wavelet", "gaussian_blur", "identity"]
TINY += ["--models", ",".join(NAMES), "--dit_published.recursions", "[1]"]


def write_pictures(folder: Path, count: int, first: int = 0) -> Path:
    """A folder of small pictures, and some files that are none."""
    folder.mkdir()
    config = DeadLeavesConfig(size=32)
    for number in range(first, first + count):
        picture = Image.fromarray(render_dead_leaves((0, number), config))
        picture.save(folder / f"{number:03d}.png")
    (folder / "text.jpg").write_text("not an image")
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / "tiny.png")
    Image.fromarray(render_dead_leaves((1, first), config)).convert("L").save(folder / "grey.png")
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny run over a user's folders, with two training seeds."""
    folder = tmp_path_factory.mktemp("denoise")
    corpus = write_pictures(folder / "my pictures", 24)
    mine = write_pictures(folder / "holiday", 3, first=100)
    out = folder / "out"
    arguments = ["--data", str(corpus), "--test", f"mine={mine}", "--out", str(out)]
    arguments += ["--cache-dir", str(folder / "cache"), "--seeds", "0,1"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ModelSpec, "available", property(lambda spec: spec.name != "bm3d"))
        assert main([*TINY, *arguments]) == 0
    return out


def rows_of(result: dict[str, Any], model: str, **wanted: str) -> list[dict[str, Any]]:
    rows = next(m["rows"] for m in result["models"] if m["name"] == model)
    return [row for row in rows if wanted.items() <= row["condition"].items()]


def test_a_run_judges_every_model_on_the_same_images(finished: Path) -> None:
    result = json.loads((finished / "results.json").read_text())
    assert result["task"] == "denoise"
    assert [m["name"] for m in result["models"]] == [name for name in NAMES if name != "bm3d"]
    assert any(line.startswith("bm3d: not installed") for line in result["data"]["skipped"])
    names = [entry["name"] for entry in result["data"]["corruptions"]]
    assert names[:2] == ["level 0.005", "level 0.1"]
    assert result["data"]["corruptions"][1]["step"] == 99
    assert result["data"]["corruptions"][1]["noise_std"] == pytest.approx(0.321, abs=1e-3)
    assert list(result["data"]["test_sets"]) == ["my pictures", "photographs", "mine"]
    sets = result["data"]["test_sets"]
    assert sets["mine"] == {"images": 4, "sources": 4, "images_of_set": 4}
    assert sets["photographs"] == {"images": 5, "sources": 5, "images_of_set": 14}
    reasons = {entry["source"]: entry["reason"] for entry in result["data"]["rejected"]}
    assert set(reasons) == {"text.jpg", "tiny.png"}
    for model in result["models"]:
        combinations = {(str(r["condition"]), r["setting"]["label"]) for r in model["rows"]}
        assert len(combinations) == len(model["rows"])
        for images in ("validation", *result["data"]["test_sets"]):
            for name in names:
                chosen = rows_of(result, model["name"], images=images, corruption=name)
                assert sum(row["selected"] for row in chosen) == 1
        for row in model["rows"]:
            assert {"psnr", "psnr_pooled", "ssim", "mse"} <= set(row["metrics"])
            sources = {"mine": 4, "photographs": 5}.get(row["condition"]["images"])
            assert sources in (None, row["metrics"]["psnr"]["n"])


def test_passes_are_swept_where_asked_and_never_beyond_the_noise(finished: Path) -> None:
    result = json.loads((finished / "results.json").read_text())

    def settings(model: str, images: str, corruption: str) -> set[str]:
        rows = rows_of(result, model, images=images, corruption=corruption)
        return {row["setting"]["label"] for row in rows}

    few = {"x0, 1 pass", "ddim, 3 passes", "dpm_solver++, 3 passes"}
    many = {"ddim, 6 passes", "dpm_solver++, 6 passes"}
    assert settings("dit", "my pictures", "level 0.1") == few | many
    published = {"published, once"}
    assert settings("dit_published", "my pictures", "level 0.1") == few | many | published
    assert settings("dit", "validation", "level 0.2") == few | many
    assert "ddim, 6 passes" not in settings("dit", "my pictures", "level 0.005")
    assert settings("dit", "mine", "level 0.1") <= few | many
    assert settings("dit", "mine", "level 0.1") >= few
    assert settings("ebt_residual", "my pictures", "level 0.2") == {
        "1 step",
        "2 steps",
        "3 steps",
        "6 steps",
    }
    assert settings("direct", "mine", "jpeg") == {"1 pass", "3 passes"}


def test_costs_are_those_of_the_real_calls(finished: Path) -> None:
    result = json.loads((finished / "results.json").read_text())
    for setting, passes in ((1, 1), (3, 3)):
        (row,) = [
            row
            for row in rows_of(result, "direct", images="my pictures", corruption="level 0.1")
            if row["setting"]["options"]["passes"] == setting
        ]
        assert row["cost"]["forward_passes"] == passes
        assert row["cost"]["forward_equivalents"] == pytest.approx(passes)
    for row in rows_of(result, "ebt_residual", images="my pictures", corruption="level 0.1"):
        steps = row["setting"]["options"]["steps"]
        assert row["cost"]["forward_passes"] == steps + 1
        assert row["cost"]["input_gradient_passes"] == steps
        assert len(row["series"]["energies"]) == steps + 1
    for row in rows_of(result, "gaussian_blur", images="mine"):
        assert row["cost"]["forward_passes"] is None
        assert row["cost"]["forward_equivalents"] is None
    told = {m["name"]: "told the noise" in m["traits"] for m in result["models"]}
    assert told["dit"]
    assert told["wavelet"]
    assert not told["ebt_residual"]
    assert not told["direct_multi_level"]


def test_comparisons_are_to_dit_and_direct_and_of_the_first_to_all(finished: Path) -> None:
    result = json.loads((finished / "results.json").read_text())
    jpeg = {"images": "mine", "corruption": "jpeg"}
    here = [c for c in result["comparisons"] if c["condition"] == jpeg]
    pairs = {(c["a"], c["b"]) for c in here}
    others = [m["name"] for m in result["models"]]
    assert {(name, "dit") for name in others if name != "dit"} <= pairs
    assert {(name, "direct") for name in others if name != "direct"} <= pairs
    assert {(others[0], name) for name in others[1:]} <= pairs
    by_name = {
        m["name"]: next(
            r["metrics"]["psnr"]["mean"]
            for r in m["rows"]
            if r["condition"] == jpeg and r["selected"]
        )
        for m in result["models"]
    }
    for c in here:
        selected = all(
            any(
                r["selected"] and r["setting"] == c[f"{side}_setting"]
                for r in rows_of(result, c[side], images="mine", corruption="jpeg")
            )
            for side in ("a", "b")
        )
        if selected:
            assert c["difference"] == pytest.approx(by_name[c["a"]] - by_name[c["b"]], abs=1e-6)


def test_equal_training_means_equal_flops(finished: Path) -> None:
    result = json.loads((finished / "results.json").read_text())
    flops = {m["name"]: m["training"]["flops"] for m in result["models"] if m["training"]}
    for name in ("dit_equal_training", "direct_equal_training"):
        assert flops[name] == pytest.approx(flops["ebt_residual"], rel=0.1)
    assert flops["direct"] < flops["ebt_residual"] / 3


def test_the_report_says_in_words_what_holds_and_is_remade_from_the_result(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (finished / "report.md").read_text()
    figures = sorted(path.name for path in (finished / "figures").iterdir())
    assert "compute_level_0.1.png" in figures
    assert "pictures_mine_level_0.2.png" in figures
    shutil.rmtree(finished / "figures")
    assert main(["--report", str(finished)]) == 0
    assert (finished / "report.md").read_text() == before
    assert sorted(path.name for path in (finished / "figures").iterdir()) == figures
    for words in (
        "Is the published EBT better than the published DiT, each run as published?",
        "published, once",
        "photographs (5 crops of 5 images, chosen at random from 14 crops)",
        "`text.jpg` (no readable image",
        "Told how strong the noise is: DiT, published; DiT;",
        "8x8 pixels, smaller than a crop of 16x16",
    ):
        assert words in before
    assert "my pictures, level 0.1" in capsys.readouterr().out


def test_shard_sets_can_be_given_and_wrong_ones_are_named(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = finished.parent / "cache"
    sets = [path.parent for path in cache.glob("shards/*/frames/manifest.json")]
    corpus = next(s for s in sets if (s / "train-000000.tar").is_file())
    few = ["--models", "gaussian_blur,identity", "--cache-dir", str(tmp_path / "cache")]
    arguments = ["--data", str(corpus), "--test", f"again={corpus}", "--out", str(tmp_path / "a")]
    assert main([*TINY, *arguments, *few]) == 0
    result = json.loads((tmp_path / "a" / "results.json").read_text())
    assert result["models"][0]["rows"]
    embedded = next(cache.glob("embeddings/*"))
    assert main([*TINY, "--data", str(embedded), "--out", str(tmp_path / "b"), *few]) == 2
    assert "denoising needs a shard set of frames" in capsys.readouterr().err
    other = ["--data", str(corpus), "--images.size", "32", "--out", str(tmp_path / "c")]
    assert main([*TINY, *other, *few]) == 2
    assert "give --images.size 16" in capsys.readouterr().err


def test_a_slow_method_is_scored_on_few_images_of_the_swept_levels(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Wavelet, "slow", True)
    arguments = ["--data", str(finished.parent / "my pictures"), "--models", "wavelet,identity"]
    arguments += ["--evaluation.slow_images", "2", "--corruption.swept_levels", "[0.1]"]
    arguments += ["--out", str(tmp_path / "out"), "--cache-dir", str(finished.parent / "cache")]
    assert main([*TINY, *arguments]) == 0
    result = json.loads((tmp_path / "out" / "results.json").read_text())
    rows = rows_of(result, "wavelet")
    assert [row["condition"] for row in rows] == [
        {"images": "my pictures", "corruption": "level 0.1"},
        {"images": "photographs", "corruption": "level 0.1"},
    ]
    assert {row["metrics"]["psnr"]["n"] for row in rows} == {2}
    assert len({str(row["condition"]) for row in rows_of(result, "identity")}) > 8


def test_bm3d_calls_its_package_with_the_noise_on_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    def denoise(image: np.ndarray, noise: float) -> np.ndarray:
        assert image.shape == (16, 16, 3)
        assert noise == pytest.approx(0.25)
        return image / 2

    monkeypatch.setitem(sys.modules, "bm3d", SimpleNamespace(bm3d_rgb=denoise))
    encoder = BlockDCT(EncoderConfig(patch_size=4, frequencies=None), 16)
    images = torch.full((2, 3, 16, 16), 0.5)
    assert torch.allclose(BM3D(encoder).denoise(images, 0.25, Setting()), images / 2)


def test_pixel_mse_is_that_of_clipped_images() -> None:
    target = torch.zeros(2, 3, 8, 8)
    prediction = torch.full_like(target, 0.5)
    prediction[1] = -3.0
    assert pixel_mse(prediction, target).tolist() == [0.25, 0.0]


@pytest.mark.slow
def test_a_training_in_a_process_is_loaded_like_any_other(finished: Path, tmp_path: Path) -> None:
    cache = finished.parent / "cache"
    arguments = ["--data", str(finished.parent / "my pictures"), "--cache-dir", str(cache)]
    arguments += ["--models", "direct,identity", "--training.processes", "2"]
    assert main([*TINY, *arguments, "--out", str(tmp_path / "out")]) == 0
    found, expected = (
        json.loads((folder / "results.json").read_text()) for folder in (tmp_path / "out", finished)
    )
    metrics = [
        rows_of(result, "direct", images="validation", corruption="jpeg")[0]["metrics"]["psnr"]
        for result in (found, expected)
    ]
    assert metrics[0]["mean"] == pytest.approx(metrics[1]["mean"], abs=0.5)
    flops = {m["name"]: m["training"]["flops"] for m in expected["models"] if m["training"]}
    assert found["models"][0]["training"]["flops"] == flops["direct"]
    assert found["models"][0]["training"]["steps"] == 6


@pytest.mark.slow
def test_the_page_reads_well_in_a_browser(browser: Browser, finished: Path) -> None:
    require_readable(browser, finished / PAGE)
