"""The built-in video corpus: balls that bounce in a box, written as real H.264 files."""

import contextlib
import csv
import dataclasses
import functools
import json
import os
from pathlib import Path

import av
import numpy as np
from rich.progress import track

from data_prep.config import BouncingBallsConfig
from data_prep.frames import TRUTH
from data_prep.synthetic.balls import Balls, Motion, as_json
from data_prep.workers import Workers

FEW = 2_000_000  # pixels of all videos are rendered sooner than processes for it start


def write_bouncing_balls(folder: Path, config: BouncingBallsConfig) -> Path:
    """Write the corpus into `folder` and return it; a finished corpus of the same config is kept.

    The folder holds `videos/{split}/{index}.mp4`, the truth about each beside it, and `split.csv`;
    `corpus.json`, written last, says that it is whole.
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
    with contextlib.ExitStack() as stack:
        if len(jobs) * round(config.seconds * config.fps) * config.size**2 > FEW:
            workers = stack.enter_context(Workers(min(len(jobs), os.cpu_count() or 1)))
            made = workers.map(make, jobs)
        else:
            made = map(make, jobs)
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
    motion, states = simulate(rng, config)
    path.with_suffix(TRUTH).write_text(json.dumps(as_json(motion, states)))
    write_video(temporary, motion.draw(states), config.fps)
    os.replace(temporary, path)


def simulate(rng: np.random.Generator, config: BouncingBallsConfig) -> tuple[Motion, list[Balls]]:
    """How the balls of a video move, and where they are at each frame; `rng` decides all."""
    motion, balls = Motion.of(config), Balls.drawn(rng, config)
    return motion, motion.states(balls, round(config.seconds * config.fps), rng)


def render_bouncing_balls(rng: np.random.Generator, config: BouncingBallsConfig) -> np.ndarray:
    """One video of a few balls, uint8 `[T, height, width, 3]`; `rng` decides all."""
    motion, states = simulate(rng, config)
    return motion.draw(states)


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
