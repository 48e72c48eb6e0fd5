"""Make shard sets: videos to clips of frames, clips of frames to embeddings."""

import dataclasses
import hashlib
import importlib.metadata
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import track

from data_prep.config import CorpusConfig, EncoderConfig
from data_prep.corpus import SPLITS, Source, list_sources
from data_prep.decode import DecodeError, read_clips
from data_prep.encoders import build_encoder
from data_prep.errors import InputError
from data_prep.shards import (
    EMBEDDINGS,
    FRAMES,
    METADATA,
    Sample,
    SampleReference,
    ShardSet,
    encode_embeddings,
    encode_frames,
    encode_metadata,
    shard_is_valid,
    write_manifest,
    write_shard,
)

FLOAT16_LIMIT = float(np.finfo(np.float16).max)


def prepare_frames(corpus: Path, cache: Path, config: CorpusConfig) -> ShardSet:
    """Shards of the clips of all readable videos below `corpus`, in the cache.

    The cache folder's name is made from the corpus, its files' sizes and times, and the
    configuration, so a changed corpus gets a new one and an unchanged one is reused.

    Raises:
        InputError: no usable video, or a split without a clip.
    """
    sources = list_sources(corpus, config)
    splits_file = Path(config.splits).read_text() if config.splits else None
    files = [(corpus / source.path).stat() for source in sources]
    fingerprint = digest(
        [str(corpus.resolve()), splits_file, _made_with("av", "decord", "numpy")],
        [dataclasses.astuple(source) for source in sources],
        [(file.st_size, file.st_mtime_ns) for file in files],
        dataclasses.asdict(config),
    )
    out = cache / "shards" / fingerprint / "frames"
    plans: dict[str, list[Source]] = {}
    for split in SPLITS:
        of_split = [source for source in sources if source.split == split]
        for start in range(0, len(of_split), config.sources_per_shard):
            name = f"{split}-{start // config.sources_per_shard:06d}"
            plans[name] = of_split[start : start + config.sources_per_shard]

    def make(name: str) -> tuple[Iterator[Sample], Callable[[], dict]]:
        rejected: list[dict[str, str]] = []
        return _clip_samples(corpus, name, plans[name], config, rejected), lambda: {
            "rejected": rejected
        }

    content = {
        "kind": "frames",
        # A csv of splits is named by its content: its path belongs to this machine alone.
        "arguments": dataclasses.asdict(config) | {"splits": splits_file and digest(splits_file)},
        "versions": _made_with("av", "decord", "numpy"),
        "encoder": None,
    }
    plan_lists = {
        name: [dataclasses.asdict(source) for source in plan] for name, plan in plans.items()
    }
    shards = _make_shards(out, "videos to shards", plan_lists, make, content, _gather_rejected)
    _require_clips(shards, corpus, len(sources))
    return shards


def prepare_embeddings(frames: ShardSet, cache: Path, config: EncoderConfig) -> ShardSet:
    """Shards of float16 embeddings of a shard set of frames, with the same keys, in the cache."""
    size = int(frames.manifest["arguments"]["size"])
    encoder = build_encoder(config, size)
    source = digest(frames.manifest["shards"])
    out = cache / "embeddings" / digest(source, dataclasses.asdict(config), _made_with("torch"))
    references: dict[str, list[SampleReference]] = {}
    for split in SPLITS:
        for sample in frames.samples(split):
            references.setdefault(sample.shard, []).append(sample)

    def make(name: str) -> tuple[Iterator[Sample], Callable[[], dict]]:
        sums: dict[str, Any] = {
            "count": 0,
            "sum": np.zeros(encoder.dim),
            "sum_of_squares": np.zeros(encoder.dim),
        }

        def samples() -> Iterator[Sample]:
            for reference in references[name]:
                pixels = torch.from_numpy(frames.read_frames(reference)).permute(0, 3, 1, 2)
                embeddings = encoder.encode(pixels / 255).numpy()  # [T, P, D]
                if not np.abs(embeddings).max() < FLOAT16_LIMIT:
                    raise InputError(f"clip {reference.key}: embeddings beyond float16")
                values = embeddings.reshape(-1, encoder.dim).astype(np.float64)
                sums["count"] += len(values)
                sums["sum"] += values.sum(0)
                sums["sum_of_squares"] += (values**2).sum(0)
                metadata = frames.read(reference, METADATA)
                members = {EMBEDDINGS: encode_embeddings(embeddings), METADATA: metadata}
                yield Sample(reference.key, reference.source, members)

        return samples(), lambda: {"sums": {k: np.asarray(v).tolist() for k, v in sums.items()}}

    content = {
        "kind": "embeddings",
        "arguments": frames.manifest["arguments"],
        "versions": _made_with("torch", "safetensors"),
        "encoder": dataclasses.asdict(config)
        | {"grid": encoder.grid, "dim": encoder.dim, "isometric": encoder.isometric},
    }
    plans = {name: [source, [r.key for r in references[name]]] for name in references}
    return _make_shards(out, "frames to embeddings", plans, make, content, _gather_statistics)


def _make_shards(
    out: Path,
    description: str,
    plans: dict[str, Any],
    make: Callable[[str], tuple[Iterator[Sample], Callable[[], dict]]],
    content: dict[str, Any],
    gather: Callable[[Path, list[str]], dict[str, Any]],
) -> ShardSet:
    """Make the planned shards that do not stand whole in `out`, then the manifest."""
    out.mkdir(parents=True, exist_ok=True)
    missing = [name for name, plan in plans.items() if not shard_is_valid(out, name, plan)]
    for name in track(missing, description, disable=not missing, transient=True):
        samples, notes = make(name)
        write_shard(out, name, plans[name], samples, notes)
    names = list(plans)
    write_manifest(out, names, content | gather(out, names))
    return ShardSet(out)


def _clip_samples(
    corpus: Path,
    name: str,
    sources: list[Source],
    config: CorpusConfig,
    rejected: list[dict[str, str]],
) -> Iterator[Sample]:
    count = 0
    for source in sources:
        try:
            clips = read_clips(corpus / source.path, config)
        except (DecodeError, OSError) as error:
            rejected.append({"source": source.path, "reason": str(error)})
            continue
        for clip in clips:
            metadata = {
                "source": source.path,
                "label": source.label,
                "group": source.group,
                "times": clip.times,
                "repeated_frames": clip.repeated,
                "decoder": clip.decoder,
            }
            members = {FRAMES: encode_frames(clip.frames), METADATA: encode_metadata(metadata)}
            yield Sample(f"{name}-{count:06d}", source.path, members)
            count += 1


def _gather_rejected(folder: Path, names: list[str]) -> dict[str, Any]:
    indices = [json.loads((folder / f"{name}.json").read_text()) for name in names]
    return {"rejected": [entry for index in indices for entry in index["rejected"]]}


def _gather_statistics(folder: Path, names: list[str]) -> dict[str, Any]:
    """Mean and standard deviation of each dimension over the training split, and in all."""
    indices = [
        json.loads((folder / f"{name}.json").read_text())
        for name in names
        if name.startswith("train-")
    ]
    count = sum(index["sums"]["count"] for index in indices)
    mean = sum(np.array(index["sums"]["sum"]) for index in indices) / count
    square = sum(np.array(index["sums"]["sum_of_squares"]) for index in indices) / count
    variance = np.maximum(square - mean**2, 0)
    return {
        "statistics": {
            "mean": mean.tolist(),
            "std": np.sqrt(variance).tolist(),
            "global_std": float(np.sqrt(variance.mean())),
        }
    }


def _require_clips(shards: ShardSet, corpus: Path, sources: int) -> None:
    rejected = shards.manifest["rejected"]
    for split in SPLITS:
        if shards.manifest["samples"][split] == 0:
            first = (
                f"; the first: {rejected[0]['source']}: {rejected[0]['reason']}" if rejected else ""
            )
            raise InputError(
                f"--data {corpus}: no readable clip for the {split} split "
                f"({len(rejected)} of {sources} videos rejected{first})"
            )


def _made_with(*packages: str) -> dict[str, str]:
    return {package: importlib.metadata.version(package) for package in packages}


def digest(*content: object) -> str:
    """A short name for JSON-like content: the same content, the same name."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
