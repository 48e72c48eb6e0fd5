"""The questions that a run was declared to answer, answered in words from its result."""

from benchmarks.measure.intervals import FEW_SOURCES
from benchmarks.record.contrasts import Answer
from benchmarks.record.metrics import OVER_ERROR, RANK
from benchmarks.record.results import TRAINED_BEFORE, Model, Result, Row, Verdict
from benchmarks.record.selection_metric import quality_of
from benchmarks.reporting.tables import (
    Condition,
    Table,
    difference_text,
    interval,
    ranked,
    scope,
    selected_row,
)

READING = (
    "Answers are of the contrasts that were declared before the run. Their intervals hold at once "
    "with 95 % for all contrasts under one condition; better and worse stand where the p-value "
    "after Holm's correction for these contrasts is below 0.05; the same {margin} stands where the "
    "interval lies within that margin; all else is undecided. Everything else is shown without a "
    "verdict, each difference with the 95 % interval of itself alone."
)


def answers(result: Result, where: str, condition: Condition) -> list[str]:
    """The answers to the declared questions under a condition, and what the energies know.

    `where` names the condition in the sentences. With one training seed they speak of these trained
    models only.
    """
    said = scope(result, where)
    sentences = [
        f"{said}: {verdict_sentence(result, verdict)}"
        for verdict in result.verdicts
        if verdict.compared.condition == condition
    ]
    before = [model.name for model in result.models if TRAINED_BEFORE in model.traits]
    if before:
        sentences.append(f"{said}: trained before, elsewhere: {', '.join(before)}.")
    judged = [(model, selected_row(model, condition)) for model in result.models]
    known = [_known(m, row) for m, row in judged if row and OVER_ERROR in row.metrics]
    if known:
        sentences.append(
            f"{said}: does the energy know the error? Mean energy over mean error, and "
            f"their rank correlation across samples: {'; '.join(known)}."
        )
    return sentences


def verdict_sentence(result: Result, verdict: Verdict) -> str:
    """The question of a declared contrast and its answer."""
    quality, found = quality_of(result), verdict.compared
    one_model = found.a == found.b
    a = f"{found.a}, {found.a_setting.label}," if one_model else found.a
    b = found.b_setting.label if one_model else found.b
    answer = verdict.answer.capitalize()
    if verdict.answer == Answer.SAME:
        answer = f"The same {quality.within_margin()}"
    return f"{verdict.question} {answer}: {a} against {b}, {difference_text(found)}{quality.unit}."


def verdict_table(result: Result, conditions: list[tuple[str, Condition]]) -> Table:
    """A row for each declared contrast, a column for each condition."""
    questions = {(v.question, v.compared.a, v.compared.b): v.question for v in result.verdicts}
    rows = []
    for key, question in questions.items():
        cells = []
        for _, condition in conditions:
            found = next(
                (
                    v
                    for v in result.verdicts
                    if v.compared.condition == condition
                    and (v.question, v.compared.a, v.compared.b) == key
                ),
                None,
            )
            cells.append(f"{found.answer}: {difference_text(found.compared)}" if found else "–")
        rows.append([question, f"`{key[1]}`", f"`{key[2]}`", *cells])
    return ["question", "model", "against", *(title for title, _ in conditions)], rows


def reading(result: Result) -> str:
    """How to read verdicts and differences."""
    return READING.format(margin=quality_of(result).within_margin())


def few_sources(counts: dict[str, int], what: str) -> list[str]:
    """A warning for each set of very few videos or images, by name, on which models are judged."""
    return [
        f"Only {count} {what if count > 1 else what.removesuffix('s')} in {name}: "
        + ("no interval can be given." if count == 1 else "intervals are wide and rough.")
        for name, count in counts.items()
        if count < FEW_SOURCES
    ]


def best_floor(result: Result, condition: Condition) -> str | None:
    """Which trained models have a mean above that of every floor; None without floors."""
    quality, best = quality_of(result), ranked(result, condition)
    floors = [(model.name, quality.of(row)) for model, row in best if model.training is None]
    trained: list[tuple[Model, Row]] = [(m, row) for m, row in best if m.training]
    if not floors or not trained:
        return None
    name, floor = floors[0]
    failing = [m.name for m, row in trained if quality.best([quality.of(row), floor]) == floor]
    said = f"the best floor is {name} with {quality.text(floor)}; "
    if failing:
        return said + f"not above it in the mean: {', '.join(failing)}"
    return said + "the mean of every trained model is better"


def _known(model: Model, row: Row) -> str:
    said = f"{model.name} {interval(row.metrics[OVER_ERROR], 2)}"
    rank = row.metrics.get(RANK)
    return said if rank is None else f"{said} and {interval(rank, 2)}"
