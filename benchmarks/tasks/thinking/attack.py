"""An attack: impossible frames that are changed, within a bound, to surprise a model less."""

from collections.abc import Callable, Iterator, Sequence
from itertools import product

import numpy as np
import torch
from torch import Tensor

from benchmarks.domains.samples import IN_DISTRIBUTION, Samples
from benchmarks.domains.trials import Standing, Trials
from benchmarks.progress import tracked
from benchmarks.tasks.thinking.config import ThinkingEvaluationConfig
from benchmarks.tasks.thinking.result import Attacked
from benchmarks.tasks.thinking.surprise import Judged, filled_up, overall
from benchmarks.training.fit import TrainedModel
from worldmodel.predictor import Predictor
from worldmodel.surprise import NEAREST, Surprise

BOUNDS = (2 / 255, 8 / 255)  # of the change of a pixel, where white is 1
STEPS = 5
STEP_SIZE = 2.5  # of all steps together, in bounds: a pixel can turn back


def judge_attacks(
    trained: Sequence[TrainedModel],
    data: Samples,
    evaluation: ThinkingEvaluationConfig,
    device: str,
) -> list[Attacked]:
    """What is left of the cheapest measures of every model's surprise, in distribution.

    Nothing where the corpus has no continuations that are known to be impossible.
    """
    trials = list(data.trials(IN_DISTRIBUTION, evaluation.batch_size, device))
    if not trials:
        return []
    kinds = [of_clip for batch in trials for of_clip in batch.kinds]
    sources = data.sets[IN_DISTRIBUTION].sources
    found = []
    for model in tracked(trained, "attack"):
        every = [cheapest(predictor.to(device)) for predictor in model.predictors]
        for of_seeds, bound in product(zip(*every, strict=True), BOUNDS):
            values = [
                filled_up(_surprise_after(one, batch, data, bound) for batch in trials)
                for one in of_seeds
            ]
            scores = overall(Judged(np.stack(values), kinds, sources))
            first = of_seeds[0]
            found.append(Attacked(model.name, first.name, first.setting, bound, STEPS, scores))
    return found


def cheapest(predictor: Predictor) -> Iterator[Surprise]:
    """Each measure of a model once, as it costs least.

    Not the distance to the nearest sample: samples would be drawn anew in every step.
    """
    names = {NEAREST}
    for surprise in predictor.surprises([]):
        if surprise.name not in names:
            names.add(surprise.name)
            yield surprise


def attack(
    surprise: Callable[[Tensor], Tensor], frames: Tensor, bound: float, steps: int = STEPS
) -> Tensor:
    """Frames `[B, N, 3, height, width]` in [0, 1] moved to lower a surprise `[B, N]` of them.

    Projected descent by the sign of the gradient (Madry et al., 2018, arXiv 1706.06083). No number
    of a pixel moves by more than `bound` or out of [0, 1].
    """
    size, moved = STEP_SIZE * bound / steps, frames
    for _ in range(steps):
        moved = moved.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(surprise(moved).sum(), moved)
        stepped = moved.detach() - size * gradient.sign()
        moved = stepped.clamp(frames - bound, frames + bound).clamp(0, 1)
    return moved


def _surprise_after(surprise: Surprise, trials: Trials, data: Samples, bound: float) -> Tensor:
    """Surprise `[B, N]` of candidates of which the impossible ones are attacked."""

    def of_frames(frames: Tensor) -> Tensor:
        embeddings = data.embed(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])
        return surprise.measure(trials.context, embeddings)

    with torch.no_grad():
        plain = surprise.measure(trials.context, trials.candidates)
        alone = trials.candidates.flatten(0, 1)[:, None]  # [B * N, 1, P, D]
        frames = data.decode(alone)[:, 0].clamp(0, 1).unflatten(0, plain.shape)
    attacked = attack(of_frames, frames, bound)
    with torch.no_grad():
        lowered = of_frames(attacked)
    impossible = [
        [kind is not None and kind.standing == Standing.IMPOSSIBLE for kind in of_trial]
        for of_trial in trials.kinds
    ]
    return torch.where(torch.tensor(impossible, device=plain.device), lowered, plain)
