"""The questions that a comparison is run for, answered in words from its result."""

from benchmarks.checkpoints import TRAINED_BEFORE
from benchmarks.models import Equal, Role
from benchmarks.reporting.quality import quality_of
from benchmarks.reporting.results import Comparison, Model, Result, Row
from benchmarks.reporting.tables import (
    Condition,
    difference_text,
    find_comparison,
    interval,
    ranked,
    rows_under,
    scope,
)


def answers(result: Result, where: str, condition: Condition) -> list[str]:
    """Who wins at equal cost, whether the energy is needed, and whether thinking helps.

    The first model is the one in question. `where` names the condition in the sentences. With one
    training seed they speak of these trained models only.
    """
    first = result.models[0]
    found = {model.name: (model, row) for model, row in ranked(result, condition)}
    if first.name not in found:
        return []
    where, unit = scope(result, where), quality_of(result).unit
    networks = [entry for entry in found.values() if entry[0].role == Role.NETWORK]
    sentences = []
    before = [entry for entry in found.values() if TRAINED_BEFORE in entry[0].traits]
    alike = {f"at equal {s}": [e for e in networks if s in e[0].equal] for s in Equal}
    if TRAINED_BEFORE in first.traits:
        alike = {"trained before, beside the others": networks}
    elif before:
        alike["beside models that were trained before"] = before
    for how, entries in alike.items():
        rivals = [entry for entry in entries if entry[0] is not first]
        if rivals:
            said = _outcome(result, found[first.name], rivals, condition)
            sentences.append(f"{where}, {how}: {said}")
    for model, _ in found.values():
        if model.role == Role.ENERGY and model.name == f"{first.name}_blind":
            compared = find_comparison(result, first.name, model.name, condition)
            if compared is not None:
                sentences.append(f"{where}, does the energy matter? {_needed(compared, unit)}")
    if first.role == Role.ENERGY:
        sentences.append(f"{where}, does thinking help? {_thinking(result, first, condition)}")
    honest = [_honesty(model, row) for model, row in found.values() if "calibration" in row.metrics]
    if honest:
        sentences.append(
            f"{where}, does the energy know the error? Mean energy over mean error (1 is honest), "
            f"and their rank correlation across samples: {'; '.join(honest)}."
        )
    return sentences


def _outcome(
    result: Result, first: tuple[Model, Row], rivals: list[tuple[Model, Row]], condition: Condition
) -> str:
    """Who is best, and how the first model does against each rival."""
    name = first[0].name
    quality = quality_of(result)
    best, row = min([first, *rivals], key=lambda entry: quality.rank(entry[1]))
    outcomes: dict[str, list[str]] = {
        "loses to": [],
        "beats": [],
        "does not surely differ from": [],
    }
    for model, _ in rivals:
        compared = find_comparison(result, name, model.name, condition)
        if compared is None:
            continue
        said = f"{model.name} ({difference_text(compared)}{quality.unit})"
        verb = "does not surely differ from"
        if compared.better is not None:
            verb = "beats" if compared.better == name else "loses to"
        outcomes[verb].append(said)
    spoken = "; ".join(f"{verb} {', '.join(said)}" for verb, said in outcomes.items() if said)
    end = "Highest" if quality.higher else "Lowest"
    return f"{name} {spoken}. {end} is {best.name} with {quality.text(quality.of(row))}."


def _needed(compared: Comparison, unit: str) -> str:
    text = f"{compared.a} against {compared.b}, which does not see its candidate: "
    text += f"{difference_text(compared)}{unit}"
    if compared.better is None:
        return f"Not surely: {text}."
    return f"{'Yes' if compared.better == compared.a else 'No, it harms'}: {text}."


def _honesty(model: Model, row: Row) -> str:
    said = f"{model.name} {interval(row.metrics['calibration'], 2)}"
    rank = row.metrics.get("error_rank")
    return said if rank is None else f"{said} and {interval(rank, 2)}"


def _thinking(result: Result, first: Model, condition: Condition) -> str:
    """The selected number of steps against a single one."""
    quality = quality_of(result)
    rows = [row for row in rows_under(first, condition) if not row.setting.fixed]
    selected = next(row for row in rows if row.selected)
    one = rows[0]
    if selected.setting == one.setting:
        tried = ", ".join(row.setting.label for row in rows)
        return f"No: of {tried}, validation selects {one.setting.label}."
    settings = (selected.setting, one.setting)
    compared = next(
        (
            c
            for c in result.comparisons
            if (c.a, c.b, c.condition) == (first.name, first.name, condition)
            and (c.a_setting, c.b_setting) == settings
        ),
        None,
    )
    said = f"{selected.setting.label} against {one.setting.label}"
    if compared is None:
        gain = quality.of(selected) - quality.of(one)
        return f"{said}: {'+' * (gain >= 0)}{quality.text(gain)}, not compared in pairs."
    helps = (compared.difference > 0) == quality.higher
    yes = "Not surely" if compared.better is None else "Yes" if helps else "No"
    return f"{yes}: {said}, {difference_text(compared)}{quality.unit}."
