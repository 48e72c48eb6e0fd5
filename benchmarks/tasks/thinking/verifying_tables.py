"""The tables and figures of verification: surprise, its attack, and the choice of samples."""

import math

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.record.metrics import titles
from benchmarks.record.model_names import title_of
from benchmarks.record.results import Metric, Result
from benchmarks.reporting.figures import finish, plain_numbers
from benchmarks.reporting.tables import Table, brief_cost_cells, interval, number
from benchmarks.tasks.thinking.result import Found, SampledChoice, Verification
from benchmarks.tasks.thinking.sampled_choice import ANY, AT, LOG_PROBABILITY, SCORE
from benchmarks.tasks.thinking.surprise import AUROC, FOUND, OVER_REGRESSOR, PAIRED, PAIRED_ALL

OVERALL = (AUROC, OVER_REGRESSOR, PAIRED_ALL, FOUND)
LEFT = (AUROC, PAIRED_ALL)  # of an attacked measure
WORTH = (AT, LOG_PROBABILITY, SCORE)
COLUMNS = 4  # of panels, one for each kind


def cheapest_table(result: Result) -> Table:
    """As `surprise_table`, with every measure of a model once, in the setting that costs least."""
    header, rows = surprise_table(result)
    first: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        first.setdefault((row[0], row[1]), row)
    return header, list(first.values())


def surprise_table(result: Result) -> Table:
    """How well every measure of surprise tells impossible continuations from possible ones."""
    header = ["model", "surprise", "setting", "passes", "equivalents", *titles(OVERALL)]
    rows = []
    for one in result.found(Found).surprise:
        scores = [interval(one.overall.get(key), 2) for key in OVERALL]
        costs = brief_cost_cells(one.cost)[:2]
        cells = [title_of(one.model), one.measure, one.setting, *costs, *scores]
        rows.append(cells)
    return header, rows


def kinds_table(result: Result) -> Table:
    """The share of pairs in which each kind of continuation is more surprising than the truth.

    Every measure of a model stands once, with the setting that costs least.
    """
    found = result.found(Found).surprise
    kinds = _kinds(found)
    rows: dict[tuple[str, str], list[str]] = {}
    for one in found:
        scores = [interval(_of_kind(one, *kind), 2) for kind in kinds]
        cells = [title_of(one.model), one.measure, *scores]
        rows.setdefault((one.model, one.measure), cells)
    return ["model", "surprise", *(_said(*kind) for kind in kinds)], list(rows.values())


def attack_table(result: Result) -> Table:
    """What is left of each measure when impossible frames are changed to lower it."""
    found = result.found(Found)
    bounds = list(dict.fromkeys(one.bound for one in found.attacks))
    header = ["model", "surprise", "setting"]
    for bound in (0.0, *bounds):
        header += [f"{title}, {_said_bound(bound)}" for title in titles(LEFT)]
    rows: dict[tuple[str, str, str], list[str]] = {}
    plain = {(one.model, one.measure, one.setting): one.overall for one in found.surprise}
    for one in found.attacks:
        key = (one.model, one.measure, one.setting)
        before = [interval(plain.get(key, {}).get(name), 2) for name in LEFT]
        named = [title_of(one.model), one.measure, one.setting]
        cells = rows.setdefault(key, [*named, *before])
        cells += [interval(one.metrics.get(name), 2) for name in LEFT]
    return header, list(rows.values())


def sampled_choice_table(result: Result) -> Table:
    """What choosing among samples is worth, beside more passes or samples, cheapest first."""
    header = ["chosen by", "samples", "passes of each", "equivalents", *titles(WORTH)]
    rows = []
    for one in sorted(result.found(Found).sampled, key=lambda one: one.equivalents):
        worth = [interval(one.metrics.get(name), 2) for name in WORTH]
        counts = [number(one.samples), number(one.passes), number(one.equivalents, 2)]
        rows.append([chooser(one), *counts, *worth])
    return header, rows


def chooser(one: SampledChoice) -> str:
    """What chooses among the samples."""
    return f"{one.measure}, {title_of(one.verifier)}" if one.verifier else one.rule


def verification_figure(result: Result) -> Figure | None:
    """Against forward passes: AUROC over all kinds, and the share of pairs of each kind."""
    found = [one for one in result.found(Found).surprise if one.cost.forward_passes]
    if not found:
        return None
    kinds = _kinds(found)
    rows = math.ceil((1 + len(kinds)) / COLUMNS)
    figure, axes = plt.subplots(
        rows, COLUMNS, figsize=(4 * COLUMNS, 3.2 * rows), squeeze=False, sharey=True
    )
    first, *others = axes.flat
    _draw_measures(first, [(one, one.overall[AUROC]) for one in found])
    first.set_title("AUROC, all kinds")
    for axis, kind in zip(others, kinds, strict=False):
        scores = [(one, _of_kind(one, *kind)) for one in found]
        _draw_measures(axis, [(one, score) for one, score in scores if score is not None])
        axis.set_title(f"above the truth: {_said(*kind)}", fontsize=9)
    for axis in others[len(kinds) :]:
        axis.axis("off")
    lines, labels = first.get_legend_handles_labels()
    figure.legend(lines, labels, loc="lower center", ncols=4, fontsize=7)
    figure.tight_layout(rect=(0, 0.02 * math.ceil(len(labels) / 4) + 0.02, 1, 1))
    return figure


def sampled_choice_figure(result: Result) -> Figure | None:
    """The share at a listed future against forward-equivalents."""
    found = result.found(Found).sampled
    if not found:
        return None
    figure, axis = plt.subplots(figsize=(8, 5.2))
    any_one = sorted(
        (one for one in found if one.rule == ANY and one.samples == 1),
        key=lambda one: one.equivalents,
    )
    axis.plot(
        [one.equivalents for one in any_one],
        [one.metrics[AT].mean for one in any_one],
        "k-o",
        label="one sample of more passes",
    )
    for place, one in enumerate(each for each in found if each.rule != ANY):
        low, high = one.metrics[AT].ends
        middle = one.metrics[AT].mean
        axis.errorbar(
            one.equivalents,
            middle,
            [[middle - low], [high - middle]],
            fmt="osD^"[place // 10 % 4],
            ms=5,
            capsize=2,
            label=f"best of {one.samples}: {chooser(one)}",
        )
    axis.set_xscale("log")
    axis.set_xlabel("forward-equivalents of a frame")
    axis.set_ylabel("share at a listed future")
    return finish(figure)


def _draw_measures(axis: Axes, scores: list[tuple[Verification, Metric]]) -> None:
    """A line for each measure of each model."""
    lines: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for one, score in scores:
        passes = float(one.cost.forward_passes or 0)
        lines.setdefault((one.model, one.measure), []).append((passes, score.mean))
    models = list(dict.fromkeys(model for model, _ in lines))
    measures = list(dict.fromkeys(measure for _, measure in lines))
    for (model, measure), points in lines.items():
        color, mark = f"C{models.index(model) % 10}", "osD^v"[measures.index(measure) % 5]
        axis.plot(
            *zip(*sorted(points), strict=True),
            f"-{mark}",
            ms=4,
            lw=1,
            color=color,
            label=f"{title_of(model)}, {measure}",
        )
    axis.axhline(0.5, color="k", lw=0.8, ls=":")
    axis.set_xscale("log")
    plain_numbers(axis.xaxis)
    axis.set_xlabel("forward passes")


def _kinds(found: list[Verification]) -> list[tuple[str, float]]:
    return list(dict.fromkeys((of.kind, of.degree) for one in found for of in one.by_kind))


def _of_kind(found: Verification, kind: str, degree: float) -> Metric | None:
    """The paired score of a kind of continuations, where there were any."""
    same = (
        of.metrics.get(PAIRED) for of in found.by_kind if (of.kind, of.degree) == (kind, degree)
    )
    return next(same, None)


def _said(kind: str, degree: float) -> str:
    return f"{kind} {degree:g}" if degree else kind


def _said_bound(bound: float) -> str:
    return f"within {round(255 * bound)}/255" if bound else "as they are"
