"""The processes of one training, one for each device, as torchrun or Slurm launches them."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from lightning.fabric.plugins.environments import (
    ClusterEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)
from torch import Tensor, nn

from data_prep.errors import InputError
from worldmodel.config import TrainingConfig

# Others wait while the first process prepares data. One that dies is noticed long before.
PATIENCE = timedelta(days=2)

Value = TypeVar("Value")


class LostProcessError(ConnectionError):
    """Another process of this training has ended."""


@dataclass(frozen=True)
class Processes:
    """This process among those of a training.

    Args:
        rank: its number; the first one writes and judges.
        count: number of all.
        local_rank: its number on its machine, which is that of its device.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0

    @classmethod
    def current(cls) -> "Processes":
        """The processes that `joined` has brought together; else this one alone."""
        if not (dist.is_available() and dist.is_initialized()):
            return cls()
        local = int(os.environ.get("LOCAL_RANK") or os.environ.get("SLURM_LOCALID") or 0)
        return cls(dist.get_rank(), dist.get_world_size(), local)

    @property
    def first(self) -> bool:
        """Whether this one writes and judges."""
        return self.rank == 0

    def wait(self) -> None:
        """Wait until all processes have come here."""
        if self.count > 1:
            with _lost_process_named():
                dist.barrier()

    def first_says(self, number: int) -> int:
        """The number that the first process gave."""
        if self.count == 1:
            return number
        said = torch.tensor(number)
        with _lost_process_named():
            dist.broadcast(said, 0)
        return int(said)

    def largest(self, number: int) -> int:
        """The largest of the numbers that the processes give."""
        if self.count == 1:
            return number
        said = torch.tensor(number)
        with _lost_process_named():
            dist.all_reduce(said, dist.ReduceOp.MAX)
        return int(said)

    def sum(self, values: Tensor) -> Tensor:
        """The sum of a small tensor over all processes, on the CPU."""
        values = values.cpu()
        if self.count > 1:
            with _lost_process_named():
                dist.all_reduce(values)
        return values

    def average_gradients(self, module: nn.Module, loss: Tensor, parts: int = 1) -> Tensor:
        """Make gradients, sums over `parts`, and a mean loss those of all processes.

        All are exchanged at once.
        """
        if self.count == 1:
            if parts > 1:
                for parameter in module.parameters():
                    if parameter.grad is not None:
                        parameter.grad /= parts
            return loss
        parameters = [p for p in module.parameters() if p.requires_grad]
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        flat = torch.cat([loss.reshape(1) * parts, *(g.flatten() for g in gradients)])
        with _lost_process_named():
            dist.all_reduce(flat)
        flat /= self.count * parts
        means = flat[1:].split([p.numel() for p in parameters])
        for parameter, mean in zip(parameters, means, strict=True):
            parameter.grad = mean.view_as(parameter)
        return flat[0]


def in_turn(make: Callable[[], Value]) -> Value:
    """What `make` gives in every process: first in the first one, then one on each machine.

    So what it leaves in a folder is made once for those who share it.
    """
    processes = Processes.current()
    turns = (processes.first, processes.local_rank == 0 and not processes.first)
    made: list[Value] = []
    for mine in (*turns, not any(turns)):
        if mine:
            made.append(make())
        processes.wait()
    return made[0]


@contextmanager
def joined(config: TrainingConfig, device: str) -> Iterator[Processes]:
    """Within the block, this process is one of those that `config` asks for.

    Raises:
        InputError: another number of processes was launched than `config` asks for.
    """
    wanted, environment = config.devices * config.nodes, _environment()
    launched = environment.world_size() if environment else 1
    if wanted != launched:
        raise InputError(
            f"training.devices {config.devices} times training.nodes {config.nodes} is {wanted}, "
            f"but {launched} processes were launched: give both as torchrun or Slurm was told"
        )
    if environment is None or launched == 1:
        yield Processes()
        return
    os.environ["MASTER_ADDR"] = environment.main_address
    os.environ["MASTER_PORT"] = str(environment.main_port)
    if device == "cuda":
        torch.cuda.set_device(environment.local_rank())
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if device == "cuda" else "gloo",
        rank=environment.global_rank(),
        world_size=launched,
        timeout=PATIENCE,
    )
    try:
        yield Processes.current()
    finally:
        dist.destroy_process_group()


def _environment() -> ClusterEnvironment | None:
    kinds: Sequence[type[ClusterEnvironment]] = (TorchElasticEnvironment, SLURMEnvironment)
    try:
        return next((kind() for kind in kinds if kind.detect()), None)
    except RuntimeError as error:  # Lightning's words for a wrong call of srun
        raise InputError(str(error)) from None


@contextmanager
def _lost_process_named() -> Iterator[None]:
    """Say in plain words that another process is gone, which torch reports in many ways."""
    try:
        yield
    except RuntimeError as error:
        line = str(error).strip().splitlines()[0]
        raise LostProcessError(
            f"another process of this training has ended ({line}); its own message says why"
        ) from error
