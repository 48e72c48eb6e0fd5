from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from baselines.dit import PublishedSampling, Sampler, Sampling
from benchmarks.measure.costs import Cost
from benchmarks.measure.metrics import embedding_errors, frame_quality
from benchmarks.measure.scores import Scores
from benchmarks.reporting.quality import EMBEDDINGS, PIXELS
from benchmarks.reporting.results import (
    Comparison,
    Metric,
    Model,
    Result,
    Row,
    SettingRecord,
    Training,
    read_result,
    skipped,
    write_result,
)
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
        ('{"schema_version": 2}', "reads 4: repeat the run, or use the commit that made it"),
        ('{"schema_version": 2, "environment": {"commit": "a1b2+changes"}}', "the commit a1b2$"),
        ('{"schema_version": 4}', "not a result of this version"),
        ('{"schema_version": 4, "task": "denoise", "models": [{"a": 1}]}', "not a result of this"),
    ],
)
def test_a_broken_result_is_named(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "results.json").write_text(content)
    with pytest.raises(InputError, match=message):
        read_result(tmp_path)


def test_the_cheapest_setting_near_the_best_is_chosen_whatever_the_order() -> None:
    assert PIXELS.cheapest_near_best([20.0, 20.01], orders=[8, 1]) == 1
    assert PIXELS.cheapest_near_best([20.01, 20.0], orders=[1, 8]) == 0
    assert PIXELS.cheapest_near_best([20.0, 20.1, 20.09], orders=[1, 8, 2]) == 2
    assert EMBEDDINGS.cheapest_near_best([0.1001, 0.1], orders=[1, 8]) == 0
    assert EMBEDDINGS.cheapest_near_best([0.11, 0.1], orders=[1, 8]) == 1


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
    model = Model("ebt", "energy", 10, Training(5, 6, 7.0), [row], ["told the noise"])
    floor = Model("copy_last", "floor", 0, None, [], [])
    compared = Comparison(
        "ebt", "b", setting, setting, {"split": "test"}, "psnr", 0.1, -0.1, 0.3, 5, 0.4, None
    )
    result = Result("next_frame", {}, {"commit": None}, {}, [0], [model, floor], [compared])
    write_result(tmp_path, result)
    assert read_result(tmp_path) == result


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
