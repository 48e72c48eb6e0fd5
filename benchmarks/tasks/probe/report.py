"""The report of probes: what features know, in words and tables."""

from pathlib import Path

from benchmarks.record.model_names import title_of
from benchmarks.record.results import Result
from benchmarks.reporting.best_marks import mark_best
from benchmarks.reporting.grid import Cell, Grid, Line, shades
from benchmarks.reporting.report import Part, Report, Section, bullets
from benchmarks.reporting.tables import (
    Table,
    environment_lines,
    interval,
    named,
    number,
    seeds_text,
    signed,
)
from benchmarks.tasks.probe.chart import scores_chart
from benchmarks.tasks.probe.result import ATTENTIVE, LINEAR, Found

WAYS = (
    "A linear probe is logistic regression for classes and ridge regression for numbers, on the "
    "standardised mean over all tokens; an attentive probe is one learned query over the tokens "
    "and a linear layer. Networks stay frozen. Validation selects the place in the network, for "
    "images the noise, and the regularisation; attentive probes see the place that the linear "
    "ones selected. `embeddings` are what the frozen encoder gives, `untrained` is a network "
    "with fresh weights, `constant` says the commonest class or the mean."
)

SCORES = (
    "Scores are those of a linear probe on the network's frozen features: accuracy on test for "
    "classes, R² for numbers. Darkest is the best."
)
NO_VERDICTS = "No contrast was declared for probes, so nothing here is a verdict."
SELECTED = "Every model at its selected place"


def make_report(folder: Path, result: Result) -> Report:
    """The report of a result."""
    found = result.found(Found)
    chart = scores_chart(found)
    opening: list[Part] = [
        scores_grid(found),
        bullets([SCORES, f"They rest on {seeds_text(result)}.", NO_VERDICTS]),
        *([] if chart is None else [chart]),
    ]
    sections = [
        Section(SELECTED, [WAYS, named(headline(result))]),
        Section("Differences", [_differences(found)]),
        Section("Every place", [_places(found)]),
        Section("How this was made", [bullets(_provenance(result, found))]),
    ]
    return Report("Probes", opening, sections)


def scores_grid(found: Found) -> Grid:
    """The linear probe of each model, a column for each label, shaded from worst to best."""
    labels = _labels(found)
    own = {
        (p.model, p.corpus, p.label): p for p in found.places if p.probe == LINEAR and p.selected
    }
    models = list(dict.fromkeys(model for model, _, _ in own))
    columns, header = [], ["linear probe"]
    for corpus, label in labels:
        places = [own.get((model, corpus, label)) for model in models]
        values = [place.score.mean if place else None for place in places]
        known = [value for value in values if value is not None]
        shade = shades(values, higher=True, faintest=max(known) - min(known) or 1.0)
        columns.append(
            [
                Cell(number(value, 3), shade=faint, details=SELECTED)
                for value, faint in zip(values, shade, strict=True)
            ]
        )
        header.append(next(place.title for place in places if place))
    order = sorted(range(len(models)), key=lambda i: -sum(c[i].shade or 0 for c in columns))
    lines = [Line(title_of(models[i]), "", [column[i] for column in columns]) for i in order]
    return Grid(header, lines, sortable=True)


def headline(result: Result) -> Table:
    """Each model at its selected place, best first for every label."""
    found = result.found(Found)
    header = ["label", "model", "linear", "attentive", "top 5, linear", "place", "training TFLOPs"]
    rows = []
    for corpus, label in _labels(found):
        own = [p for p in found.places if (p.corpus, p.label) == (corpus, label) and p.selected]
        linear = sorted((p for p in own if p.probe == LINEAR), key=lambda p: -p.score.mean)
        attentive = {p.model: p.score for p in own if p.probe == ATTENTIVE}
        columns = []
        for found_scores in (
            [place.score for place in linear],
            [attentive.get(place.model) for place in linear],
            [place.top5 for place in linear],
        ):
            cells = [interval(score, 3) for score in found_scores]
            columns.append(mark_best(cells, found_scores))
        for place, *cells in zip(linear, *columns, strict=True):
            rows.append(
                [
                    place.title,
                    f"`{place.model}`",
                    *cells,
                    place.place,
                    number(place.training_flops and place.training_flops / 1e12, 2),
                ]
            )
    return header, rows


def _differences(found: Found) -> Table:
    """The first model beside every other, label by label."""
    rows = [
        [
            f"{one.corpus}: {one.label}",
            one.probe,
            title_of(one.a),
            title_of(one.b),
            signed(one.score.mean, one.score.low, one.score.high, 3),
        ]
        for one in found.differences
    ]
    return ["label", "probe", "model", "against", "difference"], rows


def _places(found: Found) -> Table:
    header = ["label", "model", "place", "probe", "width", "validation", "test", "selected"]
    rows = [
        [
            place.title,
            f"`{place.model}`",
            place.place,
            place.probe,
            number(place.width or None),
            number(place.validation, 3),
            interval(place.score, 3),
            "yes" if place.selected else "–",
        ]
        for place in found.places
    ]
    return header, rows


def _provenance(result: Result, found: Found) -> list[str]:
    counts = "; ".join(
        f"{name}: " + ", ".join(f"{count} {split}" for split, count in of_split.items())
        for name, of_split in found.items.items()
    )
    run = [f"Models of the run {found.run}."] if found.run else []
    return [f"Items: {counts}.", *run, *environment_lines(result.environment, result.seeds)]


def _labels(found: Found) -> list[tuple[str, str]]:
    return list(dict.fromkeys((place.corpus, place.label) for place in found.places))
