"""Configuration of the baselines. Imports nothing heavy."""

from dataclasses import dataclass

from data_prep.config import require
from worldmodel.config import Anchor


@dataclass
class TransformerPPConfig:
    """The feed-forward transformer.

    Args:
        learning_rate: peak learning rate.
        anchor: what the prediction is a change from; `zero` predicts the frame itself.
    """

    learning_rate: float = 1e-2
    anchor: Anchor = "zero"

    def __post_init__(self) -> None:
        require(self.learning_rate > 0, "transformer_pp.learning_rate must be above 0")
