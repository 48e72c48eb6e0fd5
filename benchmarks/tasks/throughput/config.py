"""The configuration of throughput. Imports nothing heavy."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from data_prep.config import BouncingBallsConfig, CorpusConfig, require
from worldmodel.config import SIZES

if TYPE_CHECKING:
    from data_prep.sources.media import Media

Part = Literal["all", "data", "model"]
TOKEN_NAMES = ("1 token a frame", "16 patches", "64 patches")
LARGE_NAMES = ("196 patches", "256 patches")


@dataclass
class MeasureConfig:
    """How often and on what throughput is measured.

    Args:
        repeats: number of repeats of each measurement, in turn with its reference (half as many
            for the slowest).
        reference_videos: number of videos that the slow reference of preparation reads in each
            repeat.
        many_stride: seconds between the clips of the large corpus that is prepared twice.
        vae_frames: number of frames of the clip that a training step encodes.
        vae_size: height and width of these frames in pixels.
        sizes: names of the sizes of models whose training steps are measured, of 4xs to xl.
        compiled: cases whose training steps are measured compiled too, written `size, tokens`;
            each takes minutes.
        large: frames of many patches on which the memory of the size that rolls out is counted.
        rollout_size: size of the model that rolls out.
        contexts: numbers of observed frames before the frame of a rollout that is measured.
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
    large: list[str] = field(default_factory=lambda: list(LARGE_NAMES))
    rollout_size: str = "xxs"
    contexts: list[int] = field(default_factory=lambda: [16, 64])

    def __post_init__(self) -> None:
        require(self.repeats >= 1, "measure.repeats must be at least 1")
        require(self.reference_videos >= 1, "measure.reference_videos must be at least 1")
        require(self.many_stride > 0, "measure.many_stride must be above 0 seconds")
        require(self.vae_frames >= 3, "measure.vae_frames must be at least 3")
        for size in [*self.sizes, self.rollout_size]:
            require(size in SIZES, f"measure.sizes: {size!r} is not known")
        for case in self.compiled:
            size, _, tokens = case.partition(", ")
            require(
                size in SIZES and tokens in TOKEN_NAMES,
                f"measure.compiled: {case!r} is no size and tokens such as 'xxs, 16 patches'",
            )
        for tokens in self.large:
            require(tokens in LARGE_NAMES, f"measure.large: {tokens!r} is not known")
        require(all(context >= 2 for context in self.contexts), "measure.contexts: at least 2 each")
        require(self.vae_size % 8 == 0, "measure.vae_size must be a multiple of 8 pixels")


@dataclass
class ThroughputConfig:
    """Everything that decides a throughput run.

    Args:
        part: what is measured; `data` is preparing and reading, `model` training and inference.
        profile: whether to show where the time goes, by the costliest operations.
    """

    videos: BouncingBallsConfig = field(default_factory=BouncingBallsConfig)
    corpus: CorpusConfig = field(default_factory=CorpusConfig)
    measure: MeasureConfig = field(default_factory=MeasureConfig)
    part: Part = "all"
    profile: bool = False

    def sources(self) -> "tuple[CorpusConfig, Media]":
        """How a folder of the user's is listed, and as what."""
        from data_prep.sources.media import VIDEOS

        return self.corpus, VIDEOS
