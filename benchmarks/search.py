"""Search of learning rates, forms and anchors on validation: the same number of trials for all."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from benchmarks.config import NextFrameConfig
from benchmarks.tasks.next_frame import model_specs, train_model
from benchmarks.tasks.next_frame_data import NextFrameData
from data_prep.shards import atomic_file, write_json

# 16 trials each: the EBT has five forms and anchors at three learning rates and one more for the
# published form; the transformers have two anchors at eight learning rates over the same range.
COARSE_RATES = (7e-3, 1.4e-2, 2.8e-2)
FINE_RATES = (3.5e-3, 5e-3, 7e-3, 1e-2, 1.4e-2, 2e-2, 2.8e-2, 4e-2)
FORMS = (
    ("residual", "zero"),
    ("residual", "last_frame"),
    ("quadratic", "zero"),
    ("quadratic", "last_frame"),
    ("linear", "zero"),  # the linear form has no anchor
)
TRANSFORMER_TRIALS: list[dict[str, Any]] = [
    {"anchor": anchor, "learning_rate": rate}
    for anchor, rate in product(("zero", "last_frame"), FINE_RATES)
]
TRIALS: Mapping[str, list[dict[str, Any]]] = {
    "ebt": [
        {"form": form, "anchor": anchor, "learning_rate": rate}
        for (form, anchor), rate in [*product(FORMS, COARSE_RATES), (FORMS[-1], 3.5e-3)]
    ],
    "transformer_pp": TRANSFORMER_TRIALS,
    "transformer_pp_equal_inference": TRANSFORMER_TRIALS,
}


def search(
    config: NextFrameConfig, data: NextFrameData, out: Path, device: str, console: Console
) -> None:
    """Train every trial, print the ranking, and write `search.json` and `search.yaml`.

    The validation loss at the last step decides; a trial that diverges counts as infinitely bad.
    `search.yaml` can be given to `--config` or copied into a preset.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for name, trials in TRIALS.items():
        if name not in config.models:
            continue
        outcomes = []
        for index, trial in enumerate(trials):
            console.print(f"{name}, trial {index + 1} of {len(trials)}: {trial}", highlight=False)
            folder = out / "search" / f"{name}-{index:02d}"
            loss = _validation_loss(name, trial, config, data, folder, device)
            outcomes.append({"trial": trial, "validation_loss": loss})
        found[name] = sorted(outcomes, key=lambda outcome: outcome["validation_loss"])
        console.print(_ranking(name, found[name]))
        write_json(out / "search.json", found)
    best = {name: outcomes[0]["trial"] for name, outcomes in found.items()}
    with atomic_file(out / "search.yaml") as file:
        file.write(yaml.safe_dump(best, sort_keys=False).encode())
    console.print(f"{out / 'search.yaml'}:\n{yaml.safe_dump(best, sort_keys=False)}")


def _validation_loss(
    name: str,
    trial: dict[str, Any],
    config: NextFrameConfig,
    data: NextFrameData,
    folder: Path,
    device: str,
) -> float:
    # One validation, at the last step, decides.
    training = replace(config.training, validate_every=config.training.steps)
    changed = replace(config, models=[name], training=training)
    setattr(changed, name, replace(getattr(config, name), **trial))
    (spec,) = model_specs(changed, data)
    try:
        _, record = train_model(spec, changed, data, folder, config.seeds[0], device)
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
