"""Dynamic computation: each prediction stops when thinking hardly moves it any more."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from benchmarks.measure.intervals import difference, mean
from benchmarks.measure.scores import mean_by_source, metric
from benchmarks.record.selection_metric import PIXELS
from benchmarks.tasks.thinking.evaluation import ThinkingJudge
from benchmarks.tasks.thinking.result import Stopping
from worldmodel.predictor import Predictor, Setting, Trajectory

RULES = ("update", "energy")


@dataclass(frozen=True)
class Trace:
    """What each prediction was after each of M steps, all `[M, predictions]` but `sources`.

    `psnr` is its quality in dB; `signals` say by rule what is known then: the RMS of the `update`,
    and by how much the `energy` fell in the step before. A prediction stops after the first step
    whose signal is at most a threshold. `sources` names the video of each.
    """

    psnr: Tensor
    signals: dict[str, Tensor]
    sources: list[str]

    def stopped(self, rule: str, threshold: float) -> Tensor:
        """The number of steps `[predictions]` that each takes; all where it never stops."""
        signal = self.signals[rule]
        steps = len(signal)
        done = signal <= threshold if threshold > 0 else torch.zeros_like(signal, dtype=torch.bool)
        first = torch.where(done.any(0), done.int().argmax(0), steps - 1)
        return first + 1

    def quality(self, steps: Tensor) -> Tensor:
        """PSNR `[predictions]` after a number of steps for each."""
        return self.psnr.gather(0, (steps - 1)[None])[0]

    def thresholds(self, rule: str, count: int) -> list[float]:
        """Thresholds between which the numbers of steps change: 0, and quantiles of the signal."""
        known = self.signals[rule].flatten()
        finite = known[known.isfinite()].numpy()
        if not len(finite):
            return [0.0]
        quantiles = np.quantile(finite, np.linspace(0, 1, count - 1))
        return [0.0, *np.maximum(quantiles, 0).tolist()]


def trace(judge: ThinkingJudge, predictor: Predictor, setting: Setting, name: str) -> Trace:
    """Think as long as `setting` says on the clips of a set, and keep every step."""
    psnr: list[Tensor] = []
    signals: dict[str, list[Tensor]] = {rule: [] for rule in RULES}
    for case in judge.cases(name):
        trajectory = predictor.predict(case.context, setting, energies=True)
        steps = [judge.psnr(each, case).flatten() for each in trajectory.candidates[1:]]
        psnr.append(torch.stack(steps))
        for rule, values in _signals(trajectory).items():
            signals[rule].append(values[:, :, judge.data.scored].flatten(1))
    of_set = judge.data.sets[name].sources
    of_sample = sum(part.shape[1] for part in psnr) // len(of_set)
    sources = [source for source in of_set for _ in range(of_sample)]
    joined = {rule: torch.cat(parts, dim=1).cpu() for rule, parts in signals.items()}
    return Trace(torch.cat(psnr, dim=1).cpu(), joined, sources)


def choose_threshold(validation: Sequence[Trace], rule: str, count: int) -> float:
    """The threshold of fewest mean steps within 0.02 dB of the best, over training seeds."""
    tried = []
    for threshold in validation[0].thresholds(rule, count):
        steps = [of_seed.stopped(rule, threshold) for of_seed in validation]
        psnr = [t.quality(s).mean() for t, s in zip(validation, steps, strict=True)]
        average = torch.stack(steps).float().mean()
        tried.append((float(torch.stack(psnr).mean()), float(average), threshold))
    least = max(psnr for psnr, _, _ in tried) - PIXELS.tolerance
    return min((steps, threshold) for psnr, steps, threshold in tried if psnr >= least)[1]


def judge_stopping(traces: Sequence[Trace], rule: str, threshold: float) -> Stopping:
    """What stopping by a rule is worth; a trace for each training seed."""
    steps = [of_seed.stopped(rule, threshold) for of_seed in traces]
    sources, longest = traces[0].sources, len(traces[0].psnr)
    psnr = _by_source([t.quality(s) for t, s in zip(traces, steps, strict=True)], sources)
    taken = _by_source([s.float() for s in steps], sources)
    fixed = np.stack([_by_source([t.psnr[k] for t in traces], sources) for k in range(longest)])
    average = float(taken.mean())
    below = max(1, min(int(average), longest - 1))  # of the two whole numbers of steps beside it
    share = average - below
    equal = (1 - share) * fixed[below - 1] + share * fixed[min(below, longest - 1)]
    return Stopping(
        rule,
        threshold,
        metric("psnr", mean(psnr)),
        metric("mean_steps", mean(taken)),
        metric("gain", difference(psnr, equal)),
        _saved(fixed.mean(axis=(1, 2)), float(psnr.mean()), average),
    )


def _saved(curve: np.ndarray, level: float, average: float) -> float | None:
    """How many steps more than `average` a fixed number takes for a PSNR; None if it never gets it.

    `curve [M]` is the PSNR of fixed numbers of steps, between which it is taken as a line.
    """
    reached = np.flatnonzero(curve >= level)
    if not len(reached):
        return None
    index = int(reached[0])
    if index == 0:
        return 1 - average
    part = (level - curve[index - 1]) / (curve[index] - curve[index - 1])
    return float(index + part - average)


def _signals(trajectory: Trajectory) -> dict[str, Tensor]:
    """What is known after each step `[M, B, T]`, by rule."""
    energies = trajectory.energies
    assert energies is not None
    update = trajectory.candidates.diff(dim=0).square().mean((3, 4)).sqrt()  # [M, B, T]
    # A step's own energy is that of the candidate that it moved away from.
    fall = energies[:-1].diff(dim=0).neg()  # [M - 1, B, T]
    unknown = torch.full_like(fall[:1], torch.inf) if len(fall) else energies[:1] * torch.inf
    return {"update": update, "energy": torch.cat([unknown, fall])}


def _by_source(values: Sequence[Tensor], sources: list[str]) -> np.ndarray:
    """Means of predictions by video `[seeds, videos]`."""
    return np.stack([mean_by_source(of_seed, sources) for of_seed in values])
