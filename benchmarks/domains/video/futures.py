"""What may follow the frames of clips, where the corpus tells: rendered and embedded as it was."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.config import JSON
from benchmarks.domains.video.data import VideoData
from benchmarks.measure.outcomes import Outcomes
from data_prep.shards.format import SampleReference
from data_prep.synthetic.balls import Balls, Motion, from_json
from worldmodel.data import EmbeddingClips

MOST_KEPT = 1 << 28  # numbers of outcomes that stay in memory: a gigabyte


@dataclass(frozen=True)
class KnownFutures:
    """All that may follow each frame but the last of the clips of a split, by the clips' keys.

    Outcomes are rendered when they are asked for. Those of the first clips are kept, as many as fit
    into a gigabyte, since many models are judged on the same clips.
    """

    data: VideoData
    split: str
    _kept: dict[str, Outcomes] = field(default_factory=dict)

    @cached_property
    def clips(self) -> EmbeddingClips:
        """The clips, scaled as in training."""
        return self.data.clips(self.split)

    @cached_property
    def known(self) -> bool:
        """Whether the corpus tells what may follow every frame of every clip."""
        return self.data.frames is not None and all(
            self._told(self._entry(k)) for k in self._places
        )

    @cached_property
    def open(self) -> bool:
        """Whether what may follow is known, and is not always one thing only."""
        return self.known and any(
            self._entry(key)["truth"]["motion"]["turn_odds"] > 0 for key in self._places
        )

    def outcomes(self, keys: Sequence[str]) -> Outcomes:
        """What may follow the frames of clips `[B, T - 1]`."""
        return _side_by_side([self._of_clip(key) for key in keys], 0)

    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean `[clips, T - 1, P, D]` and spread `[clips, T - 1, P]` of what may follow."""
        found = [(one.mean, one.spread) for one in map(self._rendered, self._places)]
        means, spreads = zip(*found, strict=True)
        return torch.cat(means), torch.cat(spreads)

    @cached_property
    def _places(self) -> dict[str, SampleReference]:
        return {sample.key: sample for sample in self.clips.samples}

    def _entry(self, key: str) -> JSON:
        """What is stored about a clip beside its frames."""
        return self.data.embeddings.read_metadata(self._places[key])

    def _told(self, entry: JSON) -> bool:
        """Whether the truth of a clip is kept, and balls may turn at its frames, nowhere else."""
        if "truth" not in entry:
            return False
        motion = Motion(**entry["truth"]["motion"])
        frames = np.round(np.array(entry["times"][: self.data.used]) * motion.fps).astype(int)
        between = motion.frames_between_turns
        at_turns = motion.turn_odds == 0 or bool((frames % between == 0).all())
        return at_turns and bool((np.diff(frames) == between).all())

    def _of_clip(self, key: str) -> Outcomes:
        """What may follow the frames of a clip `[1, T - 1]`, kept where there is room."""
        if key not in self._kept:
            found = self._rendered(key)
            size = sum(one.embeddings.numel() for one in (found, *self._kept.values()))
            if size > MOST_KEPT:
                return found
            self._kept[key] = found
        return self._kept[key]

    def _rendered(self, key: str) -> Outcomes:
        entry = self._entry(key)
        times = entry["times"][: self.data.used][:-1]
        return _side_by_side([self._after(*from_json(entry["truth"], time)) for time in times], 1)

    def _after(self, motion: Motion, balls: Balls) -> Outcomes:
        """What may follow one frame `[1, 1]`; what looks alike, such as behind a wall, is one."""
        outcomes, odds = motion.outcomes(balls)
        pictures = motion.draw(outcomes)
        alike: dict[bytes, list[int]] = {}
        for number, picture in enumerate(pictures):
            alike.setdefault(picture.tobytes(), []).append(number)
        first = [numbers[0] for numbers in alike.values()]
        probabilities = torch.tensor([odds[numbers].sum() for numbers in alike.values()])
        return Outcomes(
            self.data.embedded(pictures[first])[None, None], probabilities.float()[None, None]
        )


def _side_by_side(parts: Sequence[Outcomes], dim: int) -> Outcomes:
    """Outcomes of frames (dim 1) or clips (dim 0), with as many for each as the most has."""
    most = max(one.probabilities.shape[2] for one in parts)
    embeddings, probabilities = [], []
    for one in parts:
        missing = most - one.probabilities.shape[2]
        first = one.embeddings[:, :, :1]
        embeddings.append(torch.cat([one.embeddings, *[first] * missing], dim=2))
        probabilities.append(F.pad(one.probabilities, (0, missing)))
    return Outcomes(torch.cat(embeddings, dim), torch.cat(probabilities, dim))
