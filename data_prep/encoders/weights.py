"""Weights of frozen networks on this machine; none is ever fetched."""

from pathlib import Path

import huggingface_hub

from data_prep.errors import InputError
from data_prep.shards.storage import sha256_of


def checksum(path: Path) -> str:
    """The SHA-256 checksum of a file of weights."""
    with path.open("rb") as file:
        return sha256_of(file)


def cached_weights(hub: str, names: tuple[str, ...], encoder: str) -> Path:
    """The path of the first of the files `names` of a model that is in the hub's cache.

    Raises:
        InputError: none is there; the message names the command that gets it.
    """
    for name in names:
        found = huggingface_hub.try_to_load_from_cache(hub, name)
        if isinstance(found, str):
            return Path(found)
    raise InputError(
        f"encoder {encoder}: {names[0]} of {hub} is not on this machine; get it with: "
        f"hf download {hub} (or give a local file or folder)"
    )
