"""The configuration of a comparison. Imports nothing heavy."""

from dataclasses import dataclass, field

from benchmarks.config import EvaluationConfig, PerceptionConfig, TaskConfig


@dataclass
class CompareConfig(TaskConfig):
    """How the models of a domain are compared; its evaluation is of a class of the domain's."""

    evaluation: EvaluationConfig
    perception: PerceptionConfig = field(default_factory=PerceptionConfig)
