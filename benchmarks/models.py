"""What a task says of each of its models. Imports nothing heavy, so that help stays instant."""

import importlib.util
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import product
from typing import TYPE_CHECKING, Any, Protocol

from worldmodel.config import BackboneConfig, ModelConfig

if TYPE_CHECKING:
    from data_prep.encoders.base import Encoder
    from worldmodel.data import EmbeddingClips
    from worldmodel.predictor import Predictor

Options = Mapping[str, Any]  # fields of a configuration class, by name
Trials = Sequence[Options]


class RunData(Protocol):
    """What the data of every task that trains models has."""

    @property
    def train(self) -> "EmbeddingClips":
        """Training clips."""
        ...

    @property
    def validation(self) -> "EmbeddingClips":
        """Validation clips."""
        ...

    @property
    def encoder(self) -> "Encoder":
        """The frozen encoder that made the embeddings."""
        ...

    @property
    def fingerprint(self) -> str:
        """Name of what models are trained on: the same data, the same name."""
        ...


Builder = Callable[[ModelConfig | None, BackboneConfig, RunData], "Predictor"]


class Role(StrEnum):
    """What a model is in the comparison."""

    ENERGY = "energy"
    NETWORK = "network"
    FLOOR = "floor"


@dataclass(frozen=True)
class Network:
    """Builds the network whose class stands at `place`, such as `baselines.dit:DiTDenoiser`."""

    place: str

    def __call__(
        self, config: ModelConfig | None, backbone: BackboneConfig, data: RunData
    ) -> "Predictor":
        """The network with fresh weights."""
        network: Predictor = pkgutil.resolve_name(self.place)(
            config, backbone, data.encoder.grid, data.encoder.dim
        )
        return network


@dataclass(frozen=True)
class Untrained:
    """Builds the method whose class stands at `place`, with one part of the data or without.

    `takes` names that part, such as `encoder` or `mean_frame`.
    """

    place: str
    takes: str | None = None

    def __call__(
        self, config: ModelConfig | None, backbone: BackboneConfig, data: RunData
    ) -> "Predictor":
        """The method."""
        parts = [] if self.takes is None else [getattr(data, self.takes)]
        method: Predictor = pkgutil.resolve_name(self.place)(*parts)
        return method


@dataclass(frozen=True)
class ModelSpec:
    """A model of a task, declared once.

    Args:
        name: name of the model in options, tables and folders.
        role: what the model is in the comparison.
        build: what makes it.
        config: configuration class whose defaults make the variant what it is; None for a model
            without options of its own.
        trials: the options that the search tries, one after another.
        follows: name of the model whose options it shares; it has none of its own.
        changes: options that differ from those of the model that it follows.
        equal_training_to: name of the model whose training FLOPs decide its number of steps.
        equal_inference_to: name of the model whose FLOPs, at the setting that it is trained for,
            decide its number of layers.
        package: package that must be installed, under an extra of the same name.
    """

    name: str
    role: Role
    build: Builder
    config: type[ModelConfig] | None = None
    trials: Trials = ()
    follows: str | None = None
    changes: Options = field(default_factory=dict)
    equal_training_to: str | None = None
    equal_inference_to: str | None = None
    package: str | None = None

    @property
    def section(self) -> str | None:
        """The name of the options that it is built from."""
        return self.follows or (self.name if self.config else None)

    @property
    def available(self) -> bool:
        """Whether the package that it needs is installed."""
        return self.package is None or importlib.util.find_spec(self.package) is not None


def combinations(**choices: Sequence[object]) -> list[Options]:
    """Every combination of the choices, as trials of a search."""
    return [dict(zip(choices, values, strict=True)) for values in product(*choices.values())]
