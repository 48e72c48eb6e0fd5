"""Sets of samples to judge on, as in training and away from it, in any domain."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from benchmarks.config import JSON
from benchmarks.domains.trials import Trials
from benchmarks.measure.outcomes import Outcomes
from benchmarks.models import RunData
from data_prep.encoders.base import Encoder
from worldmodel.data import EmbeddingClips
from worldmodel.predictor import Clips

VALIDATION, IN_DISTRIBUTION = "validation", "in distribution"
BLURS = (0.5, 1.0, 2.0)  # standard deviations in pixels


@dataclass(frozen=True)
class Degree:
    """A set of a shift that leads away from training, and how far it is in the shift's unit."""

    samples: str
    degree: float


Shifts = dict[str, list[Degree]]  # by what grows from set to set, with its unit


@dataclass(frozen=True)
class Future:
    """What may follow each frame but the last of clips, on scaled embeddings.

    `mean [B, T, P, D]` is the true conditional mean of each target, `spread [B, T, P]` half the
    conditional variance of a patch: the least half squared error that any prediction can expect
    there. `listed` gives all that may happen, which is large.
    """

    mean: Tensor
    spread: Tensor
    listed: Callable[[], Outcomes]

    def expected_error(self, candidate: Tensor) -> Tensor:
        """Half the squared error `[B, T, P]` that is to be expected of candidates."""
        return (candidate - self.mean).square().sum(-1) / 2 + self.spread


@dataclass(frozen=True)
class Case:
    """A batch of predictions to judge.

    `context` is what a model observes, `target [B, T, P, D]` what it should predict and `truth
    [B, T, 3, height, width]` the same as frames in [0, 1]. `future` is what may follow, where that
    is known.
    """

    context: Clips
    target: Tensor
    truth: Tensor
    future: Future | None


class SampleSet(Protocol):
    """Samples to judge on; `sources` names the video or image of each."""

    @property
    def sources(self) -> list[str]:
        """The video or image of each sample."""
        ...

    def cases(self, batch_size: int, device: str) -> Iterator[Case]:
        """The samples in batches, in their order."""
        ...


class Samples(ABC):
    """The corpus to train on, the sets to judge on by name, and the way to pixels and back.

    `scored` says which of T predictions are judged: those that all models can make.
    """

    scored: ClassVar[slice]
    corpus: RunData
    sets: dict[str, SampleSet]
    shifts: Shifts

    @property
    def train(self) -> EmbeddingClips:
        """Training samples."""
        return self.corpus.train

    @property
    def validation(self) -> EmbeddingClips:
        """Validation samples."""
        return self.corpus.validation

    @property
    def encoder(self) -> Encoder:
        """The frozen encoder."""
        return self.corpus.encoder

    @property
    def fingerprint(self) -> str:
        """Name of the embeddings: the same data, the same name."""
        return self.corpus.fingerprint

    @property
    def ends(self) -> list[str]:
        """The sets on which all is judged: in distribution, and where each shift ends.

        A set that belongs to no shift is one of them; between the ends of a shift only
        predictions, their gain from longer thinking and their energies are judged.
        """
        between = [one.samples for of in self.shifts.values() for one in of]
        last = {of[-1].samples for of in self.shifts.values()}
        outer = {IN_DISTRIBUTION, *last}
        return [n for n in self.sets if n != VALIDATION and (n in outer or n not in between)]

    @abstractmethod
    def decode(self, embeddings: Tensor) -> Tensor:
        """Scaled embeddings `[B, T, P, D]` to frames `[B, T, 3, height, width]`, not clipped."""

    @abstractmethod
    def embed(self, frames: Tensor) -> Tensor:
        """Frames `[N, 3, height, width]` in [0, 1] to scaled embeddings `[N, P, D]`."""

    @abstractmethod
    def foreign(self, case: Case) -> dict[str, Tensor]:
        """Candidates `[B, T, P, D]` that no model made, by kind, without the truth itself."""

    def trials(self, name: str, batch_size: int, device: str) -> Iterator[Trials]:
        """The samples of a set in batches, with continuations that are known to be impossible.

        Nothing where the corpus does not tell.
        """
        return iter(())

    @abstractmethod
    def describe(self) -> JSON:
        """What the data is, for the result."""

    def blurred_truth(self, case: Case) -> Tensor:
        """Embeddings `[B, T, P, D]` of the true frames after a blur."""
        return self._blurred_frames(case.truth, BLURS[1]).to(case.target)

    def blurred(self, candidates: Tensor, width: float) -> Tensor:
        """Candidates `[B, T, P, D]` whose frames are blurred by a width in pixels."""
        return self._blurred_frames(self.decode(candidates), width).to(candidates)

    def _blurred_frames(self, frames: Tensor, width: float) -> Tensor:
        """Embeddings `[B, T, P, D]` of frames `[B, T, 3, height, width]` after a blur."""
        size = 2 * math.ceil(3 * width) + 1
        blurred = gaussian_blur(frames.flatten(0, 1), size, width).clamp(0, 1)
        return self.embed(blurred).unflatten(0, frames.shape[:2])

    def describe_sets(self) -> JSON:
        """The sizes of the sets, and the shifts."""
        return {
            "sets": {name: len(set(found.sources)) for name, found in self.sets.items()},
            "ends": self.ends,
            "shifts": {
                what: [[one.samples, one.degree] for one in degrees]
                for what, degrees in self.shifts.items()
            },
        }


def of_another(target: Tensor) -> dict[str, Tensor]:
    """The targets of another sample of the batch, if there is one."""
    return {"truth of another sample": torch.roll(target, 1, 0)} if len(target) > 1 else {}


def first_sample(data: Samples, device: str) -> Clips:
    """The context of one sample, in distribution."""
    case = next(iter(data.sets[IN_DISTRIBUTION].cases(1, device)))
    return case.context
