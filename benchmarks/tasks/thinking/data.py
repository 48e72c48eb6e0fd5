"""The data of a thinking run: clips with an open future, and what is known of that future."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.config import Inputs
from benchmarks.tasks.next_frame.config import NextFrameConfig, NextFrameEvaluationConfig
from benchmarks.tasks.next_frame.data import NextFrameData, prepare_data
from benchmarks.tasks.thinking.conditions import IN_DISTRIBUTION, VALIDATION, faster
from benchmarks.tasks.thinking.config import ThinkingConfig
from data_prep.encoders.base import Encoder
from data_prep.synthetic.balls import from_json
from worldmodel.data import EmbeddingClips


@dataclass(frozen=True)
class Future:
    """What may follow each frame but the last of clips, on scaled embeddings.

    `mean [B, T - 1, P, D]` is the true conditional mean of the next frame, `spread [B, T - 1, P]`
    half the conditional variance of a patch: the least half squared error that any prediction can
    expect there.
    """

    mean: Tensor
    spread: Tensor

    def expected_error(self, candidate: Tensor) -> Tensor:
        """Half the squared error `[B, T - 1, P]` that is to be expected of candidates."""
        return (candidate - self.mean).square().sum(-1) / 2 + self.spread


@dataclass(frozen=True)
class Judged:
    """Clips of one set with their frames, and their future where it is known."""

    data: NextFrameData
    split: str

    @cached_property
    def clips(self) -> EmbeddingClips:
        """The clips, scaled as in training."""
        return self.data.clips(self.split)

    @cached_property
    def frames(self) -> Tensor:
        """The true frames `[B, T, 3, height, width]` in [0, 1]."""
        return self.data.true_frames(self.split)

    @cached_property
    def sources(self) -> list[str]:
        """The video of each clip."""
        return [sample.source for sample in self.clips.samples]

    @cached_property
    def future(self) -> Future | None:
        """What may follow; None where the corpus does not tell."""
        shards = self.data.embeddings
        metadata = [shards.read_metadata(sample) for sample in self.clips.samples]
        if any("truth" not in entry for entry in metadata):
            return None
        known = [self._future(entry) for entry in metadata]
        mean, spread = (torch.stack(parts) for parts in zip(*known, strict=True))
        return Future(mean, spread)

    def _future(self, metadata: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Mean `[T - 1, P, D]` and spread `[T - 1, P]` of what may follow a clip's frames."""
        means, spreads = [], []
        for time in metadata["times"][:-1]:
            motion, balls = from_json(metadata["truth"], time)
            outcomes, probabilities = motion.outcomes(balls)
            embeddings = self._embedded(motion.draw(outcomes))  # [K, P, D]
            weight = torch.from_numpy(probabilities).float()[:, None, None]
            mean = (weight * embeddings).sum(0)
            means.append(mean)
            spreads.append((weight * (embeddings - mean).square()).sum((0, 2)) / 2)
        return torch.stack(means), torch.stack(spreads)

    def _embedded(self, pictures: np.ndarray) -> Tensor:
        """Scaled embeddings `[K, P, D]` of frames as the corpus would have them."""
        frames = torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255
        size = self.frames.shape[-1]
        frames = F.interpolate(frames, size=(size, size), mode="bicubic", antialias=True)
        return self.data.scaler.scale_embeddings(self.data.encoder.encode(frames.clamp(0, 1)))


@dataclass(frozen=True)
class ThinkingData:
    """The corpus to train on, and the sets to judge on by the name of their condition."""

    corpus: NextFrameData
    sets: dict[str, Judged]

    @property
    def train(self) -> EmbeddingClips:
        """Training clips."""
        return self.corpus.train

    @property
    def validation(self) -> EmbeddingClips:
        """Validation clips."""
        return self.corpus.validation

    @property
    def encoder(self) -> Encoder:
        """The frozen encoder."""
        return self.corpus.encoder

    @property
    def fingerprint(self) -> str:
        """Name of the embeddings: the same data, the same name."""
        return self.corpus.fingerprint

    def describe(self) -> dict[str, Any]:
        """What the data is, for the result."""
        sizes = {name: len(set(found.sources)) for name, found in self.sets.items()}
        return self.corpus.describe() | {"sets": sizes}


def prepare_thinking(config: ThinkingConfig, inputs: Inputs) -> ThinkingData:
    """Make or reuse the shards of the corpus, and of balls that are faster than in training.

    Raises:
        InputError: the data cannot be used.
    """
    corpus = prepare_data(_as_next_frame(config), inputs)
    sets = {VALIDATION: Judged(corpus, "validation"), IN_DISTRIBUTION: Judged(corpus, "test")}
    if inputs.data is None:
        for factor, balls in _faster_balls(config):
            other = prepare_data(replace(_as_next_frame(config), balls=balls), inputs)
            sets[faster(factor)] = Judged(replace(other, scaler=corpus.scaler), "test")
    return ThinkingData(corpus, sets)


def _faster_balls(config: ThinkingConfig) -> Sequence[tuple[float, Any]]:
    """Corpora whose balls are faster than any of training, by each factor."""
    fastest = config.balls.speeds[1]
    return [
        (
            factor,
            replace(config.balls, train=1, validation=1, speeds=[fastest * factor] * 2, seed=1),
        )
        for factor in config.evaluation.speeds
    ]


def _as_next_frame(config: ThinkingConfig) -> NextFrameConfig:
    """The part of the configuration that makes the clips."""
    return NextFrameConfig(
        encoder=config.encoder,
        backbone=config.backbone,
        training=config.training,
        corpus=config.corpus,
        balls=config.balls,
        evaluation=NextFrameEvaluationConfig(context_frames=2, horizon=1),
    )
