"""The contrasts of denoising, declared before a run."""

from benchmarks.record.contrasts import Contrast

CONTRASTS = (
    Contrast(
        "ebt_published",
        "dit_published",
        "Is the published EBT better than the published DiT, each run as published?",
        as_published=True,
    ),
    Contrast("ebt_published", "dit_published", "And each at the setting that validation selects?"),
    Contrast("ebt_published", "direct", "Is the published EBT better than a direct regressor?"),
    Contrast(
        "ebt_residual",
        "direct",
        "Is the residual EBT better than a direct regressor at equal steps?",
    ),
    Contrast("ebt_residual", "direct_equal_training", "And at equal training FLOPs?"),
    Contrast("ebt_residual", "dit", "Is the residual EBT better than DiT at equal steps?"),
    Contrast("ebt_residual", "dit_equal_training", "And at equal training FLOPs?"),
    Contrast("ebt_residual", "ebt_residual_blind", "Does its energy need to see the candidate?"),
)
