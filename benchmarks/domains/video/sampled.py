"""How futures are judged: samples of every next frame, and the rollouts of models that sample."""

import zlib
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.domains.video.futures import KnownFutures
from benchmarks.measure.energies import ERROR, doubt_metrics
from benchmarks.measure.intervals import rank_correlation
from benchmarks.measure.metrics import cosine, embedding_errors, frame_psnr
from benchmarks.measure.outcomes import Outcomes, outcome_scores
from benchmarks.measure.sampling import energy_score, sample_scores, sharpness
from benchmarks.measure.scores import Values, metric
from benchmarks.record.metrics import AHEAD
from benchmarks.record.results import Metric
from worldmodel.predictor import Clips, Predictor, Setting, Trajectory

APART = 1 << 20  # between the seeds of rollouts, far beyond those of trainings
SPREAD, TRUE_SPREAD, SPREAD_RANK = "spread", "true_spread", "spread_rank"


class TrueMean(Predictor):
    """The mean of all that may follow: no single answer has a smaller expected squared error."""

    def __init__(self, futures: KnownFutures):
        super().__init__()
        self.futures = futures

    def predict(self, context: Clips, setting: Setting, energies: bool = False) -> Trajectory:
        """The true mean of every next frame."""
        return Trajectory(self._outcomes(context).mean[None])

    def _outcomes(self, context: Clips) -> Outcomes:
        return self.futures.outcomes(context.keys).to(context.embeddings.device)


class TrueSamples(TrueMean):
    """Draws from all that may follow by their probabilities: no samples have a better score."""

    def sample(self, context: Clips, setting: Setting, count: int) -> Tensor:
        """Samples `[B, T, N, P, D]`; those of a clip depend on its key alone."""
        outcomes = self._outcomes(context)
        drawn = [
            torch.multinomial(odds.cpu(), count, True, generator=_generator(key))
            for key, odds in zip(context.keys, outcomes.probabilities, strict=True)
        ]
        chosen = torch.stack(drawn).to(outcomes.embeddings.device)[..., None, None]
        return torch.take_along_dim(outcomes.embeddings, chosen, dim=2)


def _generator(key: str) -> torch.Generator:
    return torch.Generator().manual_seed(zlib.crc32(key.encode()))


def frame_scores(
    samples: Tensor,
    target: Tensor,
    truth: Tensor | None,
    outcomes: Outcomes | None,
    decode: Callable[[Tensor], Tensor],
) -> dict[str, Tensor]:
    """Every score of samples `[B, T, N, P, D]` of frames `target [B, T, P, D]`, a value `[B]` each.

    `truth` are the frames in pixels, if there is a way back to them, `outcomes` what could have
    followed, where that is known. Errors and PSNR are those of one sample.
    """
    count = samples.shape[2]
    single, repeated = samples.flatten(1, 2), target.repeat_interleave(count, 1)
    scores = embedding_errors(single, repeated) | sample_scores(samples, target)
    if outcomes is not None:
        scores |= outcome_scores(samples, target, outcomes)
        scores[TRUE_SPREAD] = outcomes.spread.sum(-1)
    if truth is None:
        scores["cosine"] = cosine(single, repeated)
    else:
        frames = decode(single)
        scores["psnr"] = frame_psnr(frames, truth.repeat_interleave(count, 1))
        scores["psnr_mean"] = frame_psnr(decode(samples.mean(2)), truth)
    found = {name: value.mean(1) for name, value in scores.items()}
    return found if truth is None else found | {"sharpness": sharpness(frames, decode(target))}


def frame_metrics(values: Values) -> dict[str, Metric]:
    """How well the spread of samples knows the error of their mean, and the true spread."""
    if SPREAD not in values:
        return {}
    found = doubt_metrics("spread_over_error", values[SPREAD], values[ERROR])
    if TRUE_SPREAD in values:
        rank = rank_correlation(values[SPREAD], values[TRUE_SPREAD])
        found |= {} if rank is None else {SPREAD_RANK: metric(SPREAD_RANK, rank)}
    return found


def sampled_rollouts(
    predictor: Predictor, context: Clips, first: Tensor, setting: Setting, count: int
) -> Tensor:
    """Rollouts `[B, T, N, P, D]` from as many starts, `first [B, T, P, D]` among them.

    There is one, N = 1, where the next frame is one answer or a mean, and where rollouts do not
    depend on the start, since means are fed back.
    """
    single = count < 2 or setting.averages
    if single or predictor.sample(context, setting, 2).shape[2] == 1:
        return first[:, :, None]
    found, own = [first], predictor.start_seed
    try:
        for number in range(1, count):
            predictor.seed_starts(own + number * APART)
            found.append(predictor.rollout(context, first.shape[1], setting))
            if torch.equal(found[-1], first):
                return first[:, :, None]
    finally:
        predictor.seed_starts(own)
    return torch.stack(found, 2)


def horizon_scores(rollouts: Tensor, target: Tensor) -> dict[str, Tensor]:
    """The energy score of rollouts `[B, T, N, P, D]`: its mean `[B]`, and by frame `[B, T]`."""
    scores = energy_score(rollouts.flatten(3), target.flatten(2))
    return {"energy_score": scores.mean(1), f"energy_score{AHEAD}": scores}
