"""Turn videos or images into shards of clips of frames."""

import dataclasses
import functools
import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from data_prep.config import CorpusConfig, ExecutorConfig, ImagesConfig
from data_prep.decoding.clip import DecodedClip
from data_prep.decoding.isolation import IsolatedReader
from data_prep.decoding.reading import read_source
from data_prep.errors import DecodeError, InputError, RefusedError, StorageError
from data_prep.shards.executors import Advance
from data_prep.shards.format import (
    FRAMES,
    METADATA,
    Sample,
    ShardSet,
    encode_frames,
    encode_metadata,
    write_shard,
)
from data_prep.shards.plan import SetPlan, digest, make_set, require_location, versions_of
from data_prep.shards.storage import Folder, absolute, fetched, is_url
from data_prep.sources.arrays import item_of
from data_prep.sources.corpus import SPLITS, Corpus
from data_prep.sources.files import TRUTH
from data_prep.sources.layouts import list_corpus
from data_prep.sources.media import IMAGES, VIDEOS
from data_prep.sources.source import Source

Config = CorpusConfig | ImagesConfig
LOCAL = ExecutorConfig()


def prepare_frames(folder: Path, cache: Path, config: CorpusConfig) -> ShardSet:
    """Shards of the clips of all readable videos below `folder`, in the cache.

    The set's folder is named after the corpus, its files' sizes and times, and the configuration,
    so a changed corpus gets a new one and an unchanged one is reused.

    Raises:
        InputError: no usable video, or a split without a clip.
    """
    corpus = list_corpus(str(folder), config, f"--data {folder}", media=VIDEOS)
    corpus.require_splits(f"--data {folder}")
    return _prepare_cached(corpus, cache, config)


def prepare_images(
    folder: Path, cache: Path, config: ImagesConfig, corpus: Corpus | None = None
) -> ShardSet:
    """Shards of crops of readable images below `folder`, each a clip of one frame.

    `corpus` names the images; all below `folder`, dealt into the three splits, if it is not given.

    Raises:
        InputError: no usable image, or a split without one.
    """
    if corpus is None:
        corpus = list_corpus(str(folder), config, f"--data {folder}", media=IMAGES)
        corpus.require_splits(f"--data {folder}")
    return _prepare_cached(corpus, cache, config)


def make_frames(
    corpus: Corpus, out: str, config: Config, executor: ExecutorConfig
) -> ShardSet | None:
    """Make the shard set of a corpus in `out`; None while other jobs have not made their part.

    Raises:
        InputError: `out` holds another set.
        StorageError: a disk or network fails for good.
    """
    plan = plan_frames(corpus, config)
    if absolute(out) == plan.source:
        raise InputError(f"{out}: is the corpus itself; give another folder for the set")
    return run_plan(Folder(out), plan, executor)


def plan_frames(corpus: Corpus, config: Config) -> SetPlan:
    """The plan of a corpus: `sources_per_shard` sources to a shard, in order, split by split."""
    arguments = dataclasses.asdict(config)
    # A csv of splits is named by its content: its path belongs to this machine alone.
    arguments["splits"] = digest(Path(config.splits).read_text()) if config.splits else None
    root = absolute(corpus.root)
    packages = ("av", "decord", "numpy") if corpus.media == VIDEOS else ("pillow", "numpy")
    shards = {}
    for split in SPLITS:
        of_split = [
            dataclasses.replace(source, bytes=_size(root, source)).as_entry()
            for source in corpus.sources
            if source.split == split
        ]
        for start in range(0, len(of_split), config.sources_per_shard):
            name = f"{split}-{start // config.sources_per_shard:06d}"
            shards[name] = of_split[start : start + config.sources_per_shard]
    content = {
        "media": corpus.media.noun,
        "arguments": arguments,
        "versions": versions_of(*packages),
        "encoder": None,
    }
    return SetPlan(
        maker="frames",
        kind="frames",
        source=root,
        content=content,
        shards=shards,
        rejected=corpus.rejected,
    )


def run_plan(folder: Folder, plan: SetPlan, executor: ExecutorConfig) -> ShardSet | None:
    """Make the set of a plan; None while other jobs have not made their part.

    Raises:
        InputError: `folder` holds another set.
        StorageError: a disk or network fails for good.
    """
    assert plan.source is not None  # a corpus lies somewhere
    corpus = plan.source
    kind = CorpusConfig if plan.content["media"] == VIDEOS.noun else ImagesConfig
    config = kind(**plan.content["arguments"] | {"splits": None})

    def jobs(names: list[str]) -> list[FrameShard]:
        return [
            FrameShard(
                name,
                corpus,
                tuple(Source.of(entry) for entry in plan.shards[name]),
                config,
                absolute(folder.location),
            )
            for name in names
        ]

    description = f"{plan.content['media']}s to frames"
    return make_set(folder, plan, jobs, lambda indices: {}, executor, description)


def require_sources(plan: SetPlan, names: Iterable[str]) -> None:
    """Check that the sources of the shards `names` are there; those behind URLs are not asked.

    Raises:
        InputError: one is gone or has another size than before.
    """
    assert plan.source is not None  # a corpus lies somewhere
    if is_url(plan.source):
        return
    require_location(plan.source)
    for entry in (entry for name in sorted(names) for entry in plan.shards[name]):
        if entry["bytes"] is None:
            continue
        path = Path(plan.source, item_of(entry["path"])[0])
        require_location(path)
        if _bytes(path) != entry["bytes"]:
            raise InputError(f"{path}: has changed since; make the set anew in another folder")


@dataclass(frozen=True)
class FrameShard:
    """The job that makes one shard of frames."""

    name: str
    corpus: str
    sources: tuple[Source, ...]
    config: Config
    out: str

    @property
    def units(self) -> int:
        """Sources in the shard."""
        return len(self.sources)

    def tools(self) -> AbstractContextManager[IsolatedReader]:
        """A process to decode in."""
        return IsolatedReader(
            functools.partial(read_source, config=self.config),
            self.config.time_limit,
            int(self.config.memory_limit * 2**30),
        )

    def make(self, tools: IsolatedReader, advance: Advance) -> None:
        """Decode all sources; those that cannot be used are noted in the index."""
        rejected: list[dict[str, str]] = []
        plan = [source.as_entry() for source in self.sources]
        samples = self._samples(tools, advance, rejected)
        write_shard(Folder(self.out), self.name, plan, samples, lambda: {"rejected": rejected})

    def _samples(
        self, read: IsolatedReader, advance: Advance, rejected: list[dict[str, str]]
    ) -> Iterator[Sample]:
        count = 0
        for source in self.sources:
            before = count
            for file in source.files:  # a damaged one gives way to the next
                try:
                    truth = _truth(self.corpus, file)
                    with fetched(f"{self.corpus.rstrip('/')}/{item_of(file)[0]}") as path:
                        for clip in read(path, dataclasses.replace(source, path=file)):
                            key = f"{self.name}-{count:06d}"
                            yield Sample(key, file, _members(clip, file, source, truth))
                            count += 1
                except DecodeError as error:
                    if not is_url(self.corpus) and not Path(self.corpus).is_dir():
                        raise StorageError(
                            f"{self.corpus}: is gone; bring it back and run the same command again"
                        ) from None
                    rejected.append({"source": file, "reason": str(error)})
                except (FileNotFoundError, PermissionError) as error:
                    rejected.append({"source": file, "reason": _missing(error)})
                if count > before:
                    break
            advance(1)


def _members(clip: DecodedClip, file: str, source: Source, truth: object) -> dict[str, bytes]:
    metadata = {
        "source": file,
        "label": source.label,
        "group": source.group,
        "times": clip.times,
        "repeated_frames": clip.repeated,
        "motion": clip.motion,
        "decoder": clip.decoder,
        "decoder_version": clip.decoder_version,
    } | ({} if truth is None else {"truth": truth})
    return {FRAMES: encode_frames(clip.frames), METADATA: encode_metadata(metadata)}


def _truth(corpus: str, file: str) -> object:
    """What the generator of a video knows of it, or None; a corpus behind a URL has none."""
    path = Path(corpus, file).with_suffix(TRUTH)
    return json.loads(path.read_text()) if not is_url(corpus) and path.is_file() else None


def _size(root: str, source: Source) -> int | None:
    """Size of a source in bytes, or None if it is not on this machine."""
    try:
        return None if is_url(root) else _bytes(Path(root, item_of(source.path)[0]))
    except OSError:
        return None


def _bytes(path: Path) -> int:
    """Size of a file, or of all files of a folder of frames."""
    if path.is_dir():
        return sum(file.stat().st_size for file in path.iterdir())
    return path.stat().st_size


def _stamp(path: Path) -> tuple[int, int]:
    """Size and time of a source, which tell that it has changed."""
    files = [*path.iterdir()] if path.is_dir() else [path]
    return _bytes(path), max(file.stat().st_mtime_ns for file in files)


def _missing(error: OSError) -> str:
    if isinstance(error, RefusedError):
        return f"refused ({error.strerror})"
    return "no such file" if isinstance(error, FileNotFoundError) else "may not be read"


def _prepare_cached(corpus: Corpus, cache: Path, config: Config) -> ShardSet:
    for line in corpus.describe():
        print(line, file=sys.stderr)
    plan = plan_frames(corpus, config)
    places = dict.fromkeys(corpus.location(source) for source in corpus.sources)
    fingerprint = digest(dataclasses.asdict(plan), [_stamp(Path(place)) for place in places])
    shards = run_plan(Folder(cache / "shards" / fingerprint / "frames"), plan, LOCAL)
    assert shards is not None  # one job makes all
    rejected = shards.manifest["rejected"]
    for split in sorted({source.split for source in corpus.sources}):
        if shards.manifest["samples"][split] == 0:
            first = (
                f"; the first: {rejected[0]['source']}: {rejected[0]['reason']}" if rejected else ""
            )
            raise InputError(
                f"{corpus.root}: nothing readable for the {split} split "
                f"({len(rejected)} of {corpus.size} files rejected{first})"
            )
    return shards
