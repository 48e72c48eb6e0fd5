"""The built-in image corpus: dead leaves, the classic model of natural images.

Leaves of power-law sizes cover one another (Lee, Mumford and Huang, 2001, section 2), which gives
edges and flat parts at all scales; textures of 1/f spectrum and shading fill them.
"""

import dataclasses
import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_prep.config import LARGEST_LEAF, DeadLeavesConfig, ExecutorConfig, ImagesConfig
from data_prep.decoding.images import crops_of
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
from data_prep.shards.plan import SetPlan, digest, make_set, versions_of
from data_prep.shards.storage import Folder, absolute
from data_prep.sources.corpus import SPLITS
from data_prep.workers import Workers

SUPERSAMPLING = 2
LEAVES = 2000  # at most; by then next to nothing is left bare
BARE = 0.002  # share of a canvas that the background may fill


def prepare_dead_leaves(cache: Path, config: DeadLeavesConfig, images: ImagesConfig) -> ShardSet:
    """Shards of crops of rendered canvases, in the cache; canvases are rendered on all cores.

    A canvas for training gives `images.crops` crops, one for validation or testing a single crop.

    Raises:
        StorageError: the disk fails for good.
    """
    shards = {}
    for index, split in enumerate(SPLITS):
        canvases = [[index, number] for number in range(getattr(config, split))]
        for start in range(0, len(canvases), images.sources_per_shard):
            name = f"{split}-{start // images.sources_per_shard:06d}"
            shards[name] = canvases[start : start + images.sources_per_shard]
    arguments = dataclasses.asdict(config) | {
        "canvas_size": config.size,
        "size": images.size,  # of a frame, as in every set
        "crops": images.crops,
    }
    content = {
        "media": "canvas",
        "arguments": arguments,
        "versions": versions_of("numpy"),
        "encoder": None,
    }
    plan = SetPlan(maker="dead_leaves", kind="frames", source=None, content=content, shards=shards)
    folder = Folder(cache / "dead_leaves" / digest(dataclasses.asdict(plan)))
    made = run_plan(folder, plan, ExecutorConfig())
    assert made is not None  # one job makes all
    return made


def run_plan(folder: Folder, plan: SetPlan, executor: ExecutorConfig) -> ShardSet | None:
    """Make the set of a plan; None while other jobs have not made their part.

    Raises:
        InputError: `folder` holds another set.
        StorageError: a disk or network fails for good.
    """
    arguments = plan.content["arguments"]
    canvas = DeadLeavesConfig(
        size=arguments["canvas_size"],
        exponents=arguments["exponents"],
        smallest=arguments["smallest"],
        seed=arguments["seed"],
    )
    processes = 1 if executor.executor == "ray" else executor.workers

    def jobs(names: list[str]) -> list[CanvasShard]:
        return [
            CanvasShard(
                name,
                plan.shards[name],
                canvas,
                arguments["size"],
                arguments["crops"] if name.startswith("train") else 1,
                absolute(folder.location),
                processes,
            )
            for name in names
        ]

    # One worker: its tools are all the processes.
    executor = dataclasses.replace(executor, workers=1)
    return make_set(folder, plan, jobs, lambda indices: {}, executor, "dead leaves")


def require_sources(plan: SetPlan, names: Iterable[str]) -> None:
    """Nothing to check: canvases are rendered from their numbers alone."""


@dataclass(frozen=True)
class CanvasShard:
    """The job that makes one shard of dead leaves.

    Args:
        name: the shard's name.
        canvases: (split, number) of each canvas.
        config: size and seed of the canvases.
        size: height and width of a crop in pixels.
        crops: crops of a canvas.
        out: folder or URL of the set.
        processes: how many render (None: one per core).
    """

    name: str
    canvases: list[list[int]]
    config: DeadLeavesConfig
    size: int
    crops: int
    out: str
    processes: int | None

    @property
    def units(self) -> int:
        """Canvases in the shard."""
        return len(self.canvases)

    def tools(self) -> Workers:
        """Processes that render."""
        return Workers(self.processes)

    def make(self, tools: Workers, advance: Advance) -> None:
        """Render all canvases and crop them."""
        split = self.name.rsplit("-", 1)[0]
        render = functools.partial(render_dead_leaves, config=self.config)
        rendered = tools.map(render, self.canvases)

        def samples() -> Iterator[Sample]:
            for drawn, canvas in zip(self.canvases, rendered, strict=True):
                number = drawn[1]
                source = f"{split}/{number:05d}"
                crops = crops_of(canvas, self.crops, self.size, source)
                known = {"source": source, "times": [0.0], "truth": look_of(drawn, self.config)}
                for index, crop in enumerate(crops):
                    metadata = encode_metadata(known)
                    members = {FRAMES: encode_frames(crop[None]), METADATA: metadata}
                    yield Sample(f"{self.name}-{number:05d}-{index:03d}", source, members)
                advance(1)

        write_shard(Folder(self.out), self.name, self.canvases, samples(), dict)


def render_dead_leaves(canvas: Sequence[int], config: DeadLeavesConfig) -> np.ndarray:
    """One canvas, uint8 `[height, width, 3]`.

    The seed of `config` and `canvas`, its (split, number), decide all of it.
    """
    rng = np.random.default_rng([config.seed, *canvas])
    side = config.size * SUPERSAMPLING
    look = look_of(canvas, config)
    grain = _texture(rng, side, look["texture exponent"])
    picture = np.empty((side, side, 3), np.float32)
    bare = np.ones((side, side), bool)
    left_bare = side * side
    for radius, x, y in _leaves(rng, side, look["smallest leaf"]):
        top, bottom = max(0, int(y - radius)), min(side, int(y + radius) + 2)
        left, right = max(0, int(x - radius)), min(side, int(x + radius) + 2)
        window = (slice(top, bottom), slice(left, right))
        visible = bare[window]
        if not visible.any():
            continue
        down = np.arange(top, bottom, dtype=np.float32)[:, None] - y
        across = np.arange(left, right, dtype=np.float32)[None] - x
        covered = visible & _shape(rng, down, across, radius)
        picture[window][covered] = _paint(rng, down, across, radius, grain, covered)
        visible &= ~covered  # a view of `bare`: front to back, what is covered stays
        left_bare -= int(covered.sum())
        if left_bare < BARE * side * side:
            break
    picture[bare] = rng.uniform(0, 1, 3)
    shape = (config.size, SUPERSAMPLING, config.size, SUPERSAMPLING, 3)
    small = _soften(picture.reshape(shape).mean((1, 3)), rng.uniform(0, 0.8))
    return (np.clip(small, 0, 1) * 255 + 0.5).astype(np.uint8)


def look_of(canvas: Sequence[int], config: DeadLeavesConfig) -> dict[str, float]:
    """What a canvas draws of its look: the texture's exponent, the smallest radius in pixels.

    The seed of `config` and `canvas`, its (split, number), decide both.
    """
    exponent, smallest = np.random.default_rng([config.seed, *canvas, 1]).uniform(0, 1, 2)
    return {
        "texture exponent": float(np.interp(exponent, [0, 1], config.exponents)),
        "smallest leaf": float(np.interp(smallest, [0, 1], config.smallest)),
    }


def _leaves(rng: np.random.Generator, side: int, smallest: float) -> np.ndarray:
    """Radius and centre `[LEAVES, 3]` of leaves with radii of density r^-3, in small pixels."""
    smallest, largest = smallest * SUPERSAMPLING, LARGEST_LEAF * side
    u = rng.uniform(0, 1, LEAVES)
    radius = (smallest**-2 + u * (largest**-2 - smallest**-2)) ** -0.5
    return np.stack([radius, *rng.uniform(0, side, (2, LEAVES))], axis=1).astype(np.float32)


def _shape(
    rng: np.random.Generator, down: np.ndarray, across: np.ndarray, radius: np.float32
) -> np.ndarray:
    """A disc, an ellipse or a square, turned by any angle."""
    kind, angle = rng.integers(3), rng.uniform(0, np.pi)
    cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    along, beside = across * cosine + down * sine, down * cosine - across * sine
    if kind == 0:
        return along**2 + beside**2 <= radius**2
    if kind == 1:
        return along**2 + (beside / np.float32(rng.uniform(0.3, 0.8))) ** 2 <= radius**2
    return np.maximum(np.abs(along), np.abs(beside)) <= radius * np.float32(0.5**0.5)


def _paint(
    rng: np.random.Generator,
    down: np.ndarray,
    across: np.ndarray,
    radius: np.float32,
    grain: np.ndarray,
    covered: np.ndarray,
) -> np.ndarray:
    """The colours `[pixels, 3]` of the pixels that a leaf covers: one, with shade and grain."""
    brightness, tint = rng.uniform(0.05, 0.95), rng.normal(0, 0.1, 3)
    slope = rng.normal(0, 0.15, 2) / radius
    shade = (slope[0] * down + slope[1] * across)[covered]
    rows, columns = np.nonzero(covered)
    offset, roughness = rng.integers(0, len(grain), 2), rng.exponential(0.06)
    texture = grain[(rows + offset[0]) % len(grain), (columns + offset[1]) % len(grain)]
    return (brightness + shade + roughness * texture)[:, None] + tint


def _texture(rng: np.random.Generator, side: int, exponent: float) -> np.ndarray:
    """A field `[side, side]` of unit variance and amplitude spectrum f^-exponent, periodic."""
    vertical, horizontal = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]
    frequency = np.hypot(vertical, horizontal)
    frequency[0, 0] = np.inf
    field = np.fft.irfft2(
        np.fft.rfft2(rng.normal(size=(side, side))) / frequency**exponent, (side, side)
    )
    normalised: np.ndarray = (field / field.std()).astype(np.float32)
    return normalised


def _soften(picture: np.ndarray, width: float) -> np.ndarray:
    """Blur `[height, width, 3]` by a Gaussian of `width` pixels, periodic at the borders."""
    side = len(picture)
    vertical, horizontal = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]
    squared = (2 * np.pi * width) ** 2 * (vertical**2 + horizontal**2)
    spectrum = np.fft.rfft2(picture, axes=(0, 1)) * np.exp(-squared / 2)[..., None]
    blurred: np.ndarray = np.fft.irfft2(spectrum, (side, side), axes=(0, 1))
    return blurred
