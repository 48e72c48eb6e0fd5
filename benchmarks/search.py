"""Search of learning rates and forms on validation: the same number of trials for all models."""

import importlib
from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from benchmarks.models import ModelSpec, train_model
from data_prep.shards.storage import atomic_file, write_json

Trials = list[dict[str, Any]]


def _combinations(**choices: tuple[Any, ...]) -> Trials:
    return [dict(zip(choices, values, strict=True)) for values in product(*choices.values())]


COARSE_RATES = (7e-3, 1.4e-2, 2.8e-2)
FINE_RATES = (3.5e-3, 5e-3, 7e-3, 1e-2, 1.4e-2, 2e-2, 2.8e-2, 4e-2)

# Next frame, 16 trials each: the EBT has five forms and anchors at three learning rates and one
# more for the published form; the transformers have two anchors at eight rates of the same range.
TRANSFORMER_TRIALS = _combinations(anchor=("zero", "last_frame"), learning_rate=FINE_RATES)
# Denoising, 8 trials each: eight learning rates, or fewer where a form is searched as well.
RATE_TRIALS = _combinations(learning_rate=FINE_RATES)
DIT_TRIALS = _combinations(min_snr=(5.0, None), learning_rate=(7e-3, 1.4e-2, 2e-2, 2.8e-2))
TRIALS: Mapping[str, Mapping[str, Trials]] = {
    "next_frame": {
        "ebt": [
            *_combinations(
                form=("residual", "quadratic"),
                anchor=("zero", "last_frame"),
                learning_rate=COARSE_RATES,
            ),
            *_combinations(
                form=("linear",), anchor=("zero",), learning_rate=(3.5e-3, *COARSE_RATES)
            ),
        ],
        "transformer_pp": TRANSFORMER_TRIALS,
        "transformer_pp_equal_inference": TRANSFORMER_TRIALS,
    },
    "denoise": {
        "ebt": [
            *_combinations(form=("residual",), learning_rate=(1e-2, 1.4e-2, 2e-2, 2.8e-2)),
            *_combinations(form=("quadratic", "linear"), learning_rate=(7e-3, 1.4e-2)),
        ],
        "ebt_without_context": [
            *_combinations(form=("residual",), anchor=("zero",), learning_rate=(7e-3, 1.4e-2)),
            *_combinations(form=("residual", "quadratic"), learning_rate=(1.4e-2, 2.8e-2)),
            *_combinations(form=("linear",), learning_rate=(7e-3, 1.4e-2)),
        ],
        "ebt_linear": RATE_TRIALS,
        "direct": RATE_TRIALS,
        "direct_multi_level": RATE_TRIALS,
        "dit": DIT_TRIALS,
        "dit_full_range": DIT_TRIALS,
        "dit_single_level": RATE_TRIALS,  # its weights would all be one
    },
}


def search(task: str, config: Any, data: Any, out: Path, device: str, console: Console) -> None:
    """Train every trial, print the ranking, and write `search.json` and `search.yaml`.

    The validation loss at the last step decides; a trial that diverges counts as infinitely bad.
    `search.yaml` can be given to `--config` or copied into a preset.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for name, trials in TRIALS[task].items():
        if name not in config.models:
            continue
        outcomes = []
        for index, trial in enumerate(trials):
            console.print(f"{name}, trial {index + 1} of {len(trials)}: {trial}", highlight=False)
            folder = out / "search" / f"{name}-{index:02d}"
            loss = _validation_loss(task, name, trial, config, data, folder, device)
            outcomes.append({"trial": trial, "validation_loss": loss})
        found[name] = sorted(outcomes, key=lambda outcome: outcome["validation_loss"])
        console.print(_ranking(name, found[name]))
        write_json(out / "search.json", found)
    best = {name: outcomes[0]["trial"] for name, outcomes in found.items()}
    with atomic_file(out / "search.yaml") as file:
        file.write(yaml.safe_dump(best, sort_keys=False).encode())
    console.print(f"{out / 'search.yaml'}:\n{yaml.safe_dump(best, sort_keys=False)}")


def _validation_loss(
    task: str,
    name: str,
    trial: dict[str, Any],
    config: Any,
    data: Any,
    folder: Path,
    device: str,
) -> float:
    # One validation, at the last step, decides.
    training = replace(config.training, validate_every=config.training.steps)
    section = replace(getattr(config, name), **trial)
    changed = replace(config, models=[name], training=training, **{name: section})
    spec: ModelSpec
    (spec,) = importlib.import_module(f"benchmarks.tasks.{task}.run").model_specs(changed, data)
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
