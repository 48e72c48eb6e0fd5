"""The configuration of thinking. Imports nothing heavy."""

from dataclasses import dataclass, field

from benchmarks.config import ComparisonConfig, EvaluationConfig, require_models
from benchmarks.tasks.thinking.models import MODELS
from data_prep.config import BouncingBallsConfig, CorpusConfig, require
from worldmodel.config import require_counts


@dataclass
class ThinkingEvaluationConfig(EvaluationConfig):
    """How thinking is judged.

    Args:
        candidates: numbers of start candidates among which a prediction is chosen.
        speeds: factors by which the balls of further test sets are faster than those of training;
            with `--data` there are none.
        thresholds: number of thresholds that are tried on validation for stopping early.
    """

    counts: list[int] = field(default_factory=lambda: [1, 2, 4, 8, 16, 32])
    candidates: list[int] = field(default_factory=lambda: [1, 2, 4, 8, 16])
    speeds: list[float] = field(default_factory=lambda: [1.5, 2.0, 3.0])
    thresholds: int = 40

    def __post_init__(self) -> None:
        super().__post_init__()
        require_counts(self.candidates, "evaluation.candidates")
        require(
            all(speed > 1 for speed in self.speeds) and len(set(self.speeds)) == len(self.speeds),
            "evaluation.speeds must be different factors above 1",
        )
        require(self.thresholds >= 2, "evaluation.thresholds must be at least 2")


@dataclass
class ThinkingConfig(ComparisonConfig):
    """Everything that decides a thinking run."""

    corpus: CorpusConfig = field(default_factory=CorpusConfig)
    balls: BouncingBallsConfig = field(default_factory=BouncingBallsConfig)
    evaluation: ThinkingEvaluationConfig = field(default_factory=ThinkingEvaluationConfig)
    models: list[str] = field(default_factory=lambda: [spec.name for spec in MODELS])

    def __post_init__(self) -> None:
        super().__post_init__()
        require_models(self.models, MODELS)
