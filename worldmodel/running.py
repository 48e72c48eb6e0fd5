"""How Lightning runs a training here: its devices, its signals and what it shows meanwhile."""

import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.strategies import DDPStrategy

from data_prep.errors import Terminated
from worldmodel.processes import Processes

Report = Callable[[int, float], None]

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class ReducedOnce(DDPStrategy):
    """Training on many devices without torch's wrapper around the model.

    The wrapper would exchange gradients in the first of a step's backward passes, in which most
    parameters have none yet. `PredictorTraining` exchanges them after the last.
    """

    def configure_ddp(self) -> None:
        """Leave the model as it is."""


class StopBetweenSteps(L.Callback):
    """Ends a training between two steps when a signal asks for it, so that its checkpoint is whole.

    A second signal ends it at once.
    """

    def __init__(self, processes: Processes):
        self.signal: int | None = None
        self._processes = processes
        self._before: dict[int, Any] = {}

    def reason(self) -> KeyboardInterrupt:
        """What the signal means."""
        return Terminated() if self.signal == signal.SIGTERM else KeyboardInterrupt()

    def on_train_start(self, *_: Any) -> None:
        if threading.current_thread() is threading.main_thread():
            self._before = {
                s: signal.signal(s, self._note) for s in (signal.SIGINT, signal.SIGTERM)
            }

    def on_train_batch_start(self, *_: Any) -> None:
        heard = self._processes.largest(self.signal or 0)
        if heard:
            self.signal = heard
            raise KeyboardInterrupt

    def on_train_end(self, *_: Any) -> None:
        self._restore()

    def on_exception(self, *_: Any) -> None:
        self._restore()

    def _note(self, number: int, _: Any) -> None:
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = number

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}


class ResumeCheckpoint(ModelCheckpoint):
    """What a training goes on from, written after each validation and when an exception ends it.

    Lightning would not repeat a validation that was cut off, so none is ever cut off in a
    checkpoint.
    """

    def __init__(self, folder: Path, name: str):
        super().__init__(
            folder,
            filename=name.removesuffix(".ckpt"),
            save_on_train_epoch_end=False,
            enable_version_counter=False,
            save_on_exception=True,
        )

    def on_exception(self, trainer: L.Trainer, *others: Any) -> None:
        if not trainer.validating:
            super().on_exception(trainer, *others)


class StepReport(L.Callback):
    """Calls `report` with the number of steps done and the last validation loss, NaN before one."""

    def __init__(self, report: Report):
        self._report = report

    def on_train_batch_end(self, trainer: L.Trainer, module: Any, *_: Any) -> None:
        self._report(trainer.global_step, module.validation_loss)
