"""Search of learning rates and forms on validation: the same number of trials for all models."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from benchmarks.config import ComparisonConfig
from benchmarks.models import Options, RunData
from benchmarks.tasks.contract import Task
from benchmarks.training.fit import train_model
from data_prep.shards.storage import atomic_file, write_json


def search(
    task: Task[Any, Any],
    config: ComparisonConfig,
    data: RunData,
    out: Path,
    device: str,
    console: Console,
) -> None:
    """Train every trial, print the ranking, and write `search.json` and `search.yaml`.

    The validation loss at the last step decides; a trial that diverges counts as infinitely bad.
    `search.yaml` can be given to `--config` or copied into a preset.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for spec in task.declared:
        if not spec.trials or spec.name not in config.models:
            continue
        outcomes = []
        for index, trial in enumerate(spec.trials):
            said = f"{spec.name}, trial {index + 1} of {len(spec.trials)}: {trial}"
            console.print(said, highlight=False)
            folder = out / "search" / f"{spec.name}-{index:02d}"
            loss = _validation_loss(task, spec.name, trial, config, data, folder, device)
            outcomes.append({"trial": trial, "validation_loss": loss})
        found[spec.name] = sorted(outcomes, key=lambda outcome: outcome["validation_loss"])
        console.print(_ranking(spec.name, found[spec.name]))
        write_json(out / "search.json", found)
    best = {name: outcomes[0]["trial"] for name, outcomes in found.items()}
    with atomic_file(out / "search.yaml") as file:
        file.write(yaml.safe_dump(best, sort_keys=False).encode())
    console.print(f"{out / 'search.yaml'}:\n{yaml.safe_dump(best, sort_keys=False)}")


def _validation_loss(
    task: Task[Any, Any],
    name: str,
    trial: Options,
    config: ComparisonConfig,
    data: RunData,
    folder: Path,
    device: str,
) -> float:
    # One validation, at the last step, decides.
    training = replace(config.training, validate_every=config.training.steps)
    changed = replace(config, models=[name], training=training)
    changed = changed.with_section(name, replace(config.sections[name], **trial))
    (planned,) = task.models(changed, data)
    try:
        _, record = train_model(planned, changed, data, folder, config.seeds[0], device)
    except FloatingPointError:
        return float("inf")
    return float(record.validation_loss)


def _ranking(name: str, outcomes: list[dict[str, Any]]) -> Table:
    table = Table(title=f"{name}: validation Smooth-L1 by trial", title_justify="left")
    for column in (*outcomes[0]["trial"], "validation_loss"):
        table.add_column(column)
    for outcome in outcomes:
        values = [str(value) for value in outcome["trial"].values()]
        table.add_row(*values, f"{outcome['validation_loss']:.4f}")
    return table
