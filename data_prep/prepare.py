"""Make shard sets: videos or images to clips of frames, clips of frames to embeddings."""

import dataclasses
import functools
import hashlib
import importlib.metadata
import json
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import track

from data_prep.config import CorpusConfig, DeadLeavesConfig, EncoderConfig, ImagesConfig
from data_prep.corpus import IMAGES, SPLITS, Source, list_sources
from data_prep.dead_leaves import render_dead_leaves
from data_prep.decode import DecodedClip, read_clips
from data_prep.encoders import Encoder, build_encoder
from data_prep.errors import DecodeError, InputError
from data_prep.images import random_crops, read_crops
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

    def read(source: Source) -> list[DecodedClip]:
        return read_clips(corpus / source.path, config)

    return _prepare_sources(corpus, sources, cache, config, read, ("av", "decord", "numpy"))


def prepare_images(
    corpus: Path, cache: Path, config: ImagesConfig, sources: list[Source] | None = None
) -> ShardSet:
    """Shards of crops of readable images below `corpus`, each a clip of one frame.

    `sources` names the images; all of them, dealt into the three splits, if it is not given.

    Raises:
        InputError: no usable image, or a split without one.
    """
    if sources is None:
        sources = list_sources(corpus, config, IMAGES)

    def read(source: Source) -> list[DecodedClip]:
        return read_crops(corpus, source, config)

    return _prepare_sources(corpus, sources, cache, config, read, ("pillow", "numpy"))


def prepare_dead_leaves(cache: Path, config: DeadLeavesConfig, images: ImagesConfig) -> ShardSet:
    """Shards of crops of rendered canvases, in the cache; canvases are rendered on all cores.

    A training canvas gives `images.crops` crops, a held-out one gives one.
    """
    made_with = _made_with("numpy")
    arguments = dataclasses.asdict(config) | {"size": images.size, "crops": images.crops}
    fingerprint = digest(dataclasses.asdict(config), images.size, images.crops, made_with)
    plans: dict[str, list[tuple[int, int]]] = {}
    for index, split in enumerate(SPLITS):
        for start in range(0, getattr(config, split), images.sources_per_shard):
            stop = min(start + images.sources_per_shard, getattr(config, split))
            name = f"{split}-{start // images.sources_per_shard:06d}"
            plans[name] = [(index, number) for number in range(start, stop)]
    content: dict[str, Any] = {
        "kind": "frames",
        "arguments": arguments,
        "versions": made_with,
        "encoder": None,
        "rejected": [],
    }
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:

        def make(name: str) -> tuple[Iterator[Sample], Callable[[], dict]]:
            count = images.crops if name.startswith("train-") else 1
            render = functools.partial(render_dead_leaves, config=config)
            canvases = pool.map(render, plans[name], chunksize=4)

            def samples() -> Iterator[Sample]:
                for (_, number), canvas in zip(plans[name], canvases, strict=True):
                    source = f"{name.split('-')[0]}/{number:05d}"
                    for index, crop in enumerate(random_crops(canvas, count, images.size, source)):
                        metadata = encode_metadata({"source": source, "times": [0.0]})
                        members = {FRAMES: encode_frames(crop[None]), METADATA: metadata}
                        yield Sample(f"{name}-{number:05d}-{index:03d}", source, members)

            return samples(), dict

        out = cache / "dead_leaves" / fingerprint
        plan_lists = {name: [list(canvas) for canvas in plan] for name, plan in plans.items()}
        return _make_shards(out, "dead leaves", plan_lists, make, content, lambda *_: {})


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


def encoder_of(embeddings: ShardSet) -> Encoder:
    """The encoder that made a shard set of embeddings."""
    described = embeddings.manifest["encoder"]
    fields = {field.name for field in dataclasses.fields(EncoderConfig)}
    config = EncoderConfig(**{k: v for k, v in described.items() if k in fields})
    return build_encoder(config, int(embeddings.manifest["arguments"]["size"]))


def _prepare_sources(
    corpus: Path,
    sources: list[Source],
    cache: Path,
    config: CorpusConfig | ImagesConfig,
    read: Callable[[Source], list[DecodedClip]],
    packages: tuple[str, ...],
) -> ShardSet:
    splits_file = Path(config.splits).read_text() if config.splits else None
    files = [(corpus / source.path).stat() for source in sources]
    fingerprint = digest(
        [str(corpus.resolve()), splits_file, _made_with(*packages)],
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
        return _clip_samples(name, plans[name], read, rejected), lambda: {"rejected": rejected}

    content = {
        "kind": "frames",
        # A csv of splits is named by its content: its path belongs to this machine alone.
        "arguments": dataclasses.asdict(config) | {"splits": splits_file and digest(splits_file)},
        "versions": _made_with(*packages),
        "encoder": None,
    }
    plan_lists = {
        name: [dataclasses.asdict(source) for source in plan] for name, plan in plans.items()
    }
    shards = _make_shards(out, corpus.name, plan_lists, make, content, _gather_rejected)
    _require_clips(shards, corpus, sources)
    return shards


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
    name: str,
    sources: list[Source],
    read: Callable[[Source], list[DecodedClip]],
    rejected: list[dict[str, str]],
) -> Iterator[Sample]:
    count = 0
    for source in sources:
        try:
            clips = read(source)
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


def _require_clips(shards: ShardSet, corpus: Path, sources: list[Source]) -> None:
    rejected = shards.manifest["rejected"]
    for split in sorted({source.split for source in sources}):
        if shards.manifest["samples"][split] == 0:
            first = (
                f"; the first: {rejected[0]['source']}: {rejected[0]['reason']}" if rejected else ""
            )
            raise InputError(
                f"{corpus}: nothing readable for the {split} split "
                f"({len(rejected)} of {len(sources)} files rejected{first})"
            )


def _made_with(*packages: str) -> dict[str, str]:
    return {package: importlib.metadata.version(package) for package in packages}


def digest(*content: object) -> str:
    """A short name for JSON-like content: the same content, the same name."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
