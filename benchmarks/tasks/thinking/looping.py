"""Looped transformers that loop more often, or less, than they were trained to."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from torch import nn

from benchmarks.training.fit import TrainedModel
from worldmodel.backbone import Transformer
from worldmodel.predictor import Clips, Predictor, Setting, Trajectory, expect

SHARES = (0.5, 1.0, 2.0, 4.0)  # of the trained depth


@dataclass(frozen=True)
class Depth(Setting):
    """The number of blocks that a token passes, whatever their weights."""

    depth: int

    @property
    def label(self) -> str:
        """Such as `12 blocks`."""
        return f"{self.depth} blocks"

    @property
    def order(self) -> float:
        """The number of blocks."""
        return self.depth

    @property
    def count(self) -> int:
        """The number of blocks."""
        return self.depth


class LoopedLonger(Predictor):
    """A trained looped transformer as one that can be run at other depths.

    Its settings are half, once, twice and four times the depth that it was trained at.
    """

    def __init__(self, looped: Predictor):
        super().__init__()
        assert isinstance(looped.backbone, Transformer)
        self.looped, self._stack = looped, looped.backbone
        self._trained_depth = looped.backbone.depth

    @property
    def backbone(self) -> nn.Module:
        """The stack."""
        return self._stack

    def settings(self, counts: Sequence[int]) -> Sequence[Setting]:
        """A setting for each depth; the numbers of thinking steps mean nothing here."""
        return [Depth(max(1, round(share * self._trained_depth))) for share in SHARES]

    def trained_setting(self) -> Setting:
        """The trained depth."""
        return Depth(self._trained_depth)

    def predict(self, context: Clips, setting: Setting, energies: bool = False) -> Trajectory:
        """Predict in one pass of as many blocks as the setting says."""
        with self._at(expect(setting, Depth).depth):
            return self.looped.predict(context, self.looped.trained_setting(), energies)

    @contextmanager
    def _at(self, depth: int) -> Iterator[None]:
        self._stack.depth = depth
        try:
            yield
        finally:
            self._stack.depth = self._trained_depth


def with_more_loops(model: TrainedModel) -> TrainedModel:
    """The model so that it can be run at other depths, if it is a looped one."""
    if not model.planned.spec.looped:
        return model
    return replace(model, predictors=[LoopedLonger(each) for each in model.predictors])
