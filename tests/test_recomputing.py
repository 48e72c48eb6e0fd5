"""What a kept result says comes from the values that are kept beside it."""

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from benchmarks.cli.docs_tables import KEPT, kept_result, main
from benchmarks.cli.recomputing import Values, recomputed_faults
from benchmarks.domains.registry import load_domain
from benchmarks.record.contrasts import Answer
from benchmarks.record.results import Comparison, Result, Verdict
from benchmarks.tasks.scaling.result import Found
from benchmarks.tasks.scaling.task import Scaling

NAMES = sorted(path.stem for path in KEPT.glob("*.safetensors"))


def values_of(name: str) -> dict[str, np.ndarray]:
    found = safetensors.numpy.load_file(KEPT / f"{name}.safetensors")
    return {key: value.astype(np.float64) for key, value in found.items()}


@pytest.fixture(scope="module")
def kept() -> tuple[Result, dict[str, np.ndarray]]:
    """A result that has verdicts, energies and skill, with its values."""
    for name in NAMES:
        result, values = kept_result(name), values_of(name)
        skilled = any("skill" in row.metrics for model in result.models for row in model.rows)
        if skilled and result.verdicts and any(key.endswith("/energy") for key in values):
            return result, values
    raise AssertionError("no kept result has values, verdicts, energies and skill")


def faults(result: Result, values: Values) -> list[str]:
    return list(recomputed_faults(result, values))


def test_an_exponent_that_its_points_do_not_give_is_named() -> None:
    result = kept_result(next(path.stem for path in KEPT.glob("scaling_*.json")))
    sweep = Scaling(load_domain("video"))
    found = result.found(Found)
    assert list(sweep.contradictions(result)) == []
    exponent = replace(found.fits[0].exponent, mean=found.fits[0].exponent.mean + 0.01)
    fits = [replace(found.fits[0], exponent=exponent), *found.fits[1:]]
    (fault,) = sweep.contradictions(replace(result, details=replace(found, fits=fits)))
    assert f"{found.fits[0].model} {found.fits[0].axis}" in fault


def with_metric(result: Result, metric: str, **changes: Any) -> Result:
    """The result with a metric of its first model's first judged row changed."""
    places = [where["condition"] for where in result.data["places"].values()]
    model = result.models[0]
    rows = list(model.rows)
    index = next(
        i for i, row in enumerate(rows) if metric in row.metrics and row.condition in places
    )
    found = rows[index].metrics[metric]
    changed = replace(found, **{key: getattr(found, key) + by for key, by in changes.items()})
    rows[index] = replace(rows[index], metrics=rows[index].metrics | {metric: changed})
    return replace(result, models=[replace(model, rows=rows), *result.models[1:]])


@pytest.mark.parametrize("end", ["mean", "low", "high"])
@pytest.mark.parametrize(
    "metric", ["psnr", "energy_over_error", "error_rank", "sparsification_error", "skill"]
)
def test_a_changed_number_of_a_row_is_named(
    kept: tuple[Result, dict[str, np.ndarray]], metric: str, end: str
) -> None:
    result, values = kept
    (fault,) = faults(with_metric(result, metric, **{end: 0.01}), values)
    assert f"/{metric}: {end} is" in fault


@pytest.mark.parametrize("key", ["difference", "low", "high", "n"])
def test_a_changed_difference_is_named(
    kept: tuple[Result, dict[str, np.ndarray]], key: str
) -> None:
    result, values = kept
    first: Comparison = result.comparisons[0]
    changed = replace(first, **{key: getattr(first, key) + (1 if key == "n" else 0.01)})
    result = replace(result, comparisons=[changed, *result.comparisons[1:]])
    (fault,) = faults(result, values)
    assert fault.startswith(f"{first.a} - {first.b}")


def other_answer(said: Verdict) -> Verdict:
    return replace(said, answer=Answer.BETTER if said.answer != Answer.BETTER else Answer.SAME)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (other_answer, "is `.*`, its values give `"),
        (lambda said: replace(said, p=said.p * 1.1), "p is"),
        (lambda said: replace(said, margin=said.margin * 2), "margin is"),
        (
            lambda said: replace(said, compared=replace(said.compared, low=said.compared.low - 1)),
            "low is",
        ),
    ],
)
def test_a_changed_verdict_is_named(
    kept: tuple[Result, dict[str, np.ndarray]], change: Callable[[Verdict], Verdict], fault: str
) -> None:
    result, values = kept
    changed = replace(result, verdicts=[change(result.verdicts[0]), *result.verdicts[1:]])
    (found,) = faults(changed, values)
    assert re.search(fault, found)


def test_another_value_changes_all_that_rests_on_it(
    kept: tuple[Result, dict[str, np.ndarray]],
) -> None:
    result, values = kept
    said = result.verdicts[0].compared
    place = next(
        name
        for name, where in result.data["places"].items()
        if where["condition"] == said.condition
    )
    name = f"{place}/{said.a}/{said.a_setting.label}/{said.metric}"
    found = faults(result, values | {name: values[name] + 5})
    assert any(fault.startswith(name) for fault in found)
    assert any(fault.startswith(f"{said.a} - {said.b}") for fault in found)
    assert any("`, its values give `" in fault for fault in found)


def test_values_that_are_missing_are_named(kept: tuple[Result, dict[str, np.ndarray]]) -> None:
    result, values = kept
    without = {n: v for n, v in values.items() if f"/{result.verdicts[0].compared.b}/" not in n}
    found = faults(result, without)
    assert any("its values are not kept" in fault for fault in found)
    assert "none of its values belongs to a row" in faults(result, {})


def test_results_without_values_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for kind in ("json", "safetensors"):
        shutil.copy(KEPT / f"{NAMES[0]}.{kind}", tmp_path)
    shutil.copy(KEPT / f"{NAMES[0]}.json", tmp_path / "older.json")
    monkeypatch.setattr("benchmarks.cli.docs_tables.KEPT", tmp_path)
    monkeypatch.setattr("benchmarks.cli.docs_tables.DOCUMENTS", ())
    assert main(["check"]) == 0
    assert "kept without values, so taken as they are: older\n" in capsys.readouterr().out
