"""What preparing and reading data costs: clips per second, and what a run would pay without it."""

import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from benchmarks.config import RunConfig
from benchmarks.record.results import Measurement
from benchmarks.tasks.configuring import preset_config
from benchmarks.tasks.throughput.cases import OptimiserStep
from benchmarks.tasks.throughput.config import ThroughputConfig
from benchmarks.tasks.throughput.encoding import measure_encoding
from benchmarks.tasks.throughput.measuring import (
    Series,
    measurement,
    memory_samples,
    one_core,
    spent,
)
from benchmarks.tasks.throughput.seeking import has_ffprobe, read_by_seeking
from data_prep.config import CorpusConfig, ExecutorConfig
from data_prep.embed import make_embeddings
from data_prep.frames import make_frames
from data_prep.shards.format import ShardSet
from data_prep.shards.plan import digest
from data_prep.sources.corpus import Corpus
from worldmodel.config import EBTConfig
from worldmodel.data import EmbeddingClips, Scaler, ordered_batches
from worldmodel.next_frame import NextFrameEBT


def measure_data(config: ThroughputConfig, corpus: Corpus, console: Console) -> list[Measurement]:
    """All figures of `--part data`."""
    next_frame: RunConfig = preset_config("next_frame")
    with tempfile.TemporaryDirectory(prefix="ebt-bench-") as scratch:
        folder = Path(scratch)
        console.print("preparation, against one seek per frame", highlight=False)
        found = _preparation(config, corpus, folder)
        console.print("many clips, twice", highlight=False)
        found += _many_clips(config, corpus, folder)
        console.print("reading embeddings, against a training step", highlight=False)
        found += _reading(config, next_frame, folder)
    return found + measure_encoding(config.measure, console)


def _preparation(config: ThroughputConfig, corpus: Corpus, folder: Path) -> list[Measurement]:
    cores = os.cpu_count() or 1
    alone, together, seeking, alone_wall = Series(), Series(), Series(), Series()
    sample = corpus.sources[:: max(1, len(corpus.sources) // config.measure.reference_videos)]
    for repeat in range(config.measure.repeats):
        with one_core(), spent() as cost:
            made = _prepare(corpus, folder / f"alone-{repeat}", config.corpus, workers=1)
        clips = sum(made.manifest["samples"].values())
        alone.append(clips / cost.cpu)
        alone_wall.append(clips / cost.wall)
        with spent() as cost:
            _prepare(corpus, folder / f"together-{repeat}", config.corpus, workers=cores)
        together.append(clips / cost.wall)
        with spent() as cost:
            read = [
                len(read_by_seeking(Path(corpus.location(source)), config.corpus))
                for source in sample[: config.measure.reference_videos]
            ]
        seeking.append(sum(read) / cost.cpu)
        (folder / "prepared").unlink(missing_ok=True)
        (folder / "prepared").symlink_to(folder / f"alone-{repeat}")
    probe = "ffprobe" if has_ffprobe() else "no ffprobe here: cv2 asked instead"
    return [
        measurement(
            "clips per CPU-second of preparation",
            "clips/s",
            alone,
            f"cv2, one seek per frame ({probe})",
            seeking,
            target=8,
        ),
        measurement(
            f"parallel efficiency on {cores} cores",
            "of ideal",
            Series([t / (a * cores) for t, a in zip(together, alone_wall, strict=True)]),
            note=f"{together.median:.1f} clips/s, against {alone_wall.median:.1f} on one core",
            target=0.8,
        ),
    ]


def _many_clips(config: ThroughputConfig, corpus: Corpus, folder: Path) -> list[Measurement]:
    """Prepare many overlapping clips twice: equal hashes, flat memory."""
    many = replace(config.corpus, stride=config.measure.many_stride)
    sets, growth = [], Series()
    for name in ("first", "second"):
        with memory_samples() as samples:
            sets.append(_prepare(corpus, folder / name, many))
        quarter = max(1, len(samples) // 4)
        growth.append((max(samples[-quarter:]) - max(samples[quarter : 2 * quarter])) / 2**20)
        peak = max(samples) / 2**20
    hashes = [digest(made.manifest) for made in sets]
    clips = sum(sets[0].manifest["samples"].values())
    for made in sets:
        shutil.rmtree(str(made.folder))
    return [
        measurement(
            f"equal sets of {clips:,} clips prepared twice",
            "of 1",
            Series([float(hashes[0] == hashes[1])]),
            note=f"manifests {hashes[0]} and {hashes[1]}",
            target=1,
        ),
        measurement(
            "memory growth from the second to the last quarter",
            "MB",
            growth,
            note=f"peak of all processes {peak:.0f} MB",
        ),
    ]


def _reading(config: ThroughputConfig, next_frame: RunConfig, folder: Path) -> list[Measurement]:
    frames = ShardSet(folder / "prepared")
    made = make_embeddings(frames, str(folder / "embeddings"), next_frame.encoder, ExecutorConfig())
    assert made is not None  # one job makes all
    clips = EmbeddingClips(made, "train", Scaler.of(made))
    size = min(next_frame.training.batch_size, len(clips))
    grid, dim = tuple(made.manifest["encoder"]["grid"]), made.manifest["encoder"]["dim"]
    ebt = next_frame.sections["ebt_residual"]
    assert isinstance(ebt, EBTConfig)
    step = OptimiserStep(NextFrameEBT(ebt, next_frame.backbone, grid, dim))
    batch = clips.collate([clips.stored(index) for index in range(size)]).to("cpu")
    step(batch)
    reading, training = Series(), Series()
    for _ in range(config.measure.repeats):
        with spent() as cost:
            for _ in range(5):
                read = sum(len(part.keys) for part in ordered_batches(clips, size))
        reading.append(5 * read / cost.wall)
        with spent() as cost:
            for _ in range(3):
                step(batch)
        training.append(3 * size / cost.wall)
    reference = f"clips that an EBT training step of the cpu preset consumes (batch {size})"
    return [measurement("reading embeddings", "clips/s", reading, reference, training, target=10)]


def _prepare(
    corpus: Corpus, out: Path, config: CorpusConfig, workers: int | None = None
) -> ShardSet:
    made = make_frames(corpus, str(out), config, ExecutorConfig(workers=workers))
    assert made is not None  # one job makes all
    return made
