"""Weights of frozen networks on this machine; none is ever fetched."""

from pathlib import Path

import huggingface_hub
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

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
    raise not_here(names[0], hub, encoder)


def cached_folder(hub: str, encoder: str) -> Path:
    """The folder of what the hub's cache has of a model.

    Raises:
        InputError: it has nothing of it, or there can be no such model.
    """
    try:
        return Path(snapshot_download(hub, local_files_only=True, allow_patterns=[]))
    except LocalEntryNotFoundError:
        raise not_here("config.json", hub, encoder) from None
    except HFValidationError as error:
        raise InputError(f"encoder {encoder}: no such folder, and {error}") from None


def not_here(what: str, hub: str, encoder: str) -> InputError:
    """The error that says how to get what the cache lacks of a model."""
    return InputError(
        f"encoder {encoder}: {what} of {hub} is not on this machine; get it with: "
        f"hf download {hub} (or give a local file or folder)"
    )
