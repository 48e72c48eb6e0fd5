"""Sweeps whose points run in the process of the tests, which has imported everything."""

import signal
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.cli.command_line import main
from benchmarks.tasks.scaling import sweep


class Process:
    """Runs a command of the suite at once, in place of a new process."""

    def __init__(self, command: list[str], **_: Any):
        self.code = main(command[2:])

    def wait(self) -> int:
        return self.code


def run_points_here(patch: pytest.MonkeyPatch) -> None:
    """Have sweeps run their points in this process."""
    started = SimpleNamespace(Popen=Process, DEVNULL=None, STDOUT=None, PIPE=None)
    patch.setattr(sweep, "subprocess", started)
    patch.setattr(signal, "signal", lambda *_: None)  # points run in a thread
