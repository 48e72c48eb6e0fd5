"""Write and read shard sets: webdataset tars, an index beside each, and a manifest written last.

Nothing read here runs code: members are read by name and offset and decoded by safetensors, as
plain arrays or as JSON.
"""

import io
import json
import math
import os
import re
import tarfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.lib.format
import safetensors
import safetensors.numpy

from data_prep.errors import InputError
from data_prep.shards.storage import Folder, json_bytes, sha256_of

SCHEMA_VERSION = 2
MANIFEST = "manifest.json"
SHARD_NAME = re.compile(r"(train|validation|test)-\d{6}")
MANIFEST_KEYS = {"kind": str, "arguments": dict, "samples": dict, "rejected": list, "shards": list}
FRAMES, EMBEDDINGS, METADATA = "frames.npy", "emb.safetensors", "json"


@dataclass(frozen=True)
class Sample:
    """A clip to write: its key without dots, the video it comes from, and its members by suffix."""

    key: str
    source: str
    members: dict[str, bytes]


@dataclass(frozen=True)
class SampleReference:
    """The place of a clip: its key, video and shard, and the offset and size of each member."""

    key: str
    source: str
    shard: str
    members: dict[str, tuple[int, int]]


def write_shard(
    folder: Folder, name: str, plan: object, samples: Iterable[Sample], notes: Callable[[], dict]
) -> None:
    """Write `{name}.tar` and, after it, its index `{name}.json`.

    `plan` says what the shard is made from; a later run keeps the shard if plan, size and
    checksum agree (`shard_is_valid`). `notes` is called after the last sample and adds its items
    to the index. The same samples give the same bytes.

    Raises:
        ValueError: a key has a dot or is not unique.
        StorageError: the network fails for good.
    """
    sources: dict[str, str] = {}
    with folder.writing(f"{name}.tar") as file:
        with tarfile.open(fileobj=file, mode="w:") as tar:
            for sample in samples:
                if "." in sample.key or sample.key in sources:
                    raise ValueError(f"key {sample.key!r} has a dot or is not unique in {name}")
                sources[sample.key] = sample.source
                for suffix, data in sorted(sample.members.items()):
                    tar.addfile(_member(f"{sample.key}.{suffix}", len(data)), io.BytesIO(data))
        size = file.tell()
        file.seek(0)
        checksum = sha256_of(file)
        file.seek(0)
        members = member_offsets(file)
    index = {
        "plan": plan,
        "bytes": size,
        "sha256": checksum,
        "count": len(members),
        "samples": [
            {"key": key, "source": sources[key], "members": offsets}
            for key, offsets in members.items()
        ],
        **notes(),
    }
    folder.write(f"{name}.json", json_bytes(index))


def shard_is_valid(folder: Folder, name: str, plan: object) -> bool:
    """Whether the shard is there, whole and made from `plan`.

    The checksum is compared where the shard lies on this machine; a remote one would have to be
    fetched, which `verify` does.
    """
    try:
        index = json.loads(folder.read(f"{name}.json"))
        recorded = (index["plan"], index["bytes"])
        if recorded != (plan, folder.size(f"{name}.tar")):
            return False
        return folder.path is None or index["sha256"] == folder.sha256(f"{name}.tar")
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return False


def _member(name: str, size: int) -> tarfile.TarInfo:
    """The header of a file in the tar, equal to webdataset's; it names no user and no time."""
    member = tarfile.TarInfo(name)
    member.size, member.mtime, member.mode = size, 0, 0o444
    member.uname = member.gname = "bigdata"
    return member


def member_offsets(file: BinaryIO) -> dict[str, dict[str, tuple[int, int]]]:
    """Offset and size of each member of a shard, by key and suffix."""
    offsets: dict[str, dict[str, tuple[int, int]]] = {}
    with tarfile.open(fileobj=file, mode="r:") as tar:
        for member in tar:
            key, suffix = member.name.split(".", 1)
            offsets.setdefault(key, {})[suffix] = (member.offset_data, member.size)
    return offsets


class ShardSet:
    """A finished shard set, read at random by (shard, offset); on this machine or behind a URL.

    `folder` is its path, None behind a URL.

    Raises:
        InputError: the folder holds no manifest, one of another version, or a broken one.
    """

    def __init__(self, location: str | Path):
        self.files = Folder(location)
        self.folder = self.files.path
        try:
            self.manifest: dict[str, Any] = json.loads(self.files.read(MANIFEST))
        except FileNotFoundError:
            raise InputError(
                f"{location}: no {MANIFEST}, so this is no finished shard set"
            ) from None
        except ValueError as error:
            raise InputError(f"{location}/{MANIFEST}: not valid JSON ({error})") from None
        self._check_manifest(f"{location}/{MANIFEST}")
        self._open: dict[str, int] = {}

    def _check_manifest(self, place: str) -> None:
        if not isinstance(self.manifest, dict):
            raise InputError(f"{place}: no manifest of a shard set")
        version = self.manifest.get("schema_version")
        if version != SCHEMA_VERSION:
            raise InputError(
                f"{place}: schema_version {version}, this program reads {SCHEMA_VERSION}: "
                "make the shards again with python -m data_prep.prepare"
            )
        try:
            for key, kind in MANIFEST_KEYS.items():
                if not isinstance(self.manifest[key], kind):
                    raise TypeError(f"{key} is no {kind.__name__}")
            shards = self.manifest["shards"]
            names, splits = [s["name"] for s in shards], [s["split"] for s in shards]
            for shard in shards:
                for key in ("samples", "bytes"):
                    if not isinstance(shard[key], int):
                        raise TypeError(f"{key} of {shard['name']} is no int")
                shard["sha256"], self.manifest["samples"][shard["split"]]
            self.manifest["arguments"]["size"]
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{place}: broken ({error!r}); make the shards again") from None
        for name, split in zip(names, splits, strict=True):
            # A name decides which file is opened, so it must be one of ours.
            if not (isinstance(name, str) and SHARD_NAME.fullmatch(name)):
                raise InputError(f"{place}: {name!r} is no name of a shard")
            if not name.startswith(f"{split}-"):
                raise InputError(f"{place}: shard {name} cannot belong to {split!r}")

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_open": {}}  # open files stay in their process

    @property
    def kind(self) -> str:
        """`frames` or `embeddings`."""
        return str(self.manifest["kind"])

    def shards(self, split: str) -> list[str]:
        """The names of a split's shards, in order."""
        return [shard["name"] for shard in self.manifest["shards"] if shard["split"] == split]

    def samples(self, split: str) -> list[SampleReference]:
        """The clips of a split in the order of the shards."""
        return [sample for name in self.shards(split) for sample in self.shard_samples(name)]

    def shard_samples(self, name: str) -> list[SampleReference]:
        """The clips of a shard, by its index.

        Raises:
            InputError: the index is missing or broken.
        """
        try:
            index = json.loads(self.files.read(f"{name}.json"))
            size = int(index["bytes"])
            references = []
            for sample in index["samples"]:
                members = {suffix: (int(o), int(n)) for suffix, (o, n) in sample["members"].items()}
                if any(o < 0 or n < 0 or o + n > size for o, n in members.values()):
                    raise ValueError(f"a member of {sample['key']} lies outside the shard")
                key, source = str(sample["key"]), str(sample["source"])
                references.append(SampleReference(key, source, name, members))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"{self.files}/{name}.json: index missing or broken ({error!r}); "
                "repair the set with python -m data_prep.prepare verify SET --repair"
            ) from None
        return references

    def read(self, sample: SampleReference, suffix: str) -> bytes:
        """The bytes of one member of a clip."""
        if suffix not in sample.members:
            raise InputError(f"{self.files}: clip {sample.key} has no member {suffix}")
        offset, size = sample.members[suffix]
        name = f"{sample.shard}.tar"
        if self.folder is None:
            data = self.files.read(name, offset, offset + size)
        else:
            if sample.shard not in self._open:
                self._open[sample.shard] = os.open(self.folder / name, os.O_RDONLY)
            data = os.pread(self._open[sample.shard], size, offset)
        if len(data) != size:
            raise InputError(f"{self.files}/{name}: ends early; make the shards again")
        return data

    def read_frames(self, sample: SampleReference) -> np.ndarray:
        """The frames of a clip, uint8 `[T, height, width, 3]`."""
        return decode_frames(self.read(sample, FRAMES), f"{self.files}: clip {sample.key}")

    def read_embeddings(self, sample: SampleReference) -> np.ndarray:
        """The embeddings of a clip, float16 `[T, P, D]`."""
        return decode_embeddings(self.read(sample, EMBEDDINGS), f"{self.files}: clip {sample.key}")

    def read_metadata(self, sample: SampleReference) -> dict[str, Any]:
        """What is known of a clip: its source, label, times and more.

        Raises:
            InputError: it is no JSON object.
        """
        try:
            metadata = json.loads(self.read(sample, METADATA))
            return dict(metadata)
        except (ValueError, TypeError) as error:
            raise InputError(
                f"{self.files}: clip {sample.key}: broken metadata ({error})"
            ) from None


def encode_frames(frames: np.ndarray) -> bytes:
    """Frames uint8 `[T, height, width, 3]` as the bytes of a .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, frames, allow_pickle=False)
    return buffer.getvalue()


def decode_frames(data: bytes, place: str) -> np.ndarray:
    """The bytes of a .npy file to frames uint8 `[T, height, width, 3]`.

    Raises:
        InputError: they hold no such frames; a pickle is never read.
    """
    stream = io.BytesIO(data)
    try:
        numpy.lib.format.read_magic(stream)
        shape, fortran, dtype = numpy.lib.format.read_array_header_1_0(stream)
        whole = min(shape, default=0) > 0 and math.prod(shape) == len(data) - stream.tell()
        if fortran or dtype != np.uint8 or len(shape) != 4 or not whole:
            raise ValueError(f"{dtype} of shape {shape} in {len(data)} bytes")
        return np.frombuffer(data, np.uint8, offset=stream.tell()).reshape(shape).copy()
    except ValueError as error:
        raise InputError(f"{place}: {FRAMES} holds no frames ({error})") from None


def decode_embeddings(data: bytes, place: str) -> np.ndarray:
    """A safetensors file to embeddings float16 `[T, P, D]`.

    Raises:
        InputError: it holds no such embeddings.
    """
    try:
        embeddings = safetensors.numpy.load(data)["embeddings"]
        if embeddings.dtype != np.float16 or embeddings.ndim != 3:
            raise ValueError(f"{embeddings.dtype} of shape {embeddings.shape}")
        return embeddings
    except (safetensors.SafetensorError, KeyError, ValueError) as error:
        raise InputError(f"{place}: {EMBEDDINGS} holds no embeddings ({error})") from None


def encode_embeddings(embeddings: np.ndarray) -> bytes:
    """Embeddings `[T, P, D]` as a float16 safetensors file."""
    return safetensors.numpy.save({"embeddings": embeddings.astype(np.float16)})


def encode_metadata(metadata: dict[str, Any]) -> bytes:
    """The metadata of a clip as JSON bytes."""
    return json.dumps(metadata, sort_keys=True, ensure_ascii=False).encode()
