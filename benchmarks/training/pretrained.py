"""Models that were trained before: `--checkpoint NAME=PLACE` judges them as they are."""

import json
import pkgutil
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.config import JSON
from benchmarks.models import ModelSpec, Role, RunData, place_of, register
from data_prep.errors import InputError
from worldmodel.config import BackboneConfig, ModelConfig

if TYPE_CHECKING:
    from benchmarks.record.results import Training
    from worldmodel.predictor import Predictor

HUB = "hf:"
KIND = re.compile(r"[a-z]{2,}:")  # before a file of others; one letter is a disk of Windows
WEIGHTS = "model.safetensors"
NEEDED = ("class", "grid", "dim", "encoder", "mean", "scale", "training")  # of config.json


@dataclass(frozen=True)
class Checkpoint:
    """Builds the model that `--push` has left at `source`, whose class stands at `network`."""

    source: str
    network: str
    about: JSON = field(compare=False)

    def __call__(
        self, config: ModelConfig | None, backbone: BackboneConfig, data: RunData
    ) -> "Predictor":
        """The model with its trained weights.

        Raises:
            InputError: its files are broken.
        """
        from safetensors import SafetensorError

        network = pkgutil.resolve_name(self.network)
        try:
            loaded: Predictor = network.from_pretrained(self.source.removeprefix(HUB))
        except (OSError, ValueError, RuntimeError, TypeError, SafetensorError) as error:
            said = " ".join(str(error).split())[:200]
            raise InputError(f"--checkpoint {self.source}: cannot be loaded ({said})") from None
        return loaded

    @property
    def training(self) -> "Training":
        """What its training cost."""
        from benchmarks.record.results import Training

        return Training(**self.about["training"])

    def require_same_embeddings(self, data: RunData) -> None:
        """Raise InputError where it was trained on other embeddings than those of the data."""
        import torch

        encoder, about = data.encoder, self.about
        own = {"grid": about["grid"], "dim": about["dim"]}
        own |= {name: about["encoder"].get(name) for name in ("name", "weights")}
        here = {"grid": list(encoder.grid), "dim": encoder.dim}
        here |= {"name": encoder.name, "weights": encoder.weights}
        for name, value in own.items():
            if here[name] != value:
                raise InputError(
                    f"--checkpoint {self.source}: was trained on embeddings whose {name} is "
                    f"{value}; here it is {here[name]}"
                )
        scaler = data.train.scaler
        for name, value in (("mean", scaler.mean), ("scale", scaler.scale)):
            if not torch.allclose(value.cpu().float(), torch.tensor(about[name]), rtol=1e-4):
                raise InputError(
                    f"--checkpoint {self.source}: the {name} of the embeddings of its training "
                    "corpus differs from that here; judge it on the corpus that it was trained on"
                )


@dataclass(frozen=True)
class WeightsOfOthers:
    """Builds a model that others have trained, from their file of weights.

    `source` is KIND:FILE, and the class that stands at `place` reads such files.
    """

    source: str
    place: str

    def __call__(
        self, config: ModelConfig | None, backbone: BackboneConfig, data: RunData
    ) -> "Predictor":
        """The model with the weights of the file.

        Raises:
            InputError: the file is none of these.
        """
        file = self.source.partition(":")[2]
        model: Predictor = pkgutil.resolve_name(self.place)(file, data.encoder)
        return model


def add_checkpoints(
    domain: str,
    given: Sequence[str],
    declared: Sequence[ModelSpec],
    kinds: Mapping[str, str] | None = None,
) -> list[str]:
    """Add the models at NAME=PLACE to a domain; gives their names.

    A place is a folder that `--push` has written, a repository of the hub as hf:USER/NAME, or
    KIND:FILE with one of `kinds`: the classes that read files of others, by kind.

    Raises:
        InputError: a name is taken, or a place holds no model of this domain.
    """
    places = {place_of(spec): spec for spec in declared if place_of(spec) is not None}
    networks = {place.rpartition(":")[2]: spec for place, spec in places.items() if place}
    names = []
    for pair in given:
        name, separator, source = absolute(pair).partition("=")
        if not (name and separator and source):
            raise InputError(f"--checkpoint {pair}: give NAME=PLACE")
        if name in [spec.name for spec in declared]:
            raise InputError(
                f"--checkpoint {pair}: a run trains a model {name} itself; give another name"
            )
        spec = _of_others(name, source, kinds or {}) or _pushed(pair, name, source, networks)
        if not register(domain, spec):
            raise InputError(f"--checkpoint {pair}: the name {name} is taken; give another")
        names.append(name)
    return names


def _of_others(name: str, source: str, kinds: Mapping[str, str]) -> ModelSpec | None:
    """The model of a file of others; None where the source is none."""
    kind, separator, file = source.partition(":")
    if not separator or kind not in kinds:
        return None
    if not Path(file).is_file():
        raise InputError(f"--checkpoint {name}={source}: {file}: no such file")
    build = WeightsOfOthers(source, kinds[kind])
    return ModelSpec(name, Role.FLOOR, build, by_default=False)


def _pushed(pair: str, name: str, source: str, networks: Mapping[str, ModelSpec]) -> ModelSpec:
    """The model that `--push` has written."""
    about = _about(pair, source)
    like = networks.get(str(about.get("class")))
    if like is None:
        raise InputError(
            f"--checkpoint {pair}: a {about.get('class')} is none of {', '.join(networks)}"
        )
    missing = [needed for needed in NEEDED if needed not in about]
    if missing:
        raise InputError(
            f"--checkpoint {pair}: its config.json lacks {', '.join(missing)}; push it again"
        )
    network = place_of(like)
    assert network is not None
    return ModelSpec(name, like.role, Checkpoint(source, network, about), by_default=False)


def absolute(pair: str) -> str:
    """NAME=PLACE with a folder or file that is found from anywhere."""
    name, separator, source = pair.partition("=")
    if not source or source.startswith(HUB):
        return pair
    kind = KIND.match(source)
    before = kind.group() if kind else ""
    file = Path(source.removeprefix(before)).expanduser().resolve()
    return f"{name}{separator}{before}{file}"


def source_of(spec: ModelSpec) -> str | None:
    """NAME=PLACE of a model that was trained before; None for others."""
    if isinstance(spec.build, Checkpoint | WeightsOfOthers):
        return f"{spec.name}={spec.build.source}"
    return None


def _about(pair: str, source: str) -> JSON:
    """What the folder or repository says of its model."""
    file = Path(source) / "config.json"
    if source.startswith(HUB):
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError

        try:
            file = Path(hf_hub_download(source.removeprefix(HUB), "config.json"))
        except (HfHubHTTPError, HFValidationError, OSError) as error:
            said = str(error).strip().splitlines()[0]
            raise InputError(f"--checkpoint {pair}: {said}") from None
    try:
        about: JSON = json.loads(file.read_text())
    except (OSError, ValueError):
        raise InputError(
            f"--checkpoint {pair}: no config.json there; give a folder that --push has written, "
            "or hf:USER/NAME"
        ) from None
    if not source.startswith(HUB) and not file.with_name(WEIGHTS).is_file():
        raise InputError(f"--checkpoint {pair}: no {WEIGHTS} there; push the model again")
    return about
