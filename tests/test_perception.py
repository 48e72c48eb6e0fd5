"""Frechet distances, LPIPS and FVD."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import Tensor, nn
from torchvision.models import alexnet

from baselines.trivial import CopyLast
from benchmarks.config import PerceptionConfig
from benchmarks.domains.video.conditions import JUDGED
from benchmarks.domains.video.config import VideoEvaluationConfig
from benchmarks.domains.video.data import VideoData
from benchmarks.domains.video.judge import FrameJudge
from benchmarks.measure.frechet import Moments, by_source, frechet_distance, groups_of
from benchmarks.measure.perception import LPIPS_WEIGHTS, Perception, lpips_cache, perception_columns
from data_prep.config import EncoderConfig
from data_prep.embed import encoder_of
from data_prep.errors import InputError
from data_prep.shards.format import ShardSet
from worldmodel.data import Scaler
from worldmodel.predictor import Setting


def moments(features: Tensor, sources: list[str]) -> Moments:
    """Of items `[N, L, D]`."""
    groups = groups_of(sources)
    found = Moments(int(groups.max()) + 1, features.shape[-1])
    for start in range(0, len(features), 7):  # in batches, the last one smaller
        found.add(features[start : start + 7], groups[start : start + 7])
    return found


def names(count: int) -> list[str]:
    return [f"{number:04d}" for number in range(count)]


def test_the_frechet_distance_of_gaussians_is_the_closed_form() -> None:
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(300, 5, 6, generator=generator)
    b = (
        0.5 * torch.randn(300, 5, 6, generator=generator) @ torch.rand(6, 6, generator=generator)
        + 1
    )
    first, second = (moments(x, names(300)).gaussian() for x in (a, b))
    one, other = (x.flatten(0, 1).double().numpy() for x in (a, b))
    covariances = [np.cov(x, rowvar=False) for x in (one, other)]
    assert first[1].numpy() == pytest.approx(covariances[0], rel=1e-6)
    root = sqrtm(covariances[0] @ covariances[1]).real
    expected = ((one.mean(0) - other.mean(0)) ** 2).sum()
    expected += np.trace(covariances[0] + covariances[1] - 2 * root)
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(first, first) == pytest.approx(0, abs=1e-9)
    shifted = (first[0] + 2, first[1])
    assert frechet_distance(first, shifted) == pytest.approx(4 * 6)


@pytest.mark.parametrize("count", [60, 250])  # with more than 100 sources some share a group
def test_the_jackknife_takes_the_bias_of_a_small_count_away(count: int) -> None:
    plain, extrapolated = [], []
    sources = names(count)
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        a, b = (moments(torch.randn(count, 1, 8, generator=generator), sources) for _ in range(2))
        plain.append(by_source(a, b, sources, extrapolated=False).mean())
        values = by_source(a, b, sources, extrapolated=True)
        assert values.shape == (count,)
        extrapolated.append(values.mean())
        assert plain[-1] == pytest.approx(frechet_distance(a.gaussian(), b.gaussian()))
    assert np.mean(plain) > 20 / count  # the bias
    assert abs(np.mean(extrapolated)) < np.mean(plain) / 5


def test_the_interval_of_a_distance_covers_it() -> None:
    covered, sources = [], names(150)
    shift = torch.zeros(4)
    shift[0] = 1.0
    for seed in range(30):
        generator = torch.Generator().manual_seed(seed)
        truth = moments(torch.randn(150, 2, 4, generator=generator), sources)
        other = moments(torch.randn(150, 2, 4, generator=generator) + shift, sources)
        values = by_source(truth, other, sources, extrapolated=True)
        half = 1.98 * values.std(ddof=1) / np.sqrt(len(values))
        covered.append(abs(values.mean() - 1) < half)
    assert np.mean(covered) > 0.8


@pytest.fixture(scope="module")
def alexnet_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / LPIPS_WEIGHTS["alex"]
    torch.save(alexnet().state_dict(), path)
    return path


def test_lpips_is_computed_in_batches_by_the_weights_of_a_path(alexnet_weights: Path) -> None:
    config = PerceptionConfig(lpips_weights=str(alexnet_weights))
    before = torch.hub.get_dir()
    found = Perception(config, "cpu")
    assert torch.hub.get_dir() == before
    assert found.lpips is not None
    generator = torch.Generator().manual_seed(0)
    target = torch.rand(3, 3, 32, 32, generator=generator)
    noise = torch.randn(target.shape, generator=generator)
    noisy = target + torch.tensor([0.0, 0.2, 0.5]).view(3, 1, 1, 1) * noise
    values = found.lpips(noisy, target)
    assert values.shape == (3,)
    alone = [found.lpips(noisy[i : i + 1], target[i : i + 1]) for i in range(3)]
    assert torch.allclose(values, torch.cat(alone), atol=1e-6)
    assert float(values[0]) == pytest.approx(0, abs=1e-6)
    assert values[1] < values[2]
    class_value = found.lpips.network(noisy[2:].clamp(0, 1) * 2 - 1, target[2:] * 2 - 1)
    assert float(values[2]) == pytest.approx(float(class_value), abs=1e-5)
    assert found.describe() == {"skipped": [], "lpips": "AlexNet"}
    assert perception_columns(found.describe())[0][0] == "LPIPS (AlexNet)"


def test_absent_weights_are_named_with_the_place_where_they_are_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alexnet_weights: Path
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    found = Perception(PerceptionConfig(), "cpu", frames=12)
    assert found.lpips is None
    assert LPIPS_WEIGHTS["alex"] in found.skipped[0]
    assert str(lpips_cache()) in found.skipped[0]
    assert "--perception.i3d" in found.skipped[1]
    assert perception_columns(found.describe()) == []
    lpips_cache().mkdir(parents=True)
    (lpips_cache() / LPIPS_WEIGHTS["alex"]).symlink_to(alexnet_weights)
    assert Perception(PerceptionConfig(), "cpu").lpips is not None
    with pytest.raises(InputError, match="no such file"):
        Perception(PerceptionConfig(lpips_weights=str(tmp_path / "no.pth")), "cpu")
    (tmp_path / "broken.pth").write_bytes(b"no weights")
    with pytest.raises(InputError, match="no weights of torchvision"):
        Perception(PerceptionConfig(lpips_weights=str(tmp_path / "broken.pth")), "cpu")


class Features(nn.Module):
    """Stands for I3D: 400 features of a video `[B, 3, T, height, width]` in [0, 255]."""

    def __init__(self, count: int = 400):
        super().__init__()
        self.register_buffer(
            "mix", torch.randn(12, count, generator=torch.Generator().manual_seed(0))
        )

    def forward(
        self, x: Tensor, rescale: bool = False, resize: bool = False, return_features: bool = False
    ) -> Tensor:
        if not (rescale and resize and return_features):
            raise ValueError("other options than FVD gives")
        parts = torch.cat([x.mean((3, 4)).flatten(1)[:, :9], x.std((2, 3, 4))], dim=1) / 127.5 - 1
        return parts @ self.mix


@pytest.fixture(scope="module")
def i3d(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("i3d") / "i3d.pt"
    torch.jit.script(Features()).save(str(path))
    return path


def test_rollouts_get_fvd_lpips_and_a_distance_in_embeddings(
    frame_shards: ShardSet, embedding_shards: ShardSet, i3d: Path, alexnet_weights: Path
) -> None:
    encoder = encoder_of(embedding_shards, EncoderConfig())
    scaler = Scaler.of(embedding_shards)
    data = VideoData("balls", frame_shards, embedding_shards, encoder, scaler)
    config = PerceptionConfig(i3d=str(i3d), lpips_weights=str(alexnet_weights))
    perception = Perception(config, "cpu", frames=12)
    judge = FrameJudge(VideoEvaluationConfig(batch_size=2), data, CopyLast(), "cpu", perception)
    (values,) = judge.values(CopyLast(), [Setting()], JUDGED[1])
    assert {"fvd", "lpips", "frechet_embedding"} <= set(values)
    assert values["fvd"].shape == values["psnr"].shape
    assert values["fvd"].mean() > 0
    (whole,) = FrameJudge(VideoEvaluationConfig(), data, CopyLast(), "cpu", perception).values(
        CopyLast(), [Setting()], JUDGED[1]
    )
    for name in ("fvd", "frechet_embedding", "lpips"):  # batches change nothing
        assert values[name] == pytest.approx(whole[name], rel=1e-3, abs=1e-3)
    described = judge.describe()["perception"]
    title = perception_columns(described)[1][0]
    assert described["i3d"][:8] in title
    assert "clips of 12 frames, 32x32, cpu" in title
    plain = FrameJudge(VideoEvaluationConfig(), data, CopyLast(), "cpu")
    (found,) = plain.values(CopyLast(), [Setting()], JUDGED[1])
    assert "fvd" not in found
    assert "lpips" not in found
    assert "frechet_embedding" in found


def test_a_file_that_is_no_i3d_is_refused(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.pt"
    torch.jit.script(Features(7)).save(str(wrong))
    perception = Perception(PerceptionConfig(i3d=str(wrong)), "cpu", frames=12)
    assert perception.i3d is not None
    with pytest.raises(InputError, match="400"):
        perception.i3d(torch.rand(2, 12, 3, 16, 16))
    (tmp_path / "text.pt").write_text("no network")
    for name, said in (("text.pt", "no TorchScript"), ("none.pt", "no such file")):
        with pytest.raises(InputError, match=said):
            Perception(PerceptionConfig(i3d=str(tmp_path / name)), "cpu", frames=12)
    short = Perception(PerceptionConfig(i3d=str(wrong)), "cpu", frames=9)
    assert short.i3d is None
    assert "I3D needs 10" in short.skipped[-1]
