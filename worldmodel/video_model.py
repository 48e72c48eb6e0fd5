"""A trained EBT with its encoder: frames in, frames and energies out."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from data_prep.encoders.base import Encoder
from data_prep.errors import InputError
from worldmodel.data import Scaler
from worldmodel.loading import shared_config, shared_encoder
from worldmodel.next_frame import NextFrameEBT
from worldmodel.predictor import Clips, Thinking
from worldmodel.published.model import PublishedEBT

EBT = NextFrameEBT | PublishedEBT
CLASSES: dict[str, type[EBT]] = {c.__name__: c for c in (NextFrameEBT, PublishedEBT)}
OVERSHOOT = 0.05  # beyond [0, 1], as resizing leaves it


@dataclass(frozen=True)
class Thought:
    """Candidates of the next frame `[M + 1, 3, height, width]` from the start to the last step.

    `energies [M + 1]` are theirs; where the energy loss taught the EBT, the half squared error that
    it expects, on scaled embeddings. The published EBT's have no unit.
    """

    frames: Tensor
    energies: Tensor


@dataclass(frozen=True)
class VideoModel:
    """A next-frame EBT on frames `[T, 3, height, width]`; made by `load`.

    Frames are uint8, or floats in [0, 1].

    Raises:
        InputError: frames have another shape or other values.
    """

    predictor: EBT
    encoder: Encoder
    scaler: Scaler
    size: int

    def predict(self, frames: Tensor, steps: int | None = None) -> Tensor:
        """The next frame `[3, height, width]`, after as many thinking steps as in training."""
        return self.rollout(frames, 1, steps)[0]

    def rollout(self, frames: Tensor, horizon: int, steps: int | None = None) -> Tensor:
        """The next frames `[horizon, 3, height, width]`, each fed back as context for the next."""
        context = Clips(self._embed(frames), ["clip"])
        return self._frames(self.predictor.rollout(context, horizon, self._setting(steps))[0])

    def think(self, frames: Tensor, steps: int | None = None) -> Thought:
        """Every candidate of the next frame on the way down, with its energy."""
        context = Clips(self._embed(frames), ["clip"])
        found = self.predictor.predict(context, self._setting(steps), energies=True)
        assert found.energies is not None
        return Thought(self._frames(found.candidates[:, 0, -1]), found.energies[:, 0, -1])

    def energy(self, frames: Tensor, candidates: Tensor) -> Tensor:
        """Energies `[N]` of candidates `[N, 3, height, width]` for the frame after `frames`."""
        context = Clips(self._embed(frames), ["clip"])
        judged = self._embed(candidates)[:, None]  # [1, 1, N, P, D]
        every = judged.expand(1, len(frames), *judged.shape[2:])
        return self.predictor.verify(context, every)[0, -1].sum(-1)

    def _setting(self, steps: int | None) -> Thinking:
        return Thinking(steps or self.predictor.config.training_steps)

    def _embed(self, frames: Tensor) -> Tensor:
        """Scaled embeddings `[1, T, P, D]`."""
        wanted = (3, self.size, self.size)
        if frames.ndim != 4 or frames.shape[1:] != wanted:
            raise InputError(f"frames of shape {tuple(frames.shape)}; give [T, {wanted}] in [0, 1]")
        frames = in_unit_range(frames)
        return self.scaler.scale_embeddings(self.encoder.encode(frames))[None]

    def _frames(self, scaled: Tensor) -> Tensor:
        """Frames `[N, 3, height, width]` in [0, 1] of scaled embeddings `[N, P, D]`."""
        return self.encoder.decode(self.scaler.unscale(scaled)).clamp(0, 1)


def in_unit_range(frames: Tensor) -> Tensor:
    """Frames of bytes, or of numbers in [0, 1], as float32 in [0, 1].

    What filters leave a little beyond is cut off.

    Raises:
        InputError: there are none, or their values are others.
    """
    if frames.dtype == torch.uint8:
        return frames.float() / 255
    if not frames.is_floating_point():
        raise InputError(f"frames of {frames.dtype}; give uint8, or floats in [0, 1]")
    if not frames.numel():
        raise InputError("no frames; give at least one")
    low, high = float(frames.min()), float(frames.max())
    if not -OVERSHOOT <= low <= high <= 1 + OVERSHOOT:  # NaN is none of these
        raise InputError(f"frames with values from {low:g} to {high:g}; give uint8, or [0, 1]")
    return frames.float().clamp(0, 1)


def load(place: str | Path, revision: str | None = None) -> VideoModel:
    """The EBT of a folder that `--push` has written, or of a repository of the Hugging Face hub.

    Raises:
        InputError: it holds another model; or its encoder is the user's own code, has other weights
            on this machine, or has no way back to pixels.
    """
    config = shared_config(place, revision, CLASSES)
    encoder = shared_encoder(place, config)
    scaler = Scaler(torch.tensor(config["mean"]), torch.tensor(config["scale"]))
    predictor: EBT = CLASSES[config["class"]].from_pretrained(str(place), revision=revision)
    return VideoModel(predictor, encoder, scaler, int(config["size"]))
