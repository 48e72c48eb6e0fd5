"""Write and read shard sets: webdataset tars, an index beside each, and a manifest written last.

Nothing read here runs code: members are read by name and offset and decoded by safetensors, by
`np.load(allow_pickle=False)` or as JSON.
"""

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import safetensors
import safetensors.numpy
import webdataset

from data_prep.errors import InputError

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
FRAMES, EMBEDDINGS, METADATA = "frames.npy", "emb.safetensors", "json"


@dataclass(frozen=True)
class Sample:
    """A clip to write: dot-free key, members by suffix, and the video that it comes from."""

    key: str
    source: str
    members: dict[str, bytes]


@dataclass(frozen=True)
class SampleReference:
    """Where a clip lies: its key, its video, its shard, and offset and size of each member."""

    key: str
    source: str
    shard: str
    members: dict[str, tuple[int, int]]


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """A binary file that appears under `path` only when it is written whole and synced."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, content: object) -> None:
    """Write `content` as JSON under a temporary name, then rename."""
    with atomic_file(path) as file:
        file.write((json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())


def write_shard(
    folder: Path, name: str, plan: object, samples: Iterable[Sample], notes: Callable[[], dict]
) -> None:
    """Write `{name}.tar` and, after it, its index `{name}.json`.

    `plan` says what the shard is made from; a later run keeps the shard if plan, size and
    checksum agree (`shard_is_valid`). `notes` is called after the last sample and adds to the
    index what was learnt on the way. Same samples, same bytes.
    """
    path = folder / f"{name}.tar"
    sources: dict[str, str] = {}
    with atomic_file(path) as file:
        tar = webdataset.TarWriter(file, encoder=False, mtime=0)
        for sample in samples:
            if "." in sample.key or sample.key in sources:
                raise ValueError(f"key {sample.key!r} has a dot or is not unique in {name}")
            sources[sample.key] = sample.source
            tar.write({"__key__": sample.key, **sample.members})
        tar.close()
    index = {
        "plan": plan,
        "bytes": path.stat().st_size,
        "sha256": _sha256(path),
        "samples": [
            {"key": key, "source": sources[key], "members": members}
            for key, members in _member_offsets(path).items()
        ],
        **notes(),
    }
    write_json(folder / f"{name}.json", index)


def shard_is_valid(folder: Path, name: str, plan: object) -> bool:
    """Whether the shard stands there whole and made from `plan`."""
    tar, index_path = folder / f"{name}.tar", folder / f"{name}.json"
    if not (tar.is_file() and index_path.is_file()):
        return False
    try:
        index = json.loads(index_path.read_text())
        recorded = (index["plan"], index["bytes"], index["sha256"])
    except (ValueError, KeyError, TypeError):
        return False
    return recorded == (plan, tar.stat().st_size, _sha256(tar))


def write_manifest(folder: Path, names: list[str], content: dict[str, Any]) -> None:
    """Write the manifest over the shards `names`: what makes the folder a shard set."""
    shards, samples = [], dict.fromkeys(("train", "validation", "test"), 0)
    for name in names:
        index = json.loads((folder / f"{name}.json").read_text())
        split = name.rsplit("-", 1)[0]
        samples[split] += len(index["samples"])
        shards.append(
            {
                "name": name,
                "split": split,
                "samples": len(index["samples"]),
                "bytes": index["bytes"],
                "sha256": index["sha256"],
            }
        )
    manifest = {"schema_version": SCHEMA_VERSION, **content, "samples": samples, "shards": shards}
    write_json(folder / MANIFEST, manifest)


class ShardSet:
    """A finished shard set, read at random by (shard, offset).

    Raises:
        InputError: the folder holds no manifest, one of another version, or a broken index.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        try:
            self.manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
        except FileNotFoundError:
            raise InputError(f"{folder}: no {MANIFEST}, so this is no finished shard set") from None
        except ValueError as error:
            raise InputError(f"{folder / MANIFEST}: not valid JSON ({error})") from None
        version = self.manifest.get("schema_version")
        if version != SCHEMA_VERSION:
            raise InputError(
                f"{folder / MANIFEST}: schema_version {version}, this program reads "
                f"{SCHEMA_VERSION}: make the shards again"
            )
        self._files: dict[str, int] = {}

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_files": {}}  # open files stay in their process

    @property
    def kind(self) -> str:
        """`frames` or `embeddings`."""
        return str(self.manifest["kind"])

    def samples(self, split: str) -> list[SampleReference]:
        """The clips of a split in the order of the shards."""
        references = []
        for shard in self.manifest["shards"]:
            if shard["split"] != split:
                continue
            path = self.folder / f"{shard['name']}.json"
            try:
                index = json.loads(path.read_text())
                for sample in index["samples"]:
                    members = {suffix: (o, n) for suffix, (o, n) in sample["members"].items()}
                    references.append(
                        SampleReference(sample["key"], sample["source"], shard["name"], members)
                    )
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise InputError(f"{path}: index missing or broken ({error!r})") from None
        return references

    def read(self, sample: SampleReference, suffix: str) -> bytes:
        """The bytes of one member of a clip."""
        if suffix not in sample.members:
            raise InputError(f"{self.folder}: clip {sample.key} has no member {suffix}")
        if sample.shard not in self._files:
            path = self.folder / f"{sample.shard}.tar"
            self._files[sample.shard] = os.open(path, os.O_RDONLY)
        offset, size = sample.members[suffix]
        data = os.pread(self._files[sample.shard], size, offset)
        if len(data) != size:
            raise InputError(f"{self.folder / sample.shard}.tar: ends early; make the shards again")
        return data

    def read_frames(self, sample: SampleReference) -> np.ndarray:
        """The frames of a clip, uint8 `[T, H, W, 3]`."""
        data = io.BytesIO(self.read(sample, FRAMES))
        frames: np.ndarray = np.load(data, allow_pickle=False)
        return frames

    def read_embeddings(self, sample: SampleReference) -> np.ndarray:
        """The embeddings of a clip, float16 `[T, P, D]`."""
        return safetensors.numpy.load(self.read(sample, EMBEDDINGS))["embeddings"]

    def problems(self) -> list[str]:
        """What is missing or altered, one line a shard; empty when the set is whole."""
        found = []
        for shard in self.manifest["shards"]:
            path = self.folder / f"{shard['name']}.tar"
            if not path.is_file() or not (self.folder / f"{shard['name']}.json").is_file():
                found.append(f"{path}: missing")
            elif path.stat().st_size != shard["bytes"] or _sha256(path) != shard["sha256"]:
                found.append(f"{path}: altered, its checksum differs from the manifest")
        return found


def require_whole(shards: ShardSet) -> None:
    """Raise InputError if a shard is missing or altered."""
    problems = shards.problems()
    if problems:
        raise InputError(f"{problems[0]} ({len(problems)} shards in all); make the shards again")


def encode_frames(frames: np.ndarray) -> bytes:
    """Frames uint8 `[T, H, W, 3]` as the bytes of a .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, frames, allow_pickle=False)
    return buffer.getvalue()


def encode_embeddings(embeddings: np.ndarray) -> bytes:
    """Embeddings `[T, P, D]` as a float16 safetensors file."""
    return safetensors.numpy.save({"embeddings": embeddings.astype(np.float16)})


def encode_metadata(metadata: dict[str, Any]) -> bytes:
    """A clip's metadata as JSON."""
    return json.dumps(metadata, sort_keys=True, ensure_ascii=False).encode()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _member_offsets(path: Path) -> dict[str, dict[str, tuple[int, int]]]:
    offsets: dict[str, dict[str, tuple[int, int]]] = {}
    with tarfile.open(path) as tar:
        for member in tar:
            key, suffix = member.name.split(".", 1)
            offsets.setdefault(key, {})[suffix] = (member.offset_data, member.size)
    return offsets
