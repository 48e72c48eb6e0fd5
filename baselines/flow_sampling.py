"""Samples by a flow: from noise to data, with a network that predicts the clean end of the path.

A path is straight, `(1 - time) noise + time clean`, from noise at time 0 to data at time 1 (Liu et
al., 2023; Lipman et al., 2023).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import ClassVar

from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from torch import Tensor

from worldmodel.predictor import Passes, counted

Clean = Callable[[Tensor, float], Tensor]

SHIFT = 3.0  # of the times towards noise
FIXED_PASSES = 10
LEAST_MULTISTEP = 3  # passes; its first step and its last are those of Euler


class Sampler(StrEnum):
    """How the passes of a flow make one sample."""

    EULER = "euler"
    DPM_SOLVER = "dpm_solver++"


@dataclass(frozen=True)
class Sampled(Passes):
    """A sample by that many passes, or the mean of several samples."""

    passes: int = 1
    sampler: Sampler = Sampler.EULER
    samples: int = 1

    @property
    def label(self) -> str:
        """Such as `euler, 5 passes`; one pass is the same by any sampler."""
        passes = counted(self.passes, "pass")
        one = passes if self.passes == 1 else f"{self.sampler}, {passes}"
        return one if self.samples == 1 else f"{one}, mean of {self.samples}"

    @property
    def order(self) -> float:
        """Passes of all samples."""
        return self.passes * self.samples

    @property
    def averages(self) -> bool:
        """Whether it is the mean of several."""
        return self.samples > 1


@dataclass(frozen=True)
class FixedSample(Sampled):
    """A sample that is reported whatever validation selects.

    Fewer passes give a prediction nearer to the mean of all futures, and so of higher PSNR.
    """

    fixed: ClassVar[bool] = True

    passes: int = FIXED_PASSES

    @property
    def label(self) -> str:
        """Such as `a sample of 10 passes`."""
        return f"a sample of {counted(self.passes, 'pass')}"


def sampled_settings(counts: Sequence[int], samples: int) -> list[Sampled]:
    """Single samples by these numbers of passes, the mean of `samples`, and the fixed sample."""
    passes = sorted({1, *counts})
    more = [count for count in passes if count >= LEAST_MULTISTEP]
    return [
        *(Sampled(count) for count in passes),
        *(Sampled(count, Sampler.DPM_SOLVER) for count in more),
        Sampled(samples=samples),
        FixedSample(),
    ]


def solve(clean: Clean, noise: Tensor, setting: Sampled) -> Tensor:
    """Samples of the shape of `noise`, with which their paths start.

    `clean` predicts the ends of the paths from points on them and their time; in one pass it is
    that prediction.
    """
    solver = _dpm_solver if setting.sampler == Sampler.DPM_SOLVER else _euler
    return solver(clean, noise, setting.passes)


def times(passes: int) -> list[float]:
    """The times before each pass and after the last, closer together near the noise.

    They are shifted as those of high resolutions are (Esser et al., 2024, equation 23).
    """
    levels = [1 - number / passes for number in range(passes + 1)]
    return [1 - SHIFT * level / (1 + (SHIFT - 1) * level) for level in levels]


def _euler(clean: Clean, noisy: Tensor, passes: int) -> Tensor:
    """Euler's method, which on straight paths is DDIM without noise."""
    for time, following in pairwise(times(passes)):
        end = clean(noisy, time)
        noisy = end + (1 - following) / (1 - time) * (noisy - end)
    return noisy


def _dpm_solver(clean: Clean, noisy: Tensor, passes: int) -> Tensor:
    """DPM-Solver++ of second order (Lu et al., 2022), at nearly the same times."""
    scheduler = DPMSolverMultistepScheduler(
        prediction_type="sample", use_flow_sigmas=True, flow_shift=SHIFT, final_sigmas_type="zero"
    )
    scheduler.set_timesteps(passes)
    scheduler.set_begin_index(0)  # or it would look for the first step by its rounded time
    levels = scheduler.sigmas.tolist()
    for level, step in zip(levels, scheduler.timesteps, strict=False):
        noisy = scheduler.step(clean(noisy, 1 - level), step, noisy).prev_sample
    return noisy
