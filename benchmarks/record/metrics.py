"""Every metric of the suite, declared once: what readers call it, and which way is good.

A new metric is one line in `DECLARED`. One that is not declared is an error.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Declared:
    """What is known of a metric before anything is measured.

    Args:
        name: name of the metric in rows and files of values.
        title: title of its column, with its unit.
        higher: whether higher is better; None where neither is, as for a ratio that is best at 1.
        unit: unit after a value, with a space before it.
        digits: number of digits of a value.
    """

    name: str
    title: str
    higher: bool | None
    unit: str = ""
    digits: int = 2


# Energies along the thinking steps, and a metric for each frame ahead, are lists in a row.
ENERGIES = "energies"
AHEAD = "_ahead"
OVER_ERROR, RANK = "energy_over_error", "error_rank"

DECLARED = (
    # Of predicted frames and images.
    Declared("psnr", "PSNR dB", True, " dB"),
    Declared("psnr_ahead", "PSNR dB", True, " dB"),
    Declared("psnr_pooled", "pooled PSNR", True, " dB"),
    Declared("ssim", "SSIM", True, digits=3),
    Declared("lpips", "LPIPS", False, digits=3),
    Declared("frame_mse", "MSE, sum over a frame", False),
    Declared("frame_mae", "MAE, sum over a frame", False),
    Declared("fvd", "FVD", False, digits=1),
    # Of predicted embeddings.
    Declared("smooth_l1", "Smooth-L1", False, digits=4),
    Declared("smooth_l1_ahead", "Smooth-L1", False, digits=4),
    Declared("mse", "MSE", False, digits=4),
    Declared("cosine", "cosine", True, digits=3),
    Declared("skill", "skill", True, digits=3),
    Declared("frechet_embedding", "Frechet, embeddings", False, digits=3),
    # Of energies beside the half squared errors that they stand for.
    Declared("energy", "energy", None),
    Declared(ENERGIES, "energy", None, digits=1),
    Declared("error", "error", False),
    Declared(OVER_ERROR, "energy / error", None),
    Declared(RANK, "rank, across samples", True),
    Declared("error_rank_patches", "rank, across patches", True),
    Declared("error_rank_frames", "rank, frames of a clip", True),
    Declared("error_rank_candidates", "rank, between candidates", True),
    Declared("sparsification_error", "AUSE", False),
    Declared("auroc", "AUROC", True),
    Declared("truth_preferred", "truth has lower energy", True),
    Declared("truth_first", "truth has lowest energy", True),
    # Of surprise at possible and impossible continuations.
    Declared("impossible_auroc", "AUROC", True),
    Declared("impossible_found", "found at 5 % false alarms", True),
    Declared("auroc_over_regressor", "AUROC over the regressor's distance", True),
    Declared("impossible_paired", "above the truth, all kinds", True),
    Declared("paired_score", "above the truth", True),
    Declared("paired_score_alternative", "above an alternative", True),
    # Beside an open future that is known.
    Declared("expected_error", "expected error", False),
    Declared("true_spread", "true spread", None),
    Declared("energy_over_expected_error", "energy / expected error", None),
    Declared("expected_rank", "rank, expected error", True),
    Declared("spread_rank", "rank, true spread", True),
    # Of samples of what comes next.
    Declared("energy_score", "energy score", False),
    Declared("energy_score_ahead", "energy score", False),
    Declared("energy_score_patches", "energy score, by patch", False, digits=3),
    Declared("energy_score_span", "energy score on the futures", False),
    Declared("at_future", "at a listed future", True),
    Declared("log_probability", "log-probability of the nearest future", True),
    Declared("coverage", "futures covered", True),
    Declared("odds_error", "error of the odds", False),
    Declared("psnr_mean", "PSNR dB, mean of samples", True, " dB"),
    Declared("sharpness", "sharpness", None),
    Declared("spread", "spread", None),
    Declared("spread_over_error", "spread / error", None),
    # Of thinking longer, or stopping.
    Declared("gain", "gain dB", True, " dB"),
    Declared("gain_of_more", "gain of more, dB", True, " dB"),
    Declared("mean_steps", "mean steps", False),
    # Of probes.
    Declared("score", "score", True, digits=3),
    Declared("top5", "top 5", True, digits=3),
)
METRICS = {metric.name: metric for metric in DECLARED}


def declared(name: str) -> Declared:
    """What is declared of a metric.

    Raises:
        LookupError: it is not declared.
    """
    if name not in METRICS:
        raise LookupError(f"metric {name!r}: declare it in benchmarks/record/metrics.py")
    return METRICS[name]


def titles(names: tuple[str, ...]) -> list[str]:
    """The titles of the columns of some metrics."""
    return [declared(name).title for name in names]
