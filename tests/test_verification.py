"""Verification: surprise on pairs of possible and impossible continuations."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from baselines.config import FlowConfig
from baselines.flow import NextFrameFlow
from baselines.trivial import CopyLast
from benchmarks.domains.trials import TRUE, Kind, Standing, Trials
from benchmarks.measure.outcomes import Outcomes
from benchmarks.measure.verification import Surprises, paired_scores
from benchmarks.record.costs import Cost
from benchmarks.tasks.thinking.attack import attack, cheapest
from benchmarks.tasks.thinking.result import Verification
from benchmarks.tasks.thinking.sampled_choice import Drawn
from benchmarks.tasks.thinking.surprise import judge_surprise
from worldmodel.config import BackboneConfig, EBTConfig
from worldmodel.next_frame import NextFrameEBT
from worldmodel.predictor import Clips, Predictor
from worldmodel.surprise import Surprise

FREE = Cost(None, None, None, None, None, 0, None)
ALTERNATIVE = Kind("alternative", Standing.POSSIBLE, 1)
MOVED, GONE = Kind("moved", Standing.IMPOSSIBLE, 2), Kind("gone", Standing.IMPOSSIBLE)
BLURRED = Kind("blurred", Standing.DEGRADED)
SOURCES = [f"video-{index // 2}" for index in range(12)]


class Saying(Predictor):
    """Finds a candidate as surprising as a function of its first number says."""

    def __init__(self, says: str):
        super().__init__()
        self.says = says

    def surprises(self, counts: Sequence[int]) -> list[Surprise]:
        return [Surprise(self.says, "", self.measure)]

    def measure(self, context: Clips, candidates: Tensor) -> Tensor:
        standing = candidates[:, :, 0, 0]  # 0 for possible ones, 1 for others
        drawn = torch.rand(standing.shape, generator=torch.Generator().manual_seed(1))
        of = {"oracle": standing, "constant": 0 * standing, "inverse": -standing, "random": drawn}
        return of[self.says]


def trials() -> list[Trials]:
    """Contexts of which every other lacks one kind, in batches of different numbers of kinds."""
    possible, impossible = torch.zeros(2, 3), torch.ones(2, 3)
    found = []
    for index in range(len(SOURCES)):
        of = {TRUE: possible, ALTERNATIVE: possible, MOVED: impossible, BLURRED: impossible}
        found.append(of | ({GONE: impossible} if index % 2 else {}))
    batches = [found[:1], found[1:6], found[6:]]
    context = torch.zeros(1, 4, 2, 3)
    return [
        Trials.of(Clips(context.expand(len(of), -1, -1, -1), ["clip"] * len(of)), of)
        for of in batches
    ]


def judged(says: str) -> Verification:
    found = judge_surprise("model", trials(), SOURCES, [Saying(says)] * 2, [1], lambda _: FREE)
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize(("says", "score"), [("oracle", 1.0), ("constant", 0.5), ("inverse", 0.0)])
def test_an_oracle_scores_1_and_a_constant_one_half(says: str, score: float) -> None:
    found = judged(says)
    assert found.overall["impossible_auroc"].mean == pytest.approx(score)
    assert found.overall["impossible_paired"].mean == score
    assert {of.kind for of in found.by_kind} == {"moved", "gone", "blurred"}
    for of in found.by_kind:
        assert {metric.mean for metric in of.metrics.values()} == {score}
        assert ("paired_score_alternative" in of.metrics) == (of.standing == "impossible")


def test_missing_kinds_are_not_judged() -> None:
    found = {of.kind: of.metrics["paired_score"] for of in judged("oracle").by_kind}
    assert found["moved"].n == 6
    assert found["gone"].n == 6  # one clip of each video has it
    padded = trials()[1]
    assert padded.candidates.shape[1] == 5
    assert [of.count(None) for of in padded.kinds] == [0, 1, 0, 1, 0]


def test_a_context_needs_its_truth() -> None:
    with pytest.raises(ValueError, match="true continuation"):
        Trials.of(Clips(torch.zeros(1, 2, 2, 3), ["a"]), [{MOVED: torch.ones(2, 3)}])


def test_the_areas_equal_those_of_all_pairs() -> None:
    rng = np.random.default_rng(0)
    values, impossible = rng.normal(size=(3, 60)).round(1) * 30, rng.random(60) < 0.4
    values[:, impossible] += 10
    found = Surprises(values, impossible, [str(index // 3) for index in range(60)])
    pairs = values[:, impossible, None] - values[:, None, ~impossible]
    expected = ((pairs > 0) + (pairs == 0) / 2).mean()
    area = found.auroc()
    assert area.mean == pytest.approx(expected, abs=1e-6)
    assert area.low is not None
    assert area.low < expected
    allowed = int(0.05 * (~impossible).sum())
    limit = np.sort(values[:, ~impossible], axis=1)[:, ::-1][:, allowed]
    share = (values[:, impossible] > limit[:, None]).mean()
    assert found.true_positives().mean == pytest.approx(share, abs=1e-6)


def test_the_interval_of_a_share_ends_at_0_and_1() -> None:
    found = judge_surprise(
        "model", trials()[2:], SOURCES[6:], [Saying("random")], [1], lambda _: FREE
    )
    for of in found[0].by_kind:
        for each in of.metrics.values():
            assert each.low is not None
            assert 0 <= each.low <= each.mean <= each.high <= 1
    assert any(0 < each.mean < 1 for of in found[0].by_kind for each in of.metrics.values())


def test_a_surprise_is_compared_with_another_at_the_same_continuations() -> None:
    rng = np.random.default_rng(0)
    impossible, sources = rng.random(40) < 0.5, [str(index // 2) for index in range(40)]
    knowing = Surprises(impossible[None].astype(float), impossible, sources)
    constant = Surprises(np.zeros((1, 40)), impossible, sources)
    assert knowing.auroc_over(constant).mean == pytest.approx(0.5)
    assert constant.auroc_over(knowing).mean == pytest.approx(-0.5)
    assert knowing.auroc_over(knowing).low == pytest.approx(0)


@pytest.mark.parametrize("bound", [2 / 255, 0.3])
def test_an_attack_lowers_surprise_and_never_leaves_its_bound(bound: float) -> None:
    generator = torch.Generator().manual_seed(0)
    frames, wanted = torch.rand(2, 2, 3, 3, 8, 8, generator=generator)
    frames[0, 0], wanted[1, 1] = 1.0, -2.0  # white already, and out of reach

    def surprise(moved: Tensor) -> Tensor:
        return (moved - wanted).square().sum((2, 3, 4))

    found = attack(surprise, frames, bound)
    assert (found - frames).abs().max() <= bound + 1e-6
    assert (found - frames).abs().max() > 0.9 * bound
    assert found.min() >= 0
    assert found.max() <= 1
    assert (surprise(found) < surprise(frames)).all()


def test_an_energy_has_a_gradient_where_a_candidate_wants_one() -> None:
    ebt = NextFrameEBT(EBTConfig(), BackboneConfig(width=32, heads=2, layers=1), (2, 2), 5)
    flow = NextFrameFlow(FlowConfig(), BackboneConfig(width=32, heads=2, layers=1), (2, 2), 5)
    context, candidates = Clips(torch.randn(2, 3, 4, 5), ["a", "b"]), torch.randn(2, 6, 4, 5)
    for surprise in (*cheapest(ebt), *cheapest(flow)):
        assert not surprise.measure(context, candidates).requires_grad
        wanting = candidates.clone().requires_grad_()
        surprise.measure(context, wanting).sum().backward()
        assert wanting.grad is not None
        assert (wanting.grad.abs().amax((2, 3)) > 0).all()


def test_the_least_surprising_sample_is_chosen_and_the_half_kept() -> None:
    futures = torch.tensor([[0.0, 0.0], [4.0, 0.0]])  # two outcomes of one patch
    outcomes = Outcomes(futures.view(1, 1, 2, 1, 2), torch.tensor([[[0.25, 0.75]]]))
    truth = torch.tensor([0.0, 0.1]).view(1, 1, 1, 2)
    samples = torch.tensor([[4.0, 0.1], [2.0, 0.0], [0.1, 0.0], [4.0, 0.0]]).view(1, 1, 4, 1, 2)
    drawn = Drawn.of(samples, truth, outcomes)
    assert drawn.at_future.flatten().tolist() == [1, 0, 1, 1]
    assert drawn.any_one()["at_future"].item() == pytest.approx(0.75)
    chosen = drawn.chosen_by(torch.tensor([[[3.0, 2.0, 0.0, 1.0]]]))
    assert chosen["at_future"].item() == 1
    assert chosen["log_probability"].item() == pytest.approx(np.log(0.25))
    assert chosen["energy_score_span"].item() == pytest.approx((0.1 + 4) / 2 - 3.9 / 2, abs=1e-5)
    assert drawn.chosen_by(torch.tensor([[[1.0, 0.0, 2.0, 3.0]]]))["at_future"].item() == 0


def test_pairs_count_ties_half() -> None:
    scores = paired_scores(np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 2.0]))
    assert scores.tolist() == [0, 0.5, 1]


def test_every_model_can_tell_the_distance_to_its_own_prediction() -> None:
    context = Clips(torch.randn(2, 3, 4, 5), ["a", "b"])
    candidates = torch.randn(2, 6, 4, 5)
    [surprise] = CopyLast().surprises([1])
    expected = (candidates - context.embeddings[:, -1:]).square().sum((2, 3)) / 2
    assert torch.allclose(surprise.measure(context, candidates), expected)


def test_the_energy_is_that_of_the_frame_that_comes_next() -> None:
    torch.manual_seed(0)
    ebt = NextFrameEBT(EBTConfig(), BackboneConfig(width=32, heads=2, layers=1), (2, 2), 5)
    context = Clips(torch.randn(2, 3, 4, 5), ["a", "b"])
    candidates = torch.randn(2, 6, 4, 5)
    energy, *distances = ebt.surprises([1, 2])
    every = candidates[:, None].expand(-1, 3, -1, -1, -1)
    expected = ebt.verify(context, every)[:, -1].sum(-1)
    assert torch.allclose(energy.measure(context, candidates), expected)
    assert [surprise.setting for surprise in distances] == ["1 step", "2 steps"]
    assert distances[0].name == "distance to own prediction"
