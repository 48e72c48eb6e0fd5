"""What a domain says of each of its models. Imports nothing heavy, so that help stays instant."""

import importlib.metadata
import importlib.util
import os
import pkgutil
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from data_prep.errors import InputError
from worldmodel.config import BackboneConfig, ModelConfig

if TYPE_CHECKING:
    from data_prep.encoders.base import Encoder
    from worldmodel.data import EmbeddingClips
    from worldmodel.predictor import Predictor


class RunData(Protocol):
    """What all data have on which models are trained."""

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


class Equal(StrEnum):
    """What a network can share with the energy-based model that it is compared with."""

    STEPS = "optimiser steps"
    TRAINING = "training FLOPs"
    INFERENCE = "inference FLOPs"


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
    """A model of a domain, declared once for all tasks.

    Args:
        name: name of the model in options, tables and folders.
        role: what the model is in the comparison.
        build: what makes it.
        config: configuration class; None for a model that is not trained.
        family: name of the section of options that models of its kind share; its own for None.
        overrides: options in which it differs from its family, whatever is said of that.
        equal_training_to: name of the model whose training FLOPs decide its number of steps.
        equal_inference_to: name of the model whose FLOPs, at the setting that validation selects,
            decide its size: its number of layers and the width inside their SwiGLU.
        looped: whether its blocks are applied again, with the same weights, until it costs those
            FLOPs, instead of having more of them.
        package: package that must be installed, under an extra of the same name.
        by_default: whether it runs where nobody says which models do.
    """

    name: str
    role: Role
    build: Builder
    config: type[ModelConfig] | None = None
    equal_training_to: str | None = None
    equal_inference_to: str | None = None
    looped: bool = False
    package: str | None = None
    by_default: bool = True
    family: str | None = None
    overrides: Mapping[str, object] = field(default_factory=dict, hash=False)

    @property
    def section(self) -> str:
        """The section of options that it shares with its family."""
        return self.family or self.name

    @property
    def equal(self) -> list[Equal]:
        """What it shares with the energy-based model that it is compared with."""
        if self.config is None:
            return []
        trained = Equal.TRAINING if self.equal_training_to else Equal.STEPS
        return [trained, *([Equal.INFERENCE] if self.equal_inference_to else [])]

    @property
    def available(self) -> bool:
        """Whether the package that it needs is installed."""
        return self.package is None or importlib.util.find_spec(self.package) is not None


# Models from outside the repository: by domain, then by name. Their code is what the user names on
# the command line, or what installed packages offer as entry points.
_added: dict[str, dict[str, ModelSpec]] = {}


def added_models(domain: str) -> tuple[ModelSpec, ...]:
    """The models that users have added to a domain."""
    return tuple(_added.get(domain, {}).values())


def add_models(domain: str, places: Sequence[str], taken: Sequence[str]) -> list[str]:
    """Add the classes at `places`, such as `package.module:Class`; gives their names.

    Modules are also found in the working directory. The name of a model is its attribute `name`, or
    its class's name in small letters; `Config` is its configuration class, else `ModelConfig`.

    Raises:
        InputError: a place holds no such class, or its name is taken.
    """
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    names = []
    for place in places:
        spec = _spec_of(place)
        if spec.name in taken or not register(domain, spec):
            raise InputError(f"--model {place}: the name {spec.name} is taken; give it a `name`")
        names.append(spec.name)
    return names


def register(domain: str, spec: ModelSpec) -> bool:
    """Add a model to a domain; gives whether its name was free or its own already."""
    known = _added.setdefault(domain, {}).setdefault(spec.name, spec)
    return known.build == spec.build


def withdraw(domain: str, name: str) -> None:
    """Forget a model that was added to a domain."""
    del _added[domain][name]


def entry_points(group: str) -> list[str]:
    """The places of the models that installed packages offer in a group."""
    return [point.value for point in importlib.metadata.entry_points(group=group)]


def place_of(spec: ModelSpec) -> str | None:
    """Where the class of a model stands; None for one that is not trained."""
    return spec.build.place if isinstance(spec.build, Network) else None


def _spec_of(place: str) -> ModelSpec:
    try:
        found = pkgutil.resolve_name(place)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"--model {place}: {error}; give package.module:Class") from None
    if not isinstance(found, type):
        raise InputError(f"--model {place}: is no class; give package.module:Class")
    small = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", found.__name__).lower()
    config = getattr(found, "Config", ModelConfig)
    if not (isinstance(config, type) and issubclass(config, ModelConfig)):
        raise InputError(f"--model {place}: its Config is no subclass of ModelConfig")
    name = getattr(found, "name", small)
    return ModelSpec(name, Role.NETWORK, Network(place), config, by_default=False)
