"""Configuration of the baselines. Imports nothing heavy."""

from dataclasses import dataclass, field
from typing import Literal

from data_prep.config import require
from denoise.config import STEPS, TRAINED_LEVEL, require_levels
from worldmodel.config import Anchor, EBTConfig, ModelConfig, Optimizer


@dataclass
class TransformerPPConfig(ModelConfig):
    """The feed-forward transformer.

    Args:
        anchor: what the prediction is a change from; `zero` predicts the frame itself.
    """

    anchor: Anchor = "zero"


@dataclass
class GaussianConfig(TransformerPPConfig):
    """The feed-forward transformer with a variance.

    Args:
        variance_floor: lowest variance of a patch, on scaled embeddings.
    """

    variance_floor: float = 1e-4

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.variance_floor > 0, "variance_floor must be above 0")


@dataclass
class EnsembleConfig(GaussianConfig):
    """An ensemble of feed-forward transformers with a variance.

    Args:
        members: number of transformers, which differ in their first weights.
    """

    members: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.members >= 2, "members must be at least 2")


@dataclass
class ConvLSTMConfig(ModelConfig):
    """The recurrent network.

    Args:
        anchor: what the prediction is a change from; `zero` predicts the frame itself.
    """

    anchor: Anchor = "zero"


@dataclass
class TransformerPublishedConfig(ModelConfig):
    """The feed-forward transformer as published."""


@dataclass
class FlowConfig(ModelConfig):
    """A flow from noise to the next frame, on the EBT's backbone.

    Args:
        draws: number of noisy versions of each next frame in a training step; the context is
            encoded once for all of them.
        samples: number of samples whose mean is judged beside single samples.
    """

    learning_rate: float = 2e-2
    draws: int = 1
    samples: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.draws >= 1, "draws must be at least 1")
        require(self.samples >= 2, "samples must be at least 2")


@dataclass
class ContrastiveConfig(EBTConfig):
    """The EBT whose energy is trained to tell the true next frame from others.

    Args:
        contrast: what tells them apart: `info_nce` finds the true one among all candidates, `nce`
            (noise contrastive estimation) asks of each candidate alone whether it is true.
        descent_weight: weight of the loss after descent, by which every other EBT is trained; 0
            trains the energy by the contrast alone.
        samples: number of samples of a flow among the candidates of each next frame.
    """

    learning_rate: float = 2e-2
    energy_loss_weight: float | None = 0.0
    contrast: Literal["info_nce", "nce"] = "info_nce"
    descent_weight: float = 1.0
    samples: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.descent_weight >= 0, "descent_weight must be at least 0")
        require(self.samples >= 1, "samples must be at least 1")


@dataclass
class NextFrameDiTConfig(FlowConfig):
    """A flow from noise to the next frame, on a diffusion transformer.

    Args:
        observed_frames: number of the last observed frames that it sees.
    """

    learning_rate: float = 1.4e-2
    observed_frames: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.observed_frames >= 1, "observed_frames must be at least 1")


@dataclass
class DirectConfig(ModelConfig):
    """The EBT's backbone as a one-pass denoiser.

    Args:
        levels: lowest and highest level of the noise in training.
    """

    levels: list[float] = field(default_factory=lambda: [TRAINED_LEVEL, TRAINED_LEVEL])

    def __post_init__(self) -> None:
        super().__post_init__()
        require_levels(self.levels, "levels")


@dataclass
class DiTConfig(ModelConfig):
    """The diffusion transformer, trained on the levels of the noise up to 0.1 as published.

    Args:
        levels: lowest and highest level of the noise in training.
        min_snr: gamma of the Min-SNR weights of the loss (null: all diffusion steps weigh alike,
            as published). With 5, on levels up to 0.1, where the signal-to-noise ratio is above 5,
            the loss is the plain mean squared error of the clean image.
    """

    levels: list[float] = field(default_factory=lambda: [1 / STEPS, TRAINED_LEVEL])
    min_snr: float | None = 5.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_levels(self.levels, "levels")
        require(self.min_snr is None or self.min_snr > 0, "min_snr must be above 0")


@dataclass
class PublishedDiTConfig(ModelConfig):
    """The diffusion transformer as published, with learned variance.

    (arXiv 2507.02092, section 4.3, and its public implementation.)

    Args:
        levels: lowest and highest level of the noise in training.
        recursions: how often the published protocol runs through all steps of the schedule from
            the image's own on (1 is once, 3 is recursed twice); each is evaluated as a row of its
            own. Where there are any, training is judged by the first.
    """

    learning_rate: float = 1e-4
    optimizer: Optimizer | None = "adamw"
    levels: list[float] = field(default_factory=lambda: [1 / STEPS, TRAINED_LEVEL])
    recursions: list[int] = field(default_factory=lambda: [1, 3])

    def __post_init__(self) -> None:
        super().__post_init__()
        require_levels(self.levels, "levels")
        require(not self.recursions or min(self.recursions) >= 1, "recursions start at 1")


FieldEnergy = Literal["dot", "norm"]


@dataclass
class EqMConfig(ModelConfig):
    """Equilibrium Matching, trained on the levels of the noise on which DiT is trained.

    Args:
        levels: lowest and highest level of the noise in training.
        energy: what energy the field is the gradient of: `dot` for the product of image and output,
            `norm` for half the squared norm of the output (null: the output is the field itself).
        decay_from: share of the clean image from which the field falls in a line to zero (0.8 in
            the paper).
        multiplier: by what the field is multiplied (4 in the paper).
        step_size: step size of the descent, where 1 is the step that leads from where the field
            decays to the clean image at once.
        momentum: share of the last step by which Nesterov's descent looks ahead (0.3 as published).
        passes: number of steps of the descent by which training is judged.
    """

    levels: list[float] = field(default_factory=lambda: [1 / STEPS, TRAINED_LEVEL])
    energy: FieldEnergy | None = None
    decay_from: float = 0.8
    multiplier: float = 4.0
    step_size: float = 1.0
    momentum: float = 0.3
    passes: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        require_levels(self.levels, "levels")
        require(0 <= self.decay_from < 1, "decay_from must be at least 0 and below 1")
        for name in ("multiplier", "step_size"):
            require(getattr(self, name) > 0, f"{name} must be above 0")
        require(0 <= self.momentum < 1, "momentum must be at least 0 and below 1")
        require(self.passes >= 1, "passes must be at least 1")

    @property
    def unit_step(self) -> float:
        """Of the field where it decays: the step that leads to the clean image at once."""
        return (1 - self.decay_from) / self.multiplier
