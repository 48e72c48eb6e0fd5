"""Models that were trained and shared before: `--checkpoint NAME=PLACE` judges them as they are."""

import json
import pkgutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.models import ModelSpec, RunData, place_of, register
from data_prep.errors import InputError
from worldmodel.config import BackboneConfig, ModelConfig

if TYPE_CHECKING:
    from benchmarks.record.results import Training
    from worldmodel.predictor import Predictor

HUB = "hf:"
WEIGHTS = "model.safetensors"
NEEDED = ("class", "grid", "dim", "encoder", "mean", "scale", "training")  # of config.json


@dataclass(frozen=True)
class Checkpoint:
    """Builds the model that `--push` has left at `source`, whose class stands at `network`."""

    source: str
    network: str
    about: dict[str, Any] = field(compare=False)

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


def add_checkpoints(domain: str, given: Sequence[str], declared: Sequence[ModelSpec]) -> list[str]:
    """Add the models at NAME=PLACE to a domain; gives their names.

    A place is a folder that `--push` has written, or a repository of the hub as hf:USER/NAME.

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
        about = _about(pair, source)
        like = networks.get(str(about.get("class")))
        if like is None:
            raise InputError(
                f"--checkpoint {pair}: a {about.get('class')} is none of {', '.join(networks)}"
            )
        missing = [name for name in NEEDED if name not in about]
        if missing:
            raise InputError(
                f"--checkpoint {pair}: its config.json lacks {', '.join(missing)}; push it again"
            )
        network = place_of(like)
        assert network is not None
        if not register(
            domain, ModelSpec(name, like.role, Checkpoint(source, network, about), by_default=False)
        ):
            raise InputError(f"--checkpoint {pair}: the name {name} is taken; give another")
        names.append(name)
    return names


def absolute(pair: str) -> str:
    """NAME=PLACE with a folder that is found from anywhere."""
    name, separator, source = pair.partition("=")
    if not source or source.startswith(HUB):
        return pair
    return f"{name}{separator}{Path(source).expanduser().resolve()}"


def source_of(spec: ModelSpec) -> str | None:
    """NAME=PLACE of a model that was trained before; None for others."""
    return f"{spec.name}={spec.build.source}" if isinstance(spec.build, Checkpoint) else None


def _about(pair: str, source: str) -> dict[str, Any]:
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
        about: dict[str, Any] = json.loads(file.read_text())
    except (OSError, ValueError):
        raise InputError(
            f"--checkpoint {pair}: no config.json there; give a folder that --push has written, "
            "or hf:USER/NAME"
        ) from None
    if not source.startswith(HUB) and not file.with_name(WEIGHTS).is_file():
        raise InputError(f"--checkpoint {pair}: no {WEIGHTS} there; push the model again")
    return about
