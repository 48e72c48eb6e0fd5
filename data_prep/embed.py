"""Turn shards of frames into shards of embeddings with a frozen encoder."""

import dataclasses
import functools
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from data_prep.config import WITHOUT_WEIGHTS, EncoderConfig, ExecutorConfig
from data_prep.encoders.base import Encoder
from data_prep.encoders.registry import build_encoder
from data_prep.errors import InputError
from data_prep.shards.executors import Advance
from data_prep.shards.format import (
    EMBEDDINGS,
    FRAMES,
    METADATA,
    Sample,
    SampleReference,
    ShardSet,
    decode_frames,
    encode_embeddings,
    write_shard,
)
from data_prep.shards.plan import SetPlan, digest, make_set, require_location, versions_of
from data_prep.shards.storage import Folder, absolute
from data_prep.shards.stream import stream_shard

FLOAT16_LIMIT = float(np.finfo(np.float16).max)
PACKAGES = {"timm": ("timm",), "vae": ("diffusers",)}


def prepare_embeddings(frames: ShardSet, cache: Path, config: EncoderConfig) -> ShardSet:
    """Shards of float16 embeddings of a shard set of frames, with the same keys, in the cache."""
    plan = plan_embeddings(frames, config)
    out = cache / "embeddings" / digest(plan.version, plan.content, plan.shards)
    shards = run_plan(Folder(out), plan, ExecutorConfig())
    assert shards is not None  # one job makes all
    return shards


def make_embeddings(
    frames: ShardSet, out: str, config: EncoderConfig, executor: ExecutorConfig
) -> ShardSet | None:
    """Make the embeddings of a set of frames in `out`; None while other jobs are not done.

    Raises:
        InputError: `frames` holds none, the encoder cannot be had, or `out` holds another set.
        StorageError: a disk or network fails for good.
    """
    return run_plan(Folder(out), plan_embeddings(frames, config), executor)


def plan_embeddings(frames: ShardSet, config: EncoderConfig) -> SetPlan:
    """The plan of the embeddings: each shard of the set of frames gives one of the same name.

    Raises:
        InputError: the set holds no frames, or none for training, or the encoder cannot be had.
    """
    if frames.kind != "frames":
        raise InputError(f"{frames.files}: holds {frames.kind}; give a shard set of frames")
    if not frames.manifest["samples"]["train"]:
        raise InputError(
            f"{frames.files}: no clip for training, so the statistics of the embeddings are not "
            "defined; prepare frames with a training split"
        )
    encoder = _shared_encoder(config, int(frames.manifest["arguments"]["size"]))
    shards = {
        shard["name"]: {"frames": shard["sha256"], "samples": shard["samples"]}
        for shard in frames.manifest["shards"]
    }
    described = dataclasses.asdict(config) | {
        # A path belongs to this machine: weights are named by their content.
        "name": encoder.name,
        "weights": encoder.weights,
        "grid": list(encoder.grid),
        "dim": encoder.dim,
        "isometric": encoder.isometric,
    }
    content = {
        "arguments": frames.manifest["arguments"],
        "versions": versions_of("torch", "safetensors", *PACKAGES.get(config.kind, ())),
        "encoder": described,
    }
    return SetPlan(
        maker="embed",
        kind="embeddings",
        source=absolute(frames.files.location),
        content=content,
        shards=shards,
        machine={"encoder": dataclasses.asdict(config)},
    )


def run_plan(folder: Folder, plan: SetPlan, executor: ExecutorConfig) -> ShardSet | None:
    """Make the set of a plan; None while other jobs have not made their part.

    Raises:
        InputError: the encoder cannot be had, a shard of frames is altered, or `folder` holds
            another set.
        StorageError: a disk or network fails for good.
    """
    assert plan.source is not None  # a set of frames lies somewhere
    frames = plan.source
    config = EncoderConfig(**plan.machine["encoder"])
    size = int(plan.content["arguments"]["size"])

    def jobs(names: list[str]) -> list[EmbeddingShard]:
        return [
            EmbeddingShard(name, frames, plan.shards[name], config, size, absolute(folder.location))
            for name in names
        ]

    if torch.cuda.is_available() and executor.workers is None:
        executor = dataclasses.replace(executor, workers=1)  # one GPU serves one worker
    with _one_torch_thread():
        return make_set(folder, plan, jobs, _statistics, executor, "frames to embeddings")


def require_sources(plan: SetPlan, names: Iterable[str]) -> None:
    """Raise InputError if the set of frames is gone; its shards are checked as they are read."""
    assert plan.source is not None  # a set of frames lies somewhere
    require_location(plan.source)


def encoder_of(embeddings: ShardSet, config: EncoderConfig) -> Encoder:
    """The encoder that made a shard set of embeddings; `config` says where its weights lie.

    Raises:
        InputError: the encoder of `config` is another one.
    """
    described = embeddings.manifest["encoder"]
    size = int(embeddings.manifest["arguments"]["size"])
    if described["name"] in WITHOUT_WEIGHTS:
        fields = {field.name for field in dataclasses.fields(EncoderConfig)}
        config = EncoderConfig(**{k: v for k, v in described.items() if k in fields})
        return build_encoder(config, size)
    # How frames were cut into patches stands in the manifest; where the weights lie does not.
    cut = {name: described[name] for name in ("patch_size", "input_size")}
    encoder = _shared_encoder(dataclasses.replace(config, **cut), size)
    if (encoder.name, encoder.weights) != (described["name"], described["weights"]):
        raise InputError(
            f"{embeddings.files}: made by the encoder {described['name']} with weights "
            f"{described['weights']}; give its --encoder.name (here {config.name})"
        )
    return encoder


@dataclass(frozen=True)
class EmbeddingShard:
    """The job that makes one shard of embeddings."""

    name: str
    frames: str
    plan: dict[str, Any]
    config: EncoderConfig
    size: int
    out: str

    @property
    def units(self) -> int:
        """Clips in the shard."""
        return int(self.plan["samples"])

    def tools(self) -> AbstractContextManager[Encoder]:
        """The encoder, on a GPU if there is one."""
        return nullcontext(_shared_encoder(self.config, self.size))

    def make(self, tools: Encoder, advance: Advance) -> None:
        """Embed all clips and sum up their statistics."""
        sums = _Sums(tools.dim)
        frames = ShardSet(self.frames)
        self._require_unaltered(frames)

        def samples() -> Iterator[Sample]:
            for batch in _batches(frames, self.name, self.config.batch_size):
                pixels = np.concatenate([frames for _, frames, _ in batch])  # [B, height, width, 3]
                embeddings = _encode(tools, pixels)
                parts = np.split(embeddings, np.cumsum([len(f) for _, f, _ in batch])[:-1])
                for (reference, _, metadata), part in zip(batch, parts, strict=True):
                    if not np.abs(part).max() < FLOAT16_LIMIT:
                        raise InputError(
                            f"clip {reference.key} of {reference.source}: embeddings beyond "
                            f"float16 ({np.abs(part).max():g}); this encoder cannot be stored"
                        )
                    sums.add(part)
                    members = {EMBEDDINGS: encode_embeddings(part), METADATA: metadata}
                    yield Sample(reference.key, reference.source, members)
                    advance(1)

        split = self.name.rsplit("-", 1)[0]

        def notes() -> dict[str, Any]:
            return {"split": split, "sums": sums.done}

        write_shard(Folder(self.out), self.name, self.plan, samples(), notes)

    def _require_unaltered(self, frames: ShardSet) -> None:
        """A shard on this machine is compared with its checksum before anything is made of it."""
        tar = f"{self.name}.tar"
        missing = frames.files.size(tar) is None
        if missing or (frames.folder and frames.files.sha256(tar) != self.plan["frames"]):
            raise InputError(
                f"{frames.files}/{tar}: {'missing' if missing else 'altered'}; repair the set with "
                f"python -m data_prep.prepare verify {frames.files} --repair"
            )


class _Sums:
    """Count, sum and sum of squares of each dimension."""

    def __init__(self, dim: int):
        self._count, self._sum, self._squares = 0, np.zeros(dim), np.zeros(dim)

    def add(self, embeddings: np.ndarray) -> None:
        """Count in embeddings `[T, P, D]`."""
        values = embeddings.reshape(-1, embeddings.shape[-1]).astype(np.float64)
        self._count += len(values)
        self._sum += values.sum(0)
        self._squares += (values**2).sum(0)

    @property
    def done(self) -> dict[str, Any]:
        """The sums as the index of a shard holds them."""
        return {
            "count": self._count,
            "sum": self._sum.tolist(),
            "sum_of_squares": self._squares.tolist(),
        }


Clip = tuple[SampleReference, np.ndarray, bytes]


def _batches(frames: ShardSet, name: str, frames_at_once: int) -> Iterator[list[Clip]]:
    """The clips of a shard in order, as many together as hold about `frames_at_once` frames."""
    batch: list[Clip] = []
    for reference, members in stream_shard(frames, name):
        place = f"{frames.files}: clip {reference.key}"
        batch.append((reference, decode_frames(members[FRAMES], place), members[METADATA]))
        if sum(len(pixels) for _, pixels, _ in batch) >= frames_at_once:
            yield batch
            batch = []
    if batch:
        yield batch


def _encode(encoder: Encoder, pixels: np.ndarray) -> np.ndarray:
    """Pixels uint8 `[B, height, width, 3]` to float32 embeddings `[B, P, D]`."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    frames = torch.from_numpy(pixels).to(device).permute(0, 3, 1, 2) / 255
    embeddings: np.ndarray = encoder.encode(frames).float().cpu().numpy()
    return embeddings


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    """Let each worker compute in one thread: sums split otherwise would give other bytes.

    The number is the whole process's, so it is set before the workers start, which inherit it, and
    set back after they have ended. Ray gives its processes one thread each by itself.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _statistics(indices: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean and standard deviation of each dimension over the training split, and of all at once."""
    sums = [index["sums"] for index in indices if index["split"] == "train"]
    count = sum(part["count"] for part in sums)
    mean = sum(np.array(part["sum"]) for part in sums) / count
    square = sum(np.array(part["sum_of_squares"]) for part in sums) / count
    variance = np.maximum(square - mean**2, 0)
    return {
        "statistics": {
            "mean": mean.tolist(),
            "std": np.sqrt(variance).tolist(),
            "global_std": float(np.sqrt(variance.mean())),
        }
    }


@functools.lru_cache(maxsize=1)
def _build(settings: tuple, size: int) -> Encoder:
    return build_encoder(EncoderConfig(*settings), size)


def _shared_encoder(config: EncoderConfig, size: int) -> Encoder:
    """One encoder for all workers of a process."""
    return _build(dataclasses.astuple(config), size)
