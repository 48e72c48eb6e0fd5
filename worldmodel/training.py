"""One LightningModule that trains any predictor, resumable at any step."""

import json
import logging
import math
import sys
import time
import warnings
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint, WeightAveraging
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger
from safetensors.torch import load_model, save_model
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn
from torch.utils.data import DataLoader

from data_prep.errors import InputError
from data_prep.shards.storage import write_json
from data_prep.stopping import stopping
from worldmodel.callbacks import (
    ReducedOnce,
    Report,
    ResumeCheckpoint,
    StepReport,
    StopBetweenSteps,
    WholeFiles,
    float32_products,
)
from worldmodel.compiling import compiled, is_to_compile, warm_up
from worldmodel.config import LoggerName, TrainingConfig
from worldmodel.data import EmbeddingClips, loader_workers, ordered_batches, training_batches
from worldmodel.noise import Stream, keyed_uniform, noise_like
from worldmodel.optimizers import make_optimizers
from worldmodel.predictor import Clips, NoisilyObservedClips, Predictor
from worldmodel.processes import Processes
from worldmodel.thinking import NonFiniteError

WEIGHTS, CHECKPOINT, BEST = "weights.safetensors", "resume.ckpt", "best.ckpt"
PLAN, RECORD = "plan.json", "training.json"
CALIBRATING_CLIPS = 64  # at most, unless a step takes more at once


@dataclass(frozen=True)
class TrainingRecord:
    """What a training cost in optimiser steps and seconds, and its lowest validation loss.

    The weights of step `kept_step` had that loss and are kept. `start_up_seconds` of the seconds
    went into compiling; 0 where nothing was compiled.
    """

    steps: int
    seconds: float
    validation_loss: float
    kept_step: int
    start_up_seconds: float = 0.0


class PredictorTraining(L.LightningModule):
    """Trains a predictor, with warm-up and cosine decay of the learning rate.

    Optimisation is manual, because a predictor yields its losses one at a time and each is
    back-propagated before the next is made.
    """

    def __init__(
        self, predictor: Predictor, config: TrainingConfig, learning_rate: float, seed: int
    ):
        super().__init__()
        self.automatic_optimization = False
        self.predictor, self.config = predictor, config
        self.learning_rate, self.seed = learning_rate, seed
        self.processes = Processes.current()
        self.seconds, self.validation_loss = 0.0, math.nan
        self._validated = torch.zeros(2, dtype=torch.float64)
        self._started = 0.0

    def training_step(self, batch: Clips, batch_index: int) -> None:
        """One optimiser step.

        Raises:
            NonFiniteError: a loss is not finite; names its part, the training step and the clips.
        """
        self.zero_grad()
        losses, parts = [], self.config.accumulate
        noise_seed = (self.seed << 32) + self.global_step
        for part in batch.parts(parts):
            observed = with_context_noise(part, self.config.context_noise, noise_seed)
            for loss in self.predictor.training_losses(observed, noise_seed):
                self.manual_backward(loss)
                losses.append(loss.detach())
        total = torch.stack(losses).sum() / parts
        total = self.processes.average_gradients(self.predictor, total, parts)
        if not bool(total.isfinite()):
            self._raise_not_finite(losses, batch)
        # Lightning's own clipping refuses fused optimisers in mixed precision. Only float16, which
        # is not offered, would need that: it scales its gradients.
        torch.nn.utils.clip_grad_norm_(self.predictor.parameters(), self.config.clip_norm)
        # Lightning counts each step of an optimiser in its wrapping as a training step.
        counted, *others = _as_list(self.optimizers())
        counted.step()
        for optimizer in others:
            optimizer.optimizer.step()
        for schedule in _as_list(self.lr_schedulers()):
            schedule.step()
        self.log("train_loss", total, prog_bar=True)

    def _raise_not_finite(self, losses: list[Tensor], batch: Clips) -> None:
        finite = [bool(loss.isfinite()) for loss in losses]
        where = f"training step {self.global_step}"
        if all(finite):
            raise NonFiniteError(f"loss not finite in {where}, on another device")
        raise NonFiniteError(
            f"loss not finite in part {finite.index(False) + 1} of {len(losses)} of {where}, clips "
            f"{', '.join(batch.keys)}"
        )

    def validation_step(self, batch: Clips, batch_index: int) -> None:
        """The predictor's own loss on a batch, mostly Smooth-L1."""
        with torch.compiler.set_stance("force_eager"):  # few calls of other shapes: not worth it
            loss = self.predictor.validation_loss(batch)
        clips = len(batch.keys)
        self._validated += torch.stack([loss * clips, loss.new_tensor(clips)]).double().cpu()

    def on_validation_epoch_start(self) -> None:
        """Begin a sum over the clips of all devices."""
        self._validated = torch.zeros(2, dtype=torch.float64)

    def on_validation_epoch_end(self) -> None:
        """Log the mean over all clips, and keep it for the record."""
        total, clips = self.processes.sum(self._validated)
        self.validation_loss = float(total / clips)
        self.log("validation_loss", self.validation_loss, prog_bar=True)

    def configure_optimizers(self) -> Any:
        """The optimisers, each with its schedule."""
        return make_optimizers(self.predictor, self.config, self.learning_rate)

    def on_train_start(self) -> None:
        """Start the clock."""
        self._started = time.perf_counter()

    def on_train_end(self) -> None:
        """Stop the clock."""
        self.seconds += time.perf_counter() - self._started

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the seconds spent and the loss so far, and what the predictor goes on from."""
        checkpoint["training_state"] = self.predictor.training_state()
        # Not only as Lightning keeps it, in float32: a training cut off after its last step is
        # to end with the same loss as one that is not.
        checkpoint["validation_loss"] = self.validation_loss
        checkpoint["seconds"] = self.seconds + time.perf_counter() - self._started

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Continue the clock, the loss and the predictor."""
        self.predictor.load_training_state(checkpoint["training_state"])
        self.validation_loss = checkpoint.get("validation_loss", math.nan)
        self.seconds = checkpoint["seconds"]


def with_context_noise(clips: Clips, largest: float, seed: int) -> Clips:
    """The clips observed through noise, of a standard deviation up to `largest` for each clip.

    Noise on the observed frames keeps rollouts from drifting (Valevski et al., 2024, section 3.2).
    """
    if not largest:
        return clips
    frames = clips.embeddings
    only = torch.zeros(1, dtype=torch.long, device=frames.device)
    level = keyed_uniform(Stream.TRAINING_CONTEXT_LEVEL, (seed,), clips.keys, only)  # [B, 1, 1]
    noise = noise_like(frames, clips.keys, Stream.TRAINING_CONTEXT, seed)
    noisy = frames + largest * level[..., None].to(frames) * noise
    return NoisilyObservedClips(frames, clips.keys, noisy)


class TrainingData(L.LightningDataModule):
    """Batches that depend only on seed and step, so that resuming continues exactly.

    Raises:
        InputError: there are fewer validation clips than devices.
    """

    def __init__(
        self, train: EmbeddingClips, validation: EmbeddingClips, config: TrainingConfig, seed: int
    ):
        super().__init__()
        self.train, self.validation = train.some(config.clips), validation
        self.config, self.seed = config, seed
        self.processes = Processes.current()
        if len(validation) < self.processes.count:
            raise InputError(
                f"training.devices: {len(validation)} validation clips for {self.processes.count} "
                "devices; each needs one, so use fewer devices or more validation clips"
            )

    def first_batch(self, least: int = 1) -> Clips:
        """The clips of the first step, of all devices, as far as one takes them.

        There are at least `least`, from the steps after it where that has fewer.
        """
        config, count = self.config, self.processes.count
        size = max(config.batch_size * count, least)
        batch: Clips = next(iter(training_batches(self.train, size, self.seed, 0, 1))).to("cpu")
        first = slice(0, max(config.batch_size // config.accumulate, CALIBRATING_CLIPS, least))
        return replace(batch, embeddings=batch.embeddings[first], keys=batch.keys[first])

    def train_dataloader(self) -> DataLoader[Any]:
        """The training batches from the trainer's current step on."""
        start = self.trainer.global_step if self.trainer else 0
        config, (rank, ranks) = self.config, (self.processes.rank, self.processes.count)
        size, stop, workers = config.batch_size, config.steps, self._workers()
        return training_batches(self.train, size, self.seed, start, stop, rank, ranks, workers)

    def val_dataloader(self) -> DataLoader[Any]:
        """The validation clips in order, a share for each device."""
        own = range(self.processes.rank, len(self.validation), self.processes.count)
        size = max(1, self.config.batch_size // self.config.accumulate)
        return ordered_batches(self.validation, size, self._workers(), own)

    def _workers(self) -> int:
        if self.config.workers is not None:
            return self.config.workers
        device = self.trainer.strategy.root_device.type if self.trainer else "cpu"
        return loader_workers(device)


def train_predictor(
    predictor: Predictor,
    data: TrainingData,
    learning_rate: float,
    folder: Path,
    device: str,
    description: str,
    plan: dict[str, Any],
    report: Report | None = None,
) -> TrainingRecord:
    """Train `predictor` in place and return what it cost.

    The folder receives the weights (`weights.safetensors`), logs, and checkpoints for resuming;
    a training that is finished there is loaded, an interrupted one is continued. `plan` says what
    is trained and how, as JSON-like values; it is kept beside the weights. `report` is called with
    the number of steps done and the last validation loss, NaN before the first.

    Raises:
        InputError: the folder holds a training of another plan.
        NonFiniteError: a loss is not finite.
        MiscompiledError: compiled, the predictor would learn something else.
        KeyboardInterrupt: the user interrupted; the checkpoint for resuming is written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config, processes = data.config, Processes.current()
    if processes.first:
        _require_same_plan(folder, plan)
    processes.wait()
    if (folder / RECORD).is_file():
        load_model(predictor, folder / WEIGHTS)
        return TrainingRecord(**json.loads((folder / RECORD).read_text()))
    batch = data.first_batch(predictor.calibrating_clips)
    predictor.calibrate(batch)
    if config.checkpoint_blocks and predictor.backbone is not None:
        predictor.backbone.enable_gradient_checkpointing()  # type: ignore[operator]
    compiling, start_up = is_to_compile(config.compile, config.steps, device), 0.0
    module = PredictorTraining(predictor, config, learning_rate, data.seed)
    _quiet_lightning()
    best = ModelCheckpoint(
        folder,
        filename=BEST.removesuffix(".ckpt"),
        monitor="validation_loss",
        save_weights_only=True,
        enable_version_counter=False,
    )
    stop = StopBetweenSteps(processes)
    average = WeightAveraging(use_buffers=False, multi_avg_fn=get_ema_multi_avg_fn(config.ema))
    trainer = L.Trainer(
        accelerator=device,
        devices=config.devices,
        num_nodes=config.nodes,
        strategy=ReducedOnce() if processes.count > 1 else "auto",
        use_distributed_sampler=False,
        precision=config.precision,
        max_steps=config.steps,
        max_epochs=-1,
        val_check_interval=min(config.validate_every, config.steps),
        num_sanity_val_steps=0,
        log_every_n_steps=max(1, min(10, config.steps // 20)),
        logger=_loggers(folder, config.logger),
        callbacks=[
            best,
            ResumeCheckpoint(folder, CHECKPOINT, stop),
            stop,
            *([StepReport(report)] if report else []),
            *([average] if config.ema else []),
        ],
        plugins=[WholeFiles()],
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    checkpoint = folder / CHECKPOINT
    try:
        with float32_products(config.float32_precision), compiled(predictor, compiling):
            if compiling:
                print(f"{description}: compiling, a minute or more", file=sys.stderr)
                start_up = warm_up(predictor.to(device), batch.to(device), config.precision)
            trainer.fit(
                module,
                datamodule=data,
                ckpt_path=checkpoint if checkpoint.is_file() else None,
                weights_only=True,
            )
            if config.steps % min(config.validate_every, config.steps):
                trainer.validate(module, data, verbose=False)  # the last weights may be the best
    except SystemExit as error:  # Lightning's answer to a signal, after it wrote the checkpoint
        raise error.__context__ or error from None
    except Exception as error:
        if stop.signal is not None:  # loaders of data were told as well, and are missed
            raise stopping(stop.signal) from error
        raise
    finally:
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.experiment.finish()  # or the next training would go on in its run
    if stop.signal is not None:
        raise stopping(stop.signal)
    loss, kept = _load_best(module, best, config.steps)
    predictor.eval()
    record = TrainingRecord(config.steps, start_up + module.seconds, loss, kept, start_up)
    if processes.first:
        save_model(predictor, str(folder / WEIGHTS))
        write_json(folder / RECORD, asdict(record))
    processes.wait()
    return record


def _load_best(module: PredictorTraining, best: ModelCheckpoint, steps: int) -> tuple[float, int]:
    """Load the weights that validated best; gives their loss and step."""
    lowest = best.best_model_score
    if lowest is None or module.validation_loss <= float(lowest):
        return module.validation_loss, steps
    checkpoint = torch.load(best.best_model_path, weights_only=True)
    module.load_state_dict(checkpoint["state_dict"])
    return float(lowest), int(checkpoint["global_step"])


def _as_list(one_or_more: Any) -> list[Any]:
    """Lightning gives a single optimiser or schedule without a list around it."""
    return one_or_more if isinstance(one_or_more, list) else [one_or_more]


def _require_same_plan(folder: Path, plan: dict[str, Any]) -> None:
    path = folder / PLAN
    if not path.is_file():
        write_json(path, plan)
        return
    earlier = json.loads(path.read_text())
    if earlier.get("format") != plan.get("format"):
        raise InputError(
            f"{folder}: was trained by another version of this program; give another --out"
        )
    changed = [f"{name} {earlier.get(name)}" for name in plan if earlier.get(name) != plan[name]]
    if changed:
        raise InputError(
            f"{folder}: was trained with {', '.join(changed)}, not as asked now; give another --out"
        )


def _loggers(folder: Path, name: LoggerName) -> list[Logger]:
    """A CSV log, with a new version after each resume, and the one that is asked for."""
    loggers: list[Logger] = [CSVLogger(folder, name="logs")]
    if name == "tensorboard":
        loggers.append(TensorBoardLogger(folder, name=name))
    if name == "wandb":
        run = "-".join(folder.parts[-4:])  # such as RUN-models-dit-seed0
        loggers.append(WandbLogger(run, folder, project="ebt-bench"))
    return loggers


def _quiet_lightning() -> None:
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for message in (
        ".*does not have many workers.*",
        ".*ended before the epoch ended and your dataloader is not resumable.*",
        ".*Checkpoint directory .* exists and is not empty.*",
        ".*Trying to infer the `batch_size`.*",
        ".*isinstance.treespec, LeafSpec.*",
        ".*ModelCheckpoint with manual optimization.*",
    ):
        warnings.filterwarnings("ignore", message=message)
