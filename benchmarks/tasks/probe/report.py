"""The report of probes: what features know, in words and tables."""

from pathlib import Path

from benchmarks.record.results import Metric, Result
from benchmarks.reporting.best_marks import mark_best
from benchmarks.reporting.page import Report, Section, bullets
from benchmarks.reporting.tables import Table, environment_lines, interval, number, seeds_text
from benchmarks.tasks.probe.result import ATTENTIVE, LINEAR, Difference, Found, ProbedPlace

WAYS = (
    "A linear probe is logistic regression for classes and ridge regression for numbers, on the "
    "standardised mean over all tokens; an attentive probe is one learned query over the tokens "
    "and a linear layer. Networks stay frozen. Validation selects the place in the network, for "
    "images the noise, and the regularisation; attentive probes see the place that the linear "
    "ones selected. `embeddings` are what the frozen encoder gives, `untrained` is a network "
    "with fresh weights, `constant` says the commonest class or the mean."
)


def make_report(folder: Path, result: Result) -> Report:
    """The report of a result."""
    found = result.found(Found)
    sentences = verdicts(result, found)
    summary = headline(result)
    sections = [
        Section("What holds", [bullets(sentences)]),
        Section("Probes", [WAYS, summary]),
        Section("Every place", [_places(found)]),
        Section("How this was made", [bullets(_provenance(result, found))]),
    ]
    return Report("Probes", sections, [], [Section("Probes", [summary])], sentences)


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
                    _title(place),
                    f"`{place.model}`",
                    *cells,
                    place.place,
                    number(place.training_flops and place.training_flops / 1e12, 2),
                ]
            )
    return header, rows


def verdicts(result: Result, found: Found) -> list[str]:
    """The first model beside every other, label by label."""
    sentences = []
    for corpus, label in _labels(found):
        for probe in (LINEAR, ATTENTIVE):
            own = [
                d
                for d in found.differences
                if (d.corpus, d.label, d.probe) == (corpus, label, probe)
            ]
            if own:
                sentences.append(_sentence(found, own))
    sentences.append(
        "Scores are top-1 accuracy for classes and R² for numbers, with 95 % intervals over test "
        f"sources; they rest on {seeds_text(result)}. No contrast was declared for probes, so "
        "there are no verdicts: each interval is that of its difference alone."
    )
    return sentences


def _sentence(found: Found, own: list[Difference]) -> str:
    first = own[0]
    said = "; ".join(f"{one.b} {_signed(one.score)}" for one in own)
    place = next(
        p
        for p in found.places
        if (p.corpus, p.label, p.probe, p.model)
        == (first.corpus, first.label, first.probe, first.a)
        and p.selected
    )
    kind = "R²" if place.classes is None else "accuracy"
    return (
        f"{_title(place)}, {first.probe} probe: {first.a} has {kind} {place.score.mean:.3f}. Its "
        f"difference to each other: {said}."
    )


def _signed(score: Metric) -> str:
    """A difference with its interval, where it has one."""
    if score.low is None or score.high is None:
        return f"{score.mean:+.3f}"
    return f"{score.mean:+.3f} [{score.low:+.3f}, {score.high:+.3f}]"


def _places(found: Found) -> Table:
    header = ["label", "model", "place", "probe", "width", "validation", "test", "selected"]
    rows = [
        [
            _title(place),
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


def _title(place: ProbedPlace) -> str:
    classes = f" ({place.classes} classes)" if place.classes else ""
    return f"{place.corpus}: {place.label}{classes}"
