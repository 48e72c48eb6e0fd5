"""The composed configuration of a run. Imports nothing heavy, so that help stays instant."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from baselines.config import DirectConfig, DiTConfig, TransformerPPConfig
from data_prep.config import (
    BouncingBallsConfig,
    CorpusConfig,
    DeadLeavesConfig,
    EncoderConfig,
    ImagesConfig,
    require,
)
from denoise.config import CorruptionConfig, EBTDenoiserConfig
from worldmodel.config import BackboneConfig, EBTConfig, TrainingConfig

NEXT_FRAME_MODELS = (
    "ebt",
    "transformer_pp",
    "transformer_pp_equal_training",
    "transformer_pp_equal_inference",
    "copy_last",
    "linear_extrapolation",
    "mean_frame",
)
DENOISE_MODELS = (
    "ebt",
    "ebt_without_context",
    "ebt_linear",
    "dit",
    "dit_equal_training",
    "dit_full_range",
    "dit_single_level",
    "direct",
    "direct_equal_training",
    "direct_multi_level",
    "bm3d",
    "non_local_means",
    "wavelet",
    "gaussian_blur",
    "identity",
)


@dataclass(frozen=True)
class Inputs:
    """Where a run's data comes from, and the folder of what is made from it.

    `data` is None for the embedded corpus; `test_sets` are further test sets by name.
    """

    data: Path | None
    test_sets: dict[str, Path]
    cache: Path


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
        compile: whether networks run through torch.compile; latencies are then those. Compiling
            for every shape takes minutes.
    """

    context_frames: int = 4
    horizon: int = 8
    batch_size: int = 64
    bootstrap_samples: int = 2000
    latency_repeats: int = 20
    figure_clips: int = 3
    compile: bool = False

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
    models: list[str] = field(default_factory=lambda: list(NEXT_FRAME_MODELS))
    seeds: list[int] = field(default_factory=lambda: [0])

    def __post_init__(self) -> None:
        _require_names(self.models, NEXT_FRAME_MODELS)
        _require_seeds(self.seeds)
        wanted = self.evaluation.context_frames + self.evaluation.horizon
        require(
            wanted <= self.corpus.frames,
            f"corpus.frames is {self.corpus.frames}, but evaluation.context_frames + horizon "
            f"need {wanted}: raise the first or lower one of the others",
        )


@dataclass
class DenoiseEvaluationConfig:
    """How denoisers are judged.

    Args:
        few: numbers of steps and passes evaluated where not all are.
        validation_images: images on which numbers of steps and passes are selected.
        batch_size: images evaluated at once.
        bm3d_images: images of each test set that BM3D denoises, at the swept levels; it takes
            more than a second for each.
        bootstrap_samples: resamples behind each 95 % interval.
        latency_repeats: timed calls behind each median latency, after 3 warm-ups.
        figure_images: images of each test set shown in the figures.
        compile: whether networks run through torch.compile; latencies are then those. Compiling
            for every shape takes minutes.
    """

    few: list[int] = field(default_factory=lambda: [1, 10])
    validation_images: int = 16
    batch_size: int = 64
    bm3d_images: int = 48
    bootstrap_samples: int = 2000
    latency_repeats: int = 20
    figure_images: int = 3
    compile: bool = False

    def __post_init__(self) -> None:
        require(1 in self.few, "evaluation.few must hold 1")
        for name in (
            "validation_images",
            "batch_size",
            "bm3d_images",
            "bootstrap_samples",
            "latency_repeats",
            "figure_images",
        ):
            require(getattr(self, name) >= 1, f"evaluation.{name} must be at least 1")


@dataclass
class DenoiseConfig:
    """Everything that decides a denoising run."""

    images: ImagesConfig
    dead_leaves: DeadLeavesConfig
    encoder: EncoderConfig
    corruption: CorruptionConfig
    backbone: BackboneConfig
    ebt: EBTDenoiserConfig
    ebt_without_context: EBTDenoiserConfig
    ebt_linear: EBTDenoiserConfig
    direct: DirectConfig
    direct_multi_level: DirectConfig
    dit: DiTConfig
    dit_full_range: DiTConfig
    dit_single_level: DiTConfig
    training: TrainingConfig
    evaluation: DenoiseEvaluationConfig
    models: list[str] = field(default_factory=lambda: list(DENOISE_MODELS))
    seeds: list[int] = field(default_factory=lambda: [0])

    def __post_init__(self) -> None:
        _require_names(self.models, DENOISE_MODELS)
        _require_seeds(self.seeds)
        require(
            self.encoder.frequencies is None,
            "encoder.frequencies must be null for denoising: what the encoder drops is neither "
            "noisy nor restored",
        )
        require(
            self.images.size <= self.dead_leaves.size,
            f"images.size is {self.images.size}: at most dead_leaves.size {self.dead_leaves.size}",
        )


@dataclass
class MeasureConfig:
    """How often and on what throughput is measured.

    Args:
        repeats: of each measurement, in turn with its reference's (half as many of the slowest).
        reference_videos: videos that the slow reference of preparation reads in each repeat.
        many_stride: seconds between the clips of the large corpus that is prepared twice.
        vae_frames: frames of the clip that a training step encodes.
        vae_size: their height and width in pixels.
        sizes: of the models whose training steps are measured: 4xs, xxs, small.
        compiled: those whose steps are measured compiled too, `size, tokens`; each takes minutes.
        rollout_size: of the model that rolls out.
        contexts: observed frames before the frame of a rollout that is measured.
    """

    repeats: int = 5
    reference_videos: int = 4
    many_stride: float = 0.5
    vae_frames: int = 16
    vae_size: int = 224
    sizes: list[str] = field(default_factory=lambda: ["4xs", "xxs", "small"])
    compiled: list[str] = field(
        default_factory=lambda: ["xxs, 1 token a frame", "xxs, 16 patches", "small, 16 patches"]
    )
    rollout_size: str = "xxs"
    contexts: list[int] = field(default_factory=lambda: [16, 64])

    def __post_init__(self) -> None:
        require(self.repeats >= 1, "measure.repeats must be at least 1")
        require(self.reference_videos >= 1, "measure.reference_videos must be at least 1")
        require(self.many_stride > 0, "measure.many_stride must be above 0 seconds")
        require(self.vae_frames >= 3, "measure.vae_frames must be at least 3")
        for size in [*self.sizes, self.rollout_size]:
            require(size in ("4xs", "xxs", "small"), f"measure.sizes: {size!r} is not known")
        for case in self.compiled:
            size, _, tokens = case.partition(", ")
            require(
                size in ("4xs", "xxs", "small")
                and tokens in ("1 token a frame", "16 patches", "64 patches"),
                f"measure.compiled: {case!r} is no size and tokens such as 'xxs, 16 patches'",
            )
        require(all(context >= 2 for context in self.contexts), "measure.contexts: at least 2 each")
        require(self.vae_size % 8 == 0, "measure.vae_size must be a multiple of 8 pixels")


@dataclass
class ThroughputConfig:
    """Everything that decides a throughput run."""

    videos: BouncingBallsConfig
    corpus: CorpusConfig
    measure: MeasureConfig
    part: Literal["all", "data", "model"] = "all"
    profile: bool = False


def _require_names(models: list[str], known: tuple[str, ...]) -> None:
    for name in models:
        require(name in known, f"models: {name!r} is none of {', '.join(known)}")
    require(len(models) > 0, "models: name at least one model")
    require(len(set(models)) == len(models), "models: a model is named twice")


def _require_seeds(seeds: list[int]) -> None:
    require(len(seeds) > 0, "--seeds: give at least one seed")
    require(len(set(seeds)) == len(seeds), "--seeds: a seed is given twice")
