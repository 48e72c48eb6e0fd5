"""Configuration of backbones, the EBT and training. Imports nothing heavy."""

import importlib.metadata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from data_prep.config import require
from worldmodel.forms import FORMS

Anchor = Literal["zero", "last_frame"]
Precision = Literal["32-true", "bf16-mixed"]
Float32Precision = Literal["highest", "high", "medium"]
Compile = Literal["auto", "on", "off"]
Optimizer = Literal["muon", "adamw"]
LoggerName = Literal["csv", "tensorboard", "wandb"]
Strategy = Literal["auto", "ddp"]
Scaling = Literal["standardised", "encoded", "raw"]
Decayed = Literal["matrices", "all"]
if TYPE_CHECKING:
    FormName = str
else:
    FormName = Literal[tuple(FORMS)]  # help lists them, and options take no other
WHOLE = ("devices", "nodes", "processes")


@dataclass
class BackboneConfig:
    """Size of the transformer that all models of a run share.

    Args:
        layers: number of blocks.
        heads: number of attention heads.
        width: width of the features of a token.
        hidden: width inside the SwiGLU (null: 8/3 of the width, as in Llama).
        depth: number of blocks that a token passes; more than there are layers means that the
            stack is applied again, with the same weights, the last time perhaps in part (null:
            each block once).
    """

    layers: int = 2
    heads: int = 2
    width: int = 64
    hidden: int | None = None
    depth: int | None = None

    def __post_init__(self) -> None:
        for name in ("layers", "heads", "width", "hidden", "depth"):
            value = getattr(self, name)
            require(value is None or value >= 1, f"backbone.{name} must be at least 1")
        require(
            self.width % (8 * self.heads) == 0,
            f"backbone.width {self.width} must be a multiple of 8 * heads = {8 * self.heads}",
        )

    @property
    def resolved_hidden(self) -> int:
        """The width inside the SwiGLU that is used; where none is given, a multiple of 8."""
        return self.hidden or 8 * round(self.width / 3)

    @property
    def resolved_depth(self) -> int:
        """The number of blocks that a token passes."""
        return self.depth or self.layers


# Sizes by name (arXiv 2507.02092, table of model sizes).
SIZES = {
    "4xs": BackboneConfig(layers=2, heads=2, width=128),
    "3xs": BackboneConfig(layers=4, heads=4, width=256),
    "xxs": BackboneConfig(layers=6, heads=6, width=384),
    "xs": BackboneConfig(layers=12, heads=6, width=384),
    "small": BackboneConfig(layers=12, heads=12, width=768),
    "medium": BackboneConfig(layers=24, heads=16, width=1024),
    "large": BackboneConfig(layers=24, heads=16, width=1536),
    "xl": BackboneConfig(layers=24, heads=32, width=2048),
}


@dataclass
class ModelConfig:
    """What the configurations of all trained models have.

    Args:
        learning_rate: peak learning rate.
        optimizer: optimiser of this model (null: training.optimizer).
        weight_decay: weight decay of this model (null: training.weight_decay).
    """

    learning_rate: float = 1e-2
    optimizer: Optimizer | None = None
    weight_decay: float | None = None

    def __post_init__(self) -> None:
        require(self.learning_rate > 0, "learning_rate must be above 0")
        require(
            self.weight_decay is None or self.weight_decay >= 0, "weight_decay must be at least 0"
        )


# In what variants of the EBT differ from it: one that does not see its candidate, a regressor in
# the shape of an energy; one of a linear energy, as published; one whose energy is never compared
# with the error; and one trained after the System 2 recipe (arXiv 2507.02092, section 3.3).
BLIND: dict[str, Any] = {
    "candidate_in_features": False,
    "form": "residual",
    "energy_loss_weight": None,
}
LINEAR: dict[str, Any] = {"form": "linear", "anchor": None, "energy_loss_weight": None}
UNSUPERVISED: dict[str, Any] = {"energy_loss_weight": 0.0}
SYSTEM_2: dict[str, Any] = {
    "loss_at": "last",
    "detach": False,
    "random_steps": 1,
    "random_step_size": 1.5,
    "learn_step_size": False,
    "langevin_noise": 0.05,
    "replay": 64,
}


@dataclass
class EBTConfig(ModelConfig):
    """The energy, and how a candidate descends it.

    Args:
        form: form of the energy; `worldmodel/forms.py` says what each is.
        anchor: r in the form, where the quadratic part of the energy is centred (null: zero for
            next frame, the noisy image for denoising; the form `linear` has none).
        context: whether h sees the context; without it the energy judges the candidate alone.
        candidate_in_features: whether h sees the candidate; without it the energy is a regressor
            in disguise (an ablation).
        start_noise: where a candidate starts; 1 is noise, 0 the last frame, between them a mix.
        training_steps: number of thinking steps in training.
        loss_at: whether the loss is taken after each thinking step or after the last one.
        detach: whether the input of a thinking step is cut from the graph of the steps before it.
        random_steps: largest number of further thinking steps that a training step takes at random.
        random_step_size: largest factor by which the step size of each element is multiplied or
            divided in training, at random (1: by none).
        learn_step_size: whether the step size is learned; else it stays as it began.
        langevin_noise: standard deviation of noise that is added to the candidate in each thinking
            step of training, on scaled embeddings.
        replay: number of clips in a buffer that keeps where thinking has come to; half of each
            training batch goes on from there (0: no buffer).
        energy_loss_weight: weight of the loss that teaches the energy of a patch to be the expected
            half squared error of the candidate there; 0 leaves the energy unsupervised (null: 0.003
            for the form `residual`, else 0; an energy that may be negative cannot be taught that).
    """

    form: FormName = "residual"
    anchor: Anchor | None = None
    context: bool = True
    candidate_in_features: bool = True
    start_noise: float = 1.0
    training_steps: int = 2
    loss_at: Literal["each", "last"] = "each"
    detach: bool = True
    random_steps: int = 0
    random_step_size: float = 1.0
    learn_step_size: bool = True
    langevin_noise: float = 0.0
    replay: int = 0
    energy_loss_weight: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.form in FORMS, f"form {self.form} is none of {', '.join(FORMS)}")
        form = FORMS[self.form]
        predicting = [name for name, form in FORMS.items() if form.predicts]
        require(
            form.anchored or self.anchor is None,
            f"anchor {self.anchor} has no meaning where form is {self.form}: set anchor to null",
        )
        require(0 <= self.start_noise <= 1, "start_noise must be between 0 and 1")
        require(self.training_steps >= 1, "training_steps must be at least 1")
        require(
            self.candidate_in_features or form.predicts,
            f"candidate_in_features false has no meaning where form is {self.form}: the candidate "
            f"would not depend on the context; set form to one of {', '.join(predicting)}",
        )
        require(
            self.candidate_in_features or self.context,
            "context and candidate_in_features cannot both be false: h would see nothing",
        )
        require(
            self.energy_loss_weight is None or self.energy_loss_weight >= 0,
            "energy_loss_weight must be at least 0",
        )
        require(
            form.energy_loss_weight is not None or not self.energy_loss_weight,
            f"energy_loss_weight has no meaning where form is {self.form}, whose energy may be "
            "negative: set it to null",
        )
        require(
            self.candidate_in_features or not form.scores or self.resolved_energy_loss_weight > 0,
            f"energy_loss_weight 0 has no meaning where candidate_in_features is false and form is "
            f"{self.form}, a part of which nothing would train: set it above 0, or change form",
        )

    @property
    def resolved_energy_loss_weight(self) -> float:
        """The weight of the energy loss that is used; 0 for forms whose energy may be negative."""
        if self.energy_loss_weight is None:
            return FORMS[self.form].energy_loss_weight or 0.0
        return self.energy_loss_weight

    @property
    def resolved_anchor(self) -> Anchor | None:
        """The anchor that is used; None for a form that has none."""
        if not FORMS[self.form].anchored:
            return None
        return self.anchor or self.default_anchor

    @property
    def default_anchor(self) -> Anchor:
        """The anchor where none is given."""
        return "zero"


def require_counts(counts: list[int], option: str) -> None:
    """Raise InputError unless `counts` are different numbers of at least 1."""
    require(
        len(counts) > 0 and min(counts) >= 1 and len(set(counts)) == len(counts),
        f"{option} must be different numbers of at least 1",
    )


@dataclass
class TrainingConfig:
    """How every model of a run is trained.

    Args:
        steps: number of optimiser steps.
        batch_size: number of clips in a step, of each device.
        accumulate: number of equal parts into which the clips of a step are divided, one after
            another; less memory for the same gradient.
        warmup_steps: steps in which the learning rate rises to its peak; then it falls as a cosine.
        schedule_steps: number of steps at the last of which the cosine ends; with more than `steps`
            the learning rate has fallen in part only when training ends (null: it ends with the
            run).
        final_learning_rate: learning rate at the end of the cosine, as a share of the model's peak;
            the same for parameters with another peak.
        optimizer: `muon` moves the matrices of the blocks by Muon and all other parameters by
            AdamW; `adamw` moves all by AdamW.
        beta2: second moment decay of AdamW (the first moment decay is 0.9).
        weight_decay: weight decay.
        decayed: what weight decay falls on; `all` adds biases, norms and other vectors. A learned
            step size never decays where it has a learning rate of its own.
        context_noise: largest standard deviation of noise that is added to the observed frames in
            training, on scaled embeddings; each clip draws its own. It prepares a model for the
            errors of its own rollouts (next frame only).
        clip_norm: largest norm of the gradient; a longer gradient is shortened to it.
        precision: precision of matrix products; candidates, energies and updates are always
            float32.
        float32_precision: precision of products of float32 matrices, in torch's words; `high` and
            `medium` take TensorFloat-32 on a GPU that has it.
        checkpoint_blocks: whether the blocks of a model are computed again in the backward pass,
            instead of keeping all that they need: less memory for about a third more time.
        compile: whether training runs through torch.compile; `auto` compiles where enough steps
            are planned to pay for its start-up of a minute or more.
        ema: decay of an exponential moving average of the weights, which is then what is judged
            (0: no average).
        validate_every: number of steps between validations; a checkpoint for resuming is written
            with each. The weights that validate best are kept.
        logger: where losses and learning rates are logged besides a CSV file, which is always
            written; `wandb` obeys WANDB_MODE, so `offline` needs no network.
        devices: number of devices of each machine; more than one share the work of every training,
            each with a process of its own.
        nodes: number of machines.
        strategy: how devices share the work; `ddp` gives each the whole model, and `auto` is `ddp`
            where there is more than one.
        clips: largest number of training clips that are used, chosen at random; a smaller number is
            always part of a larger one (null: all).
        workers: number of processes that read batches for each device (null: up to 4 for a GPU,
            none for a CPU).
        processes: number of models trained at once on a CPU, each in a process of one thread,
            because small models gain little from more threads (1: one after another, on all
            threads; so too where several devices share the work).
    """

    steps: int = 600
    batch_size: int = 8
    accumulate: int = 1
    warmup_steps: int = 50
    schedule_steps: int | None = None
    final_learning_rate: float = 0.0
    optimizer: Optimizer = "muon"
    beta2: float = 0.95
    weight_decay: float = 0.01
    decayed: Decayed = "matrices"
    context_noise: float = 0.0
    clip_norm: float = 1.0
    precision: Precision = "32-true"
    float32_precision: Float32Precision = "highest"
    checkpoint_blocks: bool = False
    compile: Compile = "auto"
    ema: float = 0.0
    validate_every: int = 200
    logger: LoggerName = "csv"
    devices: int = 1
    nodes: int = 1
    strategy: Strategy = "auto"
    clips: int | None = None
    workers: int | None = None
    processes: int = 1

    def __post_init__(self) -> None:
        require(
            self.logger == "csv" or _installed(self.logger),
            f'training.logger: {self.logger} is not installed; pip install -e ".[{self.logger}]"',
        )
        for name in ("steps", "batch_size", "accumulate", "validate_every", *WHOLE):
            require(getattr(self, name) >= 1, f"training.{name} must be at least 1")
        require(
            self.batch_size % self.accumulate == 0,
            f"training.accumulate {self.accumulate} must divide training.batch_size "
            f"{self.batch_size}",
        )
        require(self.clips is None or self.clips >= 1, "training.clips must be at least 1")
        require(self.workers is None or self.workers >= 0, "training.workers must be at least 0")
        require(self.warmup_steps >= 0, "training.warmup_steps must be at least 0")
        require(
            self.schedule_steps is None or self.schedule_steps > self.warmup_steps,
            "training.schedule_steps must be above training.warmup_steps",
        )
        require(self.clip_norm > 0, "training.clip_norm must be above 0")
        require(self.context_noise >= 0, "training.context_noise must be at least 0")
        require(0 <= self.ema < 1, "training.ema must be at least 0 and below 1")


def _installed(package: str) -> bool:
    try:
        importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
