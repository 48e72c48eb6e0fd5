"""The questions that a run was declared to answer, as a grid, and what a reader has to know."""

from collections.abc import Iterable, Mapping, Sequence

from benchmarks.measure.intervals import FEW_SOURCES
from benchmarks.record.contrasts import Answer
from benchmarks.record.model_names import title_of
from benchmarks.record.results import (
    TRAINED_BEFORE,
    TRAINED_ELSEWHERE,
    Comparison,
    Result,
    SettingRecord,
    Verdict,
)
from benchmarks.record.selection_metric import quality_of
from benchmarks.reporting.grid import Cell, Grid, Line
from benchmarks.reporting.report import Section
from benchmarks.reporting.tables import (
    Condition,
    Table,
    difference_text,
    number,
    ranked,
)

READING = (
    "Answers are of the contrasts that were declared before the run. Their intervals hold at once "
    "with 95 % for all contrasts under one condition; better and worse stand where the p-value "
    "after Holm's correction for these contrasts is below 0.05; the same {margin} stands where the "
    "interval lies within that margin; all else is undecided. Everything else is shown without a "
    "verdict, each difference with the 95 % interval of itself alone."
)
UNDECIDED = "Undecided does not mean equal, and nothing outside the grid is a verdict."
NO_CONTRAST = "No contrast was declared before this run, so nothing here is a verdict."
MOST_NAMED = 3  # models in a sentence
FLOOR = "floor"  # the role of a method that every model has to beat


def verdict_grid(
    result: Result, conditions: Sequence[tuple[str, Condition]], details: Mapping[str, str]
) -> list[str | Grid]:
    """A line for each declared contrast, a column for each condition, or that there was none.

    `details` names the section that says more of a condition, by its title.
    """
    if not result.verdicts:
        return [NO_CONTRAST]
    lines = []
    for verdicts in _by_contrast(result.verdicts):
        cells = []
        for title, condition in conditions:
            found = next((v for v in verdicts if v.compared.condition == condition), None)
            cells.append(_cell(result, found, details[title]) if found else Cell("–"))
        first = verdicts[0]
        lines.append(Line(first.question, " against ".join(_sides(first.compared)), cells))
    return [Grid(["declared question", *(title for title, _ in conditions)], lines)]


def document_grid(result: Result, conditions: Sequence[tuple[str, Condition]]) -> Table:
    """The same for a document."""
    (grid,) = verdict_grid(result, conditions, {title: "" for title, _ in conditions})
    return ([grid], []) if isinstance(grid, str) else grid.table()


def contrasted_models(result: Result, *others: str) -> set[str] | None:
    """The names of the models that a run contrasts, and others; None where it contrasts none."""
    found = {name for v in result.verdicts for name in (v.compared.a, v.compared.b)}
    return found | {*others} if found else None


def verdict_sections(result: Result, conditions: Sequence[tuple[str, Condition]]) -> list[Section]:
    """How to read verdicts, and each with its models, settings and p-value; nothing without."""
    if not result.verdicts:
        return []
    reading = READING.format(margin=quality_of(result).within_margin())
    return [Section("Declared contrasts", [reading, _table(result, conditions)])]


def _table(result: Result, conditions: Sequence[tuple[str, Condition]]) -> Table:
    titles = {tuple(condition.items()): title for title, condition in conditions}
    rows = []
    for verdicts in _by_contrast(result.verdicts):
        for one in verdicts:
            found = one.compared
            rows.append(
                [
                    one.question,
                    titles.get(tuple(found.condition.items()), "–"),
                    f"{one.answer}: {difference_text(found)}",
                    number(one.p, 3),
                    f"`{found.a}`, {found.a_setting.label}",
                    f"`{found.b}`, {found.b_setting.label}",
                ]
            )
    return ["question", "under", "answer", "p (Holm)", "model", "against"], rows


def what_to_know(
    result: Result, where: Condition, trained_on: str, judged_on: Mapping[str, int], what: str
) -> list[str]:
    """One short sentence each: what was trained, on what, how many seeds, what not to conclude.

    `judged_on` are numbers of test sources, `what` is what they are called; `where` is the
    condition under which floors are named.
    """
    before = [model.title for model in result.models if TRAINED_BEFORE in model.traits]
    steps = sorted(
        model.training.steps
        for model in result.models
        if model.training and TRAINED_BEFORE not in model.traits
    )
    counts = " and ".join(f"{count} {what} of {name}" for name, count in judged_on.items())
    sentences = []
    if steps:
        ends = " to ".join(f"{end:,}" for end in dict.fromkeys((steps[0], steps[-1])))
        sentences.append(f"Trained: {len(steps)} models, each for {ends} optimiser steps.")
    if before:
        sentences.append(f"Trained before, elsewhere: {'; '.join(before)}.")
    sentences.append(f"On: {trained_on}; judged on {counts}.")
    seeds = len(result.seeds)
    if seeds > 1:
        sentences.append(f"Seeds: {seeds}; intervals are over training seeds and {what}.")
    else:
        sentences.append(
            "Seeds: one, so intervals are over "
            f"{what} and speak of these trained models, not of the methods."
        )
    floor = _below_floors(result, where)
    sentences += [*few_sources(judged_on, what), *([UNDECIDED] if result.verdicts else [])]
    return [*sentences, *([floor] if floor else [])]


def few_sources(counts: Mapping[str, int], what: str) -> list[str]:
    """A warning for each set of very few videos or images, by name, on which models are judged."""
    return [
        f"Only {count} {what if count > 1 else what.removesuffix('s')} in {name}: "
        + ("no interval can be given." if count == 1 else "intervals are wide and rough.")
        for name, count in counts.items()
        if count < FEW_SOURCES
    ]


def _below_floors(result: Result, condition: Condition) -> str | None:
    """Which trained models have no mean above that of every floor; None where all have."""
    quality, best = quality_of(result), ranked(result, condition)
    floors = [
        (model, quality.of(row))
        for model, row in best
        if model.role == FLOOR and TRAINED_ELSEWHERE not in model.traits
    ]
    if not floors:
        return None
    model, floor = floors[0]
    failing = [
        m.title for m, row in best if m.training and quality.best([quality.of(row), floor]) == floor
    ]
    if not failing:
        return None
    named = "; ".join(failing) if len(failing) <= MOST_NAMED else f"{len(failing)} trained models"
    return f"Not above the best floor, {model.title} with {quality.text(floor)}: {named}."


def _by_contrast(verdicts: Iterable[Verdict]) -> list[list[Verdict]]:
    """The verdicts of each contrast, in the order of the contrasts."""
    found: dict[tuple[str, str, str], list[Verdict]] = {}
    for one in verdicts:
        found.setdefault((one.question, one.compared.a, one.compared.b), []).append(one)
    return list(found.values())


def _cell(result: Result, verdict: Verdict, details: str) -> Cell:
    quality, answer = quality_of(result), Answer(verdict.answer)
    said = f"the same {quality.within_margin()}" if answer == Answer.SAME else str(answer)
    return Cell(said, difference_text(verdict.compared) + quality.unit, answer, details=details)


def _sides(found: Comparison) -> tuple[str, str]:
    """What is compared with what, for readers."""
    if found.a == found.b:  # with its own cheapest setting
        return f"{title_of(found.a)}, {found.a_setting.label}", found.b_setting.label
    return _named(found.a, found.a_setting), _named(found.b, found.b_setting)


def _named(model: str, setting: SettingRecord) -> str:
    """A model for readers, with how it is run where that is fixed beforehand."""
    how = f", {setting.label.removeprefix('published, ')}" if setting.fixed else ""
    return title_of(model) + how
