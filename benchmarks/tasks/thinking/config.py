"""The configuration of thinking. Imports nothing heavy."""

from dataclasses import dataclass, field
from typing import Any

from benchmarks.config import EvaluationConfig, TaskConfig
from data_prep.config import require
from worldmodel.config import require_counts


@dataclass
class ThinkingEvaluationConfig(EvaluationConfig):
    """How thinking is judged.

    Args:
        candidates: numbers of candidates among which a prediction is chosen.
        langevin_noise: standard deviation of the noise that tells candidates apart which descend
            from one start, on scaled embeddings.
        thresholds: number of thresholds that are tried on validation for stopping early.
    """

    counts: list[int] = field(default_factory=lambda: [1, 2, 4, 8, 16, 32])
    candidates: list[int] = field(default_factory=lambda: [1, 2, 4, 8, 16])
    langevin_noise: float = 0.1
    thresholds: int = 40

    def __post_init__(self) -> None:
        super().__post_init__()
        require_counts(self.candidates, "evaluation.candidates")
        require(self.langevin_noise > 0, "evaluation.langevin_noise must be above 0")
        require(self.thresholds >= 2, "evaluation.thresholds must be at least 2")


@dataclass
class ThinkingConfig(TaskConfig):
    """How thinking is judged, and on what; its shifts are of a class of the domain's."""

    shifts: Any
    evaluation: ThinkingEvaluationConfig = field(default_factory=ThinkingEvaluationConfig)
