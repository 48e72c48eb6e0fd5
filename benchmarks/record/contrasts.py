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

    With `longer` it is one model: its selected setting against its cheapest one. `as_published`
    takes fixed settings, which are the published ones, where a model has any.
    """

    a: str
    b: str
    question: str
    as_published: bool = False

    @property
    def longer(self) -> bool:
        """Whether one model is contrasted with its own cheapest setting."""
        return self.a == self.b
