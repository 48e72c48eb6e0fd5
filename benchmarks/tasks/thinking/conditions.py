"""On which clips thinking is judged."""

from dataclasses import dataclass

VALIDATION, IN_DISTRIBUTION = "validation", "in distribution"


@dataclass(frozen=True)
class ThinkingCondition:
    """A set of clips: validation, the test split, or balls faster than those of training."""

    clips: str


def faster(factor: float) -> str:
    """The name of the clips whose balls are faster by a factor."""
    return f"speed x{factor:g}"
