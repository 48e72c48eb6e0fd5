"""Configuration of backbones, the EBT and training. Imports nothing heavy."""

from dataclasses import dataclass, field
from typing import Literal

from data_prep.config import require

Anchor = Literal["zero", "last_frame"]
Precision = Literal["32-true", "bf16-mixed"]
Compile = Literal["auto", "on", "off"]


@dataclass
class BackboneConfig:
    """Size of the transformer that all models of a run share.

    Args:
        layers: number of blocks.
        heads: attention heads.
        width: width of a token's features.
    """

    layers: int = 2
    heads: int = 2
    width: int = 64

    def __post_init__(self) -> None:
        for name in ("layers", "heads", "width"):
            require(getattr(self, name) >= 1, f"backbone.{name} must be at least 1")
        require(
            self.width % (8 * self.heads) == 0,
            f"backbone.width {self.width} must be a multiple of 8 * heads = {8 * self.heads}",
        )

    @property
    def hidden(self) -> int:
        """Width inside the SwiGLU: 8/3 of the width, as in Llama, in multiples of 8."""
        return 8 * round(self.width / 3)


@dataclass
class EBTConfig:
    """The energy, and how a candidate descends it.

    Args:
        learning_rate: peak learning rate.
        form: of the energy; `residual` 1/2|y-r-Wh|^2+wh+b, `quadratic` 1/2|y-r|^2+wh, `linear` wh.
        anchor: r in the form, where the energy's quadratic part is centred.
        context: whether h sees the context; without it the energy judges the candidate alone.
        candidate_in_features: whether h sees the candidate; without it the energy is a regressor
            in disguise (ablation).
        start_noise: where a candidate starts; 1 is noise, 0 the last frame, between them a mix.
        training_steps: thinking steps in training.
        inference_steps: numbers of thinking steps evaluated, a row each.
        loss_at: whether the loss is taken after each thinking step or after the last.
        detach: whether a step's input is cut from the graph of the steps before it.
    """

    learning_rate: float = 1e-2
    form: Literal["residual", "quadratic", "linear"] = "residual"
    anchor: Anchor = "zero"
    context: bool = True
    candidate_in_features: bool = True
    start_noise: float = 1.0
    training_steps: int = 2
    inference_steps: list[int] = field(default_factory=lambda: list(range(1, 9)))
    loss_at: Literal["each", "last"] = "each"
    detach: bool = True

    def __post_init__(self) -> None:
        require(self.learning_rate > 0, "ebt.learning_rate must be above 0")
        require(0 <= self.start_noise <= 1, "ebt.start_noise must be between 0 and 1")
        require(self.training_steps >= 1, "ebt.training_steps must be at least 1")
        steps = self.inference_steps
        require(
            len(steps) > 0 and min(steps) >= 1 and len(set(steps)) == len(steps),
            "ebt.inference_steps must be different numbers of at least 1",
        )
        require(
            self.candidate_in_features or self.form == "residual",
            "ebt.candidate_in_features false is defined for ebt.form residual only: in the other "
            "forms the candidate would not depend on the context",
        )
        require(
            self.candidate_in_features or self.context,
            "ebt.context and ebt.candidate_in_features cannot both be false: h would see nothing",
        )


@dataclass
class TrainingConfig:
    """How every model of a run is trained.

    Args:
        steps: optimiser steps.
        batch_size: clips in a step.
        warmup_steps: steps in which the learning rate rises to its peak; then it falls as a cosine.
        final_learning_rate: share of the peak learning rate at the last step.
        beta2: of AdamW (beta1 is 0.9).
        weight_decay: of AdamW, on matrices only.
        clip_norm: largest norm of the gradient.
        precision: of matrix products; candidates, energies and updates are always float32.
        compile: whether training runs through torch.compile; `auto` where so many steps are planned
            that its start-up, a minute or more, pays.
        validate_every: steps between validations and checkpoints for resuming.
        processes: models trained at once on a CPU, each in a process of one thread, for small
            models gain little from more threads (1: one after another, on all threads).
    """

    steps: int = 600
    batch_size: int = 8
    warmup_steps: int = 50
    final_learning_rate: float = 0.0
    beta2: float = 0.95
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    precision: Precision = "32-true"
    compile: Compile = "auto"
    validate_every: int = 200
    processes: int = 1

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "validate_every", "processes"):
            require(getattr(self, name) >= 1, f"training.{name} must be at least 1")
        require(self.warmup_steps >= 0, "training.warmup_steps must be at least 0")
        require(self.clip_norm > 0, "training.clip_norm must be above 0")
