"""The contrasts of next-frame prediction, declared before a run."""

from benchmarks.record.contrasts import Contrast

CONTRASTS = (
    Contrast(
        "ebt_published",
        "transformer_published",
        "Is the published EBT better than the published Transformer++ at equal steps?",
    ),
    Contrast(
        "ebt_residual",
        "transformer_pp",
        "Is the residual EBT better than Transformer++ at equal steps?",
    ),
    Contrast("ebt_residual", "transformer_pp_equal_training", "And at equal training FLOPs?"),
    Contrast("ebt_residual", "dit", "Is the residual EBT better than DiT at equal steps?"),
    Contrast(
        "ebt_residual",
        "transformer_pp_looped_equal_training",
        "And at equal parameters, training FLOPs and inference FLOPs?",
    ),
    Contrast("ebt_residual", "ebt_residual_blind", "Does its energy need to see the candidate?"),
    Contrast("ebt_residual", "ebt_residual", "Does it gain from thinking longer than one step?"),
    Contrast("ebt_residual", "copy_last", "Is it better than the copy of the last frame?"),
)
