"""Read what stands beside shared weights: which model it is, and its encoder."""

import json
from collections.abc import Collection
from dataclasses import fields
from pathlib import Path
from typing import Any

from huggingface_hub import hf_hub_download

from data_prep.config import EncoderConfig
from data_prep.encoders.base import Encoder
from data_prep.encoders.registry import build_encoder
from data_prep.errors import InputError

CONFIG = "config.json"


def shared_config(
    place: str | Path, revision: str | None, classes: Collection[str]
) -> dict[str, Any]:
    """The `config.json` of a folder that `--push` has written, or of a repository of the hub.

    Raises:
        InputError: it is of a model whose class is none of `classes`.
    """
    file = Path(place) / CONFIG
    if not Path(place).is_dir():
        file = Path(hf_hub_download(str(place), CONFIG, revision=revision))
    config: dict[str, Any] = json.loads(file.read_text())
    if config.get("class") not in classes:
        raise InputError(
            f"{place}: holds a {config.get('class')}; load gives one of {', '.join(classes)}"
        )
    return config


def shared_encoder(place: str | Path, config: dict[str, Any]) -> Encoder:
    """The encoder that a shared model was trained on.

    Raises:
        InputError: it is the user's own code, has other weights on this machine, or has no way back
            to pixels.
    """
    known = {f.name for f in fields(EncoderConfig)}
    options = {name: value for name, value in config["encoder"].items() if name in known}
    name = str(options.get("name"))
    if name.startswith("own:"):
        raise InputError(f"{place}: its encoder {name} is code, which is not run from a file")
    encoder = build_encoder(EncoderConfig(**options | {"weights": None}), int(config["size"]))
    if encoder.weights != config["encoder"]["weights"]:
        raise InputError(f"{place}: the weights of {name} on this machine are others than its own")
    if not encoder.decodable:
        raise InputError(f"{place}: its encoder {encoder.name} has no way back to pixels")
    return encoder
