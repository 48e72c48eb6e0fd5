"""What the configurations of all tasks share. Imports nothing heavy, so that help stays instant."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Self, TypeVar

from benchmarks.models import ModelSpec
from data_prep.config import EncoderConfig, require
from data_prep.errors import InputError
from worldmodel.config import BackboneConfig, ModelConfig, TrainingConfig, require_counts

Section = TypeVar("Section", bound=ModelConfig)


@dataclass(frozen=True)
class Inputs:
    """Where the data of a run comes from, and the folder of what is made from it.

    `data` is None for the built-in corpus; `test_sets` are further test sets by name.
    """

    data: Path | None
    test_sets: dict[str, Path]
    cache: Path


@dataclass
class EvaluationConfig:
    """How models are judged.

    Args:
        batch_size: number of clips or images evaluated at once.
        counts: numbers of thinking steps and passes at which every model that has any is judged,
            each as a row of its own.
        latency_repeats: number of timed calls behind each median latency, after 3 warm-ups; long
            calls are timed for 10 seconds only, and the report names their number.
        figure_samples: number of clips or images of a test set that the figures show.
        compile: whether networks run through torch.compile, so that latencies are those of
            compiled networks. Compiling for every shape takes minutes.
    """

    batch_size: int = 64
    counts: list[int] = field(default_factory=lambda: [1, 2, 3, 4, 6, 8])
    latency_repeats: int = 20
    figure_samples: int = 3
    compile: bool = False

    def __post_init__(self) -> None:
        for name in ("batch_size", "latency_repeats", "figure_samples"):
            require(getattr(self, name) >= 1, f"evaluation.{name} must be at least 1")
        require_counts(self.counts, "evaluation.counts")


@dataclass
class PerceptionConfig:
    """The weights of metrics of perception; none is ever fetched.

    Args:
        lpips_backbone: network on whose features LPIPS is computed.
        lpips_weights: file of torchvision's weights of that network (null: looked for in torch's
            cache).
        i3d: TorchScript file of the I3D network of FVD, which gives 400 features of a video, such
            as StyleGAN-V's. TorchScript is a program: give a file that you trust (null: no FVD;
            next frame only).
    """

    lpips_backbone: Literal["alex", "vgg"] = "alex"
    lpips_weights: str | None = None
    i3d: str | None = None


@dataclass
class ComparisonConfig:
    """What every task that trains and compares models is configured by.

    `sections` holds the configuration of each declared model by the model's name; a task's own
    configuration adds its data and says how it judges.
    """

    encoder: EncoderConfig
    backbone: BackboneConfig
    training: TrainingConfig
    sections: dict[str, ModelConfig] = field(default_factory=dict)
    models: list[str] = field(default_factory=list)
    seeds: list[int] = field(default_factory=lambda: [0])

    def __post_init__(self) -> None:
        require(len(self.models) > 0, "models: name at least one model")
        require(len(set(self.models)) == len(self.models), "models: a model is named twice")
        require(len(self.seeds) > 0, "--seeds: give at least one seed")
        require(len(set(self.seeds)) == len(self.seeds), "--seeds: a seed is given twice")
        self._require_whole_batches()

    def _require_whole_batches(self) -> None:
        """Raise InputError where a model with a replay buffer would get its batches in parts."""
        training = self.training
        if training.devices * training.nodes * training.accumulate == 1:
            return
        for name in self.models:
            if getattr(self.sections.get(name), "replay", 0):
                raise InputError(
                    f"{name}.replay: a replay buffer continues whole batches on one device: set it "
                    "to 0, or training.devices, training.nodes and training.accumulate to 1"
                )

    def section(self, name: str, kind: type[Section]) -> Section:
        """The configuration of a model, which is of `kind`."""
        section = self.sections[name]
        assert isinstance(section, kind)
        return section

    def section_of(self, spec: ModelSpec) -> ModelConfig | None:
        """The configuration of a declared model; None for one that is not trained."""
        return self.sections.get(spec.name)

    def with_section(self, name: str, section: ModelConfig) -> Self:
        """The same with another configuration of one model."""
        return replace(self, sections=self.sections | {name: section})


def require_models(names: Sequence[str], specs: Sequence[ModelSpec]) -> None:
    """Raise InputError unless every name is that of a declared model."""
    known = [spec.name for spec in specs]
    for name in names:
        if name not in known:
            raise InputError(f"models: {name!r} is none of {', '.join(known)}")
