"""How Lightning runs a training here: its devices, its signals and what it shows meanwhile."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.fabric.plugins.io import TorchCheckpointIO
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.strategies import DDPStrategy

from data_prep.shards.storage import atomic_file
from data_prep.stopping import SIGNALS, stopping
from worldmodel.config import Float32Precision
from worldmodel.processes import Processes

Report = Callable[[int, float], None]

REPEAT = 1.0  # seconds


@contextmanager
def float32_products(precision: Float32Precision) -> Iterator[None]:
    """Within the block, multiply matrices of float32 in this precision."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


class ReducedOnce(DDPStrategy):
    """Training on many devices without torch's wrapper around the model.

    The wrapper would exchange gradients in the first of a step's backward passes, in which most
    parameters have none yet. `PredictorTraining` exchanges them after the last.
    """

    def configure_ddp(self) -> None:
        """Leave the model as it is."""


class StopBetweenSteps(L.Callback):
    """Ends a training between two steps when a signal asks for it, so that its checkpoint is whole.

    A second signal ends it at once. What comes within `REPEAT` is the first one, sent again by a
    terminal, a launcher or a scheduler that tells a whole group of processes.
    """

    def __init__(self, processes: Processes):
        self.signal: int | None = None
        self.whole = False  # whether a checkpoint written now could be resumed
        self._processes = processes
        self._heard_at = 0.0
        self._before: dict[int, Any] = {}

    def setup(self, *_: Any, **__: Any) -> None:
        # Lightning ignores Ctrl-C from an interruption on, which may come before the first step.
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.getsignal(number) for number in SIGNALS}

    def on_train_start(self, *_: Any) -> None:
        self.whole = True
        for number, handler in self._before.items():
            if handler != signal.SIG_IGN:
                signal.signal(number, self._note)

    def on_train_batch_start(self, *_: Any) -> None:
        heard = self._processes.largest(self.signal or 0)
        if heard:
            self.signal, self.whole = heard, True
            raise stopping(heard)

    def on_train_end(self, *_: Any) -> None:
        self.whole = False
        self._restore()

    def on_exception(self, *_: Any) -> None:
        self._restore()

    def _note(self, number: int, _: Any) -> None:
        if self.signal is None:
            self.signal, self.whole, self._heard_at = number, False, time.monotonic()
        elif not self.whole and time.monotonic() - self._heard_at > REPEAT:
            raise stopping(number)

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}


class WholeFiles(TorchCheckpointIO):
    """Writes a checkpoint beside its place and renames it, so that none is ever half written.

    Lightning writes it into the folder of temporary files, often on another disk, and copies it.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write a checkpoint."""
        with atomic_file(Path(path)) as file:
            torch.save(checkpoint, file)


class ResumeCheckpoint(ModelCheckpoint):
    """What a training goes on from, written after each validation and when an exception ends it.

    Lightning would not repeat a validation that was cut off, so none is ever cut off in a
    checkpoint; neither is a step, nor the loading of what a training goes on from.
    """

    def __init__(self, folder: Path, name: str, stop: StopBetweenSteps):
        super().__init__(
            folder,
            filename=name.removesuffix(".ckpt"),
            save_on_train_epoch_end=False,
            enable_version_counter=False,
            save_on_exception=True,
        )
        self._stop = stop

    def on_exception(self, trainer: L.Trainer, *others: Any) -> None:
        if self._stop.whole and not trainer.validating:
            super().on_exception(trainer, *others)


class StepReport(L.Callback):
    """Calls `report` with the number of steps done and the last validation loss, NaN before one."""

    def __init__(self, report: Report):
        self._report = report

    def on_train_batch_end(self, trainer: L.Trainer, module: Any, *_: Any) -> None:
        self._report(trainer.global_step, module.validation_loss)
