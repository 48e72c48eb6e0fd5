"""Clips with an open future, what is known of that future, and balls that differ from training."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import torch
from torch import Tensor

from benchmarks.config import JSON, Inputs, RunConfig
from benchmarks.domains.samples import (
    IN_DISTRIBUTION,
    VALIDATION,
    Case,
    Degree,
    Future,
    Samples,
    SampleSet,
    Shifts,
    of_another,
)
from benchmarks.domains.trials import Trials
from benchmarks.domains.video.config import BallsShiftsConfig
from benchmarks.domains.video.data import VideoData, prepare_data
from benchmarks.domains.video.futures import KnownFutures
from benchmarks.domains.video.judge import FIRST_TARGET
from benchmarks.domains.video.trials import trials
from benchmarks.measure.outcomes import Outcomes
from data_prep.config import BouncingBallsConfig
from data_prep.errors import InputError
from worldmodel.data import EmbeddingClips, ordered_batches
from worldmodel.predictor import Clips


@dataclass(frozen=True)
class ClipSet:
    """Clips of one split with their frames, and their future where it is known."""

    data: VideoData
    split: str

    @cached_property
    def clips(self) -> EmbeddingClips:
        """The clips, scaled as in training."""
        return self.data.clips(self.split)

    @cached_property
    def sources(self) -> list[str]:
        """The video of each clip."""
        return [sample.source for sample in self.clips.samples]

    @cached_property
    def futures(self) -> KnownFutures:
        """What may follow the frames of the clips."""
        return KnownFutures(self.data, self.split)

    @cached_property
    def future(self) -> Future | None:
        """What may follow in all clips; None where the corpus does not tell."""
        if not self.futures.known:
            return None
        keys = [sample.key for sample in self.clips.samples]
        return Future(*self.futures.moments(), partial(self.futures.outcomes, keys))

    def cases(self, batch_size: int, device: str) -> Iterator[Case]:
        """The clips in batches: every frame but the first is to be predicted from those before."""
        start, future = 0, self.future
        for batch in ordered_batches(self.clips, batch_size):
            chosen = slice(start, start + len(batch.keys))
            start = chosen.stop
            known = None
            if future is not None:
                mean, spread = future.mean[chosen].to(device), future.spread[chosen].to(device)
                known = Future(mean, spread, partial(self._listed, batch.keys, device))
            clips: Clips = batch.to(device)
            truth = self.data.truth(self.split, range(*chosen.indices(start)), clips.embeddings)
            assert truth is not None  # the encoder is decodable
            yield Case(clips.frames(0, -1), clips.embeddings[:, 1:], truth[:, 1:], known)

    def _listed(self, keys: Sequence[str], device: str) -> Outcomes:
        return self.futures.outcomes(keys).to(device)


@dataclass(frozen=True)
class VideoSamples(Samples):
    """Clips to train on, and sets of clips to judge on."""

    scored = slice(FIRST_TARGET - 1, None)
    corpus: VideoData
    sets: dict[str, SampleSet]
    shifts: Shifts

    def decode(self, embeddings: Tensor) -> Tensor:
        """Scaled embeddings `[B, T, P, D]` to frames `[B, T, 3, height, width]`, not clipped."""
        return self.corpus.decode(embeddings)

    def embed(self, frames: Tensor) -> Tensor:
        """Frames `[N, 3, height, width]` in [0, 1] to scaled embeddings `[N, P, D]`."""
        return self.corpus.scaler.scale_embeddings(self.encoder.encode(frames))

    def foreign(self, case: Case) -> dict[str, Tensor]:
        """Copies of the last frame, blurred, time-shifted and foreign frames."""
        target = case.target
        return {
            "copy of the last frame": case.context.embeddings,
            "blurred truth": self.blurred_truth(case),
            "frame after the next": torch.cat([target[:, 1:], target[:, -2:-1]], dim=1),
        } | of_another(target)

    def trials(self, name: str, batch_size: int, device: str) -> Iterator[Trials]:
        """Frames that may and may not follow the clips of a set, where the corpus tells."""
        clips = self.sets[name]
        assert isinstance(clips, ClipSet)
        if not clips.futures.known:
            return iter(())
        return trials(clips.data, clips.split, batch_size, device)

    def describe(self) -> JSON:
        """What the data is, for the result."""
        return self.corpus.describe() | self.describe_sets()


def prepare_clips(config: RunConfig, shifts: BallsShiftsConfig, inputs: Inputs) -> VideoSamples:
    """Make or reuse the shards of the corpus, and of balls that differ from those of training.

    Raises:
        InputError: the data cannot be used.
    """
    corpus = prepare_data(config, inputs)
    if not corpus.encoder.decodable:
        raise InputError(
            f"encoder.name {corpus.encoder.name}: thinking is judged in pixels, and this encoder "
            "has no way back to them; use dct, vae: or tae:"
        )
    sets: dict[str, SampleSet] = {
        VALIDATION: ClipSet(corpus, "validation"),
        IN_DISTRIBUTION: ClipSet(corpus, "test"),
    }
    found: Shifts = {}
    if inputs.data is None and config.domain.moving_mnist.digits is None:
        balls = config.domain.balls
        for what, first, degrees in filter(lambda found: found[2], _shifts(balls, shifts)):
            found[what] = [Degree(IN_DISTRIBUTION, first)]
            for name, degree, changes in degrees:
                changed = replace(balls, train=1, validation=1, seed=1, **changes)
                domain = replace(config.domain, balls=changed)
                other = prepare_data(replace(config, domain=domain), inputs)
                sets[name] = ClipSet(replace(other, scaler=corpus.scaler), "test")
                found[what].append(Degree(name, degree))
    return VideoSamples(corpus, sets, found)


def _shifts(
    balls: BouncingBallsConfig, shifts: BallsShiftsConfig
) -> Sequence[tuple[str, float, list[tuple[str, float, JSON]]]]:
    """By what grows: the degree of training, and name, degree and changed options of each set."""
    fastest, largest, most = balls.speeds[1], balls.radii[1], balls.balls[1]
    return [
        (
            "speed over the fastest of training",
            1.0,
            [(f"speed x{f:g}", f, {"speeds": [fastest * f] * 2}) for f in shifts.speeds],
        ),
        (
            "number of balls",
            float(most),
            [(f"{n} balls", float(n), {"balls": [n, n]}) for n in shifts.numbers if n > most],
        ),
        (
            "size over the largest of training",
            1.0,
            [(f"size x{f:g}", f, {"radii": [largest * f] * 2}) for f in shifts.sizes],
        ),
        (
            "gravity (widths/s²)",
            balls.gravity,
            [(f"gravity {g:g}", g, {"gravity": g}) for g in shifts.gravities],
        ),
        (
            "turn of the hues (degrees)",
            balls.hue,
            [(f"hues turned {h:g}°", h, {"hue": h}) for h in shifts.hues],
        ),
    ]
