"""The data of a next-frame run: from a folder of videos, or the built-in corpus, to clips."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.config import JSON, Inputs, RunConfig
from benchmarks.domains.video.config import VideoConfig, frames_needed
from benchmarks.record.selection_metric import EMBEDDINGS_ONLY
from data_prep.config import BouncingBallsConfig
from data_prep.embed import encoder_of, prepare_embeddings
from data_prep.encoders.base import Encoder
from data_prep.errors import InputError
from data_prep.frames import prepare_frames
from data_prep.shards.format import MANIFEST, ShardSet
from data_prep.shards.plan import digest
from data_prep.sources.corpus import SPLITS
from data_prep.sources.folder import corpus_name
from data_prep.synthetic.bouncing_balls import write_bouncing_balls
from data_prep.synthetic.moving_mnist import write_moving_mnist
from data_prep.verify import require_whole
from worldmodel.config import Scaling
from worldmodel.data import EmbeddingClips, Scaler

MOVING_MNIST = "moving_mnist"


@dataclass(frozen=True)
class VideoData:
    """Clips of all splits, and the way back from embeddings to frames.

    `frames` is None where the user gave embeddings only; the truth is then what they decode to. Of
    each clip the first `used` frames are seen; None for all.
    """

    name: str
    frames: ShardSet | None
    embeddings: ShardSet
    encoder: Encoder
    scaler: Scaler
    used: int | None = None
    scaling: Scaling = "standardised"

    @property
    def train(self) -> EmbeddingClips:
        """Training clips."""
        return self.clips("train")

    @property
    def validation(self) -> EmbeddingClips:
        """Validation clips."""
        return self.clips("validation")

    @property
    def fingerprint(self) -> str:
        """Name of the embeddings: the same data, the same name."""
        shards = self.embeddings.manifest["shards"]
        seen: list[object] = [] if self.used is None else [self.used]
        if self.scaling != "standardised":
            seen.append(self.scaling)
        return digest(shards, *seen)

    def clips(self, split: str) -> EmbeddingClips:
        """The clips of a split."""
        return EmbeddingClips(self.embeddings, split, self.scaler, self.used)

    @property
    def mean_frame(self) -> Tensor:
        """Mean scaled frame `[P, D]` of the training clips."""
        clips = self.train
        total = sum((clips[i][1].double().mean(0) for i in range(len(clips))), torch.zeros(1))
        return (total / len(clips)).float()

    def decode(self, scaled: Tensor) -> Tensor:
        """Scaled embeddings `[B, T, P, D]` to frames `[B, T, 3, height, width]`, not clipped."""
        embeddings = self.scaler.unscale(scaled)
        return self.encoder.decode(embeddings.flatten(0, 1)).unflatten(0, scaled.shape[:2])

    def embedded(self, pictures: np.ndarray) -> Tensor:
        """Scaled embeddings `[K, P, D]` of uint8 frames, made as the corpus would make them."""
        frames = torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255
        assert self.frames is not None  # the built-in corpus has them
        size = int(self.frames.manifest["arguments"]["size"])
        frames = F.interpolate(frames, size=(size, size), mode="bicubic", antialias=True)
        return self.scaler.scale_embeddings(self.encoder.encode(frames.clamp(0, 1)))

    def truth(self, split: str, indices: Sequence[int], embeddings: Tensor) -> Tensor | None:
        """The frames `[B, T, 3, height, width]` in [0, 1] of some clips of a split.

        They travel as bytes to the device of the clips' scaled `embeddings [B, T, P, D]`, which are
        what is decoded where there are no frames. None where the encoder has no way back to pixels:
        models are then judged in embeddings.
        """
        if not self.encoder.decodable:
            return None
        if self.frames is None:
            return self.decode(embeddings).clamp(0, 1)
        samples = self.frames.samples(split)
        read = (self.frames.read_frames(samples[index])[: self.used] for index in indices)
        pixels = [torch.from_numpy(frames) for frames in read]
        return torch.stack(pixels).to(embeddings.device).movedim(-1, 2) / 255

    @property
    def _truth(self) -> str:
        if not self.encoder.decodable:
            return EMBEDDINGS_ONLY
        return "video frames" if self.frames else "decoded embeddings"

    def describe(self) -> JSON:
        """What the data is, for the result."""
        manifest = (self.frames or self.embeddings).manifest
        rejected = manifest.get("rejected", [])
        return {
            "corpus": self.name,
            "clips": {split: len(self.clips(split)) for split in SPLITS},
            "videos": {
                split: len({s.source for s in self.embeddings.samples(split)}) for split in SPLITS
            },
            "rejected": rejected,
            "encoder": self.embeddings.manifest["encoder"],
            "arguments": manifest["arguments"],
            "truth": self._truth,
        }


def prepare_data(config: RunConfig, inputs: Inputs) -> VideoData:
    """Make or reuse the shards of a folder of videos, a shard set, or the built-in corpus.

    Raises:
        InputError: the data cannot be used, or its clips are too short for the evaluation.
    """
    data, cache = inputs.data, inputs.cache
    options: VideoConfig = config.domain
    if data is None and options.moving_mnist.digits is not None:
        folder = cache / MOVING_MNIST / digest(dataclasses.asdict(options.moving_mnist))
        made = write_moving_mnist(folder, options.moving_mnist)
        frames: ShardSet | None = prepare_frames(made, cache, replace(options.corpus, axes="NTHW"))
        name = MOVING_MNIST
    elif data is None:
        folder = cache / "bouncing_balls" / _balls_name(options.balls)
        balls = write_bouncing_balls(folder, options.balls)
        frames = prepare_frames(balls, cache, options.corpus)
        name = "bouncing balls (built in)"
    elif (data / MANIFEST).is_file():
        given = ShardSet(data)
        require_whole(given)
        frames = given if given.kind == "frames" else None
        name = corpus_name(data)
    else:
        frames, name = prepare_frames(data, cache, options.corpus), corpus_name(data)
    if data is not None and name == MOVING_MNIST:
        name = "videos"  # not to be mistaken for the sequences that are made
    embeddings = prepare_embeddings(frames, cache, config.encoder) if frames else given
    _require_long_enough(embeddings, frames_needed(config))
    encoder = encoder_of(embeddings, config.encoder)
    scaler = Scaler.of(embeddings, options.scaling, getattr(encoder, "factor", 1.0))
    return VideoData(
        name, frames, embeddings, encoder, scaler, options.clip_frames, options.scaling
    )


def _balls_name(config: BouncingBallsConfig) -> str:
    return digest(dataclasses.asdict(config))


def _require_long_enough(embeddings: ShardSet, wanted: int) -> None:
    frames = int(embeddings.manifest["arguments"]["frames"])
    if frames < wanted:
        raise InputError(
            f"{embeddings.folder}: clips of {frames} frames, but evaluation.context_frames + "
            f"horizon need {wanted}: lower one of them"
        )
