"""Probe every model, floor, place and label, and compare them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from benchmarks.domains.labels import Items, Label
from benchmarks.measure.intervals import Interval, difference, mean, skill
from benchmarks.measure.scores import mean_by_source, metric
from benchmarks.measure.verdicts import not_told_apart
from benchmarks.progress import tracked
from benchmarks.tasks.probe.config import ProbeConfig
from benchmarks.tasks.probe.features import Features, RawEmbeddings, Views, pooled, read_features
from benchmarks.tasks.probe.probes import (
    Probed,
    attentive_probe,
    constant_probe,
    correct,
    linear_probe,
)
from benchmarks.tasks.probe.result import (
    ATTENTIVE,
    CONSTANT,
    LINEAR,
    RAW,
    UNTRAINED,
    Difference,
    ProbedPlace,
)
from benchmarks.training.fit import TrainedModel
from worldmodel.predictor import Predictor


@dataclass(frozen=True)
class Probing:
    """A model or a floor, one predictor for each training seed, and what its rows say of it."""

    name: str
    models: Sequence[Predictor | RawEmbeddings]
    training_flops: int | None = None
    equal: tuple[str, ...] = ()


@dataclass(frozen=True)
class Probe:
    """A probed place with its scores by source: errors of numbers, or whether classes are right."""

    place: ProbedPlace
    scores: np.ndarray  # [seeds, sources], higher is better
    reference: np.ndarray | None  # squared deviations [1, sources] of a number


def probings(models: Sequence[TrainedModel], untrained: Sequence[Predictor]) -> list[Probing]:
    """The trained models and the floors."""
    found = [
        Probing(
            model.name,
            model.predictors,
            model.training.flops,
            tuple(str(shared) for shared in model.planned.spec.equal),
        )
        for model in models
        if model.training is not None and has_features(model.predictors[0])
    ]
    return [*found, Probing(UNTRAINED, untrained), Probing(RAW, [RawEmbeddings()])]


def has_features(predictor: Predictor) -> bool:
    """Whether a model says what its features are."""
    return type(predictor).features is not Predictor.features


def probe_all(
    probed: Sequence[Probing], items: Items, views: Views, config: ProbeConfig, device: str
) -> tuple[list[Probe], list[Difference]]:
    """Every probe of one corpus, and how the first model does against each other."""
    found: list[Probe] = []
    for probing in tracked(probed, f"probes, {items.name}"):
        found += _probe_model(probing, items, views, config, device)
    for label in items.labels:
        found.append(_constant(items, label))
    differences: list[Difference] = []
    for label in items.labels:
        differences += _compare(found, items.name, label, probed[0].name)
        found = _mark_best(found, label)
    return found, differences


def _probe_model(
    probing: Probing, items: Items, views: Views, config: ProbeConfig, device: str
) -> Iterator[Probe]:
    """Linear probes of all places, then attentive ones of the place that each label selects."""
    linear: dict[tuple[str, str], list[Probed]] = {}
    widths: dict[str, int] = {}
    for model in probing.models:
        for place, features in read_features(model, items, views, device):
            flat = pooled(features)
            widths[place] = features["train"].shape[-1]
            for label in items.labels:
                said = linear_probe(flat, label.values, label.classes, config.regularisations)
                linear.setdefault((label.name, place), []).append(said)
    selected: dict[str, str] = {}
    for label in items.labels:
        means = {place: _validation(linear[label.name, place]) for place in widths}
        selected[label.name] = max(means, key=lambda place: means[place])
        for place, width in widths.items():
            chosen = place == selected[label.name]
            of_place = linear[label.name, place]
            yield _judged(probing, items, label, place, LINEAR, width, chosen, of_place)
    if config.attentive_steps:
        attended = _attentive(probing, items, views, config, device, selected)
        for label, place, of_place in attended:
            width = widths[place]
            yield _judged(probing, items, label, place, ATTENTIVE, width, True, of_place)


def _attentive(
    probing: Probing,
    items: Items,
    views: Views,
    config: ProbeConfig,
    device: str,
    selected: Mapping[str, str],
) -> Iterator[tuple[Label, str, list[Probed]]]:
    """The attentive probes of each label at its selected place, one for each training seed."""
    found: dict[str, list[Probed]] = {label.name: [] for label in items.labels}
    for model in probing.models:
        for place, features in read_features(model, items, views, device):
            for label in items.labels:
                if selected[label.name] == place:
                    found[label.name].append(_attend(features, label, config, device))
    for label in items.labels:
        yield label, selected[label.name], found[label.name]


def _attend(features: Features, label: Label, config: ProbeConfig, device: str) -> Probed:
    return attentive_probe(
        {split: tokens.to(device) for split, tokens in features.items()},
        label.values,
        label.classes,
        config.attentive_steps,
        config.attentive_decays,
        config.seed,
    )


def _constant(items: Items, label: Label) -> Probe:
    said = [constant_probe(label.values, label.classes)]
    return _judged(Probing(CONSTANT, []), items, label, "–", LINEAR, 0, True, said)


def _judged(
    probing: Probing,
    items: Items,
    label: Label,
    place: str,
    probe: str,
    width: int,
    selected: bool,
    said: Sequence[Probed],
) -> Probe:
    """A probe with its score over sources and training seeds."""
    truth, sources = label.values["test"], items.sources["test"]
    reference, top5 = None, None
    if label.classes is None:
        errors = _by_source([(one.test - truth) ** 2 for one in said], sources)
        reference = _by_source([(truth - truth.mean()) ** 2], sources)
        interval = skill(errors, reference)
        scores = 1 - errors / max(float(reference.mean()), 1e-12)
        interval = interval or mean(scores)
    else:
        scores = _by_source([correct(one.test, truth) for one in said], sources)
        interval = mean(scores)
        if label.classes > 5:
            fifth = _by_source([correct(one.test, truth, 5) for one in said], sources)
            top5 = metric("top5", mean(fifth))
    found = ProbedPlace(
        corpus=items.name,
        label=label.name,
        classes=label.classes,
        model=probing.name,
        place=place,
        probe=probe,
        selected=selected,
        validation=_validation(said),
        score=metric("score", _at_most_one(interval)),
        top5=top5,
        width=width,
        training_flops=probing.training_flops,
        equal=list(probing.equal),
    )
    return Probe(found, scores, reference)


def _at_most_one(interval: Interval) -> Interval:
    """The interval of a share or an R², which ends at 1."""
    return interval if interval.high is None else replace(interval, high=min(interval.high, 1.0))


def _compare(probes: Sequence[Probe], corpus: str, label: Label, first: str) -> list[Difference]:
    """The first model against every other, at selected places."""
    found = []
    for kind in (LINEAR, ATTENTIVE):
        own = _selected(probes, label, kind)
        for name, other in own.items():
            if first in own and name != first:
                paired = difference(*_same_seeds(own[first].scores, other.scores))
                found.append(
                    Difference(corpus, label.name, kind, first, name, metric("score", paired))
                )
    return found


def _mark_best(probes: list[Probe], label: Label) -> list[Probe]:
    """The probes; of a label the best at selected places is marked, with all not told apart."""
    best = set()
    for kind in (LINEAR, ATTENTIVE):
        own = _selected(probes, label, kind)
        seeds = max((len(probe.scores) for probe in own.values()), default=1)
        values = {n: np.resize(p.scores, (seeds, p.scores.shape[1])) for n, p in own.items()}
        best |= {(name, kind) for name in (not_told_apart(values, True) if values else [])}
    return [
        replace(probe, place=replace(place, score=replace(place.score, best=True)))
        if (place := probe.place).selected
        and place.label == label.name
        and (place.model, place.probe) in best
        else probe
        for probe in probes
    ]


def _selected(probes: Sequence[Probe], label: Label, kind: str) -> dict[str, Probe]:
    """The probes of a label at selected places, by model."""
    return {
        p.place.model: p
        for p in probes
        if (p.place.label, p.place.probe) == (label.name, kind) and p.place.selected
    }


def _same_seeds(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores of as many seeds: a floor has one only, which stands beside each."""
    seeds = max(len(a), len(b))
    grown = [np.repeat(x, seeds, axis=0) if len(x) == 1 else x for x in (a, b)]
    return grown[0], grown[1]


def _by_source(values: Sequence[np.ndarray], sources: list[str]) -> np.ndarray:
    """Means over the items of each source `[seeds, sources]`."""
    return np.stack([mean_by_source(torch.from_numpy(one), sources) for one in values])


def _validation(said: Sequence[Probed]) -> float:
    return float(np.mean([probed.validation for probed in said]))
