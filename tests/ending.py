"""Programs that tests start and stop, and what must be gone when they have ended."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

LIMIT = 15.0  # seconds from a signal to the end of all processes
TESTS = Path(__file__).parent


class Program:
    """A program in a process group of its own; what it says goes to a file."""

    def __init__(self, command: Sequence[str], log: Path):
        paths = [str(TESTS.parent), str(TESTS), os.environ.get("PYTHONPATH", "")]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}
        self.log = log
        with log.open("w") as said:
            self.process = subprocess.Popen(
                [sys.executable, *command],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                env=environment,
                start_new_session=True,
            )

    def wait_for(self, ready: Callable[[], object], limit: float = 200.0) -> None:
        """Wait until `ready` gives something true."""
        until = time.monotonic() + limit
        while not ready():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < until, self.log.read_text()
            time.sleep(0.05)

    def signal(self, *numbers: int, group: bool = False) -> None:
        """Send signals, a moment apart, to the program alone or to all its processes."""
        for count, number in enumerate(numbers):
            time.sleep(0.2 if count else 0)
            if self.process.poll() is None:
                (os.killpg if group else os.kill)(self.process.pid, number)

    def others(self) -> list[int]:
        """The other living processes of the program, the oldest first."""
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                number, _, rest = stat.read_text().partition(" ")
            except OSError:
                continue
            state, _, group = rest.rpartition(")")[2].split()[:3]
            if int(group) == self.process.pid and state != "Z":
                found.append(int(number))
        return sorted(set(found) - {self.process.pid})

    def workers(self) -> list[int]:
        """Those of the other processes that work, the oldest first."""
        return [
            n for n in self.others() if b"spawn_main" in Path(f"/proc/{n}/cmdline").read_bytes()
        ]

    def ended(self) -> int:
        """The exit code of the program, which must end in time and leave no process."""
        until = time.monotonic() + LIMIT
        try:
            code = self.process.wait(LIMIT)
            while self.others() and time.monotonic() < until:
                time.sleep(0.05)
            assert not self.others(), self.log.read_text()
        finally:
            for number in [
                *self.others(),
                *([self.process.pid] if self.process.poll() is None else []),
            ]:
                os.kill(number, signal.SIGKILL)
        return code
