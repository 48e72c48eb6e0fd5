"""Search of optimiser and learning rate on validation: as many trials for every model."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import yaml
from rich.console import Console
from rich.table import Table

from benchmarks.config import RunConfig
from benchmarks.domains.contract import DomainData
from benchmarks.models import RunData
from benchmarks.tasks.contract import ModelTask
from benchmarks.training.fit import train_model
from benchmarks.training.plan import PlannedModel, training_flops
from benchmarks.training.processes import Job, run_in_processes
from data_prep.shards.storage import atomic_file, write_json
from worldmodel.callbacks import Report
from worldmodel.config import Optimizer
from worldmodel.training import RECORD

OPTIMIZERS: tuple[Optimizer, ...] = ("muon", "adamw")
FACTOR = 2.0  # between neighbouring rates of the first grid
LEAST_RATE, RATES = 5e-3, 4
SHORT = 3  # the first trials take a third of the steps
FURTHER_ROUNDS = 3  # at most, each of one trial for every model


@dataclass(frozen=True)
class Trial:
    """An optimiser with its learning rate."""

    optimizer: Optimizer
    learning_rate: float

    @property
    def name(self) -> str:
        """Such as `muon-0.01`."""
        return f"{self.optimizer}-{self.learning_rate:.3g}"


Losses = dict[Trial, float]


def first_trials() -> list[Trial]:
    """The grid that every model begins with."""
    rates = [LEAST_RATE * FACTOR**number for number in range(RATES)]
    return [Trial(optimizer, rate) for optimizer in OPTIMIZERS for rate in rates]


def further_trial(losses: Mapping[Trial, float]) -> Trial:
    """The next trial of a model: beyond the grid if its best lies on the edge, else beside it.

    Beside the best means half-way, on a logarithmic scale, to its better neighbour.
    """
    best = best_first(losses)[0]
    rates = sorted(trial.learning_rate for trial in losses if trial.optimizer == best.optimizer)
    place = rates.index(best.learning_rate)
    if at_edge(losses):
        rate = rates[0] / FACTOR if place == 0 else rates[-1] * FACTOR
    else:
        beside = [Trial(best.optimizer, rates[place + step]) for step in (-1, 1)]
        neighbour = min(beside, key=lambda trial: losses[trial])
        rate = math.sqrt(best.learning_rate * neighbour.learning_rate)
    return Trial(best.optimizer, rate)


def at_edge(losses: Mapping[Trial, float]) -> bool:
    """Whether the best trial has the lowest or highest rate that its optimiser was tried with."""
    best = best_first(losses)[0]
    rates = [trial.learning_rate for trial in losses if trial.optimizer == best.optimizer]
    return best.learning_rate in (min(rates), max(rates))


def best_first(losses: Mapping[Trial, float]) -> list[Trial]:
    """The trials by validation loss."""
    return sorted(losses, key=lambda trial: losses[trial])


def finalists_of(losses: Mapping[Trial, float]) -> list[Trial]:
    """The two best trials of the leading optimiser, and the best of the other.

    Which optimiser and which rate lead can change with the length of a training.
    """
    best = best_first(losses)
    leading = [trial for trial in best if trial.optimizer == best[0].optimizer]
    other = [trial for trial in best if trial.optimizer != best[0].optimizer]
    return leading[:2] + other[:1]


def search(
    task: ModelTask[DomainData],
    config: RunConfig,
    data: RunData,
    out: Path,
    device: str,
    console: Console,
) -> None:
    """Try every model's optimiser and rate, print the ranking, write `search.{json,yaml}`.

    All models get the same grid at a third of their steps. While the best of any model lies on an
    edge, every model gets one more trial: beyond the edge, or beside its best. The best three, of
    both optimisers, are trained at full length, and the lowest validation loss decides; a trial
    that diverges counts as infinitely bad. `search.yaml` can be given to `--config` or copied
    into a preset.
    """
    names = [spec.name for spec in task.specs if spec.config and spec.name in config.models]
    searcher = _Search(task, config, data, out, device, console)
    grid = {name: first_trials() for name in names}
    short = searcher.losses(grid, SHORT)
    for _ in range(FURTHER_ROUNDS):
        if not any(at_edge(losses) for losses in short.values()):
            break
        more = {name: [further_trial(losses)] for name, losses in short.items()}
        for name, losses in searcher.losses(more, SHORT).items():
            short[name] |= losses
    finalists = {name: finalists_of(losses) for name, losses in short.items()}
    full = searcher.losses(finalists, 1)
    found = {}
    for name in names:
        best = best_first(full[name])[0]
        found[name] = {
            "optimizer": best.optimizer,
            "learning_rate": float(f"{best.learning_rate:.2g}"),
        }
        console.print(_ranking(name, short[name], full[name]))
    record = {
        name: [
            {"trial": trial.name, "short": short[name][trial], "full": full[name].get(trial)}
            for trial in best_first(short[name])
        ]
        for name in names
    }
    write_json(out / "search.json", record)
    said = yaml.safe_dump(found, sort_keys=False)
    with atomic_file(out / "search.yaml") as file:
        file.write(said.encode())
    console.print(f"{out / 'search.yaml'}:\n{said}")


@dataclass(frozen=True)
class _Search:
    """Trains trials; what is finished in `out` is not trained again."""

    task: ModelTask[DomainData]
    config: RunConfig
    data: RunData
    out: Path
    device: str
    console: Console

    def losses(self, trials: Mapping[str, Sequence[Trial]], share: int) -> dict[str, Losses]:
        """The validation loss of each trial of each model, trained for a share of its steps."""
        jobs: dict[str, Job] = {}
        folders: dict[tuple[str, Trial], Path] = {}
        for name, of_model in trials.items():
            for trial in of_model:
                folder = self.out / "search" / f"1-{share}" / name / trial.name
                folders[name, trial] = folder
                if not (folder / RECORD).is_file():
                    config, planned = self._planned(name, trial, share)
                    arguments = (planned, config, self.data, folder, self.device)
                    cost = planned.steps * training_flops(planned, config, self.data)
                    jobs[f"{name} {trial.name}"] = Job(arguments, planned.steps, cost)
        if jobs:
            at_once = self.config.training.processes if self.device == "cpu" else 1
            longest_first = dict(sorted(jobs.items(), key=lambda job: -job[1].cost))
            run_in_processes(train_trial, longest_first, at_once)
        found: dict[str, Losses] = {name: {} for name in trials}
        for (name, trial), folder in folders.items():
            found[name][trial] = _loss(folder)
        return found

    def _planned(self, name: str, trial: Trial, share: int) -> tuple[RunConfig, PlannedModel]:
        steps = max(1, self.config.training.steps // share)
        training = replace(
            self.config.training,
            steps=steps,
            warmup_steps=min(self.config.training.warmup_steps, steps),
        )
        section = replace(
            self.config.sections[name],
            optimizer=trial.optimizer,
            learning_rate=trial.learning_rate,
        )
        config = replace(self.config, models=[name], training=training)
        config = config.with_section(name, section)
        (planned,) = self.task.models(config, self.data)
        return config, planned


def train_trial(
    planned: PlannedModel,
    config: RunConfig,
    data: RunData,
    folder: Path,
    device: str,
    report: Report,
) -> None:
    """Train a trial in its folder; one that diverges leaves a record without a loss."""
    try:
        train_model(planned, config, data, folder, config.seeds[0], device, report)
    except FloatingPointError:
        write_json(folder / RECORD, {"validation_loss": None})


def _loss(folder: Path) -> float:
    loss = json.loads((folder / RECORD).read_text())["validation_loss"]
    return math.inf if loss is None else float(loss)


def _ranking(name: str, short: Losses, full: Losses) -> Table:
    table = Table(title=f"{name}: validation Smooth-L1", title_justify="left")
    for column in ("trial", "a third of the steps", "all steps"):
        table.add_column(column)
    for trial in best_first(short):
        last = full.get(trial)
        table.add_row(trial.name, f"{short[trial]:.4f}", "" if last is None else f"{last:.4f}")
    return table
