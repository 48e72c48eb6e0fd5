"""Samples of what comes next, judged as samples: proper scores, spread and sharpness."""

import torch
from torch import Tensor
from torchmetrics.functional.image import image_gradients


def energy_score(samples: Tensor, truth: Tensor) -> Tensor:
    """The energy score `[...]` of samples `[..., N, F]` against what came, `truth [..., F]`.

    The mean distance to the truth less half the mean distance between two samples (Gneiting and
    Raftery, 2007), a CRPS of many dimensions: lowest in expectation for samples of the true
    distribution. Unbiased in N; a single sample counts as the only answer, so it gets its distance.
    """
    to_truth = (samples - truth[..., None, :]).norm(dim=-1).mean(-1)
    count = samples.shape[-2]
    if count == 1:
        return to_truth
    apart = torch.cdist(samples, samples, compute_mode="donot_use_mm_for_euclid_dist")
    return to_truth - apart.sum((-2, -1)) / (2 * count * (count - 1))


def sample_scores(samples: Tensor, truth: Tensor) -> dict[str, Tensor]:
    """Samples `[B, T, N, P, D]` against true frames `[B, T, P, D]`, one value `[B, T]` each.

    `energy_score` is that of whole frames, `energy_score_patches` that of each patch alone, a mean
    over patches. `error` is half the squared error of the mean of the samples. Where there are
    several, `spread` is what their variance says that this error should be.
    """
    count = samples.shape[2]
    of_patches = energy_score(samples.transpose(2, 3), truth)  # [B, T, P]
    found = {
        "energy_score": energy_score(samples.flatten(3), truth.flatten(2)),
        "energy_score_patches": of_patches.mean(-1),
        "error": (samples.mean(2) - truth).square().sum((-2, -1)) / 2,
    }
    if count > 1:
        # The mean of N samples of the true distribution misses by the variance and an N-th of it.
        variance = samples.var(2).sum((-2, -1))
        found["spread"] = (1 + 1 / count) * variance / 2
    return found


def sharpness(frames: Tensor, truth: Tensor) -> Tensor:
    """Mean slope `[B]` of frames `[B, T, 3, height, width]` over that of true ones."""
    return _slope(frames) / _slope(truth).clamp_min(1e-6)


def _slope(frames: Tensor) -> Tensor:
    """Mean absolute difference `[B]` of neighbouring pixels."""
    down, across = image_gradients(frames.clamp(0, 1).flatten(0, 1))
    return (down.abs() + across.abs()).mean((1, 2, 3)).view(frames.shape[:2]).mean(1)
