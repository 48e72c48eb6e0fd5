"""On which samples thinking is judged."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ThinkingCondition:
    """A set of samples by name: validation, the test split, or one away from training."""

    samples: str
