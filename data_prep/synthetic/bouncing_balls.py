"""The built-in video corpus: balls that bounce in a box, written as real H.264 files."""

import csv
import dataclasses
import functools
import json
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import av
import numpy as np
from rich.progress import track

from data_prep.config import BouncingBallsConfig

SUBSTEPS = 6
LEAST_RADIUS, LARGEST_RADIUS = 0.12, 0.18  # box widths
BACKGROUND = np.array([0.08, 0.09, 0.12])
PALETTE = np.array(
    [
        [0.90, 0.30, 0.24],
        [0.95, 0.77, 0.20],
        [0.24, 0.75, 0.45],
        [0.25, 0.55, 0.90],
        [0.70, 0.40, 0.85],
        [0.93, 0.94, 0.95],
    ]
)


def write_bouncing_balls(folder: Path, config: BouncingBallsConfig) -> Path:
    """Write the corpus into `folder` and return it; a finished corpus of the same config is kept.

    The folder holds `videos/{split}/{index}.mp4` and `split.csv`; `corpus.json`, written last,
    says that it is whole.
    """
    finished = folder / "corpus.json"
    wanted = json.dumps(dataclasses.asdict(config), sort_keys=True)
    names = [
        (f"videos/{split}/{index:05d}.mp4", split)
        for split in ("train", "validation", "test")
        for index in range(getattr(config, split))
    ]
    whole = finished.is_file() and finished.read_text() == wanted
    if whole and all((folder / name).is_file() for name, _ in names):
        return folder
    finished.unlink(missing_ok=True)
    make = functools.partial(_make_video, config=config)
    jobs = [(number, folder / name) for number, (name, _) in enumerate(names)]
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
        made = pool.map(make, jobs, chunksize=8)
        for _ in track(made, "bouncing balls", total=len(jobs), transient=True):
            pass
    with (folder / "split.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["name", "split"])
        writer.writerows(names)
    finished.write_text(wanted)
    return folder


def _make_video(job: tuple[int, Path], config: BouncingBallsConfig) -> None:
    number, path = job
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([config.seed, number])
    temporary = path.with_suffix(".partial.mp4")
    write_video(temporary, render_bouncing_balls(rng, config), config.fps)
    os.replace(temporary, path)


def render_bouncing_balls(rng: np.random.Generator, config: BouncingBallsConfig) -> np.ndarray:
    """One video of a few balls, uint8 `[T, height, width, 3]`.

    `rng` decides the start; all motion follows from it.
    """
    balls = int(rng.integers(config.balls[0], config.balls[1] + 1))
    radius = rng.uniform(LEAST_RADIUS, LARGEST_RADIUS, balls)
    position = _place_apart(rng, radius)
    angle = rng.uniform(0, 2 * np.pi, balls)
    slowest, fastest = config.speeds
    speed = rng.uniform(slowest, fastest, balls)
    velocity = speed[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    colours = PALETTE[rng.permutation(len(PALETTE))[:balls]]
    positions = []
    for _ in range(round(config.seconds * config.fps)):
        positions.append(position)
        for _ in range(SUBSTEPS):
            position = position + velocity / (config.fps * SUBSTEPS)
            velocity = _reflect(position, velocity, radius)
            velocity = _collide(position, velocity, radius)
    return _draw(np.stack(positions), radius, colours, config.size)


def write_video(path: Path, frames: np.ndarray, fps: int) -> None:
    """Write uint8 frames `[T, height, width, 3]` as H.264; the same frames give the same bytes."""
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as container:
        # x264's output depends on the number of threads, and with its macroblock tree on frames
        # this small it differed from run to run.
        parameters = "threads=1:mbtree=0:rc-lookahead=0"
        options = {"crf": "14", "preset": "veryfast", "x264-params": parameters}
        stream = container.add_stream("libx264", rate=fps, options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))


def _place_apart(rng: np.random.Generator, radius: np.ndarray) -> np.ndarray:
    while True:
        position = rng.uniform(radius[:, None], 1 - radius[:, None], (len(radius), 2))
        distance = np.linalg.norm(position[:, None] - position[None], axis=-1)
        np.fill_diagonal(distance, np.inf)
        if (distance > radius[:, None] + radius[None]).all():
            return position


def _reflect(position: np.ndarray, velocity: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Walls: a velocity that leads out of the box is turned round."""
    outward = (position < radius[:, None]) & (velocity < 0)
    outward |= (position > 1 - radius[:, None]) & (velocity > 0)
    return np.where(outward, -velocity, velocity)


def _collide(position: np.ndarray, velocity: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Elastic collisions of discs with mass proportional to their area."""
    apart = position[:, None] - position[None]  # [balls, balls, 2]
    touching = (apart**2).sum(-1) < (radius[:, None] + radius[None]) ** 2
    velocity, mass = velocity.copy(), radius**2
    for i, j in np.argwhere(np.tril(touching, -1)):
        normal = apart[i, j] / max(np.linalg.norm(apart[i, j]), 1e-9)
        approach = (velocity[i] - velocity[j]) @ normal
        if approach < 0:
            impulse = 2 * approach / (mass[i] + mass[j])
            velocity[i] -= impulse * mass[j] * normal
            velocity[j] += impulse * mass[i] * normal
    return velocity


def _draw(positions: np.ndarray, radius: np.ndarray, colours: np.ndarray, size: int) -> np.ndarray:
    """Antialiased discs at `positions [T, balls, 2]`, as uint8 `[T, height, width, 3]`."""
    centre = (np.arange(size, dtype=np.float32) + 0.5) / size
    pictures = np.empty((3, len(positions), size, size), np.float32)  # channels first: 3x faster
    pictures[:] = BACKGROUND[:, None, None, None]
    for ball, colour in enumerate(colours):
        x, y = positions[:, ball].astype(np.float32).T  # [T]
        across, down = centre[None] - x[:, None], centre[None] - y[:, None]  # [T, size]
        distance = np.sqrt(across[:, None, :] ** 2 + down[:, :, None] ** 2)  # [T, height, width]
        coverage = np.clip((radius[ball] - distance) * size + 0.5, 0, 1)
        pictures += coverage * (colour.astype(np.float32)[:, None, None, None] - pictures)
    return np.ascontiguousarray((pictures * 255 + 0.5).astype(np.uint8).transpose(1, 2, 3, 0))
