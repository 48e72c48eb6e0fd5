"""Compare the models of several runs: in pairs where data are the same, and saying where not."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.config import JSON
from benchmarks.measure.intervals import Interval, difference, mean
from benchmarks.measure.scores import metric
from benchmarks.measure.verdicts import not_told_apart
from benchmarks.record.results import (
    TRAINED_BEFORE,
    TRAINED_ELSEWHERE,
    Metric,
    Model,
    Result,
    read_result,
)
from benchmarks.record.selection_metric import Quality, quality_of
from benchmarks.reporting.best_marks import MARKED, mark_best
from benchmarks.reporting.report import Part, Report, Section, bullets
from benchmarks.reporting.tables import (
    IDENTIFIER,
    SUMMARY_HEADER,
    Table,
    interval,
    selected_row,
    signed,
    summary_cells,
)
from benchmarks.reporting.values import read_values, selected_values
from benchmarks.tasks.registry import load_task
from benchmarks.training.fit import OTHER_OPTIONS
from data_prep.errors import InputError
from data_prep.shards.plan import digest

TITLES = {"psnr": "PSNR dB", "ssim": "SSIM", "smooth_l1": "Smooth-L1"}
DIGITS = {"psnr": 2, "ssim": 3, "smooth_l1": 4}
IN_EMBEDDINGS = ("smooth_l1", "mse")


@dataclass(frozen=True)
class Run:
    """A finished run with its values `[seeds, sources]`, by place, model and metric."""

    name: str
    result: Result
    values: dict[str, np.ndarray]


@dataclass(frozen=True)
class Entry:
    """A model of one run, or of several runs that differ in their seeds alone.

    `of_runs` are the seeds that each run adds.
    """

    name: str
    runs: list[Run]
    of_runs: list[list[int]]
    model: Model

    @property
    def seeds(self) -> list[int]:
        """All training seeds."""
        return [seed for seeds in self.of_runs for seed in seeds]

    def values(self, place: str, metric: str) -> np.ndarray | None:
        """Values `[seeds, sources]` at a place; None where the model was not judged there."""
        parts = [
            selected_values(run.result, run.values, place, self.model.name, metric)
            for run in self.runs
        ]
        known = [part for part in parts if part is not None]
        if len(known) < len(parts):
            return None
        if self.model.training is None:
            return known[0]
        return np.concatenate(
            [
                part[[run.result.seeds.index(seed) for seed in seeds]]
                for part, run, seeds in zip(known, self.runs, self.of_runs, strict=True)
            ]
        )

    def identity(self, place: str) -> str | None:
        """What was judged at a place."""
        found = self.runs[0].result.data["places"].get(place)
        return str(found["identity"]) if found else None


def compare_runs(folders: Sequence[Path], out: Path) -> Report:
    """The models of all runs side by side, each against the first model of the first run.

    Tasks may have a comparison of their own; its figures are drawn into `out`.

    Raises:
        InputError: a folder holds no run, one of another task, or one without values.
    """
    given = [(n, f, read_result(f)) for n, f in zip(_names(folders), folders, strict=True)]
    tasks = {" of ".join(filter(None, (r.task, r.domain))) for _, _, r in given}
    if len(tasks) > 1:
        raise InputError(f"--compare: runs of different tasks ({', '.join(sorted(tasks))})")
    first = given[0][2]
    own = load_task(first.task, first.domain).compare(given, out)
    if own is not None:
        return own
    runs = [Run(name, result, read_values(folder, result)) for name, folder, result in given]
    entries, warnings = _entries(runs)
    warnings += _differences(runs)
    places = list(dict.fromkeys(p for run in runs for p in run.result.data["places"]))
    tables = [(place, _table(place, entries, warnings)) for place in places]
    title = TITLES[quality_of(runs[0].result).metric]
    said = [*dict.fromkeys(warnings), _READING.format(title, entries[0].name), MARKED]
    (first_place, first_table), *others = tables
    opening: list[Part] = [f"**{_capital(first_place)}**", first_table, bullets(said)]
    sections = [
        *(Section(_capital(place), [table]) for place, table in others),
        Section("Runs", [_runs(runs)]),
    ]
    brief = Section(_capital(first_place), [_brief(first_table)])
    return Report(f"Comparison of {len(runs)} runs", opening, sections, brief)


_READING = (
    "Models stand at the setting that validation selects in their own run. Δ is the paired "
    "difference in {} to {}, over the same videos or images and the same training seeds, with the "
    "95 % interval of itself alone."
)


def _names(folders: Sequence[Path]) -> list[str]:
    """The names of folders, with those of their parents where they would be alike."""
    names = [folder.resolve().name for folder in folders]
    if len(set(names)) < len(names):
        names = ["/".join(folder.resolve().parts[-2:]) for folder in folders]
    return names


def _entries(runs: Sequence[Run]) -> tuple[list[Entry], list[str]]:
    """All models; runs of the same model that differ in their seeds alone are pooled."""
    found: dict[str, Entry] = {}
    warnings = []
    for run in runs:
        for model in run.result.models:
            key = _plan(run.result, model)
            before = TRAINED_BEFORE in model.traits or TRAINED_ELSEWHERE in model.traits
            if before:  # what it is, the result does not say
                key = f"{run.name}: {model.name}"
            entry = found.get(key)
            if entry is None:
                name = f"{run.name}: {model.title}"
                found[key] = Entry(name, [run], [run.result.seeds], model)
                continue
            if model.training is None:
                continue
            again = sorted(set(entry.seeds) & set(run.result.seeds))
            if again:
                warnings.append(
                    f"{run.name}: {model.title} was trained with seed "
                    f"{', '.join(map(str, again))} in {entry.runs[0].name} already; these "
                    "trainings count once"
                )
            fresh = [seed for seed in run.result.seeds if seed not in again]
            if fresh:
                pooled = [*entry.runs, run]
                name = f"{' + '.join(r.name for r in pooled)}: {model.title}"
                found[key] = Entry(name, pooled, [*entry.of_runs, fresh], entry.model)
    entries = list(found.values())
    names = [entry.model.name for entry in entries]
    return [
        replace(entry, name=entry.model.title) if names.count(entry.model.name) == 1 else entry
        for entry in entries
    ], warnings


def _plan(result: Result, model: Model) -> str:
    """What decides a model but its seed, and on what it was judged: the same, the same name."""
    config: JSON = result.config
    training = {n: v for n, v in config["training"].items() if n not in OTHER_OPTIONS}
    section = config["sections"].get(model.name)
    decided: object = model.name
    if model.training is not None:
        # Sizes and steps that are made equal depend on another model.
        equal = [model.parameters, model.training.steps, model.training.flops]
        decided = [model.name, section, config["backbone"], training, equal]
    settings = [
        [row.setting.label, row.condition] for row in model.rows if row.selected
    ]  # what validation selected may differ
    places = {name: place["identity"] for name, place in result.data["places"].items()}
    return digest(decided, settings, places, result.data["encoder"])


def _differences(runs: Sequence[Run]) -> list[str]:
    """Warnings of what differs between runs and the first one."""
    first, warnings = runs[0], []
    for run in runs[1:]:
        if run.result.data["encoder"] != first.result.data["encoder"]:
            warnings.append(
                f"{run.name} has another encoder than {first.name}: errors in embeddings are left "
                "out there"
            )
        commits = [r.result.environment.get("commit") for r in (first, run)]
        if commits[0] != commits[1]:
            warnings.append(
                f"{run.name} was made by commit {str(commits[1])[:7]}, {first.name} by "
                f"{str(commits[0])[:7]}"
            )
    return warnings


def _table(place: str, entries: Sequence[Entry], warnings: list[str]) -> Table:
    """Every model that was judged at a place, best first; adds to the warnings."""
    quality = quality_of(entries[0].runs[0].result)
    first = entries[0]
    judged = [entry for entry in entries if entry.values(place, quality.metric) is not None]
    paired: dict[str, Interval] = {}
    for entry in judged:
        if entry is first:
            continue
        if entry.identity(place) != first.identity(place):
            warnings.append(
                f"{place}: {entry.name} was judged on other data than {first.name}: no difference"
            )
            continue
        if quality.metric in IN_EMBEDDINGS and _encoder(entry) != _encoder(first):
            continue
        pair = _paired(entry, first, place, quality.metric, warnings)
        if pair is not None:
            paired[entry.name] = pair
    metrics = [metric for metric in TITLES if first.values(place, metric) is not None]
    header = ["model", "seeds", *(TITLES[m] for m in metrics), "Δ", "setting"]
    header += [*SUMMARY_HEADER, IDENTIFIER]
    order = sorted(judged, key=lambda e: _rank(e, place, quality))
    columns = []
    for name in metrics:
        of_column = _best_marked(order, [_shown(e, first, place, name) for e in order], place, name)
        columns.append(mark_best([interval(m, DIGITS[name]) for m in of_column], of_column))
    rows = []
    for entry, *shown in zip(order, *columns, strict=True):
        trained = entry.model.training and TRAINED_BEFORE not in entry.model.traits
        cells = [entry.name, ", ".join(map(str, entry.seeds)) if trained else "–"]
        cells += shown
        delta = paired.get(entry.name)
        cells.append(signed(delta.mean, delta.low, delta.high, quality.digits) if delta else "–")
        condition = entry.runs[0].result.data["places"][place]["condition"]
        row = selected_row(entry.model, condition)
        assert row is not None
        costs = summary_cells(entry.model, row)
        rows.append([*cells, row.setting.label, *costs, f"`{entry.model.name}`"])
    return header, rows


def _brief(table: Table) -> Table:
    """The columns that fit a terminal: the quality and its difference."""
    header, rows = table
    kept = [0, 1, 2, header.index("Δ"), header.index("equivalents")]
    return [header[i] for i in kept], [[row[i] for i in kept] for row in rows]


def _paired(
    entry: Entry, first: Entry, place: str, metric: str, warnings: list[str]
) -> Interval | None:
    """The difference over the training seeds that both have; means over seeds without any."""
    a, b = entry.values(place, metric), first.values(place, metric)
    if a is None or b is None:
        return None
    both = min(a.shape[1], b.shape[1])  # a smaller set is the first of the larger
    a, b = a[:, :both], b[:, :both]
    shared = [seed for seed in entry.seeds if seed in first.seeds]
    if not entry.model.training or not first.model.training:
        seeds = max(len(a), len(b))
        return difference(_grown(a, seeds), _grown(b, seeds))
    if not shared:
        warnings.append(
            f"{entry.name} and {first.name} share no training seed: their difference is that of "
            "means over seeds, its interval over videos or images alone"
        )
        return difference(a.mean(axis=0, keepdims=True), b.mean(axis=0, keepdims=True))
    return difference(
        a[[entry.seeds.index(seed) for seed in shared]],
        b[[first.seeds.index(seed) for seed in shared]],
    )


def _grown(values: np.ndarray, seeds: int) -> np.ndarray:
    return np.repeat(values, seeds, axis=0) if len(values) == 1 else values


def _rank(entry: Entry, place: str, quality: Quality) -> float:
    values = entry.values(place, quality.metric)
    assert values is not None
    return float(-values.mean() if quality.higher else values.mean())


def _encoder(entry: Entry) -> object:
    return entry.runs[0].result.data["encoder"]


def _best_marked(
    entries: Sequence[Entry], metrics: Sequence[Metric | None], place: str, name: str
) -> list[Metric | None]:
    """The metrics of a column; the best marked with all that pairs do not tell apart from it.

    Only entries that were judged on the same data as the first one take part.
    """
    same = [entry.identity(place) == entries[0].identity(place) for entry in entries]
    values = {
        entry.name: entry.values(place, name)
        for entry, alike, found in zip(entries, same, metrics, strict=True)
        if alike and found is not None
    }
    known = _alike({key: of for key, of in values.items() if of is not None})
    higher = name not in IN_EMBEDDINGS
    best = not_told_apart(known, higher) if len(known) > 1 else []
    return [
        found and replace(found, best=entry.name in best)
        for entry, found in zip(entries, metrics, strict=True)
    ]


def _alike(values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Values `[seeds, sources]` with as many seeds each: a floor's one stands beside each.

    Where entries have other numbers of seeds, means over the seeds stand for them.
    """
    seeds = {len(of) for of in values.values()} - {1}
    if len(seeds) > 1:
        return {key: of.mean(axis=0, keepdims=True) for key, of in values.items()}
    return {key: _grown(of, max(seeds, default=1)) for key, of in values.items()}


def _shown(entry: Entry, first: Entry, place: str, name: str) -> Metric | None:
    """A metric of an entry; errors in embeddings only of the first one's encoder."""
    other = name in IN_EMBEDDINGS and _encoder(entry) != _encoder(first)
    values = None if other else entry.values(place, name)
    return None if values is None else metric(name, mean(values))


def _runs(runs: Sequence[Run]) -> Table:
    header = ["run", "command", "commit", "seeds", "corpus", "encoder"]
    rows = []
    for run in runs:
        result = run.result
        rows.append(
            [
                run.name,
                f"`{result.environment.get('command', '')}`",
                str(result.environment.get("commit"))[:7],
                ", ".join(map(str, result.seeds)),
                str(result.data["corpus"]),
                str(result.data["encoder"]["name"]),
            ]
        )
    return header, rows


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
