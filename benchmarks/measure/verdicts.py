"""Models beside one another: paired differences, the verdicts of declared contrasts, best marks."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace

import numpy as np

from benchmarks.measure.intervals import LEVEL, difference, holm, mean, p_value
from benchmarks.measure.scores import Condition, Scores, recorded
from benchmarks.record.contrasts import Answer, Contrast
from benchmarks.record.metrics import declared
from benchmarks.record.results import Comparison, Model, Verdict
from benchmarks.record.selection_metric import Quality


def compare(
    scores: dict[str, Scores[Condition]],
    pairs: Iterable[tuple[tuple[str, int], tuple[str, int]]],
    condition: Condition,
) -> list[Comparison]:
    """Paired differences in quality of (model, index of a setting) pairs under a condition."""
    return [_comparison(scores, a, b, condition) for a, b in pairs]


def judge_contrasts(
    contrasts: Sequence[Contrast], scores: dict[str, Scores[Condition]], condition: Condition
) -> list[Verdict]:
    """The verdicts of the declared contrasts whose models were judged under a condition.

    They are one family, whose intervals hold at once and whose p-values Holm's method corrects.
    """
    pairs = {}
    for contrast in contrasts:
        chosen = _contrasted(contrast, scores, condition)
        if chosen is not None:
            pairs[contrast] = chosen
    level = simultaneous_level(len(pairs))
    compared = [_comparison(scores, a, b, condition, level) for a, b in pairs.values()]
    p_values = holm([p_value(_paired(scores, a, b, condition)) for a, b in pairs.values()])
    return [
        verdict(
            contrast.question,
            one,
            p,
            scores[contrast.a].quality,
            _means(one, scores[contrast.a], scores[contrast.b]),
        )
        for contrast, one, p in zip(pairs, compared, p_values, strict=True)
    ]


def simultaneous_level(number: int) -> float:
    """The level of each interval of a family of that many that hold at once (Bonferroni)."""
    return 1 - (1 - LEVEL) / max(number, 1)


def verdict(
    question: str, found: Comparison, p: float, quality: Quality, means: Sequence[float]
) -> Verdict:
    """The verdict of a comparison with a simultaneous interval and a corrected p-value.

    A difference is `the same` where its interval lies within the margin, which may depend on the
    `means` of both models; else p says whether it is `better` or `worse`. Where it does so though
    the interval reaches zero, the interval ends there.
    """
    margin = quality.margin_at(quality.best(means))
    low, high, answer = found.low, found.high, Answer.UNDECIDED
    if low is not None and high is not None and np.isfinite(found.difference):
        if -margin <= low and high <= margin:
            answer = Answer.SAME
        elif p < 1 - LEVEL:
            ahead = (found.difference > 0) == quality.higher
            answer = Answer.BETTER if ahead else Answer.WORSE
            low, high = (max(low, 0.0), high) if found.difference > 0 else (low, min(high, 0.0))
    return Verdict(question, replace(found, low=low, high=high), p, margin, answer)


def mark_best(
    models: Sequence[Model], scores: Mapping[str, Scores[Condition]], condition: Condition
) -> None:
    """Mark the best of each metric, and what a paired interval does not tell apart from it.

    Of models at their selected settings, in metrics that are means of values per source; with a
    single source nothing is marked. The rows' metrics are replaced in place.
    """
    where = asdict(condition)
    rows = {
        model.name: row
        for model in models
        for row in model.rows
        if row.selected and row.condition == where
    }
    values = {
        name: scores[name].values[scores[name].selected(condition), condition] for name in rows
    }
    known = (n for found in values.values() for n, value in found.items() if value.ndim == 2)
    for metric_name in dict.fromkeys(known):
        higher = declared(metric_name).higher
        having = {
            name: found[metric_name] for name, found in values.items() if metric_name in found
        }
        if higher is None or len(having) < 2:
            continue
        for name in not_told_apart(having, higher):
            metrics = rows[name].metrics
            metrics[metric_name] = replace(metrics[metric_name], best=True)


def not_told_apart(values: Mapping[str, np.ndarray], higher: bool) -> list[str]:
    """The names of the best values `[seeds, sources]` and of all not told apart from them.

    The best is that over the sources which all have; pairs are those that both have. None with a
    single source.
    """
    sign, shared = 1 if higher else -1, min(own.shape[1] for own in values.values())
    best = max(values, key=lambda name: sign * values[name][:, :shared].mean())
    good = []
    for name, own in values.items():
        both = min(own.shape[1], values[best].shape[1])
        found = difference(own[:, :both], values[best][:, :both])
        if found.low is not None and found.high is not None and found.low <= 0 <= found.high:
            good.append(name)
    return good


def _contrasted(
    contrast: Contrast, scores: dict[str, Scores[Condition]], condition: Condition
) -> tuple[tuple[str, int], tuple[str, int]] | None:
    """The settings that a contrast compares; None where they were not judged."""
    if contrast.a not in scores or contrast.b not in scores:
        return None
    if contrast.longer:
        return _longer(scores, contrast.a, condition)
    choose = _as_published if contrast.as_published else Scores.selected
    a, b = ((name, choose(scores[name], condition)) for name in (contrast.a, contrast.b))
    judged = all((index, condition) in scores[name].values for name, index in (a, b))
    return (a, b) if judged else None


def _as_published(scores: Scores[Condition], condition: Condition) -> int:
    """The last fixed setting of a model, or the selected one where it has none."""
    judged = [i for i, where in scores.values if where == condition and scores.settings[i].fixed]
    return judged[-1] if judged else scores.selected(condition)


def _longer(
    scores: dict[str, Scores[Condition]], name: str, condition: Condition
) -> tuple[tuple[str, int], tuple[str, int]] | None:
    """The selected setting of a model, or the second where that is the cheapest, and its cheapest.

    None where only one was judged.
    """
    scored = scores[name]
    judged = sorted(
        (i for i, where in scored.values if where == condition and not scored.settings[i].fixed),
        key=lambda index: scored.settings[index].order,
    )
    if len(judged) < 2:
        return None
    longer = scored.selected(condition)
    return (name, judged[1] if longer == judged[0] else longer), (name, judged[0])


def _means(found: Comparison, a: Scores[Condition], b: Scores[Condition]) -> list[float]:
    """The means of two compared models in their settings."""
    return [
        float(values[found.metric].mean())
        for of_model, setting in ((a, found.a_setting), (b, found.b_setting))
        for (index, where), values in of_model.values.items()
        if asdict(where) == found.condition and recorded(of_model.settings[index]) == setting
    ]


def _paired(
    scores: dict[str, Scores[Condition]],
    a: tuple[str, int],
    b: tuple[str, int],
    condition: Condition,
) -> np.ndarray:
    """Differences of the quality `[seeds, sources]`, over the sources that both have."""
    quality = scores[a[0]].quality.metric
    a_values, b_values = (scores[name].values[index, condition][quality] for name, index in (a, b))
    both = min(a_values.shape[1], b_values.shape[1])  # a smaller set is the first of the larger
    return np.asarray(a_values[:, :both] - b_values[:, :both])


def _comparison(
    scores: dict[str, Scores[Condition]],
    a: tuple[str, int],
    b: tuple[str, int],
    condition: Condition,
    level: float = LEVEL,
) -> Comparison:
    interval = mean(_paired(scores, a, b, condition), level)
    return Comparison(
        a=a[0],
        b=b[0],
        a_setting=recorded(scores[a[0]].settings[a[1]]),
        b_setting=recorded(scores[b[0]].settings[b[1]]),
        condition=asdict(condition),
        metric=scores[a[0]].quality.metric,
        difference=interval.mean,
        low=interval.low,
        high=interval.high,
        n=interval.n,
    )
