"""On which samples thinking is judged."""

from dataclasses import dataclass

VALIDATION, IN_DISTRIBUTION = "validation", "in distribution"


@dataclass(frozen=True)
class ThinkingCondition:
    """A set of samples by name: validation, the test split, or a rung away from training."""

    samples: str


@dataclass(frozen=True)
class Rung:
    """A set of a ladder that leads away from training, and how far it is in the ladder's unit."""

    samples: str
    degree: float


Ladders = dict[str, list[Rung]]  # by what grows from rung to rung, with its unit
