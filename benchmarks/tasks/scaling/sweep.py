"""Run the points of a sweep: each by the command that would run it alone, in its own folder."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks.config import Inputs
from benchmarks.launching import SCRIPT
from benchmarks.models import added_models, place_of
from benchmarks.options import to_options
from benchmarks.reporting.results import RESULTS
from benchmarks.tasks.scaling.axes import Planned
from benchmarks.tasks.scaling.config import ScalingConfig
from data_prep.errors import InputError
from data_prep.shards.storage import atomic_file
from data_prep.stopping import LIFELINE

OPTIONS, LOG, BEGUN = "point.yaml", "log.txt", "config.yaml"
SEARCH = "search"


@dataclass(frozen=True)
class Place:
    """A point with the folder of its run."""

    point: Planned
    folder: Path

    @property
    def name(self) -> str:
        """Such as `width-64`."""
        return "/".join(self.folder.parts[self.folder.parts.index("points") + 1 :])

    @property
    def done(self) -> bool:
        """Whether the run has its result."""
        return (self.folder / RESULTS).is_file()


@dataclass
class Sweep:
    """Runs points, several at once; what is finished is not run again.

    Args:
        config: the sweep.
        inputs: data and cache of every point.
        device: where points compute.
    """

    config: ScalingConfig
    inputs: Inputs
    device: str
    _running: set[subprocess.Popen[bytes]] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _ended: bool = False

    def run(self, places: Sequence[Place]) -> dict[str, str]:
        """Run this job's share of the points; gives the reasons of those that failed, by name.

        Raises:
            InputError: a folder holds a point with other options.
            KeyboardInterrupt: the user interrupted; running points were told so and have ended.
        """
        config = self.config
        own = [p for n, p in enumerate(places) if n % config.num_jobs == config.job_index]
        for place in own:
            self._write_options(place)
        waiting = [place for place in own if not place.done]
        failed: dict[str, str] = {}
        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        with (
            Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as progress,
            ThreadPoolExecutor(config.jobs) as pool,
        ):
            task = progress.add_task("points", total=len(own), completed=len(own) - len(waiting))
            jobs = {pool.submit(self._run_point, place): place for place in waiting}
            try:
                for job in as_completed(jobs):
                    place, reason = jobs[job], job.result()
                    progress.advance(task)
                    if reason is not None:
                        failed[place.name] = reason
                    said = f"failed: {reason}" if reason else "done"
                    console.print(f"point {place.name} {said}", highlight=False, markup=False)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                self._end()
                raise
        return failed

    def _write_options(self, place: Place) -> None:
        """Leave the options of a point in its folder."""
        said = yaml.safe_dump(to_options("next_frame", place.point.config), sort_keys=False)
        file = place.folder / OPTIONS
        if file.is_file() and file.read_text() != said:
            raise InputError(f"{file}: holds a point with other options; give another --out")
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(file) as written:
            written.write(said.encode())

    def _run_point(self, place: Place) -> str | None:
        """Run one point, or continue it; gives the reason if it failed."""
        search = place.folder / SEARCH
        found = search / "search.yaml"
        if self.config.search_each and not found.is_file():
            begun = (search / BEGUN).is_file()
            where = (
                ["--resume", str(search)] if begun else [*self._new(place), "--out", str(search)]
            )
            reason = self._call(place, [*where, "--search"])
            if reason is not None:
                return reason
        if (place.folder / BEGUN).is_file():
            return self._call(place, ["--resume", str(place.folder)])
        searched = ["--config", str(found)] if self.config.search_each else []
        return self._call(place, [*self._new(place), *searched, "--out", str(place.folder)])

    def _new(self, place: Place) -> list[str]:
        data = ["--data", str(self.inputs.data)] if self.inputs.data is not None else []
        options = ["--config", str(place.folder / OPTIONS), "--device", self.device]
        return [*options, *data, "--cache-dir", str(self.inputs.cache)]

    def _call(self, place: Place, arguments: list[str]) -> str | None:
        """Run the command; what it says goes to the point's log, whose last line is a reason."""
        threads = max(1, (os.cpu_count() or 1) // self.config.jobs)
        environment = {"OMP_NUM_THREADS": str(threads)} if self.config.jobs > 1 else {}
        models = [s for s in added_models("predictor") if s.name in place.point.config.models]
        own = [f"--model={place_of(spec)}" for spec in models]
        if place.point.config.encoder.kind == "own":
            own.append(f"--encoder.name={place.point.config.encoder.name}")
        log = place.folder / LOG
        with log.open("ab") as written:
            with self._lock:
                if self._ended:
                    return "interrupted"
                process = subprocess.Popen(
                    [sys.executable, str(SCRIPT), *arguments, *own],
                    stdin=subprocess.PIPE,  # closed when this process is gone; never written to
                    stdout=written,
                    stderr=subprocess.STDOUT,
                    env=os.environ | environment | {LIFELINE: "1"},
                )
                self._running.add(process)
            code = process.wait()
        with self._lock:
            self._running.discard(process)
        if code == 0:
            return None
        lines = log.read_text(errors="replace").strip().splitlines()
        return f"{lines[-1] if lines else 'no word'} (exit code {code}; see {log})"

    def _end(self) -> None:
        """Tell running points to save and end."""
        with self._lock:
            self._ended = True
            running = list(self._running)
        for process in running:
            process.send_signal(signal.SIGTERM)
        for process in running:
            process.wait()
