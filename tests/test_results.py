import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from baselines.dit import PublishedSampling, Sampler, Sampling
from benchmarks.measure.metrics import embedding_errors, frame_quality
from benchmarks.measure.scores import Scores, means
from benchmarks.record.costs import Cost
from benchmarks.record.metrics import declared
from benchmarks.record.results import (
    Comparison,
    Metric,
    Model,
    Result,
    Row,
    SettingRecord,
    Training,
    Verdict,
    read_result,
    skipped,
    write_result,
)
from benchmarks.record.selection_metric import EMBEDDINGS, PIXELS
from benchmarks.tasks.thinking.result import Found
from data_prep.errors import InputError


def test_psnr_is_per_image_on_clipped_values_and_capped() -> None:
    target = torch.rand(2, 3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    noise = torch.randn(target.shape, generator=torch.Generator().manual_seed(1)) * 0.1
    noise[1] *= 5
    quality = frame_quality(target + noise, target)
    mse = ((target + noise).clamp(0, 1) - target).square().mean((2, 3, 4))
    assert torch.allclose(quality["psnr"], -10 * mse.log10(), atol=1e-3)
    assert quality["ssim"].shape == (2, 3)
    exact = frame_quality(target, target)
    assert (exact["psnr"] == 100).all()
    assert torch.allclose(exact["ssim"], torch.ones(2, 3))


def test_embedding_errors_are_per_frame() -> None:
    prediction = torch.zeros(2, 3, 4, 5)
    target = torch.zeros(2, 3, 4, 5)
    target[1, 2] = 2.0
    errors = embedding_errors(prediction, target)
    assert errors["mse"][1, 2] == 4
    assert errors["smooth_l1"][1, 2] == 1.5
    assert errors["mse"].sum() == 4


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not a result"),
        ('{"schema_version": 2}', "reads 7: repeat the run, or use the commit that made it"),
        ('{"schema_version": 2, "environment": {"commit": "a1b2+changes"}}', "the commit a1b2$"),
        ('{"schema_version": 5}', "not a result of this version"),
        ('{"schema_version": 5, "task": "denoise", "models": [{"a": 1}]}', "not a result of this"),
    ],
)
def test_a_broken_result_is_named(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "results.json").write_text(content)
    with pytest.raises(InputError, match=message):
        read_result(tmp_path)


def test_the_cheapest_setting_near_the_best_is_chosen() -> None:
    assert PIXELS.cheapest_near_best(np.array([20.0, 20.01])) == 0
    assert PIXELS.cheapest_near_best(np.array([20.0, 20.09, 20.1])) == 1
    assert EMBEDDINGS.cheapest_near_best(np.array([0.1001, 0.1])) == 0
    assert EMBEDDINGS.cheapest_near_best(np.array([0.11, 0.1])) == 1
    several = np.array([[20.0, 20.01], [20.0, 20.5]])
    assert PIXELS.cheapest_near_best(several).tolist() == [0, 1]


@dataclass(frozen=True)
class Place:
    split: str


def test_fixed_settings_are_never_selected() -> None:
    settings = [Sampling(), Sampling(10, Sampler.DDIM), PublishedSampling(1)]
    scores = Scores(settings, lambda place: Place("validation"))
    for index, psnr in enumerate((20.0, 21.0, 25.0)):
        scores.values[index, Place("validation")] = {"psnr": np.full((1, 3), psnr)}
    assert scores.selected(Place("test")) == 1


def test_a_result_comes_back_as_it_was(tmp_path: Path) -> None:
    metric = Metric(20.0, 19.0, 21.0, 5, True)
    cost = Cost(3, 2, 5.1, 1000, 2.5, 20, 4096)
    setting = SettingRecord("2 steps", 2.0, False, {"steps": 2, "candidates": 1})
    row = Row(setting, {"split": "test"}, True, False, {"psnr": metric}, cost)
    model = Model("ebt_residual", "energy", 10, Training(5, 6, 7.0), [row], ["told the noise"])
    floor = Model("copy_last", "floor", 0, None, [], [])
    compared = Comparison(
        "ebt_residual", "b", setting, setting, {"split": "test"}, "psnr", 0.1, -0.1, 0.3, 5
    )
    verdict = Verdict("Better?", compared, 0.4, 0.1, "undecided")
    models, compared_all = [model, floor], [compared]
    result = Result("next_frame", {}, {"commit": None}, {}, [0], models, compared_all, [verdict])
    write_result(tmp_path, result)
    assert read_result(tmp_path) == result


def test_a_result_of_version_4_is_read_without_its_corrected_p_values(tmp_path: Path) -> None:
    setting = SettingRecord("–", 0.0, False, {})
    compared = Comparison("a", "b", setting, setting, {}, "psnr", 0.1, -0.1, 0.3, 5)
    result = Result("next_frame", {}, {}, {}, comparisons=[compared])
    write_result(tmp_path, result)
    content = json.loads((tmp_path / "results.json").read_text())
    content["comparisons"][0] |= {"p": 0.01, "better": "a"}
    del content["verdicts"]
    (tmp_path / "results.json").write_text(json.dumps(content | {"schema_version": 4}))
    read = read_result(tmp_path)
    assert read.comparisons == result.comparisons
    assert (read.task, read.domain, read.verdicts) == ("next_frame", "video", [])


def test_a_result_of_version_6_is_read_with_its_series_and_the_metrics_of_today(
    tmp_path: Path,
) -> None:
    cost = Cost(3, 2, 5.1, 1000, 2.5, 20, 4096)
    named = ("psnr", "energy_over_error", "psnr_1", "psnr_2", *(f"energy_{n}" for n in range(11)))
    metrics = {name: Metric(float(n), None, None, 1, None) for n, name in enumerate(named)}
    row = Row(SettingRecord("2 steps", 2.0, False, {}), {}, True, False, metrics, cost)
    stops = SettingRecord("stops by update", 1.5, True, {"stop": "update", "threshold": 0.5})
    said = dict.fromkeys(("psnr", "mean_steps", "gain", "steps_saved"), metrics["psnr"])
    rows = [row, Row(stops, {"samples": "test"}, False, False, said, cost)]
    write_result(
        tmp_path, Result("thinking", {}, {}, {}, [0], [Model("a", "b", 1, None, rows, [])])
    )
    content = json.loads((tmp_path / "results.json").read_text()) | {"schema_version": 6}
    former = content["models"][0]["rows"][0]["metrics"]
    former["calibration"] = former.pop("energy_over_error")
    (tmp_path / "results.json").write_text(json.dumps(content))
    read = read_result(tmp_path)
    (found,) = read.models[0].rows
    assert set(found.metrics) == {"psnr", "energy_over_error"}
    assert [one.mean for one in found.series["energies"]] == list(range(4, 15))
    assert [one.mean for one in found.series["psnr_ahead"]] == [2, 3]
    (stopping,) = read.found(Found).of("a", "test").stopping
    assert (stopping.rule, stopping.threshold, stopping.saved, stopping.cost) == (
        *("update", 0.5, 0.0),
        cost,
    )


def test_a_metric_that_is_not_declared_is_an_error() -> None:
    assert declared("psnr").higher
    assert declared("smooth_l1").higher is False
    with pytest.raises(LookupError, match="'sharpness': declare it"):
        means({"sharpness": np.zeros((1, 3))})


def test_how_sure_a_selection_is_can_be_read() -> None:
    settings = [Sampling(), Sampling(10, Sampler.DDIM), PublishedSampling(1)]
    scores = Scores(settings, lambda place: Place("validation"))
    rng = np.random.default_rng(0)
    images = rng.normal(20, 3, (1, 64))
    for index, gain in enumerate((0.0, 0.05, 9.0)):
        values = images + gain + rng.normal(0, 0.3, (1, 64))
        scores.values[index, Place("validation")] = {"psnr": values}
    shares = scores.selected_shares(Place("test"))
    assert set(shares) == {0, 1}  # never the fixed one
    assert sum(shares.values()) == pytest.approx(1)
    assert min(shares.values()) > 0.05
    assert max(shares, key=lambda index: shares[index]) == scores.selected(Place("test"))
    del scores.values[1, Place("validation")]
    assert scores.selected_shares(Place("test")) == {}


def test_what_was_left_out_is_named_once_and_not_without_end() -> None:
    rejected = [{"source": f"{n}.mp4", "reason": "broken"} for n in range(7)]
    perception = {"skipped": ["LPIPS: no weights"]}
    data = {"rejected": rejected, "skipped": ["LPIPS: no weights"], "perception": perception}
    assert skipped(Result("denoise", {}, {}, data)) == [
        *(f"{n}.mp4: broken" for n in range(5)),
        "2 more files, see results.json",
        "LPIPS: no weights",
    ]
    assert skipped(Result("throughput", {}, {}, {})) == []
