"""Verdicts of declared contrasts, and marks of the best, which follow paired differences."""

from dataclasses import asdict, dataclass
from typing import ClassVar

import numpy as np
import pytest

from benchmarks.domains.registry import DOMAINS, load_domain
from benchmarks.measure.intervals import difference, holm, mean, p_value
from benchmarks.measure.scores import Scores, means, recorded
from benchmarks.measure.verdicts import judge_contrasts, mark_best
from benchmarks.record.contrasts import MOST_CONTRASTS, Answer, Contrast
from benchmarks.record.costs import Cost
from benchmarks.record.results import Model, Row
from benchmarks.reporting.best_marks import mark_best as mark_cells
from worldmodel.predictor import Passes, Thinking


@dataclass(frozen=True)
class Place:
    name: str


@dataclass(frozen=True)
class Once(Passes):
    passes: int = 1


@dataclass(frozen=True)
class Published(Passes):
    fixed: ClassVar[bool] = True


TEST = Place("test")
CONTRASTS = (
    Contrast("a", "b", "Is a better?"),
    Contrast("a", "c", "Than c?"),
    Contrast("a", "a", "Thinking longer?"),
    Contrast("a", "absent", "Than what was not trained?"),
)


def scores(psnr: np.ndarray, longer: np.ndarray | None = None) -> Scores[Place]:
    """A model of these values `[seeds, sources]` everywhere, thinking one step or two."""
    settings = [Once()] if longer is None else [Thinking(1), Thinking(2)]
    found: Scores[Place] = Scores(list(settings), lambda place: Place("validation"))
    for place in (TEST, Place("validation")):
        found.values[0, place] = {"psnr": psnr}
        if longer is not None:
            found.values[1, place] = {"psnr": longer}
    return found


def judged(gain: float, noise: float, sources: int = 24) -> list[str]:
    """The answers where `a` leads by `gain` with this noise of pairs."""
    rng = np.random.default_rng(0)
    base = rng.normal(20, 4, (1, sources))
    a = base + gain + rng.normal(0, noise, (3, sources))
    every = {"a": scores(a, a + 0.01), "b": scores(base), "c": scores(base - 3)}
    return [verdict.answer for verdict in judge_contrasts(CONTRASTS, every, TEST)]


def test_the_four_answers() -> None:
    assert judged(0.5, 0.1) == [Answer.BETTER, Answer.BETTER, Answer.SAME]
    assert judged(-0.5, 0.1)[0] == Answer.WORSE
    assert judged(0.02, 0.05)[0] == Answer.SAME
    assert judged(0.3, 3.0)[0] == Answer.UNDECIDED
    assert judged(0.5, 0.1, sources=1) == [Answer.UNDECIDED] * 3


def test_a_surely_small_lead_is_called_the_same() -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(20, 4, (1, 64))
    lead = base + 0.05 + rng.normal(0, 0.01, (1, 64))
    assert p_value(lead - base) < 1e-6
    every = {"a": scores(lead), "b": scores(base)}
    (verdict,) = judge_contrasts(CONTRASTS, every, TEST)
    assert verdict.answer == Answer.SAME
    assert verdict.margin == 0.1


def test_only_declared_contrasts_are_corrected_and_intervals_are_simultaneous() -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(20, 4, (1, 16))
    a, b = (base + shift + rng.normal(0, 0.5, (3, 16)) for shift in (0.4, 0.0))
    c = base + 0.1 + rng.normal(0, 0.5, (3, 16))
    every = {"a": scores(a), "b": scores(b), "c": scores(c), "d": scores(base)}
    found = judge_contrasts(CONTRASTS, every, TEST)
    assert [verdict.question for verdict in found] == ["Is a better?", "Than c?"]
    assert [verdict.p for verdict in found] == holm([p_value(a - b), p_value(a - c)])
    for verdict, other in zip(found, (b, c), strict=True):
        expected = difference(a, other, level=1 - 0.05 / 2)
        assert verdict.compared.low == pytest.approx(expected.low)
        assert verdict.compared.high == pytest.approx(expected.high)


def test_an_interval_never_contradicts_its_verdict() -> None:
    rng = np.random.default_rng(2)
    truncated = 0
    for _ in range(200):
        base = rng.normal(20, 4, (1, 12))
        a = base + rng.uniform(0.2, 0.5) + rng.normal(0, 0.4, (3, 12))
        b, c = (base + rng.normal(0, 0.4, (3, 12)) for _ in range(2))
        for verdict in judge_contrasts(
            CONTRASTS, {"a": scores(a), "b": scores(b), "c": scores(c)}, TEST
        ):
            low, high = verdict.compared.low, verdict.compared.high
            assert low is not None
            assert high is not None
            if verdict.answer == Answer.BETTER:
                assert low >= 0
                truncated += low == 0
            if verdict.answer == Answer.UNDECIDED:
                assert low < 0 < high or verdict.p >= 0.05
    assert truncated  # Holm's steps reject some that Bonferroni's interval does not


def test_declared_contrasts_are_few_and_of_models_that_exist() -> None:
    for domain in map(load_domain, DOMAINS):
        assert len(domain.contrasts) <= MOST_CONTRASTS
        names = {model.name for model in domain.declared}
        assert {name for c in domain.contrasts for name in (c.a, c.b)} <= names
        assert len({(c.a, c.b, c.as_published) for c in domain.contrasts}) == len(domain.contrasts)


def test_a_contrast_as_published_takes_the_fixed_settings() -> None:
    published = Contrast("a", "b", "Is it better as published?", as_published=True)
    two = {"a": scores(np.zeros((1, 4))), "b": scores(np.ones((1, 4)))}
    two["b"].settings.append(Published(3))
    two["b"].values[1, TEST] = {"psnr": np.full((1, 4), 5.0)}
    (verdict,) = judge_contrasts([published], two, TEST)
    assert verdict.compared.difference == pytest.approx(-5)
    assert verdict.compared.b_setting.label == Published(3).label
    (verdict,) = judge_contrasts([Contrast("a", "b", "At the selected one?")], two, TEST)
    assert verdict.compared.difference == pytest.approx(-1)


def marked(values: dict[str, np.ndarray]) -> dict[str, bool]:
    every = {name: scores(of) for name, of in values.items()}
    cost = Cost(1, 0, 1.0, 10, 1.0, 1, 100)
    models = []
    for name, of in every.items():
        setting, found = recorded(of.settings[0]), of.values[0, TEST]
        row = Row(setting, asdict(TEST), True, True, means(found), cost)
        models.append(Model(name, "network", 1, None, [row], []))
    mark_best(models, every, TEST)
    return {model.name: model.rows[0].metrics["psnr"].best for model in models}


def test_bold_follows_pairs_not_overlapping_intervals() -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(20, 5, (1, 40))
    values = {
        "best": base + 1.2 + rng.normal(0, 0.1, (3, 40)),
        "behind in every pair": base + rng.normal(0, 0.1, (3, 40)),
        "alike": base + 1.2 + rng.normal(0, 0.5, (3, 40)),
    }
    one, other = (mean(values[name]) for name in ("best", "behind in every pair"))
    assert one.low is not None
    assert other.high is not None
    assert other.high > one.low  # their own intervals overlap
    assert marked(values) == {"best": True, "behind in every pair": False, "alike": True}
    single = {name: of[:, :1] for name, of in values.items()}
    assert not any(marked(single).values())


def test_a_column_in_which_all_are_best_has_no_marks() -> None:
    metrics = list(means({"psnr": np.full((1, 3), 20.0)}).values()) * 2
    assert mark_cells(["20.00", "20.00"], metrics) == ["20.00", "20.00"]
