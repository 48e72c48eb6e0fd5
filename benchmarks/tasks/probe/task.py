"""Probes: what the frozen features of trained models know, beside floors."""

import dataclasses
from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from benchmarks.config import ComparisonConfig, Inputs
from benchmarks.tasks.contract import BorrowedData, Task
from benchmarks.tasks.denoise.models import MODELS as DENOISERS
from benchmarks.tasks.next_frame.models import MODELS as PREDICTORS
from benchmarks.tasks.probe.config import ImageProbeConfig, ProbeConfig, VideoProbeConfig
from data_prep.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from benchmarks.reporting.page import Report
    from benchmarks.reporting.results import Metric, Result
    from benchmarks.reporting.tables import Table
    from benchmarks.tasks.probe.features import Views
    from benchmarks.tasks.probe.items import Items
    from benchmarks.training.plan import PlannedModel
    from worldmodel.predictor import Predictor

Config = TypeVar("Config", bound=ComparisonConfig)


@dataclass(frozen=True)
class ProbeData(BorrowedData):
    """The data that models are trained on, and where a run finds its own."""

    cache: Path


class ProbeTask(Task[Config, ProbeData], Generic[Config]):
    """A part of probes; it says where its models come from and what they observe."""

    name: str
    trained_by: ClassVar[str]

    @abstractmethod
    def probe(self, config: Config) -> ProbeConfig:
        """How features are probed."""

    @abstractmethod
    def given_run(self, config: Config) -> str | None:
        """The folder of the run whose models are probed, if any."""

    @abstractmethod
    def items(self, config: ProbeConfig, data: Any) -> "list[Items]":
        """The labelled corpora."""

    @abstractmethod
    def views(self, config: ProbeConfig) -> "Views":
        """What a model observes of an item."""

    @abstractmethod
    def untrained(self, config: Config, data: Any) -> "Predictor":
        """A network with fresh weights, as a floor."""

    def prepare(self, config: Config, inputs: Inputs) -> ProbeData:
        """Make or reuse the shards that models are trained on, or were in the given run."""
        from benchmarks.tasks.registry import load_task
        from benchmarks.training.loading import of_run

        used: Any = config
        run = self.given_run(config)
        if run is not None:
            used, inputs = of_run(Path(run), self.trained_by, inputs.cache)
        return ProbeData(load_task(self.trained_by).prepare(used, inputs), inputs.cache)

    def models(self, config: Config, data: ProbeData) -> "list[PlannedModel]":
        """The models that the configuration names."""
        from benchmarks.training.plan import plan_models

        return plan_models(self.specs, config, data)

    def run(self, config: Config, data: ProbeData, out: Path, device: str) -> "Result":
        """Train models, or load those of a run, and probe them."""
        import torch

        from benchmarks.checkpoints import source_of
        from benchmarks.measure.scores import Values, write_arrays
        from benchmarks.reporting.results import Result, describe_environment
        from benchmarks.tasks.probe.found import Found
        from benchmarks.tasks.probe.measuring import has_features, probe_all, probings
        from benchmarks.training.fit import TrainedModel, train_models
        from benchmarks.training.loading import load_run
        from worldmodel.predictor import Setting

        def select(model: TrainedModel) -> Setting:
            return model.predictors[0].trained_setting()

        probe, used, seen = self.probe(config), config, data.base
        corpora = _with_labels(self.items(probe, seen))
        run = self.given_run(config)
        if run is not None:
            loaded = load_run(Path(run), self.trained_by, config.models, data.cache, device)
            used, seen, models = loaded.config, loaded.data, loaded.models
            before = [spec.name for spec in self.specs if source_of(spec) is not None]
            asked = [name for name in config.models if name in before]
            if asked:
                wanted = dataclasses.replace(used, models=asked)
                models += train_models(self.specs, wanted, seen, out, device, select)
            for reason in loaded.skipped:
                print(f"skipped {reason}")
        if run is None:
            models = train_models(self.specs, config, seen, out, device, select)
        for model in models:
            if model.training is not None and not has_features(model.predictors[0]):
                print(f"skipped {model.name}: it has no features to probe")
        untrained = []
        for seed in used.seeds:
            torch.manual_seed(seed)
            untrained.append(self.untrained(used, seen).eval().to(device))
        probed = probings(models, untrained)
        places, differences = [], []
        values: Values = {}
        for items in corpora:
            found, compared = probe_all(probed, items, self.views(probe), probe, device)
            places += [one.place for one in found]
            differences += compared
            values |= {one.place.name: one.scores for one in found}
        counts = {items.name: {s: len(c) for s, c in items.clips.items()} for items in corpora}
        return Result(
            task=self.name,
            config=dataclasses.asdict(config),
            seeds=used.seeds,
            environment=describe_environment(device),
            data=seen.describe(),
            details=dataclasses.asdict(Found(counts, places, differences, run)),
            files={"values": write_arrays(out, "values", values)},
        )

    def kept_values(self, folder: Path, result: "Result") -> "dict[str, np.ndarray]":
        """The scores of single videos or images of every probe."""
        from benchmarks.reporting.values import load_values

        return load_values(folder, result)

    def cited(self, result: "Result", first: str, rest: str, where: str) -> "Metric":
        """The score of a model, a kind of probe and a label, at the selected place."""
        from benchmarks.reporting.results import typed
        from benchmarks.tasks.probe.found import Found
        from data_prep.errors import InputError

        for place in typed(Found, result.details).places:
            if (place.model, place.probe, place.label) == (first, rest, where) and place.selected:
                return place.score
        raise InputError(f"no {rest} probe of {where!r} of {first}")

    def valued(self, result: "Result") -> "Iterator[tuple[str, Metric]]":
        """The scores of classes; those of numbers have an interval of a ratio."""
        from benchmarks.reporting.results import typed
        from benchmarks.tasks.probe.found import Found

        places = typed(Found, result.details).places
        return ((place.name, place.score) for place in places if place.classes is not None)

    def headline(self, result: "Result", part: str | None = None) -> "Table":
        """The scores of every model for every label."""
        from benchmarks.tasks.probe.report import headline

        return headline(result)

    def report(self, folder: Path, result: "Result") -> "Report":
        """Sentences and tables."""
        from benchmarks.tasks.probe.report import make_report

        return make_report(folder, result)


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


class VideoProbe(ProbeTask[VideoProbeConfig]):
    """What the features of next-frame models know of videos."""

    name = "probe"
    config = VideoProbeConfig
    declared = PREDICTORS
    takes = "predictor"
    trained_by = "next_frame"

    def probe(self, config: VideoProbeConfig) -> ProbeConfig:
        """How features are probed."""
        return config.probe

    def given_run(self, config: VideoProbeConfig) -> str | None:
        """The folder of the run whose models are probed, if any."""
        return config.run

    def items(self, config: ProbeConfig, data: Any) -> "list[Items]":
        """The clips of the corpus."""
        from benchmarks.tasks.probe.items import labelled
        from data_prep.sources.corpus import SPLITS

        clips = {split: data.clips(split) for split in SPLITS}
        return [labelled(data.name, data.embeddings, clips, config.max_items)]

    def views(self, config: ProbeConfig) -> "Views":
        """Whole clips."""
        from benchmarks.tasks.probe.features import whole_clips

        return whole_clips()

    def untrained(self, config: VideoProbeConfig, data: Any) -> "Predictor":
        """Transformer++ with fresh weights."""
        from baselines.config import TransformerPPConfig
        from baselines.transformer_pp import TransformerPP

        section = config.section("transformer_pp", TransformerPPConfig)
        return TransformerPP(section, config.backbone, data.encoder.grid, data.encoder.dim)


class ImageProbe(ProbeTask[ImageProbeConfig]):
    """What the features of denoisers know of images."""

    name = "probe/images"
    config = ImageProbeConfig
    declared = DENOISERS
    takes = "denoiser"
    trained_by = "denoise"

    def probe(self, config: ImageProbeConfig) -> ProbeConfig:
        """How features are probed."""
        return config.probe

    def given_run(self, config: ImageProbeConfig) -> str | None:
        """The folder of the run whose models are probed, if any."""
        return config.run

    def items(self, config: ProbeConfig, data: Any) -> "list[Items]":
        """The images of the corpus, and digits."""
        from benchmarks.tasks.probe.items import digits, labelled
        from data_prep.sources.corpus import SPLITS
        from denoise.data import CleanImages

        clips = {split: CleanImages(data.embeddings, split) for split in SPLITS}
        size = int(data.frames.manifest["arguments"]["size"])
        own = labelled(data.name, data.embeddings, clips, config.max_items)
        return [own, digits(data.encoder, size, config.max_items)]

    def views(self, config: ProbeConfig) -> "Views":
        """Images with noise of each step."""
        from benchmarks.tasks.probe.features import noisy_images

        return noisy_images(config.noise_steps, config.seed)

    def untrained(self, config: ImageProbeConfig, data: Any) -> "Predictor":
        """The direct regressor with fresh weights."""
        from baselines.config import DirectConfig
        from baselines.direct import DirectDenoiser

        section = config.section("direct", DirectConfig)
        return DirectDenoiser(section, config.backbone, data.encoder.grid, data.encoder.dim)
