"""The contrasts of next-frame prediction, declared before a run."""

from benchmarks.record.contrasts import Contrast

CONTRASTS = (
    Contrast(
        "ebt", "transformer_pp", "Is the residual EBT better than Transformer++ at equal steps?"
    ),
    Contrast("ebt", "transformer_pp_equal_training", "And at equal training FLOPs?"),
    Contrast("ebt", "transformer_pp_equal_inference", "And at equal inference FLOPs?"),
    Contrast(
        "ebt",
        "transformer_pp_looped_equal_training",
        "And at equal parameters, training FLOPs and inference FLOPs?",
    ),
    Contrast("ebt", "ebt_blind", "Does its energy need to see the candidate?"),
    Contrast("ebt", "ebt_unsupervised", "Does teaching the energy cost quality?"),
    Contrast("ebt", "ebt", "Does it gain from thinking longer than one step?"),
    Contrast("ebt", "copy_last", "Is it better than the copy of the last frame?"),
)
