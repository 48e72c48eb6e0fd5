"""Probes: what the frozen features of trained models know, beside floors."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.config import Inputs, RunConfig, side_by_side
from benchmarks.domains.contract import DomainData
from benchmarks.tasks.contract import ModelTask
from benchmarks.tasks.probe.config import ProbeTaskConfig
from data_prep.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from benchmarks.domains.labels import Items
    from benchmarks.record.results import Metric, Result
    from benchmarks.reporting.report import Report
    from benchmarks.reporting.tables import Table
    from benchmarks.training.fit import TrainedModel
    from worldmodel.predictor import Setting


class Probe(ModelTask[DomainData]):
    """What the features of a domain's models know."""

    config = ProbeTaskConfig
    folder = "probe"

    def prepare(self, config: RunConfig, inputs: Inputs) -> DomainData:
        """Make or reuse the data that models are trained on, or were in the given run."""
        from benchmarks.tasks.loading import of_run

        used = config
        if config.task.run is not None:
            used, inputs = of_run(Path(config.task.run), self.domain.compares, inputs.cache)
        return self.domain.prepare(used, inputs)

    def run(
        self, config: RunConfig, data: DomainData, inputs: Inputs, out: Path, device: str
    ) -> "Result":
        """Train models, or load those of a run, and probe them."""
        import torch

        from benchmarks.measure.scores import Values, write_arrays
        from benchmarks.record.results import Result, describe_environment
        from benchmarks.tasks.probe.measuring import has_features, probe_all, probings
        from benchmarks.tasks.probe.result import Found
        from benchmarks.training.fit import train_models

        probe = config.task.probe
        corpora = _with_labels(self.domain.items(data, probe.max_items))
        if config.task.run is None:
            used, models = config, train_models(self.specs, config, data, out, device, _as_trained)
        else:
            used, models = self._of_run(config, data, inputs, out, device)
        for model in models:
            if model.training is not None and not has_features(model.predictors[0]):
                print(f"skipped {model.name}: it has no features to probe")
        untrained = []
        for seed in used.seeds:
            torch.manual_seed(seed)
            untrained.append(self.domain.plain_model(used, data).eval().to(device))
        probed = probings(models, untrained)
        views = self.domain.views(probe.noise_steps, probe.seed)
        places, differences = [], []
        values: Values = {}
        for items in corpora:
            found, compared = probe_all(probed, items, views, probe, device)
            places += [one.place for one in found]
            differences += compared
            values |= {one.place.name: one.scores for one in found}
        counts = {items.name: {s: len(c) for s, c in items.clips.items()} for items in corpora}
        return Result(
            task="probe",
            config=side_by_side(config),
            seeds=used.seeds,
            environment=describe_environment(device),
            data=data.describe(),
            details=Found(counts, places, differences, config.task.run),
            files={"values": write_arrays(out, "values", values)},
            domain=self.domain.name,
        )

    def _of_run(
        self, config: RunConfig, data: DomainData, inputs: Inputs, out: Path, device: str
    ) -> "tuple[RunConfig, list[TrainedModel]]":
        """The configuration of the given run, its models, and those trained before it."""
        from benchmarks.tasks.loading import load_run, of_run
        from benchmarks.training.fit import train_models
        from benchmarks.training.pretrained import source_of

        run = Path(config.task.run)
        used, _ = of_run(run, self.domain.compares, inputs.cache)
        loaded = load_run(run, used, self.specs, config.models, data, device)
        models = list(loaded.models)
        before = [spec.name for spec in self.specs if source_of(spec) is not None]
        asked = [name for name in config.models if name in before]
        if asked:
            wanted = dataclasses.replace(loaded.config, models=asked)
            models += train_models(self.specs, wanted, data, out, device, _as_trained)
        for reason in loaded.skipped:
            print(f"skipped {reason}")
        return loaded.config, models

    def kept_values(self, folder: Path, result: "Result") -> "dict[str, np.ndarray]":
        """The scores of single videos or images of every probe."""
        from benchmarks.reporting.values import load_values

        return load_values(folder, result)

    def cited(self, result: "Result", first: str, rest: str, where: str) -> "Metric":
        """The score of a model, a kind of probe and a label, at the selected place."""
        from benchmarks.tasks.probe.result import Found

        for place in result.found(Found).places:
            if (place.model, place.probe, place.label) == (first, rest, where) and place.selected:
                return place.score
        raise InputError(f"no {rest} probe of {where!r} of {first}")

    def valued(self, result: "Result") -> "Iterator[tuple[str, Metric]]":
        """The scores of classes; those of numbers have an interval of a ratio."""
        from benchmarks.tasks.probe.result import Found

        places = result.found(Found).places
        return ((place.name, place.score) for place in places if place.classes is not None)

    def headline(self, result: "Result", part: str | None = None) -> "Table":
        """The scores of every model for every label."""
        from benchmarks.tasks.probe.report import headline

        return headline(result)

    def report(self, folder: Path, result: "Result") -> "Report":
        """Sentences and tables."""
        from benchmarks.tasks.probe.report import make_report

        return make_report(folder, result)


def _as_trained(model: "TrainedModel") -> "Setting":
    """The setting of a model to which others are made equal."""
    return model.predictors[0].trained_setting()


def _with_labels(corpora: "list[Items]") -> "list[Items]":
    """The corpora that have a label to find.

    Raises:
        InputError: none has.
    """
    for items in corpora:
        if items.missing is not None:
            print(f"skipped {items.name}: {items.missing}")
    found = [items for items in corpora if items.labels]
    if not found:
        raise InputError(f"{corpora[0].name}: {corpora[0].missing}")
    return found
