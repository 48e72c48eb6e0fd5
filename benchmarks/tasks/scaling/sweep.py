"""Run the points of a sweep: each as a run of its own, in its own folder."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from pathlib import Path

import yaml
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks.config import JSON, Inputs, RunConfig
from benchmarks.domains.contract import Domain
from benchmarks.models import added_models, place_of
from benchmarks.record.results import RESULTS
from benchmarks.tasks.configuring import COMMAND, OPTIONS, options_of
from benchmarks.tasks.scaling.axes import Planned
from data_prep.errors import InputError
from data_prep.shards.storage import atomic_file
from data_prep.stopping import LIFELINE

POINT, LOG = "point.yaml", "log.txt"
FOUND = "search.yaml"
SEARCH = "search"
SCRIPT = Path(__file__).parents[2] / "run.py"


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
        config: configuration of the sweep.
        domain: domain of its models.
        inputs: data and cache of every point.
        device: where points compute.
    """

    config: RunConfig
    domain: Domain
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
        config = self.config.task
        own = [p for n, p in enumerate(places) if n % config.num_jobs == config.job_index]
        for place in own:
            self._write_point(place)
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

    def _write_point(self, place: Place) -> None:
        """Leave the options of a point in its folder."""
        said = yaml.safe_dump(self._options(place.point.config), sort_keys=False)
        file = place.folder / POINT
        if file.is_file() and file.read_text() != said:
            raise InputError(f"{file}: holds a point with other options; give another --out")
        _write(file, said)

    def _run_point(self, place: Place) -> str | None:
        """Run one point, or continue it; gives the reason if it failed."""
        config = place.point.config
        if self.config.task.search_each:
            search = place.folder / SEARCH
            self._begin(search, place, config)
            if not (search / FOUND).is_file():
                reason = self._call(place, ["--resume", str(search), "--search"])
                if reason is not None:
                    return reason
            for name, options in yaml.safe_load((search / FOUND).read_text()).items():
                config = config.with_section(name, replace(config.sections[name], **options))
        self._begin(place.folder, place, config)
        return self._call(place, ["--resume", str(place.folder)])

    def _begin(self, folder: Path, place: Place, config: RunConfig) -> None:
        """Make the folder of a run that has yet to be continued; one that is there stays."""
        if not (folder / OPTIONS).is_file():
            _write(folder / COMMAND, f"python benchmarks/run.py --config {place.folder / POINT}\n")
            _write(folder / OPTIONS, yaml.safe_dump(self._options(config), sort_keys=False))

    def _options(self, config: RunConfig) -> JSON:
        """The options of a run of this configuration, where this sweep runs."""
        data = str(self.inputs.data.resolve()) if self.inputs.data is not None else None
        places = {"data": data, "cache_dir": str(self.inputs.cache.resolve())}
        return options_of(self.domain.compares, config) | places | {"device": self.device}

    def _call(self, place: Place, arguments: list[str]) -> str | None:
        """Run the command; what it says goes to the point's log, whose last line is a reason."""
        threads = max(1, (os.cpu_count() or 1) // self.config.task.jobs)
        environment = {"OMP_NUM_THREADS": str(threads)} if self.config.task.jobs > 1 else {}
        models = [s for s in added_models(self.domain.name) if s.name in place.point.config.models]
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


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(file) as written:
        written.write(text.encode())
