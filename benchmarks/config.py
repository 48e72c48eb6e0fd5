"""The composed configuration of a run. Imports nothing heavy, so that help stays instant."""

from dataclasses import dataclass, field

from baselines.config import TransformerPPConfig
from data_prep.config import BouncingBallsConfig, CorpusConfig, EncoderConfig, require
from worldmodel.config import BackboneConfig, EBTConfig, TrainingConfig

TRAINED_MODELS = (
    "ebt",
    "transformer_pp",
    "transformer_pp_equal_training",
    "transformer_pp_equal_inference",
)
FLOORS = ("copy_last", "linear_extrapolation", "mean_frame")


@dataclass
class EvaluationConfig:
    """How models are judged.

    Args:
        context_frames: observed frames before a rollout.
        horizon: frames that a rollout predicts.
        batch_size: clips evaluated at once.
        bootstrap_samples: resamples behind each 95 % interval.
        latency_repeats: timed calls behind each median latency, after 3 warm-ups.
        figure_clips: test clips shown in the figures.
    """

    context_frames: int = 4
    horizon: int = 8
    batch_size: int = 64
    bootstrap_samples: int = 2000
    latency_repeats: int = 20
    figure_clips: int = 3

    def __post_init__(self) -> None:
        require(self.context_frames >= 2, "evaluation.context_frames must be at least 2")
        for name in (
            "horizon",
            "batch_size",
            "bootstrap_samples",
            "latency_repeats",
            "figure_clips",
        ):
            require(getattr(self, name) >= 1, f"evaluation.{name} must be at least 1")


@dataclass
class NextFrameConfig:
    """Everything that decides a next-frame run."""

    corpus: CorpusConfig
    balls: BouncingBallsConfig
    encoder: EncoderConfig
    backbone: BackboneConfig
    ebt: EBTConfig
    transformer_pp: TransformerPPConfig
    transformer_pp_equal_inference: TransformerPPConfig
    training: TrainingConfig
    evaluation: EvaluationConfig
    models: list[str] = field(default_factory=lambda: [*TRAINED_MODELS, *FLOORS])
    seeds: list[int] = field(default_factory=lambda: [0])

    def __post_init__(self) -> None:
        for name in self.models:
            require(
                name in (*TRAINED_MODELS, *FLOORS),
                f"models: {name!r} is none of {', '.join((*TRAINED_MODELS, *FLOORS))}",
            )
        require(len(self.models) > 0, "models: name at least one model")
        require(len(set(self.models)) == len(self.models), "models: a model is named twice")
        require(len(self.seeds) > 0, "--seeds: give at least one seed")
        require(len(set(self.seeds)) == len(self.seeds), "--seeds: a seed is given twice")
        wanted = self.evaluation.context_frames + self.evaluation.horizon
        require(
            wanted <= self.corpus.frames,
            f"corpus.frames is {self.corpus.frames}, but evaluation.context_frames + horizon "
            f"need {wanted}: raise the first or lower one of the others",
        )
