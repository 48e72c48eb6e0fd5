"""The plan of a shard set: it fixes what each shard is made from.

The plan is the first file in the folder (`plan.json`). Each shard and its index follow when they
are finished, `rejected.jsonl` and the manifest come last. A run keeps the shards that are whole
and makes the others, so a run that is stopped, repeated or shared gives the same bytes.
"""

import contextlib
import dataclasses
import hashlib
import importlib.metadata
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data_prep.config import ExecutorConfig
from data_prep.errors import InputError, StorageError
from data_prep.shards.executors import ShardJob, run_jobs
from data_prep.shards.format import MANIFEST, SCHEMA_VERSION, ShardSet, shard_is_valid
from data_prep.shards.storage import Folder, is_url, json_bytes
from data_prep.sources.corpus import SPLITS

PLAN, REJECTED = "plan.json", "rejected.jsonl"
PLAN_VERSION = 2  # of the form of plan.json


@dataclass(frozen=True)
class SetPlan:
    """What a shard set is made from.

    Args:
        maker: name of the module that makes the shards, a key of `data_prep.makers.MAKERS`.
        kind: `frames` or `embeddings`.
        source: path or URL of the corpus or of the set of frames; None where nothing is read.
        content: what the manifest says of the making: arguments, versions, encoder. With
            `shards` and `machine` it is all that a maker needs.
        shards: what each shard is made from, by the shard's name.
        rejected: listed sources that were not even tried, with reasons.
        machine: settings that hold on this machine only, such as paths of weights.
        version: version of this form of plan.
    """

    maker: str
    kind: str
    source: str | None
    content: dict[str, Any]
    shards: dict[str, Any]
    rejected: list[dict[str, str]] = field(default_factory=list)
    machine: dict[str, Any] = field(default_factory=dict)
    version: int = PLAN_VERSION

    @classmethod
    def read(cls, folder: Folder) -> "SetPlan":
        """The plan in a folder.

        Raises:
            InputError: there is none, it is broken, or another version of this program wrote it.
        """
        place = f"{folder}/{PLAN}"
        try:
            content = json.loads(folder.read(PLAN))
        except FileNotFoundError:
            raise InputError(f"{folder}: no {PLAN}, so no set was begun here") from None
        except ValueError as error:
            raise InputError(f"{place}: not valid JSON ({error})") from None
        version = content.get("version") if isinstance(content, dict) else None
        if version != PLAN_VERSION:
            raise InputError(
                f"{place}: a plan of version {version}, this program reads version "
                f"{PLAN_VERSION}; make the set anew in another folder"
            )
        try:
            plan = cls(**content)
        except TypeError as error:
            raise InputError(f"{place}: not a plan ({error})") from None
        for name, kind in (("content", dict), ("shards", dict), ("rejected", list)):
            if not isinstance(content.get(name), kind):
                raise InputError(f"{place}: not a plan ({name} is no {kind.__name__})")
        return plan

    def differences(self, other: "SetPlan") -> list[str]:
        """The names of the settings in which two plans differ, except where sources lie."""
        mine, theirs = self._shared(), other._shared()
        found = []
        for name in mine:
            if isinstance(mine[name], dict) and isinstance(theirs[name], dict):
                keys = sorted({*mine[name], *theirs[name]})
                found += [k for k in keys if mine[name].get(k) != theirs[name].get(k)]
            elif mine[name] != theirs[name]:
                found.append(name)
        return found

    def _shared(self) -> dict[str, Any]:
        content = {k: v for k, v in self.content.items() if isinstance(v, dict)}
        return {
            "kind": self.kind,
            **content,
            "sources": digest(self.shards, self.rejected),
        }


def make_set(
    folder: Folder,
    plan: SetPlan,
    jobs: Callable[[list[str]], Sequence[ShardJob]],
    gather: Callable[[list[dict[str, Any]]], dict[str, Any]],
    executor: ExecutorConfig,
    description: str,
) -> ShardSet | None:
    """Make the planned shards that are not whole in `folder`, then the manifest.

    `jobs` gives the jobs that make the named shards, `gather` the entries of the manifest that are
    computed from all indices. Of several jobs (`executor.num_jobs`) the one that ends last writes
    the manifest; the others return None.

    Raises:
        InputError: the folder holds a set of another plan.
    """
    folder.make()
    folder.clear()
    _begin(folder, plan)
    mine = list(plan.shards)[executor.job_index :: executor.num_jobs]
    missing = [name for name in mine if not shard_is_valid(folder, name, plan.shards[name])]
    run_jobs(jobs(missing), executor, description)
    indices = _indices(folder, plan, trusted=set(mine))
    if indices is None and executor.num_jobs == 1:
        raise StorageError(
            f"{folder}: shards are missing though all were made; is it one folder for all machines?"
        )
    if indices is None:
        return None
    _finish(folder, plan, indices, gather(indices))
    return ShardSet(folder.location)


def require_location(source: str | Path) -> None:
    """Raise InputError if a path that a plan names is no longer there."""
    if not is_url(str(source)) and not Path(source).exists():
        raise InputError(f"{source}: not there; say where the sources lie with --source")


def digest(*content: object) -> str:
    """A short name for JSON-like content: the same content, the same name."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def versions_of(*packages: str) -> dict[str, str | None]:
    """The installed versions of packages; None for one that this system does not have."""
    installed: dict[str, str | None] = dict.fromkeys(packages)
    for package in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            installed[package] = importlib.metadata.version(package)
    return installed


def _begin(folder: Folder, plan: SetPlan) -> None:
    if folder.size(PLAN) is not None:
        differences = SetPlan.read(folder).differences(plan)
        if differences:
            raise InputError(
                f"{folder}: holds a set made otherwise (different: {', '.join(differences)}); "
                "give another folder, or the same options and corpus"
            )
    folder.write(PLAN, json_bytes(dataclasses.asdict(plan)))


def _indices(folder: Folder, plan: SetPlan, trusted: set[str]) -> list[dict[str, Any]] | None:
    """The indices of all shards in order, or None while some are still to be made."""
    indices = []
    for name, entry in plan.shards.items():
        try:
            index = json.loads(folder.read(f"{name}.json"))
        except (FileNotFoundError, ValueError):
            return None
        stands = index.get("plan") == entry and folder.size(f"{name}.tar") == index["bytes"]
        if name not in trusted and not stands:
            return None
        indices.append(index)
    return indices


def _finish(
    folder: Folder, plan: SetPlan, indices: list[dict[str, Any]], gathered: dict[str, Any]
) -> None:
    """Write `rejected.jsonl` and, last, the manifest: what makes the folder a shard set."""
    rejected = plan.rejected + [entry for i in indices for entry in i.get("rejected", [])]
    lines = [json.dumps(entry, ensure_ascii=False) + "\n" for entry in rejected]
    folder.write(REJECTED, "".join(lines).encode())
    samples = dict.fromkeys(SPLITS, 0)
    shards = []
    for name, index in zip(plan.shards, indices, strict=True):
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
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "kind": plan.kind,
        **plan.content,
        **gathered,
        "rejected": rejected,
        "samples": samples,
        "shards": shards,
    }
    folder.clear()  # of workers that died on the way
    folder.sync()  # the manifest must not outlive a shard
    folder.write(MANIFEST, json_bytes(manifest))
    folder.sync()
