"""Futures judged as samples: proper scores, listed futures, and the judge of next frames."""

import itertools
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from baselines.trivial import CopyLast
from benchmarks.cli.options import parse, to_config
from benchmarks.config import Inputs
from benchmarks.domains.judging import judge_references, score
from benchmarks.domains.video.conditions import JUDGED, SAMPLED_FRAMES
from benchmarks.domains.video.config import VideoEvaluationConfig
from benchmarks.domains.video.data import VideoData
from benchmarks.domains.video.judge import FrameJudge
from benchmarks.measure.outcomes import Outcomes, outcome_scores
from benchmarks.measure.sampling import energy_score, sample_scores, sharpness
from benchmarks.tasks.registry import load_task
from data_prep.errors import InputError
from worldmodel.predictor import Clips, Setting


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_the_energy_score_equals_its_definition() -> None:
    samples, truth = drawn(3, 5, 7), drawn(3, 7, seed=1)
    for each, own in zip(samples, truth, strict=True):
        to_truth = np.mean([float((x - own).norm()) for x in each])
        pairs = [float((a - b).norm()) for a, b in itertools.combinations(each, 2)]
        expected = to_truth - np.mean(pairs) / 2
        assert float(energy_score(each, own)) == pytest.approx(expected, rel=1e-5)
    assert torch.allclose(energy_score(samples, truth)[1], energy_score(samples[1], truth[1]))


def test_one_answer_gets_its_distance() -> None:
    samples, truth = drawn(4, 1, 6), drawn(4, 6, seed=1)
    assert torch.allclose(energy_score(samples, truth), (samples[:, 0] - truth).norm(dim=-1))


def test_in_one_dimension_it_is_the_crps_of_a_gaussian() -> None:
    samples, truth = drawn(20_000, 2, 1), torch.full((20_000, 1), 0.7)
    density = math.exp(-(0.7**2) / 2) / math.sqrt(2 * math.pi)
    below = (1 + math.erf(0.7 / math.sqrt(2))) / 2
    closed = 0.7 * (2 * below - 1) + 2 * density - 1 / math.sqrt(math.pi)
    assert float(energy_score(samples, truth).mean()) == pytest.approx(closed, abs=0.02)


def test_it_is_unbiased_in_the_number_of_samples() -> None:
    truth = drawn(4000, 3, seed=1)
    few, many = (energy_score(drawn(4000, n, 3, seed=n), truth) for n in (2, 64))
    error = float((few - many).std()) / 4000**0.5
    assert abs(float((few - many).mean())) < 4 * error
    assert error < 0.03


def test_it_is_lowest_for_the_true_distribution() -> None:
    truth, noise = drawn(4000, 2, seed=1), drawn(4000, 8, 2, seed=2)
    scores = {
        "true": noise,
        "narrow": 0.5 * noise,
        "wide": 1.6 * noise,
        "moved": noise + 0.5,
        "the mean": torch.zeros(4000, 1, 2),
    }
    found = {name: float(energy_score(samples, truth).mean()) for name, samples in scores.items()}
    assert min(found, key=lambda name: found[name]) == "true"
    assert all(value > found["true"] + 0.02 for name, value in found.items() if name != "true")


def test_the_spread_of_true_samples_is_the_error_of_their_mean() -> None:
    found = sample_scores(drawn(4000, 1, 4, 2, 3), drawn(4000, 1, 2, 3, seed=1))
    assert float(found["spread"].mean() / found["error"].mean()) == pytest.approx(1, abs=0.05)
    assert "spread" not in sample_scores(drawn(3, 1, 1, 2, 3), drawn(3, 1, 2, 3))


def test_a_blurred_frame_is_less_sharp() -> None:
    truth = torch.rand(2, 3, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(sharpness(truth, truth), torch.ones(2))
    assert torch.allclose(sharpness((truth + 1) / 2, truth), torch.full((2,), 0.5))


# Three futures in four dimensions (two patches of two): two likely ones and a rare one.
FUTURES = torch.tensor([[0.0, 0, 0, 0], [4, 0, 0, 0], [0, 4, 0, 0]]).view(1, 1, 3, 2, 2)
ODDS = torch.tensor([[[0.5, 0.4, 0.1]]])
OUTCOMES = Outcomes(FUTURES, ODDS)
# The true frame shows the second future, with a coding error of 0.5 that points out of the span.
TRUTH = torch.tensor([4.0, 0, 0, 0.5]).view(1, 1, 2, 2)


def scored(*samples: list[float]) -> dict[str, float]:
    frames = torch.tensor(samples).float().view(1, 1, len(samples), 2, 2)
    return {name: float(value) for name, value in outcome_scores(frames, TRUTH, OUTCOMES).items()}


def test_samples_are_counted_at_the_futures_that_they_show() -> None:
    found = scored([0, 0, 0, 0], [0, 0, 0.9, 0], [3.5, 0, 0, 0], [2, 0, 0, 0])
    assert found["at_future"] == 0.75  # two at the first future, one at the second, one between
    assert found["coverage"] == pytest.approx(0.9)
    assert scored([0, 2.5, 0, 0])["coverage"] == 0  # too far from the rare one
    assert scored([2, 2, 0, 0])["at_future"] == 0
    alone = scored([0, 4, 0, 0])
    assert alone["coverage"] == pytest.approx(0.1)
    assert alone["odds_error"] == pytest.approx(0.5**2 + 0.4**2 + 0.9**2)


def test_the_error_of_the_odds_is_unbiased() -> None:
    odds = torch.tensor([0.2, 0.7, 0.1])
    draws = torch.multinomial(odds, 4000 * 4, True, generator=torch.Generator().manual_seed(0))
    samples = FUTURES[0, 0][draws].view(4000, 1, 4, 2, 2)
    many = Outcomes(FUTURES.expand(4000, -1, -1, -1, -1), ODDS.expand(4000, -1, -1))
    found = outcome_scores(samples, TRUTH.expand(4000, -1, -1, -1), many)["odds_error"]
    assert float(found.mean()) == pytest.approx(0.3**2 + 0.3**2, abs=0.02)


def test_noise_across_the_span_changes_the_plain_score_alone() -> None:
    plain = [[0.0, 0, 0, 0], [4, 0, 0, 0], [1, 1, 0, 0]]
    noisy = [[*each[:2], noise, -noise] for each, noise in zip(plain, (1.0, -2, 3), strict=True)]
    assert scored(*plain)["energy_score_span"] == pytest.approx(
        scored(*noisy)["energy_score_span"], abs=1e-5
    )
    frames = [torch.tensor(each).view(1, 1, 3, 2, 2) for each in (plain, noisy)]
    scores = [sample_scores(each, TRUTH)["energy_score"] for each in frames]
    assert abs(float(scores[0] - scores[1])) > 0.1
    moved = [[x, y + 1, *rest] for x, y, *rest in plain]
    assert abs(scored(*plain)["energy_score_span"] - scored(*moved)["energy_score_span"]) > 0.1


def test_repeated_outcomes_without_probability_change_nothing() -> None:
    filled = Outcomes(
        torch.cat([FUTURES, FUTURES[:, :, :1]], 2), torch.cat([ODDS, torch.zeros(1, 1, 1)], 2)
    )
    samples = drawn(1, 1, 5, 2, 2)
    found = outcome_scores(samples, TRUTH, filled)
    for name, value in outcome_scores(samples, TRUTH, OUTCOMES).items():
        assert torch.allclose(found[name], value, atol=1e-5), name


def test_where_one_future_is_possible_its_span_is_empty() -> None:
    certain = Outcomes(FUTURES[:, :, :1], torch.ones(1, 1, 1))
    found = outcome_scores(drawn(1, 1, 3, 2, 2), TRUTH, certain)
    assert float(found["energy_score_span"]) == 0
    assert float(found["odds_error"]) == 0


def test_outcomes_have_the_moments_of_their_list() -> None:
    mean = (ODDS[..., None, None] * FUTURES).sum(2)
    assert torch.allclose(OUTCOMES.mean, mean)
    spread = sum(
        p * (f - mean[0, 0]).square().sum(-1) / 2
        for p, f in zip(ODDS[0, 0], FUTURES[0, 0], strict=True)
    )
    assert torch.allclose(OUTCOMES.spread[0, 0], torch.as_tensor(spread))


class Wobbling(CopyLast):
    """Copies the last frame, and samples by moving it at random."""

    def __init__(self) -> None:
        super().__init__()
        self.seeds: list[int] = []

    def sample(self, context: Clips, setting: Setting, count: int) -> Tensor:
        first = context.embeddings[:, :, None]
        return first + 0.5 * drawn(1, 1, count, *first.shape[3:])

    def rollout(self, context: Clips, horizon: int, setting: Setting) -> Tensor:
        self.seeds.append(self.start_seed)
        copied = super().rollout(context, horizon, setting)
        return copied + 0.5 * drawn(*copied.shape[1:], seed=self.start_seed)


def data_of(folder: Path, *options: str) -> VideoData:
    small = ["--balls.train", "2", "--balls.validation", "2", "--balls.test", "5"]
    config = to_config(parse(["--task", "next_frame", *small, "--balls.seconds", "3.5", *options]))
    data = load_task("next_frame").prepare(config, Inputs(None, {}, folder))
    assert isinstance(data, VideoData)
    return data


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> VideoData:
    return data_of(tmp_path_factory.mktemp("open"), "--balls.turn_odds", "0.8")


def judge_of(data: VideoData, **options: int) -> FrameJudge:
    return FrameJudge(VideoEvaluationConfig(**options), data, CopyLast(), "cpu")


def test_every_model_is_judged_by_samples_of_what_may_follow(data: VideoData) -> None:
    judge = judge_of(data, samples=4)
    values = judge.values(Wobbling(), [Setting()], SAMPLED_FRAMES)[0]
    small = judge_of(data, samples=4, batch_size=8).values(Wobbling(), [Setting()], SAMPLED_FRAMES)
    assert {"energy_score_span", "at_future", "coverage", "odds_error", "psnr_mean"} <= set(values)
    for name, value in small[0].items():  # batches change nothing
        assert value == pytest.approx(values[name], rel=1e-3, abs=1e-4), name
    (single,) = judge.values(CopyLast(), [Setting()], SAMPLED_FRAMES)
    (teacher_forced,) = judge.values(CopyLast(), [Setting()], JUDGED[0])
    assert "spread" not in single
    assert single["psnr"] == pytest.approx(teacher_forced["psnr"], rel=1e-5)
    assert values["psnr_mean"].mean() > values["psnr"].mean()
    metrics = judge.metrics({name: v[None] for name, v in values.items()}, SAMPLED_FRAMES)
    assert {"spread_over_error", "error_rank", "spread_rank"} <= set(metrics)


def test_samples_of_the_list_reach_the_floor_of_its_expectation(data: VideoData) -> None:
    judge = judge_of(data, samples=16)
    found = judge_references(judge)
    assert [model.name for model in found.models] == ["true_mean", "true_samples"]
    mean, samples = (
        {n: m.mean for n, m in model.rows[0].metrics.items()} for model in found.models
    )
    assert samples["at_future"] == 1
    assert abs(samples["odds_error"]) < 0.05
    assert samples["spread_over_error"] == pytest.approx(1, abs=0.4)
    assert samples["energy_score_span"] < mean["energy_score_span"]
    assert mean["error"] < judge.values(CopyLast(), [Setting()], SAMPLED_FRAMES)[0]["error"].mean()
    clips, expected = data.clips("test"), []
    for key, clip in (clips[index] for index in range(len(clips))):
        outcomes = judge.futures.outcomes([key]).since(1)
        for frame, odds in zip(
            outcomes.embeddings[0].flatten(2), outcomes.probabilities[0], strict=True
        ):
            place = len(expected) % (len(clip) - 2)
            truth = clip[2:][place].flatten()
            apart = (frame[:, None] - frame).norm(dim=-1)
            expected.append(float(odds @ (frame - truth).norm(dim=-1) - odds @ apart @ odds / 2))
    assert samples["energy_score"] == pytest.approx(np.mean(expected), rel=0.05)


def test_without_a_listed_future_the_plain_scores_stand(tmp_path: Path) -> None:
    closed = data_of(tmp_path, "--balls.turn_odds", "0.0")
    judge = judge_of(closed, samples=3)
    (values,) = judge.values(Wobbling(), [Setting()], SAMPLED_FRAMES)
    assert {
        "energy_score",
        "energy_score_patches",
        "psnr",
        "psnr_mean",
        "sharpness",
        "spread",
    } <= set(values)
    assert not {"energy_score_span", "at_future", "true_spread"} & set(values)
    assert judge_references(judge).models == []
    given = replace(closed, frames=None)  # embeddings alone cannot be rendered
    assert not judge_of(given).futures.known


def test_rollouts_of_a_sampler_start_from_other_noise_and_then_from_their_own(
    data: VideoData,
) -> None:
    judge, model = judge_of(data, samples=3, horizon=4), Wobbling()
    model.seed_starts(1)  # as that of a training with seed 1
    (found,) = judge.values(model, [Setting()], JUDGED[1])
    assert len(set(model.seeds)) == 3
    assert model.start_seed == model.seeds[0] == 1
    assert found["energy_score_ahead"].shape == (5, 4)
    assert found["energy_score"] == pytest.approx(found["energy_score_ahead"].mean(1))
    (single,) = judge.values(CopyLast(), [Setting()], JUDGED[1])
    assert found["energy_score"].mean() != pytest.approx(single["energy_score"].mean())


def test_futures_are_judged_unless_no_samples_are_asked_for(data: VideoData) -> None:
    judge = judge_of(data, samples=0)
    assert SAMPLED_FRAMES not in judge.conditions
    assert judge.references() == {}
    assert "energy_score" not in judge.values(CopyLast(), [Setting()], JUDGED[1])[0]
    asked = judge_of(data, samples=2)
    scores = score([CopyLast()], asked, [1])
    assert (0, SAMPLED_FRAMES) in scores.values
    assert asked.identity(SAMPLED_FRAMES) != judge_of(data, samples=3).identity(SAMPLED_FRAMES)
    with pytest.raises(InputError, match="samples must be 0 or more"):
        VideoEvaluationConfig(samples=-1)
