"""The report of a sweep: what its exponents say, and everything that a reader needs to doubt it."""

from pathlib import Path

from benchmarks.measure.power_law import HUBER, STARTS
from benchmarks.record.model_names import title_of
from benchmarks.record.results import Result
from benchmarks.reporting.figures import chosen
from benchmarks.reporting.report import Part, Report, Section, bullets
from benchmarks.reporting.tables import Table, environment_lines, interval, named, number
from benchmarks.tasks.scaling.chart import loss_chart
from benchmarks.tasks.scaling.figures import draw_figures
from benchmarks.tasks.scaling.points import FLOPS
from benchmarks.tasks.scaling.result import PURE, WITH_FLOOR, Found
from benchmarks.tasks.scaling.verdicts import answers, doubts, to_know

RATIOS = "Ratios of exponents"


def make_report(folder: Path, result: Result) -> Report:
    """The report of a result, its figures drawn into `folder`."""
    found = result.found(Found)
    figures = draw_figures(folder, found)
    opening: list[Part] = [bullets([*answers(found), *to_know(result, found)]), loss_chart(found)]
    sections = [
        Section(
            RATIOS, [bullets(doubts(found)), named(headline(result)), *chosen(figures, "axis")]
        ),
        Section("Fits", [_FITS, _fits(found)]),
        Section("Points", [f"{found.rule}.", _points(found)]),
        Section("For the reader who doubts", [bullets(_checklist(result, found))]),
        Section("Loss curves", chosen(figures, "training")),
        Section("How this was made", [bullets(environment_lines(result.environment))]),
    ]
    title = f"Scaling along {found.axis}"
    return Report(title, opening, sections, Section(RATIOS, [_brief(found)]))


def _brief(found: Found) -> Table:
    """Exponents of pure laws, and their ratios, for a terminal."""
    rows = []
    for ratio in found.ratios:
        if ratio.form == PURE:
            fits = [found.fit_of(ratio, model) for model in (ratio.a, ratio.b)]
            exponents = [f"{title_of(fit.model)} {interval(fit.exponent, 3)}" for fit in fits]
            said = interval(ratio.ratio, 2) if ratio.ratio else "none"
            rows.append([f"{ratio.axis} {ratio.variant}".strip(), *exponents, said])
    return ["against", "exponent", "exponent", "ratio"], rows


def headline(result: Result) -> Table:
    """Exponents along the axis and every other x, and their ratio."""
    found = result.found(Found)
    if not found.ratios:  # of a single model
        return _fits(found)
    several = len({ratio.variant for ratio in found.ratios}) > 1
    header = ["sweep"] if several else []
    header += ["x", "law", "model", "exponent", "beside", "exponent", "ratio of exponents"]
    rows = []
    for ratio in found.ratios:
        a, b = (found.fit_of(ratio, model) for model in (ratio.a, ratio.b))
        said = interval(ratio.ratio, 2) if ratio.ratio else "none"
        cells = [ratio.variant] if several else []
        cells += [ratio.axis, ratio.form, f"`{a.model}`", interval(a.exponent, 3)]
        rows.append([*cells, f"`{b.model}`", interval(b.exponent, 3), said])
    return header, rows


_FITS = (
    "R² and RMS are those of log L. Lack of fit is the p-value of an F-test of the residuals "
    "against the spread between training seeds: where it is small, the points do not follow the "
    "curve."
)


def _fits(found: Found) -> Table:
    several = len({fit.variant for fit in found.fits}) > 1
    header = ["sweep"] if several else []
    header += [
        "model",
        "x",
        "law",
        "b",
        "a",
        "c",
        "R²",
        "RMS",
        "lack of fit",
        "one left out",
        "refused",
    ]
    rows = []
    for fit in found.fits:
        rows.append(
            [
                *([fit.variant] if several else []),
                f"`{fit.model}`",
                fit.axis,
                fit.form,
                interval(fit.exponent, 3),
                f"{fit.scale.mean:.4g}",
                interval(fit.floor, 4) if fit.form == WITH_FLOOR else "–",
                number(fit.r_squared, 3),
                f"{fit.rms:.1%}",
                number(fit.lack_of_fit, 3),
                f"{min(out):.3f} to {max(out):.3f}" if (out := fit.without.values()) else "–",
                fit.refused or "–",
            ]
        )
    return header, rows


def _points(found: Found) -> Table:
    several = len({point.variant for point in found.points}) > 1
    header = ["sweep"] if several else []
    header += [found.axis, "model", "loss", "seeds", "no loss is below", "setting", "optimiser"]
    header += ["learning rate", *_other_x(found)]
    rows = []
    for point in found.points:
        rows.append(
            [
                *([point.variant] if several else []),
                point.value,
                f"`{point.model}`",
                interval(point.loss, 4),
                ", ".join(f"{loss:.4f}" for loss in point.seed_losses),
                number(point.unreachable, 4),
                point.setting,
                point.optimizer,
                f"{point.learning_rate:.3g}",
                *(_amount(name, point.x[name]) for name in _other_x(found)),
            ]
        )
    return header, rows


def _amount(name: str, value: float) -> str:
    if name == FLOPS or value < 100:
        return f"{value:.3g}"
    return f"{value:,.0f}"


def _other_x(found: Found) -> list[str]:
    return [name for name in found.points[0].x if name != found.axis]


def _checklist(result: Result, found: Found) -> list[str]:
    """What a report of a scaling fit should say (arXiv 2502.18969)."""
    main = found.fits[0].axis if found.fits else found.axis
    own = [point.x[main] for point in found.points]
    fitted = len({point.value for point in found.points})
    counts = sorted({len(point.seed_losses) for point in found.points})
    seeds = " to ".join(map(str, dict.fromkeys((counts[0], counts[-1]))))
    ends = f"from {_amount(main, min(own))} to {_amount(main, max(own))}"
    return [
        f"Points: {fitted} values of {found.axis}, every one with {seeds} training "
        f"seeds and every one used in the fits; {main} {ends}.",
        "Parameters are counted in all and without embeddings, which are all matrices outside the "
        "blocks.",
        "Training FLOPs are counted on real calls, those of both directions; seconds are those of "
        "this machine, and of whatever ran beside it.",
        f"Every point stops at its own last step, its learning rate a cosine of its own length. "
        f"{found.rule}. An untuned point would show in the loss curves.",
        f"Fits minimise the sum of Huber losses on log L (delta {HUBER:g}), a point for each seed; "
        f"`{PURE}` is convex in its logarithm; for `{WITH_FLOOR}` {STARTS} exponents are tried, "
        "the linear part eliminated, and the best polished by L-BFGS-B. `results.json` holds "
        "unrounded values.",
        "Every point is a next-frame run of its own below `points/` of its sweep, with its report, "
        "and its `config.yaml` repeats it alone: `python benchmarks/run.py --config config.yaml`.",
    ]
