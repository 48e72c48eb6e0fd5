"""The contrasts that are declared before a run: they alone get verdicts.

Free of torch. At most eight a domain, each with the question that it answers; all else in a report
stands without verdict words. Models of a task that lacks one of the two are not contrasted.
"""

from dataclasses import dataclass
from enum import StrEnum

MOST_CONTRASTS = 8


class Answer(StrEnum):
    """What a verdict says of the first model."""

    BETTER = "better"
    WORSE = "worse"
    SAME = "the same"  # within the margin
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Contrast:
    """Model `a` against model `b`, each at its selected setting, and the question.

    With `longer` it is one model: its selected setting against its cheapest one.
    """

    a: str
    b: str
    question: str

    @property
    def longer(self) -> bool:
        """Whether one model is contrasted with its own cheapest setting."""
        return self.a == self.b


VIDEO = (
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
IMAGES = (
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
