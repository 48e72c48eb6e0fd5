"""The contrasts of denoising, declared before a run."""

from benchmarks.record.contrasts import Contrast

CONTRASTS = (
    Contrast(
        "ebt_linear",
        "dit_published",
        "Is the published energy better than the published DiT at its best sampler?",
    ),
    Contrast("ebt_linear", "direct", "Is the published energy better than a direct regressor?"),
    Contrast("ebt", "direct", "Is the residual EBT better than a direct regressor at equal steps?"),
    Contrast("ebt", "direct_equal_training", "And at equal training FLOPs?"),
    Contrast("ebt", "dit", "Is the residual EBT better than DiT at equal steps?"),
    Contrast("ebt", "dit_equal_training", "And at equal training FLOPs?"),
    Contrast("ebt", "ebt_blind", "Does its energy need to see the candidate?"),
    Contrast("ebt", "ebt", "Does it gain from thinking longer than one step?"),
)
