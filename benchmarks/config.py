"""What the configurations of all tasks share. Imports nothing heavy, so that help stays instant."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from benchmarks.former_names import FORMER
from benchmarks.models import ModelSpec
from data_prep.config import CorpusConfig, EncoderConfig, ImagesConfig, require
from data_prep.errors import InputError
from worldmodel.config import BackboneConfig, ModelConfig, TrainingConfig, require_counts

if TYPE_CHECKING:
    from data_prep.sources.media import Media

JSON = dict[str, Any]  # an object of a JSON or YAML file


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
            calls are timed at least three times, and the report names their number.
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


class DomainConfig:
    """What the data of a domain are; a domain's own configuration adds the options."""

    def sources(self) -> "tuple[CorpusConfig | ImagesConfig, Media] | None":
        """How a folder of the user's is listed, and as what; None where there is no such folder."""
        return None

    def with_context(self, run: "RunConfig", context: int, most: int) -> "RunConfig":
        """A run in which models observe `context` frames, of clips in which they could `most`.

        Raises:
            InputError: the domain has no such frames.
        """
        raise InputError("axis context: these data have no observed frames of which to vary one")

    def require_consistent(self, run: "RunConfig") -> None:
        """Raise InputError where the rest of a run does not go with these data."""


class TaskConfig:
    """What a task asks; a task's own configuration adds the options."""

    def require_consistent(self, run: "RunConfig") -> None:
        """Raise InputError where the rest of a run does not go with this task."""


@dataclass
class RunConfig:
    """Everything that decides a run which trains and compares models.

    On the command line, in files and in results all options stand side by side, those of `domain`
    and `task` among them. `sections` holds the configuration of each declared model by the model's
    name.
    """

    encoder: EncoderConfig
    backbone: BackboneConfig
    training: TrainingConfig
    domain: Any
    task: Any
    sections: dict[str, ModelConfig] = field(default_factory=dict)
    models: list[str] = field(default_factory=list)
    seeds: list[int] = field(default_factory=lambda: [0])

    def __post_init__(self) -> None:
        require(len(self.models) > 0, "models: name at least one model")
        require(len(set(self.models)) == len(self.models), "models: a model is named twice")
        require(len(self.seeds) > 0, "--seeds: give at least one seed")
        require(len(set(self.seeds)) == len(self.seeds), "--seeds: a seed is given twice")
        self._require_whole_batches()
        self.domain.require_consistent(self)
        self.task.require_consistent(self)

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

    def section_of(self, spec: ModelSpec) -> ModelConfig | None:
        """The configuration of a declared model; None for one that is not trained."""
        return self.sections.get(spec.name)

    def with_section(self, name: str, section: ModelConfig) -> Self:
        """The same with another configuration of one model."""
        return replace(self, sections=self.sections | {name: section})

    @property
    def evaluation(self) -> EvaluationConfig:
        """How models are judged."""
        found: EvaluationConfig = getattr(self.task, "evaluation", None) or EvaluationConfig()
        return found


def side_by_side(config: Any) -> dict[str, Any]:
    """The options of a configuration as they stand in files and results, for JSON."""
    if not isinstance(config, RunConfig):
        return asdict(config)
    options = asdict(config)
    return {**options.pop("domain"), **options.pop("task"), **options}


def require_models(names: Sequence[str], specs: Sequence[ModelSpec]) -> None:
    """Raise InputError unless every name is that of a declared model."""
    known = [spec.name for spec in specs]
    for name in names:
        if name not in known:
            if FORMER.get(name) in known:
                raise InputError(f"models: {name!r} is called {FORMER[name]} now")
            raise InputError(f"models: {name!r} is none of {', '.join(known)}")


def require_degrees(values: list[float] | list[int], least: float, option: str) -> None:
    """Raise InputError unless the degrees of a shift are different numbers above `least`."""
    require(
        all(value > least for value in values) and len(set(values)) == len(values),
        f"{option} must be different numbers above {least}",
    )
