"""From one command to one process for each device, by torchrun. Imports nothing heavy."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from data_prep.stopping import LIFELINE, SIGNALS

SCRIPT = Path(__file__).parents[1] / "run.py"


def launches(config: object) -> bool:
    """Whether this command has to start the processes of a run on one machine.

    On several machines, and where torchrun or Slurm has started this process, they are there.
    """
    training = getattr(config, "training", None)
    if training is None or training.devices == 1 or training.nodes > 1:
        return False
    return "TORCHELASTIC_RUN_ID" not in os.environ and "SLURM_NTASKS" not in os.environ


def launch(devices: int, arguments: Sequence[str]) -> int:
    """Run the command in as many processes on this machine; gives the exit code."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    environment = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // devices))}
    process = subprocess.Popen(
        [*launcher, f"--nproc-per-node={devices}", str(SCRIPT), *arguments],
        stdin=subprocess.PIPE,  # closed when this process is gone; never written to
        env=environment | os.environ | {LIFELINE: "1"},
    )
    asked: list[int] = []

    def forward(number: int, _: object) -> None:
        if not asked:  # torchrun would not wait for its processes if it were told twice
            process.send_signal(number)
        asked.append(number)

    before = {s: signal.signal(s, forward) for s in SIGNALS}
    try:
        code = process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 128 + asked[0] if asked else code
