"""Batches of embeddings from shards, in an order that depends on seed and step alone."""

import copy
import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from data_prep.shards.format import ShardSet
from worldmodel.config import Scaling
from worldmodel.predictor import Clips

MOST_WORKERS = 4  # of a loader, for each device


@dataclass(frozen=True)
class Scaler:
    """Scales embeddings to what models see: (x - mean) / scale.

    `mean [D]` and `scale [D]` come from the training split. Isometric encoders get one global
    scale: whitening them would give tiny high frequencies equal weight.
    """

    mean: Tensor
    scale: Tensor

    @classmethod
    def of(
        cls, embeddings: ShardSet, scaling: Scaling = "standardised", factor: float = 1.0
    ) -> "Scaler":
        """The scaler that the manifest's statistics define; `factor` is the encoder's own."""
        if scaling != "standardised":
            dim = int(embeddings.manifest["encoder"]["dim"])
            return cls(torch.zeros(dim), torch.full((dim,), factor if scaling == "raw" else 1.0))
        statistics = embeddings.manifest["statistics"]
        mean, std = torch.tensor(statistics["mean"]), torch.tensor(statistics["std"])
        if embeddings.manifest["encoder"]["isometric"]:
            std = torch.full_like(std, statistics["global_std"])
        return cls(mean, std.clamp_min(1e-6))

    def scale_embeddings(self, embeddings: Tensor) -> Tensor:
        """Scale embeddings `[..., D]` as the encoder gives them."""
        device = embeddings.device
        return (embeddings.float() - self.mean.to(device)) / self.scale.to(device)

    def unscale(self, scaled: Tensor) -> Tensor:
        """Scaled embeddings `[..., D]` back to the scale of the encoder."""
        return scaled * self.scale.to(scaled.device) + self.mean.to(scaled.device)


@dataclass(frozen=True)
class StoredClips:
    """A batch as it is stored: float16 embeddings `[B, T, P, D]`, which scale as they arrive."""

    embeddings: Tensor
    keys: list[str]
    scaler: Scaler

    def pin_memory(self) -> "StoredClips":
        """The batch in memory from which a GPU copies without waiting."""
        return replace(self, embeddings=self.embeddings.pin_memory())

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Clips:
        """The scaled clips on a device; half as many bytes move as if they were scaled first."""
        moved = self.embeddings.to(device, non_blocking=non_blocking)
        return Clips(self.scaler.scale_embeddings(moved), self.keys)


class EmbeddingClips(Dataset[tuple[str, Tensor]]):
    """The clips of a split: key and scaled embeddings `[T, P, D]`, or those of the first frames."""

    def __init__(self, embeddings: ShardSet, split: str, scaler: Scaler, frames: int | None = None):
        self.shards, self.scaler, self.frames = embeddings, scaler, frames
        self.samples = embeddings.samples(split)

    def some(self, count: int | None) -> "EmbeddingClips":
        """At most so many of the clips, at random but always the same; all for None."""
        if count is None or count >= len(self):
            return self
        some = copy.copy(self)
        chosen = np.sort(np.random.default_rng(0).permutation(len(self))[:count])
        some.samples = [self.samples[index] for index in chosen]
        return some

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[str, Tensor]:
        key, embeddings = self.stored(index)
        return key, self.scaler.scale_embeddings(embeddings)

    def stored(self, index: int) -> tuple[str, Tensor]:
        """Key and embeddings `[T, P, D]` of a clip as it is stored, in float16."""
        sample = self.samples[index]
        return sample.key, torch.from_numpy(self.shards.read_embeddings(sample)[: self.frames])

    def collate(self, samples: list[tuple[str, Tensor]]) -> StoredClips | Clips:
        """Make a batch of samples that `stored` gave; it is used after `to`."""
        keys, embeddings = zip(*samples, strict=True)
        return StoredClips(torch.stack(embeddings), list(keys), self.scaler)


class _Stored(Dataset[tuple[str, Tensor]]):
    """The clips as loaders read them."""

    def __init__(self, clips: EmbeddingClips):
        self.clips = clips

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> tuple[str, Tensor]:
        return self.clips.stored(index)


def loader_workers(device: str) -> int:
    """Processes that read batches: for a GPU a few; on a CPU they only take time from training."""
    if device == "cpu":
        return 0
    return min(MOST_WORKERS, max(1, (os.cpu_count() or 1) // max(1, torch.cuda.device_count())))


def ordered_batches(
    clips: EmbeddingClips,
    batch_size: int,
    workers: int = 0,
    indices: Sequence[int] | None = None,
) -> DataLoader[Any]:
    """All clips, or those at `indices`, in their order, in batches; the last may be smaller.

    A batch is used after it was moved to its device by `to`.
    """
    chosen = range(len(clips)) if indices is None else indices
    batches = [list(chosen[i : i + batch_size]) for i in range(0, len(chosen), batch_size)]
    return _loader(clips, batches, workers)


def _loader(clips: EmbeddingClips, batches: Any, workers: int) -> DataLoader[Any]:
    return DataLoader(
        _Stored(clips),
        batch_sampler=batches,
        collate_fn=clips.collate,
        num_workers=workers,
        worker_init_fn=_ignore_interrupts,
        pin_memory=torch.cuda.is_available(),
        persistent_workers=workers > 0,
    )


def _ignore_interrupts(_: int) -> None:
    """In a loader's process: Ctrl-C tells it too, but the training has a step to finish."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def training_batches(
    clips: EmbeddingClips,
    batch_size: int,
    seed: int,
    start: int,
    stop: int,
    rank: int = 0,
    ranks: int = 1,
    workers: int = 0,
) -> DataLoader[Any]:
    """The batches of steps `start` to before `stop` of an endless shuffled run.

    A step's batch depends only on the seed and the step, so all models see the same data and a
    resumed training continues exactly. Of several ranks each gets its own `batch_size` clips of a
    step; together they see every clip once before any twice. `workers` processes read ahead. A
    batch is used after it was moved to its device by `to`.
    """
    order = _StepBatches(len(clips), batch_size, seed, start, stop, rank, ranks)
    return _loader(clips, order, workers)


@dataclass(frozen=True)
class _StepBatches:
    clips: int
    batch_size: int
    seed: int
    start: int
    stop: int
    rank: int
    ranks: int

    def __len__(self) -> int:
        return self.stop  # counted from step 0: Lightning adds the steps done before a resume

    def __iter__(self) -> Iterator[list[int]]:
        epoch, order = -1, np.zeros(0, np.int64)
        for step in range(self.start, self.stop):
            batch = []
            first = (step * self.ranks + self.rank) * self.batch_size
            for position in range(first, first + self.batch_size):
                if position // self.clips != epoch:
                    epoch = position // self.clips
                    order = np.random.default_rng([self.seed, epoch]).permutation(self.clips)
                batch.append(int(order[position % self.clips]))
            yield batch
